/* A growing byte buffer that is born with its limit: whatever a client can size lives in one.
 * Single owner, single thread. Reading from the front is cheap (hob_buf_consume). */
#pragma once

#include "base/err.h"
#include "base/str.h"

struct hob_buf {
    char *mem;
    size_t at, n; /* the live bytes are mem[at .. at+n) */
    size_t cap, max;
};

void hob_buf_init(struct hob_buf *b, size_t bytes_max);
void hob_buf_done(struct hob_buf *b);
#define hob_auto_buf __attribute__((cleanup(hob_buf_done)))
static inline char *hob_buf_data(const struct hob_buf *b)
{
    return b->mem + b->at;
}
static inline struct hob_str hob_buf_str(const struct hob_buf *b)
{
    return (struct hob_str){b->mem ? b->mem + b->at : "", b->n};
}
/* Room for `n` more bytes behind the live ones; NULL when that would pass the limit. Commit with hob_buf_grew. */
HOB_MUST_USE char *hob_buf_room(struct hob_buf *b, size_t n);
void hob_buf_grew(struct hob_buf *b, size_t n);
/* HOB_E_TOO_LARGE at the limit; then nothing was added. */
HOB_MUST_USE enum hob_code hob_buf_add(struct hob_buf *b, const void *data, size_t n);
HOB_MUST_USE enum hob_code hob_buf_add_str(struct hob_buf *b, struct hob_str s);
HOB_MUST_USE HOB_PRINTF(2, 3) enum hob_code hob_buf_addf(struct hob_buf *b, const char *fmt, ...);
void hob_buf_consume(struct hob_buf *b, size_t n); /* drops n bytes from the front */
void hob_buf_clear(struct hob_buf *b);             /* keeps the memory */
/* Returns owned, NUL-ended; the buffer is empty afterwards. */
HOB_MUST_USE char *hob_buf_take(struct hob_buf *b);
