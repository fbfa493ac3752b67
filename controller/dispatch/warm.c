/* Versions that have instances without being called: found once, after the catalogue was loaded. */
#include <string.h>

#include "controller/dispatch/dispatch_priv.h"

#include "base/banned.h"

/* A look at the text spares parsing (and keeping) the configurations of thousands that want nothing. */
static bool wants_instances(const struct version *v)
{
    return !strstr(v->config_json, "\"scale\":{\"min\":0,") ||
           (strstr(v->config_json, "\"windows\":[") && !strstr(v->config_json, "\"windows\":[]"));
}

void dispatcher_warm(struct dispatcher *d)
{
    recall_load(d);
    for (const struct app *a = catalog_apps(d->o.catalog); a; a = a->hh.next)
        for (const struct function *f = a->functions; f; f = f->hh.next)
            for (struct version *v = f->versions; v; v = v->older)
                if (version_is_named(v) && (wants_instances(v) || recall_holds(d, v))) {
                    struct pool *p = pool_of(d, v);
                    pool_mark(p);
                    dispatcher_wake(d, &p->wake, dispatcher_now(d));
                }
}
