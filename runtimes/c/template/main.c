#include "hob.h"

static int hello(hob_call *call, void *arg)
{
    (void)arg;
    hob_str path = hob_path(call);
    if (hob_set_header(call, "content-type", "text/plain; charset=utf-8") < 0 ||
        hob_write(call, "Hello from ", 11) < 0)
        return -1;
    if (hob_write(call, path.p, path.n) < 0)
        return -1;
    return hob_write(call, "!\n", 2);
}

int main(void)
{
    return hob_run(hello, NULL, NULL);
}
