#include "store/rows.h"

#include "store/store_priv.h"

static const char sql_add[] =
    "INSERT INTO backends (app_id, application_id, keys_json, webhook_key, settings_json,"
    " created_ms) VALUES ($1, $2, $3, $4, $5, $6)";
static const char sql_replace[] = "UPDATE backends SET keys_json = $1, webhook_key = $2, settings_json = $3"
                                  " WHERE app_id = $4";
static const char sql_remove[] = "DELETE FROM backends WHERE app_id = $1";
static const char sql_each[] =
    "SELECT b.app_id, b.created_ms, a.name, b.application_id, b.keys_json, b.settings_json,"
    " b.webhook_key FROM backends b JOIN apps a ON a.id = b.app_id ORDER BY a.name";

enum hob_code store_backend_add(struct store_tx *tx, const struct backend_row *row, struct hob_err *err)
{
    struct query q;
    if (query_start(&q, tx, sql_add, err) != HOB_OK)
        return err->code;
    query_int(&q, row->app_id);
    query_text(&q, row->application_id);
    query_text(&q, row->keys_json);
    query_blob(&q, row->webhook_key);
    query_text(&q, row->settings_json);
    query_int(&q, row->created_ms);
    if (query_run(&q, NULL, err) == HOB_OK)
        return HOB_OK;
    if (err->code == HOB_E_CONFLICT)
        return hob_fail(err, HOB_E_CONFLICT,
                        "app '%s' has a backend already, or application id '%.64s' is another app's",
                        row->app, row->application_id);
    return err->code;
}

static enum hob_code one_changed(struct query *q, struct hob_err *err)
{
    uint64_t changes = 0;
    if (query_run(q, &changes, err) != HOB_OK)
        return err->code;
    return changes ? HOB_OK
                   : hob_fail_reason(err, HOB_E_NOT_FOUND, "unknown_backend",
                                     "the app has no backend: `hob app create` makes one");
}

enum hob_code store_backend_replace(struct store_tx *tx, const struct backend_row *row, struct hob_err *err)
{
    struct query q;
    if (query_start(&q, tx, sql_replace, err) != HOB_OK)
        return err->code;
    query_text(&q, row->keys_json);
    query_blob(&q, row->webhook_key);
    query_text(&q, row->settings_json);
    query_int(&q, row->app_id);
    return one_changed(&q, err);
}

enum hob_code store_backend_remove(struct store_tx *tx, int64_t app_id, struct hob_err *err)
{
    struct query q;
    if (query_start(&q, tx, sql_remove, err) != HOB_OK)
        return err->code;
    query_int(&q, app_id);
    return one_changed(&q, err);
}

enum hob_code store_backend_each(struct store_tx *tx, backend_row_cb cb, void *ctx, struct hob_err *err)
{
    struct query q;
    enum hob_code rc = HOB_OK;
    if (query_start(&q, tx, sql_each, err) != HOB_OK)
        return err->code;
    while (query_next(&q, &rc, err)) {
        struct backend_row row = {.app_id = query_col_int(&q, 0),
                                  .created_ms = query_col_int(&q, 1),
                                  .app = query_col_text(&q, 2),
                                  .application_id = query_col_text(&q, 3),
                                  .keys_json = query_col_text(&q, 4),
                                  .settings_json = query_col_text(&q, 5),
                                  .webhook_key = query_col_blob(&q, 6)};
        rc = cb(ctx, &row, err);
    }
    return rc;
}
