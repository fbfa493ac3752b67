#include "hob.h"

/* The value of name= in the query, without percent-decoding; "world" when there is none. */
static hob_str name_of(const hob_call *call)
{
    hob_str query = hob_query(call);
    for (size_t at = 0; at < query.n;) {
        const char *end = memchr(query.p + at, '&', query.n - at);
        size_t n = end ? (size_t)(end - query.p) - at : query.n - at;
        if (n > 5 && memcmp(query.p + at, "name=", 5) == 0)
            return (hob_str){query.p + at + 5, n - 5};
        at += n + 1;
    }
    return (hob_str){"world", 5};
}

static int hello(hob_call *call, void *arg)
{
    (void)arg;
    hob_str name = name_of(call);
    if (hob_set_header(call, "content-type", "text/plain; charset=utf-8") < 0 ||
        hob_write(call, "Hello, ", 7) < 0)
        return -1;
    if (hob_write(call, name.p, name.n) < 0)
        return -1;
    return hob_write(call, ", from C!\n", 10);
}

int main(void)
{
    return hob_run(hello, NULL, NULL);
}
