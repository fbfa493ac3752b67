/* The Parse protocol at a server's gate, as SDKs speak it to a server of their own: keys, session tokens and parameters in
 * the head, in the URL or in the body. There are no keys here: the application id is not asked for, and the master key is
 * the word "master", which hob.json must allow ("data:master"). A token of the invocation ("i:...") is its caller's. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "bindings/auth/auth.h"
#include "bindings/cloud/cloud.h"
#include "bindings/files/files.h"
#include "bindings/query_params.h"
#include "bindings/serve/serve_http.h"

#include "base/banned.h"

#define MASTER_WORD "master"

struct asking { /* what a request says, wherever it says it; texts are borrowed from the call's JSON */
    struct hob_str method, path, session, master, installation, context_text;
    json_t *params, *context; /* owned */
};

static void asking_done(struct asking *a)
{
    json_decref(a->params);
    json_decref(a->context);
}
#define hob_auto_asking __attribute__((cleanup(asking_done)))

/* --- what the request says --- */

static void read_fields(const struct serve_call *c, struct asking *a)
{
    struct hob_str bearer = gate_field(c, "authorization");
    a->session = gate_field(c, "x-parse-session-token");
    a->master = gate_field(c, "x-parse-master-key");
    a->installation = gate_field(c, "x-parse-installation-id");
    a->context_text = gate_field(c, "x-parse-cloud-context");
    if (!a->session.n && hob_str_starts(bearer, HOB_STR("Bearer ")))
        a->session = hob_str_n(bearer.at + 7, bearer.n - 7);
}

/* The member goes from the object and stays in the call's JSON. */
static struct hob_str take_text(struct serve_call *c, struct asking *a, const char *name,
                                struct hob_str before)
{
    json_t *value = json_object_get(a->params, name);
    if (!json_is_string(value) || !json_string_length(value)) {
        (void)json_object_del(a->params, name);
        return before;
    }
    (void)json_object_set(c->head, name, value);
    (void)json_object_del(a->params, name);
    return hob_str_n(json_string_value(value), json_string_length(value));
}

static void read_members(struct serve_call *c, struct asking *a)
{
    static const char *const dropped[] = {"_ApplicationId",  "_JavaScriptKey", "_ClientKey",
                                          "_RestAPIKey",     "_ClientVersion", "_RevocableSession",
                                          "_MaintenanceKey", "_noBody"};
    struct hob_str method = take_text(c, a, "_method", HOB_STR(""));
    if (method.n && hob_str_is(a->method, "POST"))
        a->method = method;
    a->session = take_text(c, a, "_SessionToken", a->session);
    a->master = take_text(c, a, "_MasterKey", a->master);
    a->installation = take_text(c, a, "_InstallationId", a->installation);
    json_t *context = json_object_get(a->params, "_context");
    if (json_is_object(context))
        a->context = json_incref(context);
    else
        a->context_text = take_text(c, a, "_context", a->context_text);
    (void)json_object_del(a->params, "_context");
    for (size_t i = 0; i < HOB_COUNT(dropped); i++)
        (void)json_object_del(a->params, dropped[i]);
}

static bool is_upload(const struct asking *a)
{
    return hob_str_is(a->method, "POST") && hob_str_starts(a->path, HOB_STR("/files/"));
}

static void add_json(json_t *to, const char *name, struct hob_str text)
{
    struct hob_err unused;
    json_t *value = text.n ? hob_json_parse(text, name, &unused) : NULL;
    if (!value && text.n)
        value = json_stringn(text.at, text.n);
    if (value)
        (void)json_object_set_new(to, name, value);
}

/* The bytes of a file as the backend takes them from within: as text. */
static json_t *upload_params(const struct serve_call *c)
{
    size_t chars = sodium_base64_encoded_len(c->data.n, sodium_base64_VARIANT_ORIGINAL);
    hob_auto_free char *text = hob_calloc(1, chars);
    (void)sodium_bin2base64(text, chars, (const unsigned char *)c->data.at, c->data.n,
                            sodium_base64_VARIANT_ORIGINAL);
    struct hob_str type = gate_field(c, "content-type"), directory = gate_field(c, "x-parse-file-directory");
    json_t *params = json_pack("{s:s}", "base64", text), *data = json_object();
    if (type.n)
        (void)json_object_set_new(params, "_ContentType", json_stringn(type.at, type.n));
    add_json(data, "metadata", gate_field(c, "x-parse-file-metadata"));
    add_json(data, "tags", gate_field(c, "x-parse-file-tags"));
    if (directory.n)
        (void)json_object_set_new(data, "directory", json_stringn(directory.at, directory.n));
    if (json_object_size(data))
        (void)json_object_set(params, "fileData", data);
    json_decref(data);
    return params;
}

static bool is_white(struct hob_str text)
{
    for (size_t i = 0; i < text.n; i++)
        if (!memchr(" \t\r\n", text.at[i], 4))
            return false;
    return true;
}

/* SDKs upload a file as JSON and name no application in the head; whoever does name one sends bytes. */
static enum hob_code read_body(const struct serve_call *c, struct asking *a, struct hob_err *err)
{
    if (is_upload(a) && gate_field(c, "x-parse-application-id").at) {
        a->params = upload_params(c);
        return HOB_OK;
    }
    if (is_white(c->data)) {
        a->params = json_object();
        return HOB_OK;
    }
    a->params = hob_json_parse(c->data, "the body", err);
    if (json_is_object(a->params) && (!is_upload(a) || json_object_get(a->params, "base64")))
        return HOB_OK;
    if (is_upload(a)) {
        json_decref(a->params);
        a->params = upload_params(c);
        return HOB_OK;
    }
    return hob_fail_parse(err, HOB_E_INVALID, PARSE_INVALID_JSON, "the body must be a JSON object");
}

static enum hob_code read_context(struct asking *a, struct hob_err *err)
{
    struct hob_err why;
    if (a->context || !a->context_text.n)
        return HOB_OK;
    a->context = hob_json_parse(a->context_text, "context", &why);
    if (json_is_object(a->context))
        return HOB_OK;
    return hob_fail_parse(err, HOB_E_INVALID, PARSE_INVALID_JSON, "Invalid object for context.");
}

static enum hob_code read_asking(struct serve_call *c, struct hob_str path, struct asking *a,
                                 struct hob_err *err)
{
    while (path.n > 1 && path.at[1] == '/') /* "/parse//classes" */
        path = hob_str_n(path.at + 1, path.n - 1);
    *a = (struct asking){.method = c->http->method, .path = path};
    read_fields(c, a);
    if (read_body(c, a, err) != HOB_OK)
        return err->code;
    read_members(c, a);
    if (hob_str_is(a->method, "HEAD"))
        a->method = HOB_STR("GET");
    bool takes_query = !is_upload(a) && (hob_str_is(a->method, "GET") || hob_str_is(a->method, "DELETE") ||
                                         hob_str_is(path, "/login") || hob_str_is(path, "/verifyPassword") ||
                                         hob_str_starts(path, HOB_STR("/functions/")));
    if (takes_query && c->http->query.n)
        query_params_add(path, c->http->query, a->params);
    return read_context(a, err);
}

/* --- judging --- */

/* As args.as of other calls has it. */
static enum hob_code judge_identity(struct serve_call *c, const struct asking *a, struct backend_request *r,
                                    struct hob_err *err)
{
    bool is_invocation = hob_str_starts(a->session, HOB_STR("i:"));
    if (a->master.n && !hob_str_is(a->master, MASTER_WORD))
        return hob_fail_reason(
            err, HOB_E_FORBIDDEN, "unauthorized",
            "no key is known inside of a function: the master key is the word \"" MASTER_WORD
            "\", which \"data:master\" in hob.json allows");
    if (is_invocation && strcmp(c->op, "http.public") == 0)
        return hob_fail_reason(err, HOB_E_CANCELLED, "invocation_ended",
                               "the invocation has ended: its bindings have, too");
    if (a->master.n)
        (void)json_object_set_new(c->args, "as", json_string("master"));
    else if (a->session.n && !is_invocation)
        (void)json_object_set_new(
            c->args, "as", json_pack("{s:o}", "sessionToken", json_stringn(a->session.at, a->session.n)));
    return serve_identity(c, r, err);
}

static enum hob_code judge(struct serve_call *c, const struct asking *a, struct backend_request *r,
                           struct hob_err *err)
{
    *r = (struct backend_request){.method = a->method,
                                  .path = a->path,
                                  .params = a->params,
                                  .context = a->context,
                                  .installation_id = a->installation,
                                  .idempotency_key = gate_field(c, "x-parse-request-id")};
    if (hob_str_is(a->path,
                   "/batch")) /* its parts name paths as they are here, whatever the app's public URL is */
        r->mount_url = HOB_STR("/parse");
    if (serve_need_path(c, a->method, a->path, err) != HOB_OK ||
        serve_need_batch(c, a->params, err) != HOB_OK ||
        serve_need_query(c, a->method, a->params, err) != HOB_OK)
        return err->code;
    return judge_identity(c, a, r, err);
}

/* --- answers --- */

static void shape_answer(struct serve_call *c, const struct backend_answer *a)
{
    const char *own = json_string_value(json_object_get(c->args, "token"));
    struct hob_str json = serve_without_token(c, a->json, own ? hob_str(own) : HOB_STR(CLOUD_CALLER_TOKEN));
    gate_respond(c,
                 &(struct gate_head){.status = a->status ? a->status : 200,
                                     .type = "application/json; charset=utf-8",
                                     .more = a->headers,
                                     .more_n = a->headers_n},
                 json.n ? json : HOB_STR("{}"));
}

/* --- files --- */

/* "bytes=A-B", "bytes=A-", "bytes=-N" of one range; anything else is no range. False: it lies behind the end. */
static bool read_range(struct serve_http *h, struct hob_str text)
{
    struct hob_str last, first;
    uint64_t from, to = h->total ? h->total - 1 : 0;
    h->from = 0;
    h->n = h->total;
    if (!hob_str_starts(text, HOB_STR("bytes=")) || memchr(text.at, ',', text.n))
        return true;
    first = hob_str_cut(hob_str_n(text.at + 6, text.n - 6), '-', &last);
    if (!last.at || (first.n && !hob_str_u64(first, &from)) || (last.n && !hob_str_u64(last, &to)) ||
        (!first.n && !last.n))
        return true;
    if (!first.n) { /* the last N */
        from = to < h->total ? h->total - to : 0;
        to = h->total;
    }
    if (first.n && last.n && to < from)
        return true;
    if (from >= h->total || (!first.n && last.n && to == 0))
        return false;
    h->is_range = true;
    h->from = from;
    h->n = (to < h->total - 1 ? to + 1 : h->total) - from;
    return true;
}

static void shape_file(struct serve_call *c, struct hob_str json, struct hob_str data)
{
    const struct serve_http *h = c->http;
    char range[80], tag[HOB_DIGEST_CHARS + 4];
    (void)json;
    (void)snprintf(range, sizeof range, "bytes %llu-%llu/%llu", (unsigned long long)h->from,
                   (unsigned long long)(h->from + h->n - (h->n > 0)), (unsigned long long)h->total);
    (void)snprintf(tag, sizeof tag, "\"%s\"", h->etag);
    const struct backend_header more[] = {{"Accept-Ranges", "bytes"},
                                          {"X-Content-Type-Options", "nosniff"},
                                          {"ETag", tag},
                                          {"Content-Range", range}};
    gate_respond(
        c,
        &(struct gate_head){
            .status = h->is_range ? 206 : 200, .type = h->type, .more = more, .more_n = h->is_range ? 4 : 3},
        data);
}

static const char *kept(struct serve_call *c, const char *text)
{
    const char *copy = hob_arena_strndup(&c->arena, text, strlen(text));
    return copy ? copy : "";
}

static void answer_unchanged(struct serve_call *c, int status, const char *etag, uint64_t total)
{
    char range[40], tag[HOB_DIGEST_CHARS + 4];
    (void)snprintf(tag, sizeof tag, "\"%s\"", etag);
    (void)snprintf(range, sizeof range, "bytes */%llu", (unsigned long long)total);
    const struct backend_header more[] = {{"ETag", tag}, {"Content-Range", range}};
    gate_respond(c, &(struct gate_head){.status = status, .more = more, .more_n = status == 416 ? 2 : 1},
                 HOB_STR(""));
}

bool gate_found(struct serve_call *c, const struct file_found *found)
{
    struct serve_http *h = c->http;
    struct hob_str known = gate_field(c, "if-none-match");
    if (h->is_metadata) {
        gate_respond(c, &(struct gate_head){.status = 200, .type = "application/json; charset=utf-8"},
                     found->metadata.n ? found->metadata : HOB_STR("{}"));
        return false;
    }
    h->total = found->bytes;
    h->type = kept(c, found->type);
    h->etag = kept(c, found->digest);
    bool is_unchanged = known.n == strlen(h->etag) + 2 && memcmp(known.at + 1, h->etag, known.n - 2) == 0;
    if (is_unchanged || !read_range(h, gate_field(c, "range"))) {
        answer_unchanged(c, is_unchanged ? 304 : 416, h->etag, h->total);
        return false;
    }
    c->http->shape = shape_file;
    return true;
}

/* GET /files/APPID/NAME and /files/APPID/metadata/NAME, of the app's own. True: it has the call. */
static bool start_download(struct serve_call *c, const struct asking *a)
{
    struct hob_err err;
    if (!hob_str_is(a->method, "GET") || !hob_str_starts(a->path, HOB_STR("/files/")))
        return false;
    const struct backend_app *app =
        backend_app_by_name(backend_wiring(c->serve->o.backend)->apps, hob_str(c->caller.app));
    struct hob_str name, id = hob_str_cut(hob_str_n(a->path.at + 7, a->path.n - 7), '/', &name);
    size_t id_n, name_n;
    c->http->is_metadata = name.at && hob_str_starts(name, HOB_STR("metadata/"));
    if (c->http->is_metadata)
        name = hob_str_n(name.at + 9, name.n - 9);
    hob_auto_free char *plain_id = url_decode(id, false, &id_n);
    hob_auto_free char *plain = url_decode(name.at ? name : HOB_STR(""), false, &name_n);
    bool is_own = app && strcmp(plain_id, backend_app_application_id(app)) == 0;
    if (serve_need(c, HOB_GRANT_FILES, HOB_STR(""), 0, &err) != HOB_OK) {
        serve_fail(c, &err);
    } else if (!is_own || !file_stored_name_is_valid(hob_str_n(plain, name_n))) {
        (void)hob_fail_parse(&err, HOB_E_NOT_FOUND, PARSE_OBJECT_NOT_FOUND, "File not found.");
        serve_fail(c, &err);
    } else {
        (void)snprintf(c->name, sizeof c->name, "%s", plain);
        serve_file_find(c, c->http->is_metadata);
    }
    return true;
}

/* --- door --- */

void gate_parse_start(struct serve_call *c, struct hob_str path)
{
    struct hob_err err;
    struct backend_request r;
    hob_auto_asking struct asking a = {.params = NULL};
    if (hob_str_is(path, "/health")) {
        gate_respond(c, &(struct gate_head){.status = 200, .type = "application/json; charset=utf-8"},
                     HOB_STR("{\"status\":\"ok\"}"));
        return;
    }
    if (read_asking(c, path, &a, &err) != HOB_OK)
        serve_fail(c, &err);
    else if (start_download(c, &a))
        return;
    else if (judge(c, &a, &r, &err) == HOB_OK)
        serve_ask(c, &r, shape_answer);
    else
        serve_fail(c, &err);
}
