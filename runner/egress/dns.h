/* DNS messages (RFC 1035, 3596), as little of them as names and addresses need. Nothing that comes in is believed:
 * every length is judged, compression loops end, names are made of printable bytes. Pure. */
#pragma once

#include "base/rules/egress.h"

enum {
    DNS_BYTES_MAX = 1232, /* of an answer we read: what fits everywhere (RFC 9715) */
    DNS_ANSWER_BYTES_MAX = 512,
    DNS_ADDRESSES_MAX = 16,
    DNS_A = 1,
    DNS_AAAA = 28,
    DNS_OK = 0,
    DNS_FORMAT_ERROR = 1,
    DNS_SERVER_FAILURE = 2,
    DNS_NO_SUCH_NAME = 3,
    DNS_NOT_IMPLEMENTED = 4,
};

struct dns_question {
    uint16_t id, type;
    bool wants_recursion;
    char name[HOB_NAME_BYTES_MAX + 1]; /* as it was spelt, without the dot at its end */
    uint8_t wire[260];                 /* name, type and class as they came: an answer repeats them */
    size_t wire_n;
};
struct dns_result {
    unsigned code; /* DNS_OK, ... */
    bool is_cut;   /* there were more, but not in this message */
    uint32_t ttl_s;
    size_t n;
    uint8_t addresses[DNS_ADDRESSES_MAX][HOB_ADDRESS_BYTES];
};

/* False: nothing to answer. *ret_code says what is wrong with a question that can be answered, or DNS_OK. */
bool dns_question_read(const uint8_t *msg, size_t n, struct dns_question *ret_question, unsigned *ret_code);
size_t dns_question_write(uint16_t id, const struct dns_question *q, uint8_t out[DNS_ANSWER_BYTES_MAX]);
size_t dns_answer_write(const struct dns_question *q, const struct dns_result *r,
                        uint8_t out[DNS_ANSWER_BYTES_MAX]);
/* False: no answer to the question that was asked with `id`. Only addresses of the question's type are taken. */
bool dns_answer_read(const uint8_t *msg, size_t n, uint16_t id, const struct dns_question *q,
                     struct dns_result *ret_result);
