/* What stands in front of a server's program: hob-init's own options. Apart from runtimes.c, since an image has no runtime. */
#include "base/mem.h"
#include "controller/runtimes.h"

#include "base/banned.h"

enum { GATE_PORT = 9002 /* where a server finds its bindings; its own port has the right of way */ };

size_t runtime_http_options(char **argv, const struct function_config *f)
{
    unsigned gate = f->port == GATE_PORT ? GATE_PORT + 1 : GATE_PORT;
    argv[0] = hob_strdup("--http");
    argv[1] = f->bindings_n ? hob_asprintf("%u+%u", f->port, gate) : hob_asprintf("%u", f->port);
    argv[2] = hob_strdup("--");
    return 3;
}
