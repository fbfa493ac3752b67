/* Counted strings: the one encoding of "names and values" on the channel and on the link.
 *
 *   block  = u32 count, then count times: u32 name_n, u32 value_n, name bytes, value bytes     (little-endian)
 *
 * Names may repeat. A reader never trusts a length: hob_pairs_open judges the whole block once, after which
 * walking it cannot fail. Everything read is borrowed from the block. */
#pragma once

#include "base/buf.h"

struct hob_pairs {
    struct hob_str body; /* behind the count */
    uint32_t count;
};
struct hob_pairs_iter {
    struct hob_str rest;
    uint32_t left;
};

/* False when the block is malformed, has more than `count_max` pairs or trailing bytes. */
HOB_MUST_USE bool hob_pairs_open(struct hob_str block, uint32_t count_max, struct hob_pairs *ret_pairs);
struct hob_pairs_iter hob_pairs_walk(const struct hob_pairs *p);
bool hob_pairs_next(struct hob_pairs_iter *it, struct hob_str *ret_name, struct hob_str *ret_value);
/* First value of that name; at == NULL when absent. Returns borrowed. */
struct hob_str hob_pairs_get(const struct hob_pairs *p, const char *name);
/* Decimal value of that name, or `fallback` when absent or not a number. */
uint64_t hob_pairs_u64(const struct hob_pairs *p, const char *name, uint64_t fallback);

/* Writing: start, add, end. The count is patched by end. */
struct hob_pairs_writer {
    struct hob_buf *out; /* borrows */
    size_t count_at;
    uint32_t count;
    bool is_full; /* the buffer's limit was met; end() then fails */
};
void hob_pairs_start(struct hob_pairs_writer *w, struct hob_buf *out);
void hob_pairs_add(struct hob_pairs_writer *w, struct hob_str name, struct hob_str value);
void hob_pairs_add_u64(struct hob_pairs_writer *w, const char *name, uint64_t value);
HOB_MUST_USE enum hob_code hob_pairs_end(struct hob_pairs_writer *w, struct hob_err *err);
