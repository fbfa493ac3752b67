/* POST /files/NAME. Flow:
 *
 *   judged -> RECEIVED (the bytes are in a spool) -> beforeSave -> [S3: SENT] -> STORED (one write job: the bytes linked,
 *   the name written) -> afterSave -> answered
 *
 * The bytes are durable before the name is; a crash in between leaves bytes without a name, which the next upload of the
 * same content uses and nobody sees. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "bindings/auth/auth.h"
#include "bindings/files/files_priv.h"
#include "bindings/trigger.h"
#include "store/kv.h"

enum { PREFIX_BYTES = 16, ROW_BYTES_MAX = 65536 };

struct save {
    struct spool *spool;
    bool is_own_spool;
    struct blob_place place;
    struct blob blob;
    char *name, *type, *row, *metadata;
    json_t *object; /* what triggers see */
    struct file_work work;
};

static void save_free(void *p)
{
    struct save *s = p;
    if (s->is_own_spool)
        spool_free(s->spool);
    blob_place_done(&s->place);
    json_decref(s->object);
    free(s->name);
    free(s->type);
    free(s->row);
    free(s->metadata);
    free(s);
}

static void fail(struct backend_call *c, const struct hob_err *err)
{
    c->err = *err;
    ask_fail(c);
}

/* --- judging --- */

static bool setting_is(const json_t *setting, const char *member, bool fallback)
{
    const json_t *value = json_object_get(setting, member);
    return value ? json_is_true(value) : fallback;
}

static enum hob_code judge_caller(const struct backend_call *c, struct hob_err *err)
{
    const json_t *setting = ask_json(c, SETTING_FILE_UPLOAD);
    const json_t *auth = json_object_get(c->who.user, "authData");
    if (c->who.role == BACKEND_MASTER)
        return HOB_OK;
    if (c->who.role == BACKEND_READ_ONLY_MASTER)
        return parse_fail(err, PARSE_OPERATION_FORBIDDEN,
                          "read-only masterKey isn't allowed to create a file.");
    if (!c->who.user_id.n && !setting_is(setting, "enableForPublic", false))
        return parse_fail(err, PARSE_FILE_SAVE_ERROR, "File upload by public is disabled.");
    if (c->who.user_id.n && json_object_get(auth, "anonymous") &&
        !setting_is(setting, "enableForAnonymousUser", false))
        return parse_fail(err, PARSE_FILE_SAVE_ERROR, "File upload by anonymous user is disabled.");
    if (c->who.user_id.n && !json_object_get(auth, "anonymous") &&
        !setting_is(setting, "enableForAuthenticatedUser", true))
        return parse_fail(err, PARSE_FILE_SAVE_ERROR, "File upload by authenticated user is disabled.");
    return HOB_OK;
}

static bool is_header_text(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || (unsigned char)*text > '~')
            return false;
    return true;
}

/* Where the file shall lie: master's to say. */
static enum hob_code judge_directory(const struct backend_call *c, const char **ret_directory,
                                     struct hob_err *err)
{
    const json_t *directory = json_object_get(ask_param(c, "fileData"), "directory");
    if (!directory || json_is_null(directory))
        return HOB_OK;
    if (c->who.role != BACKEND_MASTER)
        return parse_fail(err, PARSE_OPERATION_FORBIDDEN, "Directory can only be set using the Master Key.");
    *ret_directory = json_string_value(directory);
    return file_directory_check(directory, err);
}

/* The name behind its directory (NULL: none), with the type's extension when it has none. */
static char *complete_name(struct hob_str name, const char *directory, const char *type)
{
    const char *extension = type ? file_extension_of(hob_str(type)) : NULL;
    char prefix[2 * PREFIX_BYTES + 1];
    bool is_bare = !memchr(name.at, '.', name.n);
    hob_random_hex(prefix, PREFIX_BYTES);
    return hob_asprintf("%s%s%s_%.*s%s%s", directory ? directory : "", directory ? "/" : "", prefix,
                        HOB_STR_ARG(name), is_bare && extension ? "." : "",
                        is_bare && extension ? extension : "");
}

static enum hob_code judge(struct backend_call *c, struct save *s, struct hob_err *err)
{
    const char *given = json_string_value(ask_param(c, "_ContentType"));
    const char *directory = NULL;
    if (file_name_check(c->params[0], err) != HOB_OK || judge_caller(c, err) != HOB_OK ||
        judge_directory(c, &directory, err) != HOB_OK)
        return err->code;
    if (given && (!is_header_text(given) || strlen(given) > 200))
        return parse_fail(err, PARSE_FILE_SAVE_ERROR,
                          "the content type is no visible ASCII text of at most 200 characters");
    s->type = hob_strdup(given && *given ? given : file_type_of(c->params[0]));
    s->name = complete_name(c->params[0], directory, given);
    if (c->who.role != BACKEND_MASTER &&
        file_extension_check(ask_json(c, SETTING_FILE_UPLOAD), hob_str(s->name), hob_str(s->type), err) !=
            HOB_OK)
        return err->code;
    const struct backend_options *o = backend_wiring(c->backend);
    const struct backend_app *app = backend_app_by_name(o->apps, hob_str(c->request.app));
    if (!app)
        return parse_fail(err, PARSE_OTHER_CAUSE, "the app was removed");
    if (!c->request.upload) {
        s->spool =
            files_receive(backend_files(c->backend), (uint64_t)ask_int(c, SETTING_MAX_UPLOAD_BYTES), err);
        s->is_own_spool = true;
    } else {
        s->spool = c->request.upload;
    }
    return s->spool ? file_place(c->backend, app, &s->place, err) : err->code;
}

/* --- answering --- */

static void answer(struct backend_call *c)
{
    struct save *s = c->state;
    const struct backend_options *o = backend_wiring(c->backend);
    const struct backend_app *app = backend_app_by_name(o->apps, hob_str(c->request.app));
    const char *public_url = ask_text(c, SETTING_PUBLIC_SERVER_URL);
    hob_auto_free char *mount =
        *public_url ? hob_strdup(public_url) : hob_strndup(c->request.mount_url.at, c->request.mount_url.n);
    hob_auto_buf struct hob_buf url;
    struct hob_jw w;
    hob_buf_init(&url, 4096);
    (void)!hob_buf_addf(&url, "%s/files/%s/", mount, app ? backend_app_application_id(app) : "");
    for (const char *at = s->name; *at; at++)
        (void)!(*at == ' ' ? hob_buf_add(&url, "%20", 3) : hob_buf_add(&url, at, 1));
    c->status = 201;
    ask_header(c, "Location", hob_buf_str(&url));
    hob_jw_init(&w, &c->out);
    hob_jw_object(&w);
    hob_jw_kstr(&w, "url", hob_buf_str(&url));
    hob_jw_kcstr(&w, "name", s->name);
    hob_jw_object_end(&w);
    ask_finish(c);
}

static void on_after_save(struct backend_call *c, const struct hob_err *err, json_t *value)
{
    (void)err, (void)value; /* told by the trigger's own log */
    answer(c);
}

static void after_stored(struct backend_call *c)
{
    struct save *s = c->state;
    struct trigger_event e = {
        .kind = TRIGGER_AFTER_SAVE, .class_name = HOB_STR("@File"), .object = s->object};
    if (trigger_exists(c->backend, c->request.app, e.class_name, e.kind))
        trigger_run(c, &e, on_after_save);
    else
        answer(c);
}

/* --- storing --- */

static enum hob_code store_work(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    const struct save *s = c->state;
    int64_t names;
    struct kv_row row = {.key = hob_str(s->name), .value = hob_str(s->row), .meta = hob_str(s->metadata)};
    /* Linked in the job, so that no removal of the same content's last name comes between. */
    if (!s->place.is_s3 && blob_put(&s->place, &s->blob, spool_path(s->spool), err) != HOB_OK)
        return err->code;
    if (kv_insert(tx, file_space, &row, c->now_ms, err) != HOB_OK)
        return err->code;
    return kv_add(tx, blob_space, hob_str(s->blob.digest), 1, c->now_ms, &names, err);
}

static void write_row(struct save *s)
{
    hob_auto_buf struct hob_buf text;
    struct hob_jw w;
    hob_buf_init(&text, ROW_BYTES_MAX);
    hob_jw_init(&w, &text);
    hob_jw_object(&w);
    hob_jw_kcstr(&w, "digest", s->blob.digest);
    hob_jw_kcstr(&w, "type", s->type);
    hob_jw_kint(&w, "bytes", (int64_t)s->blob.bytes);
    hob_jw_object_end(&w);
    s->row = hob_strndup(hob_buf_data(&text), text.n);
}

static void on_sent(void *ctx, const struct hob_err *err)
{
    struct backend_call *c = ctx;
    if (err)
        fail(c, err);
    else
        ask_write(c, store_work, after_stored);
}

static enum hob_code send_work(void *ctx, struct hob_err *err)
{
    const struct save *s = ((struct backend_call *)ctx)->state;
    return blob_put(&s->place, &s->blob, spool_path(s->spool), err);
}

static void store(struct backend_call *c)
{
    struct save *s = c->state;
    s->blob = (struct blob){s->name, spool_digest(s->spool), s->type, spool_bytes(s->spool)};
    write_row(s);
    if (!s->place.is_s3) {
        ask_write(c, store_work, after_stored);
        return;
    }
    s->work =
        (struct file_work){.files = backend_files(c->backend), .work = send_work, .done = on_sent, .ctx = c};
    file_work_start(&s->work);
}

/* --- the trigger --- */

/* metadata and tags of the object, as text */
static enum hob_code take_metadata(struct save *s, struct hob_err *err)
{
    hob_auto_buf struct hob_buf text;
    struct hob_jw w;
    hob_buf_init(&text, ROW_BYTES_MAX);
    hob_jw_init(&w, &text);
    hob_jw_object(&w);
    static const char *const members[] = {"metadata", "tags"};
    for (size_t i = 0; i < HOB_COUNT(members); i++) {
        const json_t *value = json_object_get(s->object, members[i]);
        if (value && !json_is_object(value))
            return parse_fail(err, PARSE_FILE_SAVE_ERROR, "a file's %s must be an object", members[i]);
        hob_jw_key(&w, members[i]);
        if (value)
            hob_jw_json(&w, value);
        else
            hob_jw_raw(&w, HOB_STR("{}"));
    }
    hob_jw_object_end(&w);
    if (hob_jw_end(&w, err) != HOB_OK)
        return parse_fail(err, PARSE_FILE_SAVE_ERROR, "a file's metadata and tags have more than %d bytes",
                          ROW_BYTES_MAX);
    free(s->metadata);
    s->metadata = hob_strndup(hob_buf_data(&text), text.n);
    return HOB_OK;
}

static void on_before_save(struct backend_call *c, const struct hob_err *err, json_t *value)
{
    struct save *s = c->state;
    static const char *const members[] = {"metadata", "tags"};
    for (size_t i = 0; !err && i < HOB_COUNT(members); i++)
        if (json_object_get(value, members[i]))
            (void)json_object_set(s->object, members[i], json_object_get(value, members[i]));
    if (err)
        fail(c, err);
    else if (take_metadata(s, &c->err) != HOB_OK)
        ask_fail(c);
    else
        store(c);
}

static void received(struct backend_call *c)
{
    struct save *s = c->state;
    const json_t *data = ask_param(c, "fileData");
    json_t *metadata = json_object_get(data, "metadata"), *tags = json_object_get(data, "tags");
    s->object = json_pack("{s:s,s:s,s:s,s:f}", "__type", "File", "name", s->name, "_contentType", s->type,
                          "_size", (double)spool_bytes(s->spool));
    if (metadata)
        (void)json_object_set(s->object, "metadata", metadata);
    if (tags)
        (void)json_object_set(s->object, "tags", tags);
    struct trigger_event e = {
        .kind = TRIGGER_BEFORE_SAVE, .class_name = HOB_STR("@File"), .object = s->object};
    if (take_metadata(s, &c->err) != HOB_OK)
        ask_fail(c);
    else if (trigger_exists(c->backend, c->request.app, e.class_name, e.kind))
        trigger_run(c, &e, on_before_save);
    else
        store(c);
}

/* --- receiving what came as base64 in JSON --- */

static void on_spooled(void *ctx, const struct hob_err *err)
{
    struct backend_call *c = ctx;
    if (err)
        fail(c, err);
    else
        received(c);
}

static void decode(struct backend_call *c)
{
    struct save *s = c->state;
    const json_t *text = ask_param(c, "base64");
    size_t n = 0, chars = json_string_length(text);
    if (!json_is_string(text)) {
        (void)parse_fail(&c->err, PARSE_FILE_SAVE_ERROR, "Invalid file upload.");
        ask_fail(c);
        return;
    }
    hob_auto_free char *bytes = hob_new_n(char, chars / 4 * 3 + 4);
    if (sodium_base642bin((unsigned char *)bytes, chars / 4 * 3 + 4, json_string_value(text), chars, " \r\n",
                          &n, NULL, sodium_base64_VARIANT_ORIGINAL) != 0 &&
        sodium_base642bin((unsigned char *)bytes, chars / 4 * 3 + 4, json_string_value(text), chars, " \r\n",
                          &n, NULL, sodium_base64_VARIANT_ORIGINAL_NO_PADDING) != 0) {
        (void)parse_fail(&c->err, PARSE_FILE_SAVE_ERROR, "Invalid file upload: 'base64' is not base64.");
        ask_fail(c);
        return;
    }
    spool_add(s->spool, hob_str_n(bytes, n));
    spool_end(s->spool, on_spooled, c);
}

void file_save_start(struct backend_call *c)
{
    struct save *s = hob_new(struct save);
    c->state = s;
    ask_defer(c, save_free, s);
    if (judge(c, s, &c->err) != HOB_OK)
        ask_fail(c);
    else if (s->is_own_spool)
        decode(c);
    else
        received(c);
}
