/* Reads a program's HTTP/1.1 answer (RFC 9112), strictly: what two readers could understand differently is refused.
 * Single owner, one thread, no descriptors: bytes in, body bytes and header pairs out. By the same rules it reads what the
 * program asks (gate.h): a request of HTTP/1.1 or 1.0 in origin form, with one Host, method and target in plain ASCII.
 *
 * A head is at most HOB_MAX_HTTP_HEAD_BYTES with ANSWER_FIELDS_MAX fields; up to ANSWER_INTERIM_MAX interim answers
 * (1xx) are skipped; chunk extensions and trailers are bounded. Refused: bare CR or LF, NUL and other control
 * characters, folded lines, space before a colon, two lengths, a length beside chunks, another coding than chunked,
 * chunks in HTTP/1.0, a switch of protocols that nobody asked for. After a 101 that was asked for, everything is body. */
#pragma once

#include "base/pairs.h"

enum {
    ANSWER_FIELDS_MAX = 500,
    ANSWER_INTERIM_MAX = 16,
    ANSWER_EXTENSION_BYTES_MAX = 4096, /* of all chunks together */
    ANSWER_TRAILER_BYTES_MAX = 16384,
    ANSWER_ASKED = 1,
};

enum answer_state {
    ANSWER_HEAD,    /* the head is not whole */
    ANSWER_LENGTH,  /* in a body of known length */
    ANSWER_UNENDED, /* in a body that ends with the connection */
    ANSWER_CHUNK_SIZE,
    ANSWER_CHUNK_DATA,
    ANSWER_CHUNK_END,
    ANSWER_TRAILERS,
    ANSWER_DONE,
    ANSWER_BAD, /* `problem` says why */
};

struct answer {
    enum answer_state state;
    bool is_head_request, may_switch /* 101 is an answer */, is_http10, is_keep_alive;
    bool has_close, has_connection, has_length, has_coding; /* what the head's fields said */
    unsigned status; /* 101 or 200 to 599 (of a request ANSWER_ASKED) once the head is whole, before that 0 */
    bool is_request, wants_continue;
    unsigned hosts_n;
    struct hob_buf line; /* of a request: method and target, one behind the other */
    size_t method_n;
    unsigned interim_n;
    uint64_t left; /* body or chunk bytes that are still to come */
    size_t scanned, extension_bytes;
    struct hob_buf fields;   /* a pairs block, names lower-case, without those of the connection */
    struct hob_buf trailers; /* the same; empty: none */
    const char *problem;     /* a constant */
};

void answer_init(struct answer *a);
void answer_done(struct answer *a);
/* For the next answer on a connection; keeps memory. */
void answer_begin(struct answer *a, bool is_head_request, bool may_switch);
/* The same, for a request. */
void answer_begin_request(struct answer *a);
/* Borrowed until the next begin; empty before the head is whole. */
struct hob_str answer_method(const struct answer *a);
struct hob_str answer_target(const struct answer *a);
/* Takes from the front of `in` and appends at most `body_max` bytes to `body`, which must have that much room. Returns
 * how many bytes were taken; the rest of an unfinished head or line has to come again, with more behind it. */
HOB_MUST_USE size_t answer_take(struct answer *a, struct hob_str in, struct hob_buf *body, size_t body_max);
/* The program closed the connection: DONE, or BAD when that was too early. */
void answer_end_of_input(struct answer *a);
static inline bool answer_has_head(const struct answer *a)
{
    return a->status != 0;
}
