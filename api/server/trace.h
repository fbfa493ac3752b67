/* What ties one request's traces together: X-Request-Id and W3C Trace Context (level 1). Pure but for fresh ids. */
#pragma once

#include "base/str.h"

enum { HTTP_REQUEST_ID_MAX = 64, HTTP_TRACEPARENT_CHARS = 55 };

/* 1 to 64 of A-Z a-z 0-9 . _ - */
bool http_request_id_is_valid(struct hob_str s);
/* The client's id when it is valid, else a fresh UUID version 7; ends with NUL. */
void http_request_id(struct hob_str client, char out[HTTP_REQUEST_ID_MAX + 1]);
/* Version 00 exactly, later versions by their known beginning; never ff, never ids of zeros alone. */
bool http_traceparent_is_valid(struct hob_str s);
/* Continues the client's trace when it is valid, else begins one; always a fresh span id, version 00. */
void http_traceparent(struct hob_str client, char out[HTTP_TRACEPARENT_CHARS + 1]);
