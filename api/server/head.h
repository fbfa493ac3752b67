/* Heads of requests: finding where one ends, judging its bytes, and parsing it.
 *
 * Two parsers must agree. The scanner is ours: it walks the lines as they arrive, refuses every byte that RFC 9112
 * does not allow (bare CR or LF, NUL, folded lines, blanks before the colon, ...) and enforces the limits early. The
 * complete head then goes through llhttp in strict mode in one piece, whose fields are used, and whose decision on
 * the body's framing must be the same as ours.
 * The outcome depends on the bytes only, never on how they were cut into reads. No I/O; single-threaded. */
#pragma once

#include "api/server/http.h"
#include "api/server/refusal.h"

struct http_head_limits {
    size_t head_bytes, target_bytes;
    unsigned fields;
};
/* What base/limits.h says. */
struct http_head_limits http_head_limits_default(void);

/* Zero it for a new head. Offsets count from the head's first byte. */
struct http_head_scan {
    size_t line_at; /* where the current line begins */
    size_t seen;    /* bytes that hold no LF of the current line */
    unsigned lines; /* complete ones */
};
enum http_scan { HTTP_SCAN_MORE, HTTP_SCAN_DONE, HTTP_SCAN_BAD };

/* How many bytes of empty lines stand before a request (RFC 9112, 2.2: to be ignored). */
size_t http_head_skip(struct hob_str bytes);
/* `bytes` begins with the head's first byte, and holds at least what the last call held. DONE sets *ret_bytes to the
 * length of the head; BAD fills *r. */
HOB_MUST_USE enum http_scan http_head_scan(struct http_head_scan *s, struct hob_str bytes,
                                           const struct http_head_limits *limits, size_t *ret_bytes,
                                           struct http_refusal *r);

enum http_body { HTTP_BODY_NONE, HTTP_BODY_LENGTH, HTTP_BODY_CHUNKED };

struct http_head {
    struct http_request request; /* request_id, traceparent and the peer are filled by the caller */
    struct hob_str client_request_id, client_traceparent; /* as sent; at == NULL when absent or repeated */
    enum http_body body;
    bool is_keep_alive;    /* the client lets the connection live */
    bool is_expecting_100; /* 100-continue */
    bool is_asterisk;      /* OPTIONS * */
};

/* Parses `head` (a complete one, as the scanner found it). It is changed in place and, like the arena, must outlive
 * *ret_head. False: *r says why. Fields that concern this connection only are taken out of request.fields:
 * Connection and what it names, Keep-Alive, Proxy-Connection, TE, Transfer-Encoding, Upgrade, Expect. */
HOB_MUST_USE bool http_head_parse(char *head, size_t n, unsigned fields_n, struct hob_arena *arena,
                                  struct http_head *ret_head, struct http_refusal *r);

/* Judges one field line without its CRLF; used for trailers too. */
HOB_MUST_USE bool http_field_line_split(struct hob_str line, struct http_field *ret_field);
