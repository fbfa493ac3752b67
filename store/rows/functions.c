#include "store/rows.h"

#include "store/store_priv.h"

static const char sql_ensure[] = "INSERT INTO functions (app_id, name, created_ms) VALUES ($1, $2, $3)"
                                 " ON CONFLICT (app_id, name) DO UPDATE SET name = excluded.name"
                                 " RETURNING id, app_id, created_ms, live_version, previous_live";
static const char sql_get[] =
    "SELECT f.id, f.app_id, f.created_ms, f.live_version, f.previous_live"
    " FROM functions f JOIN apps a ON a.id = f.app_id WHERE a.name = $1 AND f.name = $2";
static const char sql_set_live[] =
    "UPDATE functions SET previous_live = live_version, live_version = $1 WHERE id = $2";
static const char sql_drop_aliases[] = "DELETE FROM aliases WHERE function_id = $1";
static const char sql_remove[] = "DELETE FROM functions WHERE id = $1";
static const char sql_each[] =
    "SELECT id, app_id, created_ms, live_version, previous_live, name FROM functions"
    " ORDER BY id";

static struct function_row row_of(const struct query *q, const char *name)
{
    return (struct function_row){.id = query_col_int(q, 0),
                                 .app_id = query_col_int(q, 1),
                                 .created_ms = query_col_int(q, 2),
                                 .live = (uint32_t)query_col_int(q, 3),
                                 .previous_live = (uint32_t)query_col_int(q, 4),
                                 .name = name};
}

enum hob_code store_function_ensure(struct store_tx *tx, int64_t app_id, const char *name, int64_t now_ms,
                                    struct function_row *ret_row, struct hob_err *err)
{
    struct query q;
    bool has_row = false;
    if (query_start(&q, tx, sql_ensure, err) != HOB_OK)
        return err->code;
    query_int(&q, app_id);
    query_text(&q, name);
    query_int(&q, now_ms);
    enum hob_code rc = query_step(&q, &has_row, err);
    if (rc == HOB_OK) {
        HOB_ASSERT(has_row);
        *ret_row = row_of(&q, name);
        rc = query_step(&q, &has_row, err);
    }
    query_end(&q);
    return rc;
}

enum hob_code store_function_get(struct store_tx *tx, const char *app, const char *name,
                                 struct function_row *ret_row, struct hob_err *err)
{
    struct query q;
    bool has_row = false;
    if (query_start(&q, tx, sql_get, err) != HOB_OK)
        return err->code;
    query_text(&q, app);
    query_text(&q, name);
    enum hob_code rc = query_step(&q, &has_row, err);
    if (rc == HOB_OK && !has_row)
        rc = hob_fail_reason(err, HOB_E_NOT_FOUND, "unknown_function", "app '%s' has no function '%s'", app,
                             name);
    else if (rc == HOB_OK)
        *ret_row = row_of(&q, NULL);
    query_end(&q);
    return rc;
}

enum hob_code store_function_set_live(struct store_tx *tx, int64_t function_id, uint32_t live,
                                      struct hob_err *err)
{
    struct query q;
    uint64_t changes = 0;
    if (query_start(&q, tx, sql_set_live, err) != HOB_OK)
        return err->code;
    query_int(&q, live);
    query_int(&q, function_id);
    if (query_run(&q, &changes, err) != HOB_OK)
        return err->code;
    if (changes == 0)
        return hob_fail_reason(err, HOB_E_NOT_FOUND, "unknown_function",
                               "the function was removed meanwhile");
    return HOB_OK;
}

enum hob_code store_function_remove(struct store_tx *tx, int64_t function_id, struct hob_err *err)
{
    struct query q;
    uint64_t changes = 0;
    /* aliases first: they hold on to versions */
    if (query_start(&q, tx, sql_drop_aliases, err) != HOB_OK)
        return err->code;
    query_int(&q, function_id);
    if (query_run(&q, NULL, err) != HOB_OK || query_start(&q, tx, sql_remove, err) != HOB_OK)
        return err->code;
    query_int(&q, function_id);
    if (query_run(&q, &changes, err) != HOB_OK)
        return err->code;
    if (changes == 0)
        return hob_fail_reason(err, HOB_E_NOT_FOUND, "unknown_function",
                               "the function was removed meanwhile");
    return HOB_OK;
}

enum hob_code store_function_each(struct store_tx *tx, function_row_cb cb, void *ctx, struct hob_err *err)
{
    struct query q;
    enum hob_code rc = HOB_OK;
    if (query_start(&q, tx, sql_each, err) != HOB_OK)
        return err->code;
    while (query_next(&q, &rc, err)) {
        struct function_row row = row_of(&q, query_col_text(&q, 5));
        rc = cb(ctx, &row, err);
    }
    return rc;
}
