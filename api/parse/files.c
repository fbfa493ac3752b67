/* Files over HTTP: downloads need no keys and are streamed with ranges; uploads of bytes are spooled to disk as they come.
 * Uploads as JSON (base64) are ordinary requests. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/parse/file_answer.h"
#include "api/parse/parse_priv.h"
#include "base/mem.h"
#include "bindings/files/files.h"
#include "bindings/files/spool.h"
#include "bindings/parse.h"
#include "bindings/query_params.h"

#include "base/banned.h"

static const uint64_t UPLOAD_BYTES_MAX = 1ULL << 32; /* as of the setting */

/* --- downloads ---------------------------------------------------------------------------------------------------- */

struct download { /* lives until the backend has said what there is, also when the client is gone */
    struct parse_call *c;
    bool is_metadata;
};

static void answer_metadata(struct parse_call *c, const struct file_found *found)
{
    parse_answer(c, 200, found->metadata.n ? found->metadata : HOB_STR("{}"));
}

static void on_found(void *ctx, const struct hob_err *err, const struct file_found *found)
{
    struct download *d = ctx;
    struct parse_call *c = d->c;
    bool is_metadata = d->is_metadata;
    free(d);
    if (!c || c->is_answered) {
        if (found && found->fd >= 0)
            (void)close(found->fd);
        return;
    }
    c->waiting = NULL;
    if (err) {
        parse_refuse(c, err);
    } else if (is_metadata) {
        answer_metadata(c, found);
    } else {
        struct http_field fields[PARSE_CORS_FIELDS + 2];
        size_t n = parse_cors(c, fields);
        fields[n++] = (struct http_field){HOB_STR("X-Content-Type-Options"), HOB_STR("nosniff")};
        struct file_answer a = {.fd = found->fd,
                                .bytes = found->bytes,
                                .type = found->type,
                                .etag = found->digest,
                                .fields = fields,
                                .fields_n = n};
        c->is_answered = true;
        struct http_exchange *x = c->x;
        parse_call_done(c); /* the exchange is the file's from here on */
        file_answer_start(c->face->o.loop, x, &a);
    }
}

void parse_download_forget(struct download *d)
{
    d->c = NULL;
}

static bool start_download(struct parse_call *c, struct hob_str app_id, struct hob_str name, bool is_metadata)
{
    const struct backend_app *app = backend_app_by_id(c->face->o.apps, app_id);
    c->app = app;
    if (!app) {
        parse_unauthorized(c);
        return true;
    }
    struct download *d = hob_new(struct download);
    *d = (struct download){c, is_metadata};
    c->waiting = d;
    files_find(c->face->o.backend, app, name, is_metadata, on_found, d);
    return true;
}

/* /files/APPID/NAME and /files/APPID/metadata/NAME */
static bool take_download(struct parse_call *c)
{
    struct hob_str rest = hob_str_n(c->path.at + 7, c->path.n - 7), name;
    struct hob_str app_id = hob_str_cut(rest, '/', &name);
    bool is_metadata = name.at && hob_str_starts(name, HOB_STR("metadata/"));
    if (is_metadata)
        name = hob_str_n(name.at + 9, name.n - 9);
    if (!app_id.n || !name.at || !name.n)
        return false;
    size_t id_n, name_n;
    hob_auto_free char *id = url_decode(app_id, false, &id_n), *plain = url_decode(name, false, &name_n);
    char *copy = hob_arena_strndup(http_arena(c->x), plain, name_n);
    return copy && start_download(c, hob_str_n(id, id_n), hob_str_n(copy, name_n), is_metadata);
}

/* --- uploads ------------------------------------------------------------------------------------------------------ */

static void on_took(void *ctx, size_t n)
{
    struct parse_call *c = ctx;
    if (!c->is_gone)
        http_consumed(c->x, n);
}

static void add_json(json_t *to, const char *name, struct hob_str text)
{
    struct hob_err unused;
    json_t *value = text.n ? hob_json_parse(text, name, &unused) : NULL;
    if (value)
        (void)json_object_set_new(to, name, value);
    else if (text.n)
        (void)json_object_set_new(to, name, json_stringn(text.at, text.n));
}

static json_t *upload_params(const struct parse_call *c)
{
    struct hob_str type = http_field(c->x, "content-type");
    json_t *params = json_object(), *data = json_object();
    add_json(data, "metadata", http_field(c->x, "x-parse-file-metadata"));
    add_json(data, "tags", http_field(c->x, "x-parse-file-tags"));
    struct hob_str directory = http_field(c->x, "x-parse-file-directory");
    if (directory.n)
        (void)json_object_set_new(data, "directory", json_stringn(directory.at, directory.n));
    if (json_object_size(data))
        (void)json_object_set(params, "fileData", data);
    json_decref(data);
    if (type.n)
        (void)json_object_set_new(params, "_ContentType", json_stringn(type.at, type.n));
    return params;
}

/* "50mb", "1gb", or bytes. */
static bool read_size(struct hob_str text, uint64_t *ret_bytes)
{
    static const char *const units[] = {"b", "kb", "mb", "gb"};
    size_t digits = 0;
    uint64_t value;
    while (digits < text.n && text.at[digits] >= '0' && text.at[digits] <= '9')
        digits++;
    struct hob_str unit = hob_str_n(text.at + digits, text.n - digits);
    if (!hob_str_u64(hob_str_n(text.at, digits), &value) || value == 0 || value > UPLOAD_BYTES_MAX)
        return false;
    for (unsigned i = 0; i < HOB_COUNT(units); i++)
        if (hob_str_ieq(unit, hob_str(units[i])) || (!unit.n && i == 0)) {
            *ret_bytes = value << 10 * i;
            return *ret_bytes <= UPLOAD_BYTES_MAX;
        }
    return false;
}

/* The bound of this upload: the app's, or what master says. False: it was refused. */
static bool take_bound(struct parse_call *c, uint64_t *ret_bytes)
{
    struct hob_str asked = http_field(c->x, "x-parse-file-max-upload-size");
    struct hob_err err;
    *ret_bytes = (uint64_t)backend_app_int(c->app, SETTING_MAX_UPLOAD_BYTES);
    if (!asked.n)
        return true;
    if (c->role != BACKEND_MASTER)
        (void)hob_fail(&err, HOB_E_FORBIDDEN, "unauthorized: master key is required");
    else if (!read_size(asked, ret_bytes))
        (void)parse_fail(&err, PARSE_FILE_SAVE_ERROR, "Invalid maxUploadSize override value: %.*s",
                         (int)(asked.n < 40 ? asked.n : 40), asked.at);
    else
        return true;
    parse_refuse(c, &err);
    return false;
}

static bool start_upload(struct parse_call *c)
{
    struct hob_err err;
    uint64_t bytes_max;
    c->is_upload = true;
    if (!keys_judge(c)) {
        parse_unauthorized(c);
        return true;
    }
    if (!take_bound(c, &bytes_max))
        return true;
    c->spool = files_receive(backend_files(c->face->o.backend), bytes_max, &err);
    if (!c->spool) {
        parse_refuse(c, &err);
        return true;
    }
    spool_on_written(c->spool, on_took, c);
    c->params = upload_params(c);
    http_body_read(c->x, bytes_max);
    return true;
}

void parse_upload_body(struct parse_call *c, struct hob_str data)
{
    if (c->is_answered || !c->spool)
        http_consumed(c->x, data.n);
    else
        spool_add(c->spool, data);
}

static void on_spooled(void *ctx, const struct hob_err *err)
{
    struct parse_call *c = ctx;
    if (c->is_answered)
        return;
    if (err)
        parse_refuse(c, err);
    else
        parse_ask(c);
}

void parse_upload_end(struct parse_call *c)
{
    spool_end(c->spool, on_spooled, c);
}

bool parse_files_handle(struct parse_call *c)
{
    const struct http_request *rq = http_request(c->x);
    if (!hob_str_starts(c->path, HOB_STR("/files/")))
        return false;
    if (hob_str_is(rq->method, "GET") || hob_str_is(rq->method, "HEAD"))
        return take_download(c);
    return hob_str_is(rq->method, "POST") && c->app && start_upload(c);
}
