#include "hob.h"

static int hello(hob_call *c, void *arg)
{
    (void)arg;
    return hob_write(c, "hello\n", 6);
}

int main(void)
{
    return hob_run(hello, NULL, NULL);
}
