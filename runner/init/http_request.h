/* Writes an invocation as an HTTP/1.1 request, framed anew: nothing that came from outside decides where it ends.
 * Pure functions over buffers. */
#pragma once

#include "base/frame.h"
#include "base/pairs.h"

struct request_framing {
    bool is_chunked;
    uint64_t left; /* body bytes that are still to come, when it is not chunked */
};

struct request_own {
    struct hob_str authority;  /* stands in for a missing Host */
    struct hob_str invocation; /* what the program shows to act for this one's caller (gate.h); empty: none */
};

/* The head and the body's beginning `data`. `is_whole`: nothing follows.
 * HOB_E_INVALID when a part holds what would end its line; HOB_E_TOO_LARGE at the buffer's limit. */
HOB_MUST_USE enum hob_code request_write(struct hob_buf *out, const struct hob_invoke_meta *m,
                                         struct hob_str data, bool is_whole, const struct request_own *own,
                                         struct request_framing *ret_framing);
/* It asks for another protocol: the program may answer 101, and what follows is no HTTP. */
bool request_may_upgrade(const struct hob_invoke_meta *m);
/* More of the body; `trailers` (or NULL) with the end. HOB_E_INVALID when it is not the length that was announced. */
HOB_MUST_USE enum hob_code request_write_body(struct hob_buf *out, struct request_framing *f,
                                              struct hob_str data, bool is_end,
                                              const struct hob_pairs *trailers);
/* Asking twice does no more than asking once (RFC 9110, 9.2.2). */
bool request_is_idempotent(struct hob_str method);
