/* env.sql: the statements of a function, in the app's SQL database (store/sql.h). */
#include "bindings/serve/serve_priv.h"
#include "store/sql.h"

#include "base/banned.h"

static void on_done(void *ctx, const struct hob_err *err)
{
    struct serve_call *c = ctx;
    c->is_working = false;
    if (err)
        serve_fail(c, err);
    else
        serve_answer(c, hob_buf_str(&c->out), HOB_STR(""));
}

static void start(struct serve_call *c, bool is_script)
{
    struct hob_err err;
    json_t *statements = json_object_get(c->args, "statements");
    enum hob_code rc = serve_need(c, HOB_GRANT_SQL, HOB_STR(""), 0, &err);
    if (rc == HOB_OK && !c->serve->o.sqls)
        rc = hob_fail(&err, HOB_E_UNAVAILABLE, "env.sql is not there");
    if (rc == HOB_OK && !json_is_array(statements))
        rc = hob_fail(&err, HOB_E_INVALID, "%s: 'statements' is missing or no array", c->op);
    if (rc != HOB_OK) {
        serve_fail(c, &err);
        return;
    }
    c->is_working = true;
    sql_ask(c->serve->o.sqls, c->caller.app, statements, is_script, &c->out, on_done, c);
}

static void start_query(struct serve_call *c)
{
    start(c, false);
}

static void start_exec(struct serve_call *c)
{
    start(c, true);
}

const struct serve_op serve_sql_ops[] = {{"sql.query", start_query}, {"sql.exec", start_exec}, {0}};
