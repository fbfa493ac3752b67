#include "store/rows.h"

#include "store/store_priv.h"

static const char sql_put[] = "INSERT INTO hooks (app_id, name, url) VALUES ($1, $2, $3)"
                              " ON CONFLICT (app_id, name) DO UPDATE SET url = excluded.url";
static const char sql_remove[] =
    "DELETE FROM hooks WHERE app_id = (SELECT id FROM apps WHERE name = $1) AND name = $2";
static const char sql_clear[] = "DELETE FROM hooks WHERE app_id = (SELECT id FROM apps WHERE name = $1)";
static const char sql_each[] = "SELECT a.name, h.name, h.url FROM hooks h JOIN apps a ON a.id = h.app_id"
                               " ORDER BY a.name, h.name";

enum hob_code store_hook_put(struct store_tx *tx, const struct hook_row *row, struct hob_err *err)
{
    struct query q;
    int64_t app_id;
    if (store_app_id(tx, row->app, &app_id, err) != HOB_OK || query_start(&q, tx, sql_put, err) != HOB_OK)
        return err->code;
    query_int(&q, app_id);
    query_text(&q, row->name);
    query_text(&q, row->url);
    return query_run(&q, NULL, err);
}

enum hob_code store_hook_remove(struct store_tx *tx, const char *app, const char *name, struct hob_err *err)
{
    struct query q;
    if (query_start(&q, tx, name ? sql_remove : sql_clear, err) != HOB_OK)
        return err->code;
    query_text(&q, app);
    if (name)
        query_text(&q, name);
    return query_run(&q, NULL, err);
}

enum hob_code store_hook_each(struct store_tx *tx, hook_row_cb cb, void *ctx, struct hob_err *err)
{
    struct query q;
    enum hob_code rc = HOB_OK;
    if (query_start(&q, tx, sql_each, err) != HOB_OK)
        return err->code;
    while (query_next(&q, &rc, err)) {
        struct hook_row row = {
            .app = query_col_text(&q, 0), .name = query_col_text(&q, 1), .url = query_col_text(&q, 2)};
        rc = cb(ctx, &row, err);
    }
    return rc;
}
