#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

HOB_NORETURN HOB_COLD static void out_of_memory(size_t bytes)
{
    hob_log(HOB_LOG_ERROR, "memory.exhausted", "bytes=%zu", bytes);
    abort();
}

void *hob_calloc(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size ? size : 1);
    if (!p)
        out_of_memory(n * size);
    return p;
}

void *hob_realloc(void *p, size_t n, size_t size)
{
    void *q = reallocarray(p, n ? n : 1, size ? size : 1);
    if (!q)
        out_of_memory(n);
    return q;
}

char *hob_strndup(const char *s, size_t n)
{
    char *copy = hob_calloc(n + 1, 1);
    if (n)
        memcpy(copy, s, n);
    return copy;
}

char *hob_strdup(const char *s)
{
    return hob_strndup(s, strlen(s));
}

char *hob_asprintf(const char *fmt, ...)
{
    char *s = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&s, fmt, ap);
    va_end(ap);
    if (n < 0)
        out_of_memory(0);
    return s;
}

void hob_free_p(void *pp)
{
    free(*(void **)pp);
}

void hob_close_p(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

enum { CHUNK_BYTES = 4096, ALIGN = 16 };

struct hob_arena_chunk {
    struct hob_arena_chunk *next;
    size_t used, size;
    _Alignas(ALIGN) char data[];
};

void hob_arena_init(struct hob_arena *a, size_t cap)
{
    *a = (struct hob_arena){.cap = cap};
}

void hob_arena_done(struct hob_arena *a)
{
    while (a->chunks) {
        struct hob_arena_chunk *next = a->chunks->next;
        free(a->chunks);
        a->chunks = next;
    }
    a->used = 0;
}

void hob_arena_reset(struct hob_arena *a)
{
    struct hob_arena_chunk *kept = NULL;
    while (a->chunks) {
        struct hob_arena_chunk *c = a->chunks;
        a->chunks = c->next;
        if (kept || c->size != CHUNK_BYTES) {
            free(c);
            continue;
        }
        memset(c->data, 0, c->used); /* allocations are promised to be zeroed */
        c->used = 0;
        c->next = NULL;
        kept = c;
    }
    a->chunks = kept;
    a->used = 0;
}

void *hob_arena_alloc(struct hob_arena *a, size_t n)
{
    if (n > SIZE_MAX - ALIGN)
        return NULL;
    n = (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (n > a->cap || a->used > a->cap - n)
        return NULL;
    struct hob_arena_chunk *c = a->chunks;
    if (!c || c->size - c->used < n) {
        size_t size = n > CHUNK_BYTES ? n : CHUNK_BYTES;
        c = hob_calloc(1, sizeof *c + size);
        c->size = size;
        c->next = a->chunks;
        a->chunks = c;
    }
    void *p = c->data + c->used;
    c->used += n;
    a->used += n;
    return p;
}

char *hob_arena_strndup(struct hob_arena *a, const char *s, size_t n)
{
    char *copy = hob_arena_alloc(a, n + 1);
    if (copy && n)
        memcpy(copy, s, n);
    return copy;
}
