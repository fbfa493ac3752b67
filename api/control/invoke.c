#include "api/control/control_priv.h"
#include "api/gateway/gateway.h"

/* The gateway takes the exchange over, its events and its answer with it; the call ends here. */
void handle_invoke(struct call *c)
{
    struct hob_err err = {0};
    struct http_exchange *x = c->x;
    struct gateway *gateway = c->control->o.gateway;
    struct hob_str qualifier = call_query(c, "qualifier");
    struct version *v = catalog_resolve(c->control->o.catalog, c->params[0], c->params[1],
                                        qualifier.at ? qualifier : HOB_STR(""), &err);
    if (!v) {
        call_fail(c, &err);
        return;
    }
    c->x = NULL;
    call_release(c);
    gateway_invoke_event(gateway, x, v);
}
