#include "runner/init/http_request.h"

#include <string.h>

enum { FIELDS_MAX = 2000 };

static bool is_line(struct hob_str s, bool may_have_spaces)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.at[i] == '\r' || s.at[i] == '\n' || s.at[i] == '\0' || (s.at[i] == ' ' && !may_have_spaces))
            return false;
    return true;
}

static bool is_any(struct hob_str s, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (hob_str_is(s, names[i]))
            return true;
    return false;
}

bool request_is_idempotent(struct hob_str method)
{
    static const char *const names[] = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"};
    return is_any(method, names, HOB_COUNT(names));
}

static bool usually_has_no_body(struct hob_str method)
{
    static const char *const names[] = {"GET", "HEAD", "OPTIONS", "DELETE", "TRACE"};
    return is_any(method, names, HOB_COUNT(names));
}

/* What says how the message travels is ours to say. */
static bool is_own(struct hob_str name)
{
    static const char *const names[] = {"host",    "content-length",   "transfer-encoding", "connection",
                                        "te",      "expect",           "upgrade",           "keep-alive",
                                        "trailer", "proxy-connection", "x-hob-invocation"};
    return is_any(name, names, HOB_COUNT(names));
}

static enum hob_code add_field(struct hob_buf *out, struct hob_str name, struct hob_str value)
{
    if (!name.n || !is_line(name, false) || memchr(name.at, ':', name.n) || !is_line(value, true))
        return HOB_E_INVALID;
    char *to = hob_buf_room(out, name.n + value.n + 4);
    if (!to)
        return HOB_E_TOO_LARGE;
    memcpy(to, name.at, name.n);
    memcpy(to + name.n, ": ", 2);
    if (value.n)
        memcpy(to + name.n + 2, value.at, value.n);
    memcpy(to + name.n + 2 + value.n, "\r\n", 2);
    hob_buf_grew(out, name.n + value.n + 4);
    return HOB_OK;
}

static enum hob_code add_fields(struct hob_buf *out, const struct hob_pairs *fields)
{
    struct hob_pairs_iter it = hob_pairs_walk(fields);
    struct hob_str name, value;
    enum hob_code code = HOB_OK;
    while (code == HOB_OK && hob_pairs_next(&it, &name, &value))
        if (!is_own(name))
            code = add_field(out, name, value);
    return code;
}

static enum hob_code add_line(struct hob_buf *out, const struct hob_invoke_meta *m)
{
    struct hob_str method = m->method.n ? m->method : HOB_STR("POST"); /* an event is posted to the root */
    struct hob_str target = m->target.n ? m->target : HOB_STR("/");
    if (!is_line(method, false) || !is_line(target, false))
        return HOB_E_INVALID;
    const struct hob_str parts[] = {method, HOB_STR(" "), target, HOB_STR(" HTTP/1.1\r\n")};
    enum hob_code code = HOB_OK;
    for (size_t i = 0; code == HOB_OK && i < HOB_COUNT(parts); i++)
        code = hob_buf_add_str(out, parts[i]);
    return code;
}

static enum hob_code add_framing(struct hob_buf *out, const struct hob_invoke_meta *m, uint64_t bytes,
                                 struct request_framing *f)
{
    *f = (struct request_framing){.is_chunked = bytes == UINT64_MAX, .left = bytes};
    if (f->is_chunked)
        return hob_buf_add_str(out, HOB_STR("transfer-encoding: chunked\r\n\r\n"));
    if (bytes == 0 && usually_has_no_body(m->method))
        return hob_buf_add_str(out, HOB_STR("\r\n"));
    return hob_buf_addf(out, "content-length: %llu\r\n\r\n", (unsigned long long)bytes);
}

/* The protocol that the client would rather speak; at == NULL: none. */
static struct hob_str upgrade_of(const struct hob_invoke_meta *m)
{
    struct hob_pairs extras;
    if (!hob_pairs_open(m->extras, FIELDS_MAX, &extras))
        return (struct hob_str){NULL, 0};
    return hob_pairs_get(&extras, "upgrade");
}

bool request_may_upgrade(const struct hob_invoke_meta *m)
{
    return upgrade_of(m).at != NULL;
}

enum hob_code request_write(struct hob_buf *out, const struct hob_invoke_meta *m, struct hob_str data,
                            bool is_whole, const struct request_own *own, struct request_framing *ret_framing)
{
    struct hob_pairs fields;
    if (!hob_pairs_open(m->fields, FIELDS_MAX, &fields))
        return HOB_E_INVALID;
    struct hob_str host = hob_pairs_get(&fields, "host");
    enum hob_code code = add_line(out, m);
    if (code == HOB_OK)
        code = add_field(out, HOB_STR("host"), host.at ? host : own->authority);
    if (code == HOB_OK && own->invocation.n)
        code = add_field(out, HOB_STR("x-hob-invocation"), own->invocation);
    if (code == HOB_OK && m->kind == HOB_INVOKE_EVENT && !hob_pairs_get(&fields, "content-type").at)
        code = add_field(out, HOB_STR("content-type"), HOB_STR("application/json"));
    if (code == HOB_OK)
        code = add_fields(out, &fields);
    struct hob_str upgrade = upgrade_of(m);
    if (code == HOB_OK && upgrade.at)
        code = add_field(out, HOB_STR("connection"), HOB_STR("Upgrade"));
    if (code == HOB_OK && upgrade.at)
        code = add_field(out, HOB_STR("upgrade"), upgrade);
    if (code == HOB_OK)
        code = add_framing(out, m, is_whole ? data.n : m->body_n, ret_framing);
    if (code == HOB_OK && (data.n || is_whole))
        code = request_write_body(out, ret_framing, data, is_whole, NULL);
    return code;
}

static enum hob_code write_chunk(struct hob_buf *out, struct hob_str data)
{
    enum hob_code code = hob_buf_addf(out, "%zx\r\n", data.n);
    if (code == HOB_OK)
        code = hob_buf_add_str(out, data);
    return code == HOB_OK ? hob_buf_add_str(out, HOB_STR("\r\n")) : code;
}

enum hob_code request_write_body(struct hob_buf *out, struct request_framing *f, struct hob_str data,
                                 bool is_end, const struct hob_pairs *trailers)
{
    if (!f->is_chunked) {
        if (data.n > f->left || (is_end && data.n != f->left))
            return HOB_E_INVALID;
        f->left -= data.n;
        return hob_buf_add_str(out, data);
    }
    enum hob_code code = data.n ? write_chunk(out, data) : HOB_OK;
    if (code != HOB_OK || !is_end)
        return code;
    code = hob_buf_add_str(out, HOB_STR("0\r\n"));
    if (code == HOB_OK && trailers)
        code = add_fields(out, trailers);
    return code == HOB_OK ? hob_buf_add_str(out, HOB_STR("\r\n")) : code;
}
