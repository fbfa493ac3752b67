/* env.secrets: those that "bindings" names with secrets:NAME; those of "secrets" came with HELLO. */
#include <stdlib.h>

#include "bindings/serve/serve_priv.h"

#include "base/banned.h"

static void start_get(struct serve_call *c)
{
    struct hob_err err;
    hob_auto_buf struct hob_buf value;
    hob_buf_init(&value, HOB_MAX_SECRET_BYTES);
    const char *name = serve_need_text(c, "name", &err);
    if (!name || serve_need(c, HOB_GRANT_SECRET, hob_str(name), 0, &err) != HOB_OK ||
        c->serve->o.secret(c->serve->o.ctx, c->caller.app, name, &value, &err) != HOB_OK)
        serve_fail(c, &err);
    else
        serve_answer(c, HOB_STR("{}"), hob_buf_str(&value));
    if (value.mem)
        explicit_bzero(value.mem, value.cap);
}

const struct serve_op serve_secret_ops[] = {{"secrets.get", start_get}, {0}};
