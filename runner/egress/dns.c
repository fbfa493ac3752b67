#include "runner/egress/dns.h"

#include "base/mem.h"

#include "base/banned.h"

enum {
    HEAD_BYTES = 12,
    CLASS_IN = 1,
    LABEL_MAX = 63,
    POINTER = 0xc0,
    RECORD_BYTES = 10, /* of a record behind its name: type, class, TTL, length */
    FLAG_ANSWER = 0x8000,
    FLAG_CUT = 0x0200,
    FLAG_RECURSION_WANTED = 0x0100,
    FLAG_RECURSION_DONE = 0x0080,
    OPCODE_MASK = 0x7800,
};

static uint16_t get16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}
static void put16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* Where what follows the name at `at` begins; 0: it is malformed. */
static size_t name_skip(const uint8_t *msg, size_t n, size_t at)
{
    while (at < n) {
        unsigned label = msg[at];
        if (label == 0)
            return at + 1;
        if ((label & POINTER) == POINTER)
            return at + 2 <= n ? at + 2 : 0;
        if (label > LABEL_MAX)
            return 0;
        at += 1 + label;
    }
    return 0;
}

/* A question's name, which never is compressed: its text, with a dot between the labels. Returns where it ends; 0: no. */
static size_t name_read(const uint8_t *msg, size_t n, size_t at, char out[HOB_NAME_BYTES_MAX + 1])
{
    size_t out_n = 0;
    while (at < n && msg[at]) {
        unsigned label = msg[at++];
        if (label > LABEL_MAX || at + label > n || out_n + label + 1 > HOB_NAME_BYTES_MAX)
            return 0;
        if (out_n)
            out[out_n++] = '.';
        for (unsigned i = 0; i < label; i++, at++) {
            if (msg[at] <= ' ' || msg[at] >= 0x7f || msg[at] == '.')
                return 0;
            out[out_n++] = (char)msg[at];
        }
    }
    out[out_n] = '\0';
    return at < n ? at + 1 : 0;
}

bool dns_question_read(const uint8_t *msg, size_t n, struct dns_question *ret_question, unsigned *ret_code)
{
    struct dns_question *q = ret_question;
    *q = (struct dns_question){0};
    if (n < HEAD_BYTES || (get16(msg + 2) & FLAG_ANSWER))
        return false;
    unsigned flags = get16(msg + 2);
    q->id = get16(msg);
    q->wants_recursion = flags & FLAG_RECURSION_WANTED;
    *ret_code = flags & OPCODE_MASK ? DNS_NOT_IMPLEMENTED : DNS_FORMAT_ERROR;
    if ((flags & OPCODE_MASK) || get16(msg + 4) != 1)
        return true;
    size_t end = name_read(msg, n, HEAD_BYTES, q->name);
    if (!end || end + 4 > n || end + 4 - HEAD_BYTES > sizeof q->wire)
        return true;
    q->wire_n = end + 4 - HEAD_BYTES;
    memcpy(q->wire, msg + HEAD_BYTES, q->wire_n);
    q->type = get16(msg + end);
    *ret_code = get16(msg + end + 2) == CLASS_IN ? DNS_OK : DNS_NOT_IMPLEMENTED;
    return true;
}

size_t dns_question_write(uint16_t id, const struct dns_question *q, uint8_t out[DNS_ANSWER_BYTES_MAX])
{
    memset(out, 0, HEAD_BYTES);
    put16(out, id);
    put16(out + 2, FLAG_RECURSION_WANTED);
    put16(out + 4, 1);
    memcpy(out + HEAD_BYTES, q->wire, q->wire_n);
    return HEAD_BYTES + q->wire_n;
}

size_t dns_answer_write(const struct dns_question *q, const struct dns_result *r,
                        uint8_t out[DNS_ANSWER_BYTES_MAX])
{
    size_t at = HEAD_BYTES, answers = 0, address_n = q->type == DNS_A ? 4 : HOB_ADDRESS_BYTES;
    memset(out, 0, HEAD_BYTES);
    memcpy(out + at, q->wire, q->wire_n);
    at += q->wire_n;
    for (size_t i = 0; i < r->n && at + 2 + RECORD_BYTES + address_n <= DNS_ANSWER_BYTES_MAX;
         i++, answers++) {
        put16(out + at, POINTER << 8 | HEAD_BYTES); /* the question's name */
        put16(out + at + 2, q->type);
        put16(out + at + 4, CLASS_IN);
        put16(out + at + 6, r->ttl_s >> 16);
        put16(out + at + 8, r->ttl_s & 0xffff);
        put16(out + at + 10, (unsigned)address_n);
        memcpy(out + at + 12, r->addresses[i] + HOB_ADDRESS_BYTES - address_n, address_n);
        at += 2 + RECORD_BYTES + address_n;
    }
    put16(out, q->id);
    put16(out + 2,
          FLAG_ANSWER | FLAG_RECURSION_DONE | (q->wants_recursion ? FLAG_RECURSION_WANTED : 0) | r->code);
    put16(out + 4, q->wire_n ? 1 : 0);
    put16(out + 6, (unsigned)answers);
    return at;
}

static void take_record(const uint8_t *record, const struct dns_question *q, struct dns_result *r)
{
    static const uint8_t v4[12] = {[10] = 0xff, [11] = 0xff};
    unsigned type = get16(record), bytes = get16(record + 8);
    uint32_t ttl_s = (uint32_t)get16(record + 4) << 16 | get16(record + 6);
    if (type != q->type || get16(record + 2) != CLASS_IN || r->n == DNS_ADDRESSES_MAX)
        return;
    uint8_t *address = r->addresses[r->n];
    if (type == DNS_A && bytes == 4) {
        memcpy(address, v4, sizeof v4);
        memcpy(address + sizeof v4, record + RECORD_BYTES, 4);
    } else if (type == DNS_AAAA && bytes == HOB_ADDRESS_BYTES)
        memcpy(address, record + RECORD_BYTES, HOB_ADDRESS_BYTES);
    else
        return;
    r->n++;
    r->ttl_s = ttl_s < r->ttl_s ? ttl_s : r->ttl_s;
}

static bool question_is_ours(const uint8_t *msg, size_t n, const struct dns_question *q)
{
    if (n < HEAD_BYTES + q->wire_n || get16(msg + 4) != 1)
        return false;
    struct hob_str theirs = hob_str_n(msg + HEAD_BYTES, q->wire_n), ours = hob_str_n(q->wire, q->wire_n);
    return hob_str_ieq(theirs, ours);
}

bool dns_answer_read(const uint8_t *msg, size_t n, uint16_t id, const struct dns_question *q,
                     struct dns_result *ret_result)
{
    struct dns_result *r = ret_result;
    *r = (struct dns_result){.ttl_s = INT32_MAX};
    if (n < HEAD_BYTES || get16(msg) != id || !(get16(msg + 2) & FLAG_ANSWER) || !question_is_ours(msg, n, q))
        return false;
    r->code = msg[3] & 0x0f;
    r->is_cut = get16(msg + 2) & FLAG_CUT;
    size_t at = HEAD_BYTES + q->wire_n;
    for (unsigned left = get16(msg + 6); left; left--) {
        at = name_skip(msg, n, at);
        if (!at || at + RECORD_BYTES > n || at + RECORD_BYTES + get16(msg + at + 8) > n)
            break; /* what was whole counts */
        take_record(msg + at, q, r);
        at += RECORD_BYTES + get16(msg + at + 8);
    }
    if (r->n == 0)
        r->ttl_s = 0;
    return true;
}
