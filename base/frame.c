#include "base/frame.h"

#include "base/bytes.h"

enum { PAYLOAD_MAX = 65536, PAYLOAD_BIG_MAX = 1 << 20, FLAGS_ALL = 15 };

uint32_t hob_frame_payload_max(uint8_t type)
{
    switch (type) {
    case HOB_FRAME_HELLO:
    case HOB_FRAME_INVOKE:
    case HOB_FRAME_REPLY:
    case HOB_FRAME_RECONFIG:
    case HOB_FRAME_READY:
    case HOB_FRAME_INIT_ERROR:
    case HOB_FRAME_HEAD:
    case HOB_FRAME_ERROR:
    case HOB_FRAME_CALL:
        return PAYLOAD_BIG_MAX;
    default:
        return PAYLOAD_MAX;
    }
}

void hob_frame_encode(const struct hob_frame *f, unsigned char out[HOB_FRAME_HEADER_BYTES])
{
    hob_put_u32(out, f->len);
    out[4] = f->type;
    out[5] = f->flags;
    hob_put_u16(out + 6, f->code);
    hob_put_u32(out + 8, f->stream);
    hob_put_u32(out + 12, f->arg);
}

bool hob_frame_decode(const unsigned char in[HOB_FRAME_HEADER_BYTES], struct hob_frame *ret_frame)
{
    struct hob_frame f = {
        .len = hob_get_u32(in),
        .type = in[4],
        .flags = in[5],
        .code = hob_get_u16(in + 6),
        .stream = hob_get_u32(in + 8),
        .arg = hob_get_u32(in + 12),
    };
    if (f.len > hob_frame_payload_max(f.type) || (f.flags & ~FLAGS_ALL))
        return false;
    *ret_frame = f;
    return true;
}

enum hob_code hob_frame_add(struct hob_buf *out, struct hob_frame f, struct hob_str payload)
{
    if (payload.n > hob_frame_payload_max(f.type))
        return HOB_E_TOO_LARGE;
    unsigned char *to = (unsigned char *)hob_buf_room(out, HOB_FRAME_HEADER_BYTES + payload.n);
    if (!to)
        return HOB_E_TOO_LARGE;
    f.len = (uint32_t)payload.n;
    hob_frame_encode(&f, to);
    if (payload.n)
        memcpy(to + HOB_FRAME_HEADER_BYTES, payload.at, payload.n);
    hob_buf_grew(out, HOB_FRAME_HEADER_BYTES + payload.n);
    return HOB_OK;
}

enum hob_code hob_frame_add_meta(struct hob_buf *out, struct hob_frame f, struct hob_str meta,
                                 struct hob_str data)
{
    size_t n = 4 + meta.n + data.n;
    if (n > hob_frame_payload_max(f.type))
        return HOB_E_TOO_LARGE;
    unsigned char *to = (unsigned char *)hob_buf_room(out, HOB_FRAME_HEADER_BYTES + n);
    if (!to)
        return HOB_E_TOO_LARGE;
    f.len = (uint32_t)n;
    f.flags |= HOB_FRAME_META;
    hob_frame_encode(&f, to);
    to += HOB_FRAME_HEADER_BYTES;
    hob_put_u32(to, (uint32_t)meta.n);
    if (meta.n)
        memcpy(to + 4, meta.at, meta.n);
    if (data.n)
        memcpy(to + 4 + meta.n, data.at, data.n);
    hob_buf_grew(out, HOB_FRAME_HEADER_BYTES + n);
    return HOB_OK;
}

bool hob_frame_split_meta(struct hob_str payload, struct hob_str *ret_meta, struct hob_str *ret_data)
{
    if (payload.n < 4)
        return false;
    size_t meta_n = hob_get_u32(payload.at);
    if (meta_n > payload.n - 4)
        return false;
    *ret_meta = hob_str_n(payload.at + 4, meta_n);
    *ret_data = hob_str_n(payload.at + 4 + meta_n, payload.n - 4 - meta_n);
    return true;
}

int hob_frame_next(const struct hob_buf *in, struct hob_frame *ret_frame, struct hob_str *ret_payload)
{
    if (in->n < HOB_FRAME_HEADER_BYTES)
        return 0;
    struct hob_frame f;
    if (!hob_frame_decode((const unsigned char *)hob_buf_data(in), &f))
        return -1;
    if (in->n - HOB_FRAME_HEADER_BYTES < f.len)
        return 0;
    *ret_frame = f;
    *ret_payload = hob_str_n(hob_buf_data(in) + HOB_FRAME_HEADER_BYTES, f.len);
    return 1;
}

enum hob_code hob_invoke_meta_add(struct hob_buf *out, const struct hob_invoke_meta *m)
{
    if (m->method.n > UINT16_MAX || m->request_id.n > UINT16_MAX || m->target.n > UINT32_MAX)
        return HOB_E_TOO_LARGE;
    size_t n =
        HOB_INVOKE_META_BYTES + m->method.n + m->target.n + m->request_id.n + m->fields.n + m->extras.n;
    char *to = hob_buf_room(out, n);
    if (!to)
        return HOB_E_TOO_LARGE;
    memset(to, 0, HOB_INVOKE_META_BYTES);
    to[0] = (char)m->kind;
    to[1] = 1;
    hob_put_u16(to + 2, (uint16_t)m->method.n);
    hob_put_u32(to + 4, (uint32_t)m->target.n);
    hob_put_u64(to + 8, m->deadline_ms);
    hob_put_u16(to + 16, (uint16_t)m->request_id.n);
    hob_put_u32(to + 20, (uint32_t)m->fields.n);
    hob_put_u32(to + 24, (uint32_t)m->extras.n);
    hob_put_u64(to + 28, m->body_n);
    to += HOB_INVOKE_META_BYTES;
    const struct hob_str parts[] = {m->method, m->target, m->request_id, m->fields, m->extras};
    for (size_t i = 0; i < HOB_COUNT(parts); i++) {
        if (parts[i].n)
            memcpy(to, parts[i].at, parts[i].n);
        to += parts[i].n;
    }
    hob_buf_grew(out, n);
    return HOB_OK;
}

bool hob_invoke_meta_parse(struct hob_str meta, struct hob_invoke_meta *ret_meta)
{
    if (meta.n < HOB_INVOKE_META_BYTES || meta.at[1] != 1)
        return false;
    struct hob_invoke_meta m = {
        .kind = (uint8_t)meta.at[0],
        .deadline_ms = hob_get_u64(meta.at + 8),
        .body_n = hob_get_u64(meta.at + 28),
    };
    const size_t lengths[] = {hob_get_u16(meta.at + 2), hob_get_u32(meta.at + 4), hob_get_u16(meta.at + 16),
                              hob_get_u32(meta.at + 20), hob_get_u32(meta.at + 24)};
    struct hob_str *const parts[] = {&m.method, &m.target, &m.request_id, &m.fields, &m.extras};
    struct hob_str rest = {meta.at + HOB_INVOKE_META_BYTES, meta.n - HOB_INVOKE_META_BYTES};
    for (size_t i = 0; i < HOB_COUNT(parts); i++) {
        if (lengths[i] > rest.n)
            return false;
        *parts[i] = hob_str_n(rest.at, lengths[i]);
        rest = hob_str_n(rest.at + lengths[i], rest.n - lengths[i]);
    }
    if (rest.n != 0)
        return false;
    *ret_meta = m;
    return true;
}
