#include "base/pairs.h"

#include <stdio.h>

#include "base/bytes.h"

enum { COUNT_BYTES = 4, LENGTHS_BYTES = 8 };

/* Cuts one pair off `rest`; false when it does not fit. */
static bool cut_pair(struct hob_str *rest, struct hob_str *name, struct hob_str *value)
{
    if (rest->n < LENGTHS_BYTES)
        return false;
    size_t name_n = hob_get_u32(rest->at), value_n = hob_get_u32(rest->at + 4);
    size_t left = rest->n - LENGTHS_BYTES;
    if (name_n > left || value_n > left - name_n)
        return false;
    const char *at = rest->at + LENGTHS_BYTES;
    *name = (struct hob_str){at, name_n};
    *value = (struct hob_str){at + name_n, value_n};
    *rest = (struct hob_str){at + name_n + value_n, left - name_n - value_n};
    return true;
}

bool hob_pairs_open(struct hob_str block, uint32_t count_max, struct hob_pairs *ret_pairs)
{
    if (block.n < COUNT_BYTES)
        return false;
    uint32_t count = hob_get_u32(block.at);
    if (count > count_max)
        return false;
    struct hob_str rest = {block.at + COUNT_BYTES, block.n - COUNT_BYTES}, name, value;
    *ret_pairs = (struct hob_pairs){.body = rest, .count = count};
    for (uint32_t i = 0; i < count; i++)
        if (!cut_pair(&rest, &name, &value))
            return false;
    return rest.n == 0;
}

struct hob_pairs_iter hob_pairs_walk(const struct hob_pairs *p)
{
    return (struct hob_pairs_iter){.rest = p->body, .left = p->count};
}

bool hob_pairs_next(struct hob_pairs_iter *it, struct hob_str *ret_name, struct hob_str *ret_value)
{
    if (it->left == 0)
        return false;
    it->left--;
    return cut_pair(&it->rest, ret_name, ret_value);
}

struct hob_str hob_pairs_get(const struct hob_pairs *p, const char *name)
{
    struct hob_pairs_iter it = hob_pairs_walk(p);
    struct hob_str k, v, want = hob_str(name);
    while (hob_pairs_next(&it, &k, &v))
        if (hob_str_eq(k, want))
            return v;
    return (struct hob_str){NULL, 0};
}

uint64_t hob_pairs_u64(const struct hob_pairs *p, const char *name, uint64_t fallback)
{
    uint64_t v;
    struct hob_str text = hob_pairs_get(p, name);
    return text.at && hob_str_u64(text, &v) ? v : fallback;
}

void hob_pairs_start(struct hob_pairs_writer *w, struct hob_buf *out)
{
    static const char zeros[COUNT_BYTES];
    *w = (struct hob_pairs_writer){.out = out, .count_at = out->n};
    w->is_full = hob_buf_add(out, zeros, sizeof zeros) != HOB_OK;
}

void hob_pairs_add(struct hob_pairs_writer *w, struct hob_str name, struct hob_str value)
{
    HOB_ASSERT(name.n <= UINT32_MAX && value.n <= UINT32_MAX);
    char *to = w->is_full ? NULL : hob_buf_room(w->out, LENGTHS_BYTES + name.n + value.n);
    if (!to) {
        w->is_full = true;
        return;
    }
    hob_put_u32(to, (uint32_t)name.n);
    hob_put_u32(to + 4, (uint32_t)value.n);
    if (name.n)
        memcpy(to + LENGTHS_BYTES, name.at, name.n);
    if (value.n)
        memcpy(to + LENGTHS_BYTES + name.n, value.at, value.n);
    hob_buf_grew(w->out, LENGTHS_BYTES + name.n + value.n);
    w->count++;
}

void hob_pairs_add_u64(struct hob_pairs_writer *w, const char *name, uint64_t value)
{
    char text[24];
    int n = snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    hob_pairs_add(w, hob_str(name), hob_str_n(text, (size_t)n));
}

enum hob_code hob_pairs_end(struct hob_pairs_writer *w, struct hob_err *err)
{
    if (w->is_full)
        return hob_fail(err, HOB_E_TOO_LARGE, "%u names and values are more than the %zu bytes allowed here",
                        w->count, w->out->max);
    hob_put_u32(hob_buf_data(w->out) + w->count_at, w->count);
    return HOB_OK;
}
