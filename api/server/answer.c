#include "api/server/answer.h"

#include <stdio.h>

#include "api/server/chars.h"
#include "base/json.h"

#include "base/banned.h"

const char *http_status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } texts[] = {
        {101, "Switching Protocols"},
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {203, "Non-Authoritative Information"},
        {204, "No Content"},
        {205, "Reset Content"},
        {206, "Partial Content"},
        {207, "Multi-Status"},
        {300, "Multiple Choices"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {402, "Payment Required"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {418, "I'm a teapot"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {423, "Locked"},
        {425, "Too Early"},
        {426, "Upgrade Required"},
        {428, "Precondition Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {451, "Unavailable For Legal Reasons"},
        {499, "Client Closed Request"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
        {511, "Network Authentication Required"},
    };
    for (size_t i = 0; i < HOB_COUNT(texts); i++)
        if (texts[i].status == status)
            return texts[i].text;
    return "Status";
}

void http_date(int64_t utc_ms, char out[HTTP_DATE_CHARS + 1])
{
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t seconds = (time_t)(utc_ms / 1000);
    struct tm tm;
    (void)gmtime_r(&seconds, &tm);
    /* not strftime: names must not follow the locale */
    (void)snprintf(out, HTTP_DATE_CHARS + 1, "%s, %02u %s %04u %02u:%02u:%02u GMT", days[tm.tm_wday % 7],
                   (unsigned)tm.tm_mday % 100, months[tm.tm_mon % 12], (unsigned)(tm.tm_year + 1900) % 10000,
                   (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
}

/* Told apart by length first: this runs for every field of every answer. */
static bool is_servers_own(struct hob_str name)
{
    switch (name.n) {
    case 2:
        return hob_str_ieq(name, HOB_STR("te"));
    case 4:
        return hob_str_ieq(name, HOB_STR("date"));
    case 6:
        return hob_str_ieq(name, HOB_STR("server"));
    case 7:
        return hob_str_ieq(name, HOB_STR("upgrade"));
    case 10:
        return hob_str_ieq(name, HOB_STR("connection")) || hob_str_ieq(name, HOB_STR("keep-alive"));
    case 12:
        return hob_str_ieq(name, HOB_STR("x-request-id"));
    case 14:
        return hob_str_ieq(name, HOB_STR("content-length"));
    case 16:
        return hob_str_ieq(name, HOB_STR("proxy-connection"));
    case 17:
        return hob_str_ieq(name, HOB_STR("transfer-encoding"));
    default:
        return false;
    }
}

/* Whether a Connection field of the handler names this field as one of this connection only. */
static bool is_named_by_connection(const struct http_answer *a, struct hob_str name)
{
    for (size_t i = 0; i < a->fields_n; i++) {
        if (!hob_str_ieq(a->fields[i].name, HOB_STR("connection")))
            continue;
        struct hob_str list = a->fields[i].value;
        while (list.at)
            if (hob_str_ieq(hob_str_trim(hob_str_cut(list, ',', &list)), name))
                return true;
    }
    return false;
}

bool http_answer_check(const struct http_answer *a, const char **why)
{
    if ((a->status < 200 || a->status > 599) && !(a->status == 101 && a->upgrade.at)) {
        *why = "the status is not between 200 and 599";
        return false;
    }
    for (size_t i = 0; i < a->fields_n; i++) {
        if (!http_is_token(a->fields[i].name)) {
            *why = "a header name is empty or holds characters that are not allowed";
            return false;
        }
        if (!http_is_value(a->fields[i].value)) {
            *why = "a header value holds a control character";
            return false;
        }
    }
    return true;
}

static char *put(char *to, const void *from, size_t n)
{
    memcpy(to, from, n);
    return to + n;
}

static char *put_text(char *to, const char *text)
{
    return put(to, text, strlen(text));
}
#define PUT(to, literal) put((to), (literal), sizeof(literal) - 1)

static char *put_decimal(char *to, uint64_t v)
{
    char digits[20];
    size_t n = 0;
    do
        digits[n++] = (char)('0' + v % 10);
    while (v /= 10);
    while (n)
        *to++ = digits[--n];
    return to;
}

static char *put_field(char *to, struct hob_str name, struct hob_str value)
{
    to = put(to, name.at, name.n);
    to = PUT(to, ": ");
    if (value.n)
        to = put(to, value.at, value.n);
    return PUT(to, "\r\n");
}

static char *put_fields(char *to, const struct http_answer *a, bool has_connection)
{
    for (size_t i = 0; i < a->fields_n; i++) {
        struct hob_str name = a->fields[i].name;
        if (!is_servers_own(name) && !(has_connection && is_named_by_connection(a, name)))
            to = put_field(to, name, a->fields[i].value);
    }
    return to;
}

/* HEAD without a body at hand: the handler may say how long it would be. */
static int64_t length_of_head(const struct http_answer *a)
{
    uint64_t length;
    for (size_t i = 0; i < a->fields_n; i++)
        if (hob_str_ieq(a->fields[i].name, HOB_STR("content-length")) &&
            hob_str_u64(a->fields[i].value, &length) && length <= INT64_MAX)
            return (int64_t)length;
    return a->body_bytes;
}

/* RFC 9110, 8.6 and 9112, 6.3: exactly one framing, none for 101, 204 and 304. */
static char *put_framing(char *to, struct http_answer *a)
{
    bool has_no_length = a->status == 204 || a->status == 304 || a->upgrade.at;
    a->has_body = !has_no_length && !a->is_head && a->status != 205;
    if (has_no_length)
        return to;
    if (a->status == 205)
        a->body_bytes = 0;
    else if (a->is_head && a->body_bytes == 0)
        a->body_bytes = length_of_head(a);
    if (a->body_bytes >= 0)
        return PUT(put_decimal(PUT(to, "Content-Length: "), (uint64_t)a->body_bytes), "\r\n");
    if (a->is_http10) {
        a->is_close = a->is_close || a->has_body;
        return to;
    }
    a->is_chunked = a->has_body;
    return PUT(to, "Transfer-Encoding: chunked\r\n");
}

static char *put_connection(char *to, const struct http_answer *a)
{
    if (a->upgrade.at)
        return PUT(put_field(to, HOB_STR("Upgrade"), a->upgrade), "Connection: Upgrade\r\n");
    if (a->is_close)
        return PUT(to, "Connection: close\r\n");
    return a->is_http10 && a->is_keep_alive ? PUT(to, "Connection: keep-alive\r\n") : to;
}

static char *put_status_line(char *to, int status)
{
    if (status == 200)
        return PUT(to, "HTTP/1.1 200 OK\r\n");
    to = put_decimal(PUT(to, "HTTP/1.1 "), (uint64_t)status);
    *to++ = ' ';
    return PUT(put_text(to, http_status_text(status)), "\r\n");
}

enum {
    OWN_FIELDS_BYTES_MAX = 384
}; /* status line and the server's fields, without server_name and request id */

enum hob_code http_answer_head(struct http_answer *a, struct hob_buf *out)
{
    size_t room = OWN_FIELDS_BYTES_MAX + strlen(a->request_id) +
                  (a->server_name ? strlen(a->server_name) : 0) + a->upgrade.n;
    bool has_connection = false;
    for (size_t i = 0; i < a->fields_n; i++) {
        room += a->fields[i].name.n + a->fields[i].value.n + 4;
        has_connection = has_connection || hob_str_ieq(a->fields[i].name, HOB_STR("connection"));
    }
    char *begin = hob_buf_room(out, room);
    if (!begin)
        return HOB_E_TOO_LARGE;
    char *to = put_status_line(begin, a->status);
    to = PUT(put(PUT(to, "Date: "), a->date, HTTP_DATE_CHARS), "\r\n");
    if (a->server_name)
        to = PUT(put_text(PUT(to, "Server: "), a->server_name), "\r\n");
    to = PUT(put_text(PUT(to, "X-Request-Id: "), a->request_id), "\r\n");
    to = put_fields(to, a, has_connection);
    to = put_connection(put_framing(to, a), a);
    to = PUT(to, "\r\n");
    HOB_ASSERT((size_t)(to - begin) <= room);
    hob_buf_grew(out, (size_t)(to - begin));
    return HOB_OK;
}

enum hob_code http_answer_chunk(struct hob_str data, struct hob_buf *out)
{
    char size[20];
    int n = snprintf(size, sizeof size, "%zx\r\n", data.n);
    char *to = hob_buf_room(out, (size_t)n + data.n + 2);
    if (!to)
        return HOB_E_TOO_LARGE;
    char *end = put(put(to, size, (size_t)n), data.at, data.n);
    end = PUT(end, "\r\n");
    hob_buf_grew(out, (size_t)(end - to));
    return HOB_OK;
}

enum hob_code http_answer_end(const struct http_field *trailers, size_t n, struct hob_buf *out)
{
    size_t room = 5;
    for (size_t i = 0; i < n; i++)
        room += trailers[i].name.n + trailers[i].value.n + 4;
    char *begin = hob_buf_room(out, room);
    if (!begin)
        return HOB_E_TOO_LARGE;
    char *to = PUT(begin, "0\r\n");
    for (size_t i = 0; i < n; i++)
        if (http_is_token(trailers[i].name) && http_is_value(trailers[i].value) &&
            !is_servers_own(trailers[i].name) && !hob_str_ieq(trailers[i].name, HOB_STR("set-cookie")))
            to = put_field(to, trailers[i].name, trailers[i].value);
    to = PUT(to, "\r\n");
    hob_buf_grew(out, (size_t)(to - begin));
    return HOB_OK;
}

enum hob_code http_problem_body(int status, const struct hob_err *err, const char *request_id,
                                struct hob_buf *out)
{
    char type[128];
    struct hob_jw w;
    (void)snprintf(type, sizeof type, "https://hob.invalid/problems/%s", hob_err_reason(err));
    hob_jw_init(&w, out);
    hob_jw_object(&w);
    hob_jw_kcstr(&w, "type", type);
    hob_jw_kcstr(&w, "title", http_status_text(status));
    hob_jw_kint(&w, "status", status);
    hob_jw_kcstr(&w, "detail", err->msg);
    hob_jw_kcstr(&w, "reason", hob_err_reason(err));
    hob_jw_kcstr(&w, "request_id", request_id);
    hob_jw_object_end(&w);
    return hob_jw_end(&w, NULL);
}
