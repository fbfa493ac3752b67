#include "api/server/trace.h"

#include "api/server/chars.h"
#include "base/id.h"

#include "base/banned.h"

bool http_request_id_is_valid(struct hob_str s)
{
    if (s.n < 1 || s.n > HTTP_REQUEST_ID_MAX)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.at[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!is_letter && !(c >= '0' && c <= '9') && c != '.' && c != '_' && c != '-')
            return false;
    }
    return true;
}

void http_request_id(struct hob_str client, char out[HTTP_REQUEST_ID_MAX + 1])
{
    if (!http_request_id_is_valid(client)) {
        hob_uuid7(out);
        return;
    }
    memcpy(out, client.at, client.n);
    out[client.n] = '\0';
}

/* The standard allows lower-case digits only. */
static bool is_hex(const char *at, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!((at[i] >= '0' && at[i] <= '9') || (at[i] >= 'a' && at[i] <= 'f')))
            return false;
    return true;
}

static bool is_zeros(const char *at, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (at[i] != '0')
            return false;
    return true;
}

/* version-traceid-parentid-flags: 2, 32, 16 and 2 digits */
enum { TRACE_AT = 3, TRACE_N = 32, SPAN_AT = 36, SPAN_N = 16, FLAGS_AT = 53 };

bool http_traceparent_is_valid(struct hob_str s)
{
    if (s.n < HTTP_TRACEPARENT_CHARS || s.at[2] != '-' || s.at[35] != '-' || s.at[52] != '-')
        return false;
    if (!is_hex(s.at, 2) || !is_hex(s.at + TRACE_AT, TRACE_N) || !is_hex(s.at + SPAN_AT, SPAN_N) ||
        !is_hex(s.at + FLAGS_AT, 2))
        return false;
    if (is_zeros(s.at + TRACE_AT, TRACE_N) || is_zeros(s.at + SPAN_AT, SPAN_N) || memcmp(s.at, "ff", 2) == 0)
        return false;
    if (memcmp(s.at, "00", 2) == 0)
        return s.n == HTTP_TRACEPARENT_CHARS;
    return s.n == HTTP_TRACEPARENT_CHARS || s.at[HTTP_TRACEPARENT_CHARS] == '-';
}

void http_traceparent(struct hob_str client, char out[HTTP_TRACEPARENT_CHARS + 1])
{
    unsigned char fresh[(TRACE_N + SPAN_N) / 2];
    bool is_continued = client.at && http_traceparent_is_valid(client);
    memcpy(out, "00-", sizeof "00-");
    hob_random(fresh, is_continued ? SPAN_N / 2 : sizeof fresh);
    if (is_continued)
        memcpy(out + TRACE_AT, client.at + TRACE_AT, TRACE_N);
    else
        hob_hex(out + TRACE_AT, fresh + SPAN_N / 2, TRACE_N / 2);
    out[35] = '-';
    hob_hex(out + SPAN_AT, fresh, SPAN_N / 2);
    out[52] = '-';
    /* Of the flags only "sampled" is defined; a trace that begins here is sampled. */
    bool is_sampled = !is_continued || (http_hex_value(client.at[FLAGS_AT + 1]) & 1);
    memcpy(out + FLAGS_AT, is_sampled ? "01" : "00", 3);
}
