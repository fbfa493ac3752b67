#include "api/server/head.h"

#include <llhttp.h>

#include "api/server/chars.h"
#include "api/server/target.h"
#include "base/limits.h"

#include "base/banned.h"

enum { METHOD_BYTES_MAX = 32, VERSION_BYTES = 8 /* HTTP/1.1 */, CONNECTION_BYTES_MAX = 1024 };

struct http_head_limits http_head_limits_default(void)
{
    return (struct http_head_limits){HOB_MAX_HTTP_HEAD_BYTES, HOB_MAX_HTTP_TARGET_BYTES, HOB_MAX_HTTP_FIELDS};
}

/* --- the scanner ------------------------------------------------------------------------------------------ */

size_t http_head_skip(struct hob_str bytes)
{
    size_t n = 0;
    while (n + 1 < bytes.n && bytes.at[n] == '\r' && bytes.at[n + 1] == '\n')
        n += 2;
    return n;
}

static enum http_scan bad(struct http_refusal *r, int status, const char *reason, const char *text)
{
    http_refuse(r, status, reason, text);
    return HTTP_SCAN_BAD;
}

static enum http_scan bad_request_line(struct http_refusal *r)
{
    return bad(r, 400, "bad_request_line",
               "the request line must be: method, space, target, space, HTTP/1.1");
}

/* What can be judged of a request line whose end has not come yet. A line refused here is refused for the same
 * reason when it comes whole. */
static enum http_scan request_line_begin(struct hob_str line, const struct http_head_limits *limits,
                                         struct http_refusal *r)
{
    size_t method_n = 0;
    while (method_n < line.n && http_is_token_char(line.at[method_n]))
        method_n++;
    if (method_n > METHOD_BYTES_MAX)
        return bad_request_line(r);
    if (method_n == line.n)
        return HTTP_SCAN_MORE;
    if (method_n == 0 || line.at[method_n] != ' ')
        return bad_request_line(r);
    if (line.n - method_n - 1 > limits->target_bytes + VERSION_BYTES + 2)
        return bad(r, 414, "target_too_long", "the request target is longer than http.target_bytes");
    return HTTP_SCAN_MORE;
}

/* A version that is written well but is none of ours: 505. */
static enum http_scan check_version(struct hob_str version, struct http_refusal *r)
{
    if (version.n != VERSION_BYTES || memcmp(version.at, "HTTP/", 5) != 0 || !http_is_digit(version.at[5]) ||
        version.at[6] != '.' || !http_is_digit(version.at[7]))
        return bad_request_line(r);
    if (version.at[5] != '1' || version.at[7] > '1')
        return bad(r, 505, "bad_version", "this server speaks HTTP/1.1 and HTTP/1.0");
    return HTTP_SCAN_MORE;
}

/* `line` is complete and without CRLF. */
static enum http_scan check_request_line(struct hob_str line, const struct http_head_limits *limits,
                                         struct http_refusal *r)
{
    struct hob_str rest, version;
    struct hob_str method = hob_str_cut(line, ' ', &rest);
    if (!rest.at || method.n == 0)
        return bad_request_line(r);
    struct hob_str target = hob_str_cut(rest, ' ', &version);
    if (!version.at || target.n == 0)
        return bad_request_line(r);
    for (size_t i = 0; i < target.n; i++)
        if ((unsigned char)target.at[i] <= 0x20 || (unsigned char)target.at[i] >= 0x7f || target.at[i] == '#')
            return bad(r, 400, "bad_target", "the request target may hold visible ASCII only, and no '#'");
    if (target.n > limits->target_bytes)
        return bad(r, 414, "target_too_long", "the request target is longer than http.target_bytes");
    return check_version(version, r);
}

bool http_field_line_split(struct hob_str line, struct http_field *ret_field)
{
    size_t colon = 0;
    while (colon < line.n && http_is_token_char(line.at[colon]))
        colon++;
    if (colon == 0 || colon == line.n || line.at[colon] != ':')
        return false;
    struct hob_str value = {line.at + colon + 1, line.n - colon - 1};
    if (!http_is_value(value))
        return false;
    ret_field->name = (struct hob_str){line.at, colon};
    ret_field->value = hob_str_trim(value);
    return true;
}

/* One complete line; DONE on the empty one. */
static enum http_scan check_line(struct http_head_scan *s, struct hob_str line,
                                 const struct http_head_limits *limits, struct http_refusal *r)
{
    if (line.n == 0 || line.at[line.n - 1] != '\r')
        return s->lines == 0 ? bad_request_line(r)
                             : bad(r, 400, "bad_line_end", "lines of the head must end with CR LF");
    line.n--;
    if (s->lines == 0)
        return check_request_line(line, limits, r);
    if (line.n == 0)
        return HTTP_SCAN_DONE;
    if (s->lines > limits->fields)
        return bad(r, 431, "too_many_fields", "the request has more header fields than http.fields");
    struct http_field field;
    if (!http_field_line_split(line, &field))
        return bad(r, 400, "bad_field", "a header field is malformed");
    return HTTP_SCAN_MORE;
}

enum http_scan http_head_scan(struct http_head_scan *s, struct hob_str bytes,
                              const struct http_head_limits *limits, size_t *ret_bytes,
                              struct http_refusal *r)
{
    for (;;) {
        const char *lf = bytes.n > s->seen ? memchr(bytes.at + s->seen, '\n', bytes.n - s->seen) : NULL;
        size_t end = lf ? (size_t)(lf - bytes.at) + 1 : bytes.n;
        struct hob_str line = {bytes.at + s->line_at, end - s->line_at - (lf ? 1 : 0)};
        if (s->lines == 0 && request_line_begin(line, limits, r) == HTTP_SCAN_BAD)
            return HTTP_SCAN_BAD;
        if (end > limits->head_bytes)
            return bad(r, 431, "head_too_large", "the head is larger than http.head_bytes");
        s->seen = end;
        if (!lf)
            return HTTP_SCAN_MORE;
        enum http_scan outcome = check_line(s, line, limits, r);
        if (outcome == HTTP_SCAN_DONE)
            *ret_bytes = end;
        if (outcome != HTTP_SCAN_MORE)
            return outcome;
        s->line_at = end;
        s->lines++;
    }
}

/* --- parsing by llhttp ------------------------------------------------------------------------------------- */

struct parse {
    char *head; /* ours to change; the spans of llhttp point into it */
    struct hob_str method, target;
    struct http_field *fields;
    size_t n, cap;
    bool is_in_value, is_complete;
};

/* Spans come in pieces at most when the parser decides so; pieces of one span are neighbours. */
static void extend(struct hob_str *s, const char *at, size_t n)
{
    if (!s->at)
        s->at = at;
    s->n = (size_t)(at - s->at) + n;
}

static int on_method(llhttp_t *p, const char *at, size_t n)
{
    struct parse *parse = p->data;
    extend(&parse->method, at, n);
    return 0;
}

static int on_url(llhttp_t *p, const char *at, size_t n)
{
    struct parse *parse = p->data;
    extend(&parse->target, at, n);
    return 0;
}

static int on_field(llhttp_t *p, const char *at, size_t n)
{
    struct parse *parse = p->data;
    if (parse->is_in_value || parse->n == 0) {
        if (parse->n == parse->cap)
            return -1;
        parse->fields[parse->n++] = (struct http_field){0};
        parse->is_in_value = false;
    }
    extend(&parse->fields[parse->n - 1].name, at, n);
    return 0;
}

static int on_value(llhttp_t *p, const char *at, size_t n)
{
    struct parse *parse = p->data;
    if (parse->n == 0)
        return -1;
    parse->is_in_value = true;
    extend(&parse->fields[parse->n - 1].value, at, n);
    return 0;
}

/* A field without a value has no span. */
static int on_value_complete(llhttp_t *p)
{
    struct parse *parse = p->data;
    parse->is_in_value = true;
    return 0;
}

/* The body is not llhttp's: it stops behind the head. */
static int on_headers_complete(llhttp_t *p)
{
    struct parse *parse = p->data;
    parse->is_complete = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_method = on_method,
    .on_url = on_url,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_complete,
    .on_headers_complete = on_headers_complete,
};

static bool refuse(struct http_refusal *r, int status, const char *reason, const char *text)
{
    http_refuse(r, status, reason, text);
    return false;
}

static bool refuse_as_llhttp(const llhttp_t *p, struct http_refusal *r)
{
    switch ((int)llhttp_get_errno(p)) {
    case HPE_INVALID_METHOD:
        return refuse(r, 501, "unknown_method", "this method is not supported");
    case HPE_INVALID_URL:
        return refuse(r, 400, "bad_target", "the request target is malformed");
    case HPE_INVALID_CONTENT_LENGTH:
    case HPE_UNEXPECTED_CONTENT_LENGTH:
        return refuse(r, 400, "bad_content_length",
                      "Content-Length must be one decimal number, without Transfer-Encoding");
    case HPE_INVALID_TRANSFER_ENCODING:
        return refuse(r, 400, "bad_transfer_encoding", "Transfer-Encoding must be: chunked");
    default:
        return refuse(r, 400, "bad_request", "the head of the request is malformed");
    }
}

static bool run_llhttp(struct parse *parse, size_t n, llhttp_t *p, struct http_refusal *r)
{
    llhttp_init(p, HTTP_REQUEST, &settings);
    p->data = parse;
    (void)llhttp_execute(p, parse->head, n);
    if (!parse->is_complete)
        return refuse_as_llhttp(p, r);
    return true;
}

/* --- what the fields mean ---------------------------------------------------------------------------------- */

enum known {
    F_OTHER,
    F_HOST,
    F_LENGTH,
    F_CODING,
    F_CONNECTION,
    F_EXPECT,
    F_REQUEST_ID,
    F_TRACEPARENT,
    F_PROTOCOL,
    F_HOP, /* meant for this connection only, without effect here */
    F_COUNT
};

/* `name` is lower-case. */
static enum known known_field(struct hob_str name)
{
    static const struct {
        const char *name;
        enum known id;
    } known[] = {
        {"host", F_HOST},
        {"content-length", F_LENGTH},
        {"connection", F_CONNECTION},
        {"transfer-encoding", F_CODING},
        {"expect", F_EXPECT},
        {"x-request-id", F_REQUEST_ID},
        {"traceparent", F_TRACEPARENT},
        {"keep-alive", F_HOP},
        {"proxy-connection", F_HOP},
        {"te", F_HOP},
        {"upgrade", F_PROTOCOL},
        {"http2-settings", F_HOP},
    };
    for (size_t i = 0; i < HOB_COUNT(known); i++)
        if (known[i].name[0] == name.at[0] && hob_str_is(name, known[i].name))
            return known[i].id;
    return F_OTHER;
}

/* First value and number of each known field. */
struct known_values {
    struct hob_str value[F_COUNT];
    unsigned count[F_COUNT];
};

/* The next element of a comma-separated list; false at its end. */
static bool next_element(struct hob_str *list, struct hob_str *ret_element)
{
    while (list->at) {
        *ret_element = hob_str_trim(hob_str_cut(*list, ',', list));
        if (ret_element->n)
            return true;
    }
    return false;
}

static bool connection_has(const struct parse *parse, struct hob_str option)
{
    for (size_t i = 0; i < parse->n; i++) {
        struct hob_str list = parse->fields[i].value, element;
        if (!hob_str_is(parse->fields[i].name, "connection"))
            continue;
        while (next_element(&list, &element))
            if (hob_str_ieq(element, option))
                return true;
    }
    return false;
}

/* Lowers the names, trims the values, notes what is known and drops what must not travel on. */
static void sort_fields(struct parse *parse, struct known_values *known)
{
    for (size_t i = 0; i < parse->n; i++) {
        struct http_field *f = &parse->fields[i];
        char *name = parse->head + (f->name.at - parse->head);
        for (size_t k = 0; k < f->name.n; k++)
            name[k] = (char)(name[k] >= 'A' && name[k] <= 'Z' ? name[k] + 32 : name[k]);
        f->value = f->value.at ? hob_str_trim(f->value) : HOB_STR("");
        enum known id = known_field(f->name);
        if (known->count[id]++ == 0)
            known->value[id] = f->value;
    }
}

static void drop_hop_by_hop(struct parse *parse, const struct known_values *known)
{
    if (!known->count[F_CONNECTION] && !known->count[F_CODING] && !known->count[F_EXPECT] &&
        !known->count[F_PROTOCOL] && !known->count[F_HOP])
        return;
    size_t kept = 0;
    for (size_t i = 0; i < parse->n; i++) {
        enum known id = known_field(parse->fields[i].name);
        if (id == F_CODING || id == F_EXPECT || id == F_PROTOCOL || id == F_HOP)
            continue;
        /* "Connection: host" must not make the host disappear */
        if (id == F_OTHER && connection_has(parse, parse->fields[i].name))
            continue;
        parse->fields[kept++] = parse->fields[i];
    }
    parse->n = kept;
    for (size_t i = kept = 0; i < parse->n; i++)
        if (known_field(parse->fields[i].name) != F_CONNECTION)
            parse->fields[kept++] = parse->fields[i];
    parse->n = kept;
}

/* Every field is looked up in Connection: a long one would make that dear. */
static bool judge_connection(const struct parse *parse, const struct known_values *known,
                             struct http_refusal *r)
{
    size_t n = 0;
    for (size_t i = 0; known->count[F_CONNECTION] && i < parse->n; i++)
        if (hob_str_is(parse->fields[i].name, "connection"))
            n += parse->fields[i].value.n;
    return n <= CONNECTION_BYTES_MAX ||
           refuse(r, 400, "bad_connection", "the Connection field is longer than 1024 bytes");
}

/* RFC 9112, 6: a body is framed by exactly one of Content-Length and "chunked", or there is none. */
static bool judge_framing(const struct known_values *known, const llhttp_t *p, struct http_head *head,
                          struct http_refusal *r)
{
    uint64_t length = 0;
    if (known->count[F_LENGTH] > 1 || (known->count[F_LENGTH] && known->count[F_CODING]))
        return refuse(r, 400, "bad_content_length",
                      "Content-Length must come once, and not with Transfer-Encoding");
    if (known->count[F_LENGTH] && (!hob_str_u64(known->value[F_LENGTH], &length) || length > INT64_MAX))
        return refuse(r, 400, "bad_content_length", "Content-Length must be a decimal number");
    if (known->count[F_CODING]) {
        bool is_chunked = hob_str_ieq(known->value[F_CODING], HOB_STR("chunked"));
        if (known->count[F_CODING] > 1 || !is_chunked || head->request.is_http10)
            return refuse(r, 400, "bad_transfer_encoding",
                          "Transfer-Encoding must be: chunked, once, in HTTP/1.1");
        head->body = HTTP_BODY_CHUNKED;
        head->request.body_bytes = HTTP_LENGTH_UNKNOWN;
    } else if (length) {
        head->body = HTTP_BODY_LENGTH;
        head->request.body_bytes = (int64_t)length;
    }
    bool is_same =
        !!(p->flags & F_CHUNKED) == (head->body == HTTP_BODY_CHUNKED) && p->content_length == length;
    return is_same || refuse(r, 400, "bad_framing", "the length of the body is ambiguous");
}

static bool judge_host(const struct known_values *known, struct http_target *target, struct hob_arena *arena,
                       struct http_head *head, struct http_refusal *r)
{
    struct http_request *q = &head->request;
    if (known->count[F_HOST] > 1 || (known->count[F_HOST] == 0 && !q->is_http10))
        return refuse(r, 400, "bad_host", "a request of HTTP/1.1 has exactly one Host field");
    r->status = 400;
    q->host = q->authority = HOB_STR("");
    if (known->count[F_HOST]) {
        q->authority = known->value[F_HOST];
        if (http_host_parse(arena, q->authority, &q->host, &r->err) != HOB_OK)
            return false;
    }
    if (!target->authority.at)
        return true;
    q->authority = target->authority; /* RFC 9112, 3.2.2: the target's authority wins over Host */
    return http_host_parse(arena, q->authority, &q->host, &r->err) == HOB_OK;
}

static bool judge_expect(const struct known_values *known, struct http_head *head, struct http_refusal *r)
{
    if (known->count[F_EXPECT] == 0 || head->request.is_http10)
        return true;
    if (known->count[F_EXPECT] > 1 || !hob_str_ieq(known->value[F_EXPECT], HOB_STR("100-continue")))
        return refuse(r, 417, "unknown_expectation", "the only expectation that can be met is 100-continue");
    head->is_expecting_100 = head->body != HTTP_BODY_NONE;
    return true;
}

static bool judge_target(struct parse *parse, struct hob_arena *arena, struct http_head *head,
                         struct http_target *target, struct http_refusal *r)
{
    struct http_request *q = &head->request;
    /* Neither makes sense at an origin, and TRACE gives cookies to scripts. */
    if (hob_str_is(parse->method, "CONNECT") || hob_str_is(parse->method, "TRACE"))
        return refuse(r, 501, "unknown_method", "this method is not supported");
    r->status = 400;
    if (http_target_parse(arena, parse->method, parse->target, target, &r->err) != HOB_OK)
        return false;
    q->method = parse->method;
    q->target = target->origin;
    q->path = target->path;
    q->query = target->query;
    q->is_head = hob_str_is(q->method, "HEAD");
    head->is_asterisk = hob_str_is(target->origin, "*");
    return true;
}

/* Protocols that would take the request out of our hands: what follows would be requests that nobody judged. */
static bool is_http_again(struct hob_str protocol)
{
    struct hob_str version, name = hob_str_cut(protocol, '/', &version);
    return hob_str_ieq(name, HOB_STR("http")) || hob_str_ieq(name, HOB_STR("tls")) ||
           hob_str_ieq(name, HOB_STR("h2c")) || hob_str_ieq(name, HOB_STR("h2"));
}

/* RFC 9110, 7.8: one protocol-name[/version], named by Connection, in a request without a body. */
static void note_upgrade(const struct parse *parse, const struct known_values *known, struct http_head *head)
{
    struct hob_str protocol = known->value[F_PROTOCOL], version;
    if (known->count[F_PROTOCOL] != 1 || head->request.is_http10 || head->body != HTTP_BODY_NONE ||
        !connection_has(parse, HOB_STR("upgrade")))
        return;
    struct hob_str name = hob_str_cut(protocol, '/', &version);
    if (http_is_token(name) && (!version.at || http_is_token(version)) && !is_http_again(protocol))
        head->request.upgrade = protocol;
}

bool http_head_parse(char *bytes, size_t n, unsigned fields_n, struct hob_arena *arena,
                     struct http_head *ret_head, struct http_refusal *r)
{
    struct parse parse = {.head = bytes, .cap = fields_n};
    struct known_values known = {0};
    struct http_target target = {0};
    struct http_head head = {0};
    llhttp_t p;
    parse.fields = hob_arena_alloc(arena, (fields_n + 1) * sizeof *parse.fields);
    if (!parse.fields)
        return refuse(r, 431, "head_too_large", "the head is larger than http.head_bytes");
    if (!run_llhttp(&parse, n, &p, r))
        return false;
    head.request.is_http10 = p.http_minor == 0;
    sort_fields(&parse, &known);
    if (!judge_connection(&parse, &known, r) || !judge_framing(&known, &p, &head, r) ||
        !judge_target(&parse, arena, &head, &target, r) || !judge_host(&known, &target, arena, &head, r) ||
        !judge_expect(&known, &head, r))
        return false;
    note_upgrade(&parse, &known, &head);
    head.is_keep_alive = head.request.is_http10 ? connection_has(&parse, HOB_STR("keep-alive")) : true;
    if (known.count[F_CONNECTION] && connection_has(&parse, HOB_STR("close")))
        head.is_keep_alive = false;
    drop_hop_by_hop(&parse, &known);
    if (known.count[F_REQUEST_ID] == 1)
        head.client_request_id = known.value[F_REQUEST_ID];
    if (known.count[F_TRACEPARENT] == 1)
        head.client_traceparent = known.value[F_TRACEPARENT];
    head.request.fields = parse.fields;
    head.request.fields_n = parse.n;
    *ret_head = head;
    return true;
}
