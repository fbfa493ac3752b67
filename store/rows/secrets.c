#include "store/rows.h"

#include "base/limits.h"
#include "store/store_priv.h"

static const char sql_put[] = "INSERT INTO secrets (app_id, name, sealed, updated_ms) VALUES ($1, $2, $3, $4)"
                              " ON CONFLICT (app_id, name) DO UPDATE SET sealed = excluded.sealed,"
                              " updated_ms = excluded.updated_ms";
static const char sql_count[] = "SELECT count(*) FROM secrets WHERE app_id = $1";
static const char sql_remove[] = "DELETE FROM secrets WHERE app_id = $1 AND name = $2";
static const char sql_each[] = "SELECT s.app_id, s.updated_ms, a.name, s.name, s.sealed FROM secrets s"
                               " JOIN apps a ON a.id = s.app_id ORDER BY s.app_id, s.name";

static enum hob_code check_count(struct store_tx *tx, int64_t app_id, struct hob_err *err)
{
    struct query q;
    bool has_row = false;
    if (query_start(&q, tx, sql_count, err) != HOB_OK)
        return err->code;
    query_int(&q, app_id);
    enum hob_code rc = query_step(&q, &has_row, err);
    if (rc == HOB_OK && query_col_int(&q, 0) > HOB_MAX_SECRETS_PER_APP)
        rc = hob_fail(err, HOB_E_TOO_LARGE,
                      "the app has %d secrets already, the most there may be (app.secrets)",
                      HOB_MAX_SECRETS_PER_APP);
    query_end(&q);
    return rc;
}

enum hob_code store_secret_put(struct store_tx *tx, const struct secret_row *row, struct hob_err *err)
{
    struct query q;
    if (query_start(&q, tx, sql_put, err) != HOB_OK)
        return err->code;
    query_int(&q, row->app_id);
    query_text(&q, row->name);
    query_blob(&q, row->sealed);
    query_int(&q, row->updated_ms);
    if (query_run(&q, NULL, err) != HOB_OK)
        return err->code;
    return check_count(tx, row->app_id, err); /* after the fact: the savepoint takes the row back */
}

enum hob_code store_secret_remove(struct store_tx *tx, int64_t app_id, const char *name, struct hob_err *err)
{
    struct query q;
    uint64_t changes = 0;
    if (query_start(&q, tx, sql_remove, err) != HOB_OK)
        return err->code;
    query_int(&q, app_id);
    query_text(&q, name);
    if (query_run(&q, &changes, err) != HOB_OK)
        return err->code;
    if (changes == 0)
        return hob_fail_reason(err, HOB_E_NOT_FOUND, "unknown_secret", "there is no secret '%s'", name);
    return HOB_OK;
}

enum hob_code store_secret_each(struct store_tx *tx, secret_row_cb cb, void *ctx, struct hob_err *err)
{
    struct query q;
    enum hob_code rc = HOB_OK;
    if (query_start(&q, tx, sql_each, err) != HOB_OK)
        return err->code;
    while (query_next(&q, &rc, err)) {
        struct secret_row row = {.app_id = query_col_int(&q, 0),
                                 .updated_ms = query_col_int(&q, 1),
                                 .app = query_col_text(&q, 2),
                                 .name = query_col_text(&q, 3),
                                 .sealed = query_col_blob(&q, 4)};
        rc = cb(ctx, &row, err);
    }
    return rc;
}
