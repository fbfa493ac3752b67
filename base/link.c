#include "base/link.h"

#include "base/bytes.h"

bool hob_link_parse(struct hob_str msg, uint32_t *ret_type, struct hob_pairs *ret_pairs)
{
    struct hob_pairs pairs;
    if (msg.n < 4 || !hob_pairs_open(hob_str_n(msg.at + 4, msg.n - 4), HOB_LINK_PAIRS_MAX, &pairs))
        return false;
    *ret_type = hob_get_u32(msg.at);
    *ret_pairs = pairs;
    return true;
}

void hob_link_start(struct hob_pairs_writer *w, struct hob_buf *out, uint32_t type)
{
    HOB_ASSERT(out->n == 0);
    char head[4];
    hob_put_u32(head, type);
    bool is_full = hob_buf_add(out, head, sizeof head) != HOB_OK;
    hob_pairs_start(w, out);
    w->is_full = w->is_full || is_full;
}
