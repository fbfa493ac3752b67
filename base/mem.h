/* Memory: small allocations that abort on failure, cleanup attributes, and an arena for request-scoped data.
 * What a client can size is never allocated here but in a hob_buf with a limit or an arena with a cap. */
#pragma once

#include "base/compiler.h"
#include "base/str.h"

/* Returns owned, zeroed memory; aborts when there is none. */
HOB_MUST_USE void *hob_calloc(size_t n, size_t size);
HOB_MUST_USE void *hob_realloc(void *p, size_t n, size_t size); /* overflow-checked */
HOB_MUST_USE char *hob_strdup(const char *s);
HOB_MUST_USE char *hob_strndup(const char *s, size_t n); /* always ends with NUL */
HOB_MUST_USE HOB_PRINTF(1, 2) char *hob_asprintf(const char *fmt, ...);
#define hob_new(type) ((type *)hob_calloc(1, sizeof(type)))
#define hob_new_n(type, n) ((type *)hob_calloc((n), sizeof(type)))

void hob_free_p(void *pp); /* for cleanup attributes: frees *(void **)pp */
void hob_close_p(int *fd); /* closes *fd when >= 0 and leaves -1, so that a second time does nothing */
#define hob_auto_free __attribute__((cleanup(hob_free_p)))
#define hob_auto_close __attribute__((cleanup(hob_close_p)))
/* Hands the value out and leaves the empty value behind, so that a cleanup attribute does nothing. */
#define hob_steal(pp)                                                                                        \
    __extension__({                                                                                          \
        __typeof__(*(pp)) stolen_ = *(pp);                                                                   \
        *(pp) = NULL;                                                                                        \
        stolen_;                                                                                             \
    })
static inline int hob_steal_fd(int *fd)
{
    int stolen = *fd;
    *fd = -1;
    return stolen;
}

/* Arena: freed in one go; every allocation counts against `cap`. Single-threaded. */
struct hob_arena_chunk;
struct hob_arena {
    struct hob_arena_chunk *chunks;
    size_t used, cap;
};
void hob_arena_init(struct hob_arena *a, size_t cap);
void hob_arena_done(struct hob_arena *a);
/* The same, but keeps the first chunk's memory for the next use. */
void hob_arena_reset(struct hob_arena *a);
/* Returns borrowed-until-done, zeroed, 16-byte aligned memory, or NULL when the cap is reached. */
HOB_MUST_USE void *hob_arena_alloc(struct hob_arena *a, size_t n);
/* Copies and ends with NUL; NULL when the cap is reached. */
HOB_MUST_USE char *hob_arena_strndup(struct hob_arena *a, const char *s, size_t n);
