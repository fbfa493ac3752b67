/* GET and PUT /config: the app's configuration, a pair a parameter (its value, and whether only master sees it). Flow of a
 * change: beforeSave of @Config -> merged in one write job -> afterSave -> answered. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "bindings/call_priv.h"
#include "bindings/trigger.h"
#include "store/kv.h"

enum { VALUE_BYTES_MAX = 1 << 20, PARAMS_MAX = 1000, NAME_BYTES_MAX = 128 };

static const char space[] = "config";

/* --- reading ---------------------------------------------------------------------------------------------------------- */

struct listing {
    struct hob_jw values, restricted; /* members of two objects */
    struct hob_buf restricted_text;
    bool is_master, has_restricted;
};

static enum hob_code on_param(void *ctx, const struct kv_row *row, struct hob_err *err)
{
    struct listing *l = ctx;
    bool is_restricted = hob_str_is(row->meta, "true");
    (void)err;
    if (is_restricted && !l->is_master)
        return HOB_OK;
    char name[NAME_BYTES_MAX + 1];
    size_t n = row->key.n < NAME_BYTES_MAX ? row->key.n : NAME_BYTES_MAX;
    memcpy(name, row->key.at, n);
    name[n] = '\0';
    hob_jw_key(&l->values, name);
    hob_jw_raw(&l->values, row->value);
    if (l->is_master)
        hob_jw_kbool(&l->restricted, name, is_restricted);
    l->has_restricted = l->has_restricted || is_restricted;
    return HOB_OK;
}

static enum hob_code read_work(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    struct listing l = {.is_master = identity_is_master(&c->who)};
    hob_buf_clear(&c->out);
    hob_buf_init(&l.restricted_text, c->out.max);
    hob_jw_init(&l.values, &c->out);
    hob_jw_init(&l.restricted, &l.restricted_text);
    hob_jw_object(&l.values);
    hob_jw_key(&l.values, "params");
    hob_jw_object(&l.values);
    hob_jw_object(&l.restricted);
    enum hob_code rc = kv_each(tx, space, HOB_STR(""), HOB_STR(""), PARAMS_MAX, c->now_ms, on_param, &l, err);
    hob_jw_object_end(&l.values);
    hob_jw_object_end(&l.restricted);
    if (l.has_restricted) {
        hob_jw_key(&l.values, "masterKeyOnly");
        hob_jw_raw(&l.values, hob_buf_str(&l.restricted_text));
    }
    hob_jw_object_end(&l.values);
    if (rc == HOB_OK)
        rc = hob_jw_end(&l.values, err);
    hob_buf_done(&l.restricted_text);
    return rc;
}

/* --- changing --------------------------------------------------------------------------------------------------------- */

static enum hob_code check_name(const char *name, struct hob_err *err)
{
    size_t n = strlen(name);
    bool is_good = n >= 1 && n <= NAME_BYTES_MAX && strspn(name, "0123456789") < 1;
    for (const char *at = name; *at && is_good; at++)
        is_good = (*at >= '0' && *at <= '9') || (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
                  *at == '_';
    if (is_good)
        return HOB_OK;
    return parse_fail(
        err, PARSE_INVALID_KEY_NAME,
        "Invalid configuration parameter '%.64s': use a-z, A-Z, 0-9 and '_', a letter first, at most %d",
        name, NAME_BYTES_MAX);
}

static bool is_delete(const json_t *value)
{
    const char *op = json_string_value(json_object_get(value, "__op"));
    return op && strcmp(op, "Delete") == 0;
}

/* What was kept for a parameter that is only partly sent. */
struct kept {
    char *value;
    bool is_restricted;
};
static enum hob_code on_kept(void *ctx, const struct kv_row *row, struct hob_err *err)
{
    struct kept *k = ctx;
    (void)err;
    k->value = hob_strndup(row->value.at, row->value.n);
    k->is_restricted = hob_str_is(row->meta, "true");
    return HOB_OK;
}

static enum hob_code put_param(struct backend_call *c, struct data_tx *tx, const char *name,
                               struct hob_err *err)
{
    const json_t *value = json_object_get(ask_param(c, "params"), name);
    const json_t *restricted = json_object_get(ask_param(c, "masterKeyOnly"), name);
    struct kept kept = {NULL, false};
    hob_auto_buf struct hob_buf text;
    struct hob_jw w;
    enum hob_code rc = kv_get(tx, space, hob_str(name), c->now_ms, on_kept, &kept, err);
    hob_buf_init(&text, VALUE_BYTES_MAX);
    hob_jw_init(&w, &text);
    if (value)
        hob_jw_json(&w, value);
    else if (kept.value)
        hob_jw_raw(&w, hob_str(kept.value));
    bool is_restricted = restricted ? json_is_true(restricted) : kept.is_restricted;
    bool has_value = value || kept.value;
    free(kept.value);
    if ((rc != HOB_OK && rc != HOB_E_NOT_FOUND) || !has_value)
        return rc == HOB_E_NOT_FOUND ? HOB_OK : rc;
    if (hob_jw_end(&w, err) != HOB_OK)
        return parse_fail(err, PARSE_OBJECT_TOO_LARGE, "configuration parameter '%s' has more than %d bytes",
                          name, VALUE_BYTES_MAX);
    struct kv_row row = {.key = hob_str(name),
                         .value = hob_buf_str(&text),
                         .meta = is_restricted ? HOB_STR("true") : HOB_STR("false")};
    return kv_put(tx, space, &row, err);
}

static enum hob_code write_work(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    const char *name;
    json_t *value;
    json_object_foreach(ask_param(c, "params"), name, value)
    {
        enum hob_code rc =
            is_delete(value) ? kv_drop(tx, space, hob_str(name), NULL, err) : put_param(c, tx, name, err);
        if (rc != HOB_OK)
            return rc;
    }
    json_object_foreach(ask_param(c, "masterKeyOnly"), name, value)
    {
        if (!json_object_get(ask_param(c, "params"), name) && put_param(c, tx, name, err) != HOB_OK)
            return err->code;
    }
    return HOB_OK;
}

static void answer(struct backend_call *c)
{
    (void)!hob_buf_add_str(&c->out, HOB_STR("{\"result\":true}"));
    ask_finish(c);
}

static void on_after_save(struct backend_call *c, const struct hob_err *err, json_t *value)
{
    (void)err, (void)value; /* told by the trigger's own log */
    answer(c);
}

static void run_trigger(struct backend_call *c, enum trigger_kind kind, trigger_done_cb done)
{
    hob_auto_json json_t *object = json_pack("{s:s}", "className", "@Config");
    if (ask_param(c, "params"))
        (void)json_object_set(object, "params", ask_param(c, "params"));
    struct trigger_event e = {.kind = kind, .class_name = HOB_STR("@Config"), .object = object};
    trigger_run(c, &e, done);
}

static void after_write(struct backend_call *c)
{
    if (trigger_exists(c->backend, c->request.app, HOB_STR("@Config"), TRIGGER_AFTER_SAVE))
        run_trigger(c, TRIGGER_AFTER_SAVE, on_after_save);
    else
        answer(c);
}

static void on_before_save(struct backend_call *c, const struct hob_err *err, json_t *value)
{
    (void)value;
    if (err) {
        c->err = *err;
        ask_fail(c);
    } else {
        ask_write(c, write_work, after_write);
    }
}

static enum hob_code judge(const struct backend_call *c, struct hob_err *err)
{
    const json_t *params = ask_param(c, "params"), *restricted = ask_param(c, "masterKeyOnly");
    const char *name;
    json_t *value;
    if ((params && !json_is_object(params)) || (restricted && !json_is_object(restricted)))
        return parse_fail(err, PARSE_INVALID_JSON,
                          "bad configuration: 'params' and 'masterKeyOnly' must be objects");
    if (json_object_size(params) > PARAMS_MAX)
        return parse_fail(err, PARSE_INVALID_JSON, "bad configuration: more than %d parameters", PARAMS_MAX);
    json_object_foreach((json_t *)(uintptr_t)params, name, value)
    {
        if (check_name(name, err) != HOB_OK)
            return err->code;
    }
    return HOB_OK;
}

static void put_start(struct backend_call *c)
{
    if (judge(c, &c->err) != HOB_OK)
        ask_fail(c);
    else if (trigger_exists(c->backend, c->request.app, HOB_STR("@Config"), TRIGGER_BEFORE_SAVE))
        run_trigger(c, TRIGGER_BEFORE_SAVE, on_before_save);
    else
        ask_write(c, write_work, after_write);
}

const struct backend_route config_routes[] = {
    {"GET", "/config", ROUTE_READ, NEED_NOTHING, read_work, NULL},
    {"PUT", "/config", ROUTE_FLOW, NEED_MASTER, NULL, put_start},
    {NULL, NULL, ROUTE_READ, NEED_NOTHING, NULL, NULL},
};
