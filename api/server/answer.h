/* Heads of answers: what the handler may say, what the server says itself, and how the body is framed.
 * Writes into a buffer; no I/O; single-threaded. */
#pragma once

#include "api/server/http.h"
#include "base/buf.h"

struct http_answer {
    int status; /* 200 to 599 */
    const struct http_field *fields;
    size_t fields_n;
    int64_t body_bytes; /* or HTTP_LENGTH_UNKNOWN */
    const char *date, *server_name /* may be NULL */, *request_id;
    struct hob_str upgrade; /* a 101 to this protocol; at == NULL: an ordinary answer */
    bool is_http10, is_head;
    bool is_close;      /* in: must close; out: also when the end of the body can only be told by closing */
    bool is_keep_alive; /* HTTP/1.0 asked for it */
    /* out: */
    bool is_chunked;
    bool has_body; /* bytes of a body may follow */
};

/* False when status or fields are not fit to be sent (CR, LF, NUL, a name that is no token); *why tells. Fields of
 * this connection (Connection and what it names, Transfer-Encoding, ...) and those the server sets are skipped. */
HOB_MUST_USE bool http_answer_check(const struct http_answer *a, const char **why);
/* Appends the head; the answer was checked. HOB_E_TOO_LARGE when the buffer is full. */
HOB_MUST_USE enum hob_code http_answer_head(struct http_answer *a, struct hob_buf *out);
/* Appends trailer fields and the end of a chunked body; those that must not be trailers are skipped. */
HOB_MUST_USE enum hob_code http_answer_end(const struct http_field *trailers, size_t n, struct hob_buf *out);
/* Appends one chunk (not empty). */
HOB_MUST_USE enum hob_code http_answer_chunk(struct hob_str data, struct hob_buf *out);
/* "Not Found"; "Status" for what has no name. */
const char *http_status_text(int status);
/* Appends an application/problem+json document (RFC 9457). */
HOB_MUST_USE enum hob_code http_problem_body(int status, const struct hob_err *err, const char *request_id,
                                             struct hob_buf *out);
enum { HTTP_DATE_CHARS = 29 };
/* IMF-fixdate: "Fri, 20 Nov 2026 05:22:00 GMT". */
void http_date(int64_t utc_ms, char out[HTTP_DATE_CHARS + 1]);
