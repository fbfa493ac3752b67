/* Aggregation and distinct values: master only, one read job. The pipeline is compiled by the store; here its shape is
 * judged. */
#include <string.h>

#include "bindings/object/object_priv.h"

#include "base/banned.h"

static bool is_option(const char *name)
{
    static const char *const options[] = {
        "distinct",      "where", "hint", "explain", "readPreference", "comment", "rawValues",
        "rawFieldNames", "limit", "skip", "order",   "keys",           "count",   "pipeline"};
    for (size_t i = 0; i < HOB_COUNT(options); i++)
        if (strcmp(name, options[i]) == 0)
            return true;
    return false;
}

static enum hob_code judge_group(const json_t *group, struct hob_err *err)
{
    if (json_object_get(group, "objectId"))
        return parse_fail(err, PARSE_INVALID_QUERY,
                          "Invalid parameter for query: group. Please use _id instead of objectId");
    if (!json_object_get(group, "_id"))
        return parse_fail(err, PARSE_INVALID_QUERY, "Invalid parameter for query: group. _id is required");
    return HOB_OK;
}

static enum hob_code judge_stage(const json_t *stage, struct hob_err *err)
{
    const char *name = json_object_iter_key(json_object_iter((json_t *)(uintptr_t)stage));
    if (!json_is_object(stage) || json_object_size(stage) != 1)
        return parse_fail(err, PARSE_INVALID_QUERY, "Pipeline stages should only have one key but found %zu.",
                          json_object_size(stage));
    if (name[0] != '$')
        return parse_fail(err, PARSE_INVALID_QUERY, "Invalid aggregate stage '%.60s'.", name);
    if (strcmp(name, "$group") == 0)
        return judge_group(json_object_get(stage, name), err);
    return HOB_OK;
}

/* An array of stages, or an object of them; as a value, as a text, or as parameters of their own. Returns owned. */
static json_t *read_pipeline(const struct backend_call *c, struct hob_err *err)
{
    json_t *given = ask_param(c, "pipeline");
    const char *name;
    json_t *value;
    if (json_is_string(given))
        return hob_json_parse(hob_str(json_string_value(given)), "pipeline", err);
    if (json_is_array(given))
        return json_incref(given);
    json_t *stages = json_array();
    json_object_foreach(given ? given : c->request.params, name, value)
    {
        if (given || !is_option(name))
            (void)json_array_append_new(stages, json_pack("{s:O}", name, value));
    }
    return stages;
}

static enum hob_code distinct(struct backend_call *c, struct data_tx *tx, const char *class_name,
                              const char *field, struct hob_err *err)
{
    json_t *where hob_auto_json = NULL;
    json_t *given = ask_param(c, "where");
    if (json_is_string(given)) {
        where = hob_json_parse(hob_str(json_string_value(given)), "where", err);
        if (!where)
            return parse_fail(err, PARSE_INVALID_JSON, "where: not JSON");
    } else {
        where = json_incref(given);
    }
    struct data_query q = {.class_name = class_name,
                           .where = where,
                           .limit = -1,
                           .time_ms = (uint32_t)ask_int(c, SETTING_QUERY_TIME_MS)};
    enum hob_code rc = where ? where_judge(c, where, NULL, 0, err) : HOB_OK;
    if (rc == HOB_OK && data_class_find(tx, class_name))
        return data_distinct(tx, &q, field, &c->out, err);
    return rc == HOB_OK && hob_buf_add(&c->out, "[]", 2) != HOB_OK ? HOB_E_TOO_LARGE : rc;
}

static enum hob_code aggregate(struct backend_call *c, struct data_tx *tx, const char *class_name,
                               struct hob_err *err)
{
    json_t *pipeline hob_auto_json = read_pipeline(c, err);
    if (!json_is_array(pipeline))
        return parse_fail(err, PARSE_INVALID_QUERY, "Invalid aggregate pipeline: an array of stages");
    for (size_t i = 0; i < json_array_size(pipeline); i++) {
        enum hob_code rc = judge_stage(json_array_get(pipeline, i), err);
        if (rc != HOB_OK)
            return rc;
    }
    if (!data_class_find(tx, class_name))
        return hob_buf_add(&c->out, "[]", 2) == HOB_OK ? HOB_OK : HOB_E_TOO_LARGE;
    return data_aggregate(tx, class_name, pipeline, &c->out, err);
}

static enum hob_code work(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    const char *class_name = ask_text_of(c, c->params[0]);
    const char *field = json_string_value(ask_param(c, "distinct"));
    enum hob_code rc = class_judge(c, class_name ? class_name : "", "aggregate", 0, err);
    if (rc == HOB_OK && hob_buf_addf(&c->out, "{\"results\":") != HOB_OK)
        rc = hob_fail(err, HOB_E_TOO_LARGE, "the answer is too large");
    if (rc == HOB_OK)
        rc = field ? distinct(c, tx, class_name, field, err) : aggregate(c, tx, class_name, err);
    if (rc == HOB_OK && hob_buf_add(&c->out, "}", 1) != HOB_OK)
        rc = hob_fail(err, HOB_E_TOO_LARGE, "the answer is too large");
    return rc;
}

const struct backend_route aggregate_routes[] = {
    {"GET", "/aggregate/:class", ROUTE_READ, NEED_MASTER_READ, work, NULL},
    {NULL, NULL, ROUTE_FLOW, NEED_NOTHING, NULL, NULL},
};
