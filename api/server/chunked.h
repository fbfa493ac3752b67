/* The chunked transfer coding (RFC 9112, 7.1), decoded in place and strictly: sizes of 1 to 16 hexadecimal digits,
 * CR LF everywhere, no blanks around the size, bounded extensions (ignored) and trailers.
 * The outcome depends on the bytes only, never on how they were cut. No I/O; single-threaded. */
#pragma once

#include "api/server/http.h"
#include "api/server/refusal.h"
#include "base/buf.h"

enum http_chunked_state {
    CHUNKED_SIZE_FIRST,
    CHUNKED_SIZE,
    CHUNKED_EXTENSION,
    CHUNKED_SIZE_LF,
    CHUNKED_DATA,
    CHUNKED_DATA_CR,
    CHUNKED_DATA_LF,
    CHUNKED_TRAILER,
    CHUNKED_END,
};

struct http_chunked {
    enum http_chunked_state state;
    uint64_t left; /* of the current chunk */
    unsigned digits;
    size_t extension_bytes;
    size_t line_at; /* of the current line in `trailers` */
    unsigned trailers_n;
    struct hob_buf trailers; /* lines with their CR LF */
};

void http_chunked_init(struct http_chunked *c);
void http_chunked_done(struct http_chunked *c);

enum http_chunk { HTTP_CHUNK_MORE, HTTP_CHUNK_DATA, HTTP_CHUNK_END, HTTP_CHUNK_BAD };
/* Takes bytes off the front of *in. DATA: *ret_data is the next piece of the body, at most `data_max` (> 0) bytes,
 * borrowed from *in. MORE: *in is used up. BAD fills *r. */
HOB_MUST_USE enum http_chunk http_chunked_next(struct http_chunked *c, struct hob_str *in, size_t data_max,
                                               struct hob_str *ret_data, struct http_refusal *r);
/* After END: the trailer fields, in the arena; those that frame, route or authorise a message are left out. NULL
 * with *ret_n == 0 when there are none. */
const struct http_field *http_chunked_trailers(struct http_chunked *c, struct hob_arena *arena,
                                               size_t *ret_n);
