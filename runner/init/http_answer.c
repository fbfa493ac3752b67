#include "runner/init/http_answer.h"

#include <string.h>

#include "base/limits.h"

enum { CHUNK_LINE_BYTES_MAX = 1024, CHUNK_DIGITS_MAX = 15, STATUS_LINE_MIN = 12 };

static void bad(struct answer *a, const char *problem)
{
    a->state = ANSWER_BAD;
    a->problem = problem;
}

/* ---- characters (RFC 9110, 5.5 and 5.6.2) ---- */

static bool is_token_char(unsigned char c)
{
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return true;
    return c && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static bool is_token(struct hob_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is_token_char((unsigned char)s.at[i]))
            return false;
    return s.n > 0;
}

static bool is_text(struct hob_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.at[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Cuts a line that ends with CRLF off the front; false when none is whole yet. A bare LF ends no line: it stays in the
 * text and is refused there. */
static bool cut_line(struct hob_str *rest, struct hob_str *ret_line)
{
    const char *end = rest->n ? memmem(rest->at, rest->n, "\r\n", 2) : NULL;
    if (!end)
        return false;
    *ret_line = hob_str_n(rest->at, (size_t)(end - rest->at));
    *rest = hob_str_n(end + 2, rest->n - ret_line->n - 2);
    return true;
}

/* ---- fields ---- */

static bool has_token(struct hob_str list, struct hob_str token)
{
    while (list.at)
        if (hob_str_ieq(hob_str_trim(hob_str_cut(list, ',', &list)), token))
            return true;
    return false;
}

static bool is_connections_own(struct hob_str name)
{
    static const char *const names[] = {"connection", "keep-alive", "proxy-connection",
                                        "te",         "upgrade",    "transfer-encoding"};
    for (size_t i = 0; i < HOB_COUNT(names); i++)
        if (hob_str_ieq(name, hob_str(names[i])))
            return true;
    return false;
}

struct field {
    struct hob_str name, value;
};

static bool read_field(struct answer *a, struct hob_str line, struct field *ret_field)
{
    struct hob_str value, name = hob_str_cut(line, ':', &value);
    if (line.n && (line.at[0] == ' ' || line.at[0] == '\t'))
        bad(a, "a header line is folded");
    else if (!value.at || !is_token(name))
        bad(a, "a header line is not a name, a colon and a value");
    else if (!is_text(value))
        bad(a, "a header's value holds a control character");
    else {
        *ret_field = (struct field){name, hob_str_trim(value)};
        return true;
    }
    return false;
}

static void note_field(struct answer *a, const struct field *f)
{
    if (hob_str_ieq(f->name, HOB_STR("content-length"))) {
        uint64_t length;
        if (a->has_length || !hob_str_u64(f->value, &length) || length > INT64_MAX)
            bad(a, "its Content-Length is not one number");
        else
            a->left = length;
        a->has_length = true;
    } else if (hob_str_ieq(f->name, HOB_STR("transfer-encoding"))) {
        if (a->has_coding || !hob_str_ieq(f->value, HOB_STR("chunked")))
            bad(a, "its Transfer-Encoding is something else than chunked");
        a->has_coding = true;
    } else if (hob_str_ieq(f->name, HOB_STR("connection"))) {
        a->has_connection = true;
        a->has_close = a->has_close || has_token(f->value, HOB_STR("close"));
        a->is_keep_alive = a->is_keep_alive || has_token(f->value, HOB_STR("keep-alive"));
    } else if (a->is_request && hob_str_ieq(f->name, HOB_STR("host"))) {
        a->hosts_n++;
    } else if (a->is_request && hob_str_ieq(f->name, HOB_STR("expect"))) {
        if (!hob_str_ieq(f->value, HOB_STR("100-continue")))
            bad(a, "it expects something else than 100-continue");
        a->wants_continue = true;
    }
}

static void add_pair(struct hob_pairs_writer *w, const struct field *f)
{
    size_t at = w->out->n + 8; /* behind both lengths */
    hob_pairs_add(w, f->name, f->value);
    for (size_t i = 0; !w->is_full && i < f->name.n; i++) {
        char *c = hob_buf_data(w->out) + at + i;
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c | 0x20) : *c;
    }
}

/* Whether any Connection line of this head names the field. */
static bool is_named(struct hob_str lines, struct hob_str name)
{
    struct hob_str line, value;
    while (cut_line(&lines, &line))
        if (hob_str_ieq(hob_str_cut(line, ':', &value), HOB_STR("connection")) && has_token(value, name))
            return true;
    return false;
}

/* Of a switch, what it switches to has to be known. */
static bool is_protocol(const struct answer *a, struct hob_str name)
{
    return a->status == 101 && hob_str_ieq(name, HOB_STR("upgrade"));
}

static bool is_of_connection(const struct answer *a, struct hob_str lines, struct hob_str name)
{
    return is_connections_own(name) || (a->has_connection && is_named(lines, name));
}

static void note_trailer(struct answer *a, const struct field *f)
{
    if (hob_str_ieq(f->name, HOB_STR("content-length")) || hob_str_ieq(f->name, HOB_STR("transfer-encoding")))
        bad(a, "a trailer says how the message is framed");
}

/* Judges all lines, then writes those that travel on. */
static void read_fields(struct answer *a, struct hob_str lines,
                        void (*note)(struct answer *, const struct field *), struct hob_buf *out)
{
    struct hob_str rest = lines, line;
    struct hob_pairs_writer w;
    struct field f;
    size_t n = 0;
    while (a->state != ANSWER_BAD && cut_line(&rest, &line)) {
        if (++n > ANSWER_FIELDS_MAX)
            bad(a, "it has too many header fields");
        else if (read_field(a, line, &f))
            note(a, &f);
    }
    hob_buf_clear(out);
    if (a->state == ANSWER_BAD)
        return;
    hob_pairs_start(&w, out);
    for (rest = lines; cut_line(&rest, &line);)
        if (read_field(a, line, &f) && (is_protocol(a, f.name) || !is_of_connection(a, lines, f.name)))
            add_pair(&w, &f);
    if (hob_pairs_end(&w, NULL) != HOB_OK)
        bad(a, "its header fields are too large");
}

/* ---- the head ---- */

static void read_status_line(struct answer *a, struct hob_str line)
{
    if (line.n < STATUS_LINE_MIN || memcmp(line.at, "HTTP/1.", 7) != 0 ||
        (line.at[7] != '0' && line.at[7] != '1') || line.at[8] != ' ' ||
        (line.n > STATUS_LINE_MIN && line.at[12] != ' ') || !is_text(line)) {
        bad(a, "it does not begin with an HTTP/1.1 status line");
        return;
    }
    uint64_t status;
    if (!hob_str_u64(hob_str_n(line.at + 9, 3), &status) || status < 100 || status > 599)
        bad(a, "its status is not a number from 100 to 599");
    else if (status == 101 && (!a->may_switch || line.at[7] == '0'))
        bad(a, "it switches protocols without being asked");
    else
        a->status = (unsigned)status;
    a->is_http10 = line.at[7] == '0';
}

/* RFC 9112, 6.3. */
static void choose_framing(struct answer *a)
{
    bool has_no_body = a->is_head_request || a->status == 204 || a->status == 304;
    a->is_keep_alive = !a->has_close && (!a->is_http10 || a->is_keep_alive);
    if (a->has_coding && (a->has_length || a->is_http10))
        bad(a, a->has_length ? "it has a Content-Length beside chunks" : "it sends chunks in HTTP/1.0");
    else if (has_no_body || (a->has_length && a->left == 0))
        a->state = ANSWER_DONE;
    else if (a->has_coding)
        a->state = ANSWER_CHUNK_SIZE;
    else if (a->has_length)
        a->state = ANSWER_LENGTH;
    else {
        a->state = ANSWER_UNENDED;
        a->is_keep_alive = false;
    }
}

/* RFC 9110, 15.2.2: a 101 has no body; what follows it is the other protocol, to the end of the connection. */
static void switch_protocol(struct answer *a)
{
    a->is_keep_alive = false;
    a->state = ANSWER_UNENDED;
    if (a->has_coding || (a->has_length && a->left)) {
        bad(a, "a switch of protocols says that it has a body");
        a->status = 0;
    }
}

/* ---- the head of a request ---- */

static bool is_plain(struct hob_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.at[i] <= 0x20 || s.at[i] >= 0x7f)
            return false;
    return true;
}

static void read_request_line(struct answer *a, struct hob_str line)
{
    struct hob_str rest, version = {NULL, 0}, target = {NULL, 0}, method = hob_str_cut(line, ' ', &rest);
    if (rest.at)
        target = hob_str_cut(rest, ' ', &version);
    if (!version.at || !is_token(method) || !target.n || target.at[0] != '/' || !is_plain(target) ||
        (!hob_str_is(version, "HTTP/1.1") && !hob_str_is(version, "HTTP/1.0"))) {
        bad(a, "it does not begin with METHOD /path HTTP/1.1");
        return;
    }
    a->is_http10 = version.at[7] == '0';
    a->status = ANSWER_ASKED;
    a->method_n = method.n;
    if (hob_buf_add_str(&a->line, method) != HOB_OK || hob_buf_add_str(&a->line, target) != HOB_OK)
        bad(a, "its head is larger than http.head_bytes");
}

/* RFC 9112, 3.2 and 6.3: a request without a length has no body. */
static void choose_request_framing(struct answer *a)
{
    a->is_keep_alive = !a->has_close && (!a->is_http10 || a->is_keep_alive);
    if (a->has_coding && (a->has_length || a->is_http10))
        bad(a, a->has_length ? "it has a Content-Length beside chunks" : "it sends chunks in HTTP/1.0");
    else if (a->hosts_n > 1 || (a->hosts_n == 0 && !a->is_http10))
        bad(a, "it has no Host, or more than one");
    else if (a->has_coding)
        a->state = ANSWER_CHUNK_SIZE;
    else
        a->state = a->left ? ANSWER_LENGTH : ANSWER_DONE;
}

static void read_request_head(struct answer *a, struct hob_str head)
{
    struct hob_str line;
    HOB_ASSERT(cut_line(&head, &line));
    read_request_line(a, line);
    if (a->state != ANSWER_BAD)
        read_fields(a, head, note_field, &a->fields);
    if (a->state != ANSWER_BAD)
        choose_request_framing(a);
    if (a->state == ANSWER_BAD)
        a->status = 0;
}

static void forget_head(struct answer *a)
{
    a->status = 0;
    a->hosts_n = 0;
    a->method_n = 0;
    a->wants_continue = false;
    hob_buf_clear(&a->line);
    a->left = 0;
    a->scanned = 0;
    a->is_http10 = a->is_keep_alive = a->has_close = a->has_connection = a->has_length = a->has_coding =
        false;
}

static void read_head(struct answer *a, struct hob_str head)
{
    struct hob_str line;
    HOB_ASSERT(cut_line(&head, &line));
    read_status_line(a, line);
    if (a->state != ANSWER_BAD)
        read_fields(a, head, note_field, &a->fields);
    if (a->state == ANSWER_BAD) {
        a->status = 0;
    } else if (a->status == 101) {
        switch_protocol(a);
    } else if (a->status >= 200) {
        choose_framing(a);
        a->status = a->state == ANSWER_BAD ? 0 : a->status;
    } else if (a->has_length || a->has_coding || a->is_http10 || a->has_close) {
        bad(a, "an interim answer says that it has a body or is the last");
        a->status = 0;
    } else if (++a->interim_n > ANSWER_INTERIM_MAX) {
        bad(a, "it sends interim answers without end");
        a->status = 0;
    } else {
        forget_head(a);
    }
}

static size_t take_head(struct answer *a, struct hob_str in)
{
    size_t from = a->scanned > 3 ? a->scanned - 3 : 0;
    const char *end = in.n ? memmem(in.at + from, in.n - from, "\r\n\r\n", 4) : NULL;
    size_t head_n = end ? (size_t)(end - in.at) + 4 : in.n;
    if (head_n > HOB_MAX_HTTP_HEAD_BYTES) {
        bad(a, "its head is larger than http.head_bytes");
        return 0;
    }
    if (!a->is_request && in.n >= 5 && memcmp(in.at, "HTTP/", 5) != 0) {
        bad(a, "it does not begin with an HTTP/1.1 status line");
        return 0;
    }
    a->scanned = in.n;
    if (!end)
        return 0;
    if (a->is_request)
        read_request_head(a, hob_str_n(in.at, head_n - 2));
    else
        read_head(a, hob_str_n(in.at, head_n - 2));
    return head_n;
}

/* ---- the body ---- */

static size_t take_data(struct answer *a, struct hob_str in, struct hob_buf *body, size_t body_max)
{
    size_t room = body_max - body->n, n = in.n < room ? in.n : room;
    if (a->state != ANSWER_UNENDED) {
        n = n < a->left ? n : (size_t)a->left;
        a->left -= n;
    }
    HOB_ASSERT(hob_buf_add(body, in.at, n) == HOB_OK);
    return n;
}

static void read_chunk_size(struct answer *a, struct hob_str line)
{
    uint64_t size = 0;
    size_t n = 0;
    for (int v; n < line.n && (v = hex_value(line.at[n])) >= 0; n++)
        size = n < CHUNK_DIGITS_MAX ? size << 4 | (unsigned)v : UINT64_MAX;
    struct hob_str rest = hob_str_trim(hob_str_n(line.at + n, line.n - n));
    a->extension_bytes += line.n - n;
    if (n == 0 || n > CHUNK_DIGITS_MAX || (rest.n && rest.at[0] != ';') || !is_text(rest))
        bad(a, "a chunk's size is not a hexadecimal number");
    else if (a->extension_bytes > ANSWER_EXTENSION_BYTES_MAX)
        bad(a, "its chunk extensions are too large");
    else {
        a->left = size;
        a->state = size ? ANSWER_CHUNK_DATA : ANSWER_TRAILERS;
    }
}

static size_t take_chunk_size(struct answer *a, struct hob_str in)
{
    struct hob_str line, rest = in;
    if (cut_line(&rest, &line))
        read_chunk_size(a, line);
    else if (in.n > CHUNK_LINE_BYTES_MAX)
        bad(a, "a chunk's first line is too long");
    return in.n - rest.n;
}

static size_t take_chunk_end(struct answer *a, struct hob_str in)
{
    if (in.n < 2 && !(in.n && in.at[0] != '\r'))
        return 0;
    if (in.at[0] != '\r' || in.at[1] != '\n') {
        bad(a, "a chunk is longer than its size");
        return 0;
    }
    a->state = ANSWER_CHUNK_SIZE;
    return 2;
}

static size_t take_trailers(struct answer *a, struct hob_str in)
{
    bool has_none = in.n >= 2 && memcmp(in.at, "\r\n", 2) == 0;
    const char *end = has_none || !in.n ? in.at : memmem(in.at, in.n, "\r\n\r\n", 4);
    if (has_none) {
        a->state = ANSWER_DONE;
        return 2;
    }
    size_t n = end && in.n ? (size_t)(end - in.at) + 4 : in.n;
    if (n > ANSWER_TRAILER_BYTES_MAX) {
        bad(a, "its trailers are too large");
        return 0;
    }
    if (!end || !in.n)
        return 0;
    read_fields(a, hob_str_n(in.at, n - 2), note_trailer, &a->trailers);
    if (a->state != ANSWER_BAD)
        a->state = ANSWER_DONE;
    return n;
}

/* One step; 0 when it needs more, or when nothing more may be given out. */
static size_t step(struct answer *a, struct hob_str in, struct hob_buf *body, size_t body_max)
{
    size_t n = 0;
    switch (a->state) {
    case ANSWER_HEAD:
        return take_head(a, in);
    case ANSWER_UNENDED:
        return take_data(a, in, body, body_max);
    case ANSWER_LENGTH:
        n = take_data(a, in, body, body_max);
        if (a->left == 0)
            a->state = ANSWER_DONE;
        return n;
    case ANSWER_CHUNK_SIZE:
        return take_chunk_size(a, in);
    case ANSWER_CHUNK_DATA:
        n = take_data(a, in, body, body_max);
        if (a->left == 0)
            a->state = ANSWER_CHUNK_END;
        return n;
    case ANSWER_CHUNK_END:
        return take_chunk_end(a, in);
    case ANSWER_TRAILERS:
        return take_trailers(a, in);
    case ANSWER_DONE:
    case ANSWER_BAD:
        return 0;
    }
    return 0;
}

/* ---- door ---- */

void answer_init(struct answer *a)
{
    *a = (struct answer){0};
    hob_buf_init(&a->fields, (size_t)4 * HOB_MAX_HTTP_HEAD_BYTES);
    hob_buf_init(&a->trailers, (size_t)4 * ANSWER_TRAILER_BYTES_MAX);
    hob_buf_init(&a->line, HOB_MAX_HTTP_HEAD_BYTES);
}

void answer_done(struct answer *a)
{
    hob_buf_done(&a->fields);
    hob_buf_done(&a->trailers);
    hob_buf_done(&a->line);
}

void answer_begin(struct answer *a, bool is_head_request, bool may_switch)
{
    forget_head(a);
    a->is_request = false;
    a->may_switch = may_switch;
    a->state = ANSWER_HEAD;
    a->is_head_request = is_head_request;
    a->interim_n = 0;
    a->extension_bytes = 0;
    a->problem = NULL;
    hob_buf_clear(&a->fields);
    hob_buf_clear(&a->trailers);
}

void answer_begin_request(struct answer *a)
{
    answer_begin(a, false, false);
    a->is_request = true;
}

struct hob_str answer_method(const struct answer *a)
{
    return hob_str_n(hob_buf_str(&a->line).at, a->method_n);
}

struct hob_str answer_target(const struct answer *a)
{
    struct hob_str line = hob_buf_str(&a->line);
    return hob_str_n(line.at + a->method_n, line.n - a->method_n);
}

size_t answer_take(struct answer *a, struct hob_str in, struct hob_buf *body, size_t body_max)
{
    size_t at = 0, n;
    do {
        n = step(a, hob_str_n(in.at + at, in.n - at), body, body_max);
        at += n;
    } while (n > 0 && a->state != ANSWER_DONE && a->state != ANSWER_BAD);
    return at;
}

void answer_end_of_input(struct answer *a)
{
    if (a->state == ANSWER_UNENDED)
        a->state = ANSWER_DONE;
    else if (a->state != ANSWER_DONE && a->state != ANSWER_BAD)
        bad(a, answer_has_head(a) ? "the connection was closed in the middle of its body"
                                  : "the connection was closed before its head was whole");
}
