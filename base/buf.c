#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void hob_buf_init(struct hob_buf *b, size_t bytes_max)
{
    *b = (struct hob_buf){.max = bytes_max};
}

void hob_buf_done(struct hob_buf *b)
{
    free(b->mem);
    *b = (struct hob_buf){.max = b->max};
}

char *hob_buf_room(struct hob_buf *b, size_t n)
{
    HOB_ASSERT(b->n <= b->max);
    if (n > b->max - b->n)
        return NULL;
    if (b->mem && b->at + b->n + n < b->cap)
        return b->mem + b->at + b->n;
    if (b->mem && b->at) {
        memmove(b->mem, b->mem + b->at, b->n);
        b->at = 0;
    }
    if (b->mem && b->n + n < b->cap)
        return b->mem + b->n;
    size_t want = b->n + n + 1; /* one spare byte, so that take() can end with NUL */
    size_t cap = b->cap < 256 ? 256 : b->cap;
    while (cap < want)
        cap += cap / 2 + 1;
    b->mem = hob_realloc(b->mem, cap, 1);
    b->cap = cap;
    return b->mem + b->n;
}

void hob_buf_grew(struct hob_buf *b, size_t n)
{
    HOB_ASSERT(b->at + b->n + n < b->cap);
    b->n += n;
}

enum hob_code hob_buf_add(struct hob_buf *b, const void *data, size_t n)
{
    char *to = hob_buf_room(b, n);
    if (!to)
        return HOB_E_TOO_LARGE;
    if (n)
        memcpy(to, data, n);
    b->n += n;
    return HOB_OK;
}

enum hob_code hob_buf_add_str(struct hob_buf *b, struct hob_str s)
{
    return hob_buf_add(b, s.at, s.n);
}

enum hob_code hob_buf_addf(struct hob_buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *to = n < 0 ? NULL : hob_buf_room(b, (size_t)n + 1);
    if (to) {
        (void)vsnprintf(to, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    }
    va_end(again);
    return to ? HOB_OK : HOB_E_TOO_LARGE;
}

void hob_buf_consume(struct hob_buf *b, size_t n)
{
    HOB_ASSERT(n <= b->n);
    b->at += n;
    b->n -= n;
    if (b->n == 0)
        b->at = 0;
}

void hob_buf_clear(struct hob_buf *b)
{
    b->at = b->n = 0;
}

char *hob_buf_take(struct hob_buf *b)
{
    if (!b->mem)
        return hob_strdup("");
    if (b->at)
        memmove(b->mem, b->mem + b->at, b->n);
    b->mem[b->n] = '\0';
    char *taken = b->mem;
    *b = (struct hob_buf){.max = b->max};
    return taken;
}
