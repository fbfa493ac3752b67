/* A file as an HTTP answer: streamed from a descriptor through libuv's workers with the client's back-pressure; one byte
 * range (RFC 9110, 14), ETag with If-None-Match and If-Range. Loop's thread. */
#pragma once

#include "api/server/http.h"

struct file_answer {
    int fd; /* taken: closed at the end, whatever happens */
    uint64_t bytes;
    const char *type, *etag;         /* copied; the tag without quotes */
    const struct http_field *fields; /* more of the answer's head; borrowed for the call */
    size_t fields_n;
};
/* Takes the exchange. */
void file_answer_start(uv_loop_t *loop, struct http_exchange *x, const struct file_answer *a);

/* What a Range field asks of so many bytes. */
enum file_range { FILE_RANGE_ALL, FILE_RANGE_PART, FILE_RANGE_NONE };
/* PART: *ret_from and *ret_bytes (> 0) are set. NONE: cannot be satisfied (416). What is malformed, of another unit, or
 * more than one range asks for ALL, as the standard allows. */
enum file_range file_range_parse(struct hob_str field, uint64_t bytes, uint64_t *ret_from,
                                 uint64_t *ret_bytes);
