#include "store/rows.h"

#include "store/store_priv.h"

static const char sql_put[] = "INSERT INTO code (digest, files, bytes, created_ms) VALUES ($1, $2, $3, $4)"
                              " ON CONFLICT (digest) DO NOTHING";
static const char sql_prune[] =
    "DELETE FROM code WHERE NOT EXISTS (SELECT 1 FROM versions v WHERE v.digest = code.digest)";

enum hob_code store_code_put(struct store_tx *tx, const struct code_row *row, struct hob_err *err)
{
    struct query q;
    if (query_start(&q, tx, sql_put, err) != HOB_OK)
        return err->code;
    query_text(&q, row->digest);
    query_int(&q, (int64_t)row->files);
    query_int(&q, (int64_t)row->bytes);
    query_int(&q, row->created_ms);
    return query_run(&q, NULL, err);
}

enum hob_code store_code_prune(struct store_tx *tx, struct hob_err *err)
{
    struct query q;
    if (query_start(&q, tx, sql_prune, err) != HOB_OK)
        return err->code;
    return query_run(&q, NULL, err);
}
