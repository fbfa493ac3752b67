#include "api/server/chunked.h"

#include "api/server/chars.h"
#include "api/server/head.h"
#include "base/limits.h"

#include "base/banned.h"

enum { SIZE_DIGITS_MAX = 16 };

void http_chunked_init(struct http_chunked *c)
{
    *c = (struct http_chunked){.state = CHUNKED_SIZE_FIRST};
    hob_buf_init(&c->trailers, HOB_MAX_HTTP_TRAILER_BYTES);
}

void http_chunked_done(struct http_chunked *c)
{
    hob_buf_done(&c->trailers);
}

static enum http_chunk bad(struct http_refusal *r, int status, const char *reason, const char *text)
{
    http_refuse(r, status, reason, text);
    return HTTP_CHUNK_BAD;
}

static enum http_chunk bad_chunk(struct http_refusal *r)
{
    return bad(r, 400, "bad_chunk", "the chunked body is malformed");
}

static enum http_chunk on_size_char(struct http_chunked *c, char ch, struct http_refusal *r)
{
    int digit = http_hex_value(ch);
    if (digit >= 0) {
        if (c->digits++ == SIZE_DIGITS_MAX || c->left > (INT64_MAX >> 4))
            return bad(r, 400, "bad_chunk", "the size of a chunk is too large");
        c->left = c->left * 16 + (uint64_t)digit;
        c->state = CHUNKED_SIZE;
        return HTTP_CHUNK_MORE;
    }
    if (c->state == CHUNKED_SIZE_FIRST || (ch != ';' && ch != '\r'))
        return bad_chunk(r);
    c->state = ch == ';' ? CHUNKED_EXTENSION : CHUNKED_SIZE_LF;
    return HTTP_CHUNK_MORE;
}

static enum http_chunk on_extension_char(struct http_chunked *c, char ch, struct http_refusal *r)
{
    if (ch == '\r')
        c->state = CHUNKED_SIZE_LF;
    else if (!http_is_value_char(ch))
        return bad_chunk(r);
    else if (++c->extension_bytes > HOB_MAX_HTTP_CHUNK_EXT_BYTES)
        return bad(r, 413, "chunk_extension_too_large",
                   "chunk extensions are longer than http.chunk_extension_bytes");
    return HTTP_CHUNK_MORE;
}

static enum http_chunk on_trailer_char(struct http_chunked *c, char ch, struct http_refusal *r)
{
    if (hob_buf_add(&c->trailers, &ch, 1) != HOB_OK)
        return bad(r, 431, "trailers_too_large", "the trailers are larger than http.trailer_bytes");
    if (ch != '\n')
        return HTTP_CHUNK_MORE;
    struct hob_str all = hob_buf_str(&c->trailers);
    struct hob_str line = {all.at + c->line_at, all.n - c->line_at - 1};
    if (line.n == 0 || line.at[line.n - 1] != '\r')
        return bad(r, 400, "bad_trailer", "lines of the trailers must end with CR LF");
    line.n--;
    if (line.n == 0) {
        c->state = CHUNKED_END;
        return HTTP_CHUNK_END;
    }
    struct http_field field;
    if (!http_field_line_split(line, &field))
        return bad(r, 400, "bad_trailer", "a trailer field is malformed");
    c->line_at = all.n;
    if (++c->trailers_n > HOB_MAX_HTTP_FIELDS)
        return bad(r, 431, "trailers_too_large", "more trailer fields than http.fields");
    return HTTP_CHUNK_MORE;
}

/* One byte of framing, every state but DATA. */
static enum http_chunk on_char(struct http_chunked *c, char ch, struct http_refusal *r)
{
    switch (c->state) {
    case CHUNKED_SIZE_FIRST:
    case CHUNKED_SIZE:
        return on_size_char(c, ch, r);
    case CHUNKED_EXTENSION:
        return on_extension_char(c, ch, r);
    case CHUNKED_SIZE_LF:
        if (ch != '\n')
            return bad_chunk(r);
        c->state = c->left ? CHUNKED_DATA : CHUNKED_TRAILER;
        return HTTP_CHUNK_MORE;
    case CHUNKED_DATA_CR:
        if (ch != '\r')
            return bad_chunk(r);
        c->state = CHUNKED_DATA_LF;
        return HTTP_CHUNK_MORE;
    case CHUNKED_DATA_LF:
        if (ch != '\n')
            return bad_chunk(r);
        c->state = CHUNKED_SIZE_FIRST;
        c->digits = 0;
        return HTTP_CHUNK_MORE;
    case CHUNKED_TRAILER:
        return on_trailer_char(c, ch, r);
    case CHUNKED_DATA:
    case CHUNKED_END:
        break;
    }
    HOB_ASSERT(!"a byte of framing inside data or behind the end");
    return HTTP_CHUNK_BAD;
}

enum http_chunk http_chunked_next(struct http_chunked *c, struct hob_str *in, size_t data_max,
                                  struct hob_str *ret_data, struct http_refusal *r)
{
    HOB_ASSERT(data_max > 0);
    while (in->n) {
        if (c->state == CHUNKED_DATA) {
            size_t n = in->n < data_max ? in->n : data_max;
            n = c->left < n ? (size_t)c->left : n;
            *ret_data = (struct hob_str){in->at, n};
            in->at += n;
            in->n -= n;
            c->left -= n;
            if (c->left == 0)
                c->state = CHUNKED_DATA_CR;
            return HTTP_CHUNK_DATA;
        }
        char ch = *in->at++;
        in->n--;
        enum http_chunk outcome = on_char(c, ch, r);
        if (outcome != HTTP_CHUNK_MORE)
            return outcome;
    }
    return HTTP_CHUNK_MORE;
}

/* RFC 9110, 6.5.1: a trailer must not change what the head has said. */
static bool is_allowed_trailer(struct hob_str name)
{
    static const char *const refused[] = {"content-length", "transfer-encoding",
                                          "host",           "connection",
                                          "authorization",  "cookie",
                                          "content-type",   "content-encoding",
                                          "content-range",  "te",
                                          "trailer",        "upgrade",
                                          "keep-alive",     "expect",
                                          "set-cookie",     "proxy-connection"};
    for (size_t i = 0; i < HOB_COUNT(refused); i++)
        if (hob_str_is(name, refused[i]))
            return false;
    return true;
}

const struct http_field *http_chunked_trailers(struct http_chunked *c, struct hob_arena *arena, size_t *ret_n)
{
    *ret_n = 0;
    if (c->trailers_n == 0)
        return NULL;
    struct hob_str rest = hob_buf_str(&c->trailers);
    char *text = hob_arena_strndup(arena, rest.at, rest.n);
    struct http_field *fields = hob_arena_alloc(arena, c->trailers_n * sizeof *fields);
    if (!text || !fields)
        return NULL;
    rest.at = text;
    for (unsigned i = 0; i < c->trailers_n; i++) {
        struct hob_str line = hob_str_cut(rest, '\n', &rest);
        struct http_field field;
        line.n--; /* CR */
        if (!http_field_line_split(line, &field))
            continue;
        char *name = text + (field.name.at - text);
        for (size_t k = 0; k < field.name.n; k++)
            name[k] = (char)(name[k] >= 'A' && name[k] <= 'Z' ? name[k] + 32 : name[k]);
        if (is_allowed_trailer(field.name))
            fields[(*ret_n)++] = field;
    }
    return fields;
}
