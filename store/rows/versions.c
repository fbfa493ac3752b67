#include "store/rows.h"

#include "store/store_priv.h"

#define COLUMNS                                                                                              \
    "id, function_id, number, digest, config_json, env_json, why, has_routes, created_ms, cloud_json"

static const char sql_insert[] =
    "INSERT INTO versions (function_id, number, digest, config_json, env_json, why, has_routes, created_ms,"
    " cloud_json)"
    " SELECT $1, coalesce(max(number), 0) + 1, $2, $3, $4, $5, $6, $7, $8 FROM versions WHERE function_id = $1"
    " RETURNING id, number";
static const char sql_get[] = "SELECT " COLUMNS " FROM versions WHERE function_id = $1 AND number = $2";
static const char sql_each[] = "SELECT " COLUMNS " FROM versions ORDER BY function_id, number";

static struct version_row row_of(const struct query *q)
{
    return (struct version_row){.id = query_col_int(q, 0),
                                .function_id = query_col_int(q, 1),
                                .number = (uint32_t)query_col_int(q, 2),
                                .digest = query_col_text(q, 3),
                                .config_json = query_col_text(q, 4),
                                .env_json = query_col_text(q, 5),
                                .why = query_col_text(q, 6),
                                .has_routes = query_col_int(q, 7) != 0,
                                .created_ms = query_col_int(q, 8),
                                .cloud_json = query_col_text(q, 9)};
}

enum hob_code store_version_insert(struct store_tx *tx, const struct version_row *row,
                                   struct version_row *ret_row, struct hob_err *err)
{
    struct query q;
    bool has_row = false;
    if (query_start(&q, tx, sql_insert, err) != HOB_OK)
        return err->code;
    query_int(&q, row->function_id);
    query_text(&q, row->digest);
    query_text(&q, row->config_json);
    query_text(&q, row->env_json);
    query_text(&q, row->why);
    query_int(&q, row->has_routes);
    query_int(&q, row->created_ms);
    query_text(&q, row->cloud_json ? row->cloud_json : "");
    enum hob_code rc = query_step(&q, &has_row, err);
    if (rc == HOB_OK) {
        struct version_row made = *row;
        HOB_ASSERT(has_row);
        made.id = query_col_int(&q, 0);
        made.number = (uint32_t)query_col_int(&q, 1);
        rc = query_step(&q, &has_row, err);
        if (rc == HOB_OK)
            *ret_row = made;
    }
    query_end(&q);
    return rc;
}

enum hob_code store_version_get(struct store_tx *tx, int64_t function_id, uint32_t number, version_row_cb cb,
                                void *ctx, struct hob_err *err)
{
    struct query q;
    bool has_row = false;
    if (query_start(&q, tx, sql_get, err) != HOB_OK)
        return err->code;
    query_int(&q, function_id);
    query_int(&q, number);
    enum hob_code rc = query_step(&q, &has_row, err);
    if (rc == HOB_OK && !has_row) {
        rc = hob_fail_reason(err, HOB_E_NOT_FOUND, "unknown_version", "there is no version %u", number);
    } else if (rc == HOB_OK) {
        struct version_row row = row_of(&q);
        rc = cb(ctx, &row, err);
    }
    query_end(&q);
    return rc;
}

enum hob_code store_version_each(struct store_tx *tx, version_row_cb cb, void *ctx, struct hob_err *err)
{
    struct query q;
    enum hob_code rc = HOB_OK;
    if (query_start(&q, tx, sql_each, err) != HOB_OK)
        return err->code;
    while (query_next(&q, &rc, err)) {
        struct version_row row = row_of(&q);
        rc = cb(ctx, &row, err);
    }
    return rc;
}
