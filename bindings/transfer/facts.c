/* Lines of an import that are facts beside the objects: pairs of env.cache, keys of env.files, names of files. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/limits.h"
#include "base/mem.h"
#include "bindings/transfer/transfer_priv.h"
#include "store/kv.h"

#include "base/banned.h"

enum { FILE_KEY_BYTES_MAX = 512 };

static struct hob_str text_of(const json_t *line, const char *member)
{
    const json_t *j = json_object_get(line, member);
    return json_is_string(j) ? hob_str_n(json_string_value(j), json_string_length(j))
                             : (struct hob_str){NULL, 0};
}

static enum hob_code bad(const char *what, struct hob_err *err)
{
    return hob_fail(err, HOB_E_INVALID, "the line is none of an export: %s", what);
}

/* --- env.cache -------------------------------------------------------------------------------------------------------- */

static enum hob_code cached_value(const json_t *line, struct hob_buf *out, struct hob_err *err)
{
    struct hob_str plain = text_of(line, "value"), coded = text_of(line, "base64");
    size_t n = 0;
    if (plain.at)
        return hob_buf_add_str(out, plain) == HOB_OK ? HOB_OK : bad("its value is too large", err);
    char *room = coded.at ? hob_buf_room(out, coded.n / 4 * 3 + 4) : NULL;
    if (!room || sodium_base642bin((unsigned char *)room, coded.n / 4 * 3 + 4, coded.at, coded.n, NULL, &n,
                                   NULL, sodium_base64_VARIANT_ORIGINAL) != 0)
        return bad("a pair of env.cache needs a 'value' or its 'base64'", err);
    hob_buf_grew(out, n);
    return HOB_OK;
}

static enum hob_code cached_import(struct data_tx *tx, const json_t *line, struct hob_err *err)
{
    struct hob_str key = text_of(line, "cache");
    const json_t *meta = json_object_get(line, "metadata");
    hob_auto_free char *text = meta ? json_dumps(meta, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    hob_auto_buf struct hob_buf value;
    hob_buf_init(&value, HOB_MAX_CACHE_VALUE_BYTES + 4);
    if (!key.n || key.n > HOB_MAX_CACHE_KEY_BYTES || (text && strlen(text) > HOB_MAX_CACHE_META_BYTES))
        return bad("a key of env.cache has 1 to 512 bytes, its metadata 1024", err);
    if (cached_value(line, &value, err) != HOB_OK)
        return err->code;
    struct kv_row row = {.key = key,
                         .value = hob_buf_str(&value),
                         .meta = text ? hob_str(text) : HOB_STR(""),
                         .expires_ms = (int64_t)json_number_value(json_object_get(line, "expires"))};
    if (row.expires_ms && row.expires_ms <= hob_utc_ms())
        return HOB_OK; /* has ended on the way */
    return kv_put(tx, "cache", &row, err);
}

/* --- env.files -------------------------------------------------------------------------------------------------------- */

/* ".../files/OLD-APP/NAME" becomes this app's. */
static void rewrite_url(json_t *row, const char *application_id)
{
    static const char part[] = "/files/";
    const char *url = json_string_value(json_object_get(row, "url")), *name = url ? strrchr(url, '/') : NULL;
    const char *at = NULL;
    for (const char *p = url; p && (p = strstr(p, part)) != NULL; p++)
        at = p;
    if (!at || !name || name <= at + sizeof part - 1)
        return;
    hob_auto_free char *here = hob_asprintf("%.*s%s%s%s", (int)(at - url), url, part, application_id, name);
    (void)json_object_set_new(row, "url", json_string(here));
}

static enum hob_code key_import(struct data_tx *tx, const struct transfer_lines *lines, const json_t *line,
                                struct hob_err *err)
{
    struct hob_str key = text_of(line, "file_key");
    json_t *row = json_object_get(line, "row");
    rewrite_url(row, lines->application_id);
    hob_auto_free char *text = json_is_object(row) ? json_dumps(row, JSON_COMPACT) : NULL;
    if (!text || !key.n || key.n > FILE_KEY_BYTES_MAX || !file_stored_name_is_valid(text_of(row, "name")))
        return bad("a key of env.files has 1 to 512 bytes and a row with the name of a file", err);
    struct kv_row pair = {.key = key, .value = hob_str(text)};
    return kv_put(tx, "env_files", &pair, err);
}

/* --- names of files --------------------------------------------------------------------------------------------------- */

static enum hob_code judge_bytes(const struct blob_place *place, const struct blob *b, struct hob_err *err)
{
    int fd = -1;
    if (place->is_s3)
        return HOB_OK; /* they stay where they are */
    if (blob_open(place, b, NULL, &fd, err) != HOB_OK)
        return hob_fail(
            err, HOB_E_NOT_FOUND,
            "the bytes of file '%.80s' are neither here nor in the lines before it (leave files out by "
            "--without files)",
            b->name);
    (void)close(fd);
    return HOB_OK;
}

/* What the name stood for before has a name less. The bytes stay, even without one: the job may still be undone. */
static enum hob_code let_go(struct data_tx *tx, const struct file_row *old, struct hob_err *err)
{
    int64_t names = 0;
    if (kv_add(tx, blob_space, hob_str(old->digest), -1, hob_utc_ms(), &names, err) != HOB_OK)
        return err->code;
    return names > 0 ? HOB_OK : kv_drop(tx, blob_space, hob_str(old->digest), NULL, err);
}

static enum hob_code name_put(struct data_tx *tx, const struct kv_row *row, const char *digest,
                              struct hob_err *err)
{
    struct file_row old = {.digest = NULL};
    int64_t names = 0;
    enum hob_code rc = file_row_read(tx, row->key, &old, err);
    bool is_new = rc == HOB_E_NOT_FOUND, is_same = rc == HOB_OK && strcmp(old.digest, digest) == 0;
    if (rc == HOB_OK || is_new)
        rc = kv_put(tx, file_space, row, err);
    if (rc == HOB_OK && !is_same)
        rc = kv_add(tx, blob_space, hob_str(digest), 1, hob_utc_ms(), &names, err);
    if (rc == HOB_OK && !is_same && !is_new)
        rc = let_go(tx, &old, err);
    file_row_done(&old);
    return rc;
}

static enum hob_code name_import(struct data_tx *tx, const struct blob_place *place, const json_t *line,
                                 struct hob_err *err)
{
    const json_t *row = json_object_get(line, "row"), *meta = json_object_get(line, "metadata");
    const char *digest = json_string_value(json_object_get(row, "digest"));
    const char *type = json_string_value(json_object_get(row, "type"));
    struct hob_str name = text_of(line, "file");
    if (!file_stored_name_is_valid(name))
        return bad("a file's name is none that an upload gets", err);
    if (!digest || !hob_digest_is_valid(digest) || !type || !json_is_number(json_object_get(row, "bytes")))
        return bad("a file has a row with digest, type and bytes", err);
    hob_auto_free char *text = json_dumps(row, JSON_COMPACT);
    hob_auto_free char *meta_text = json_is_object(meta) ? json_dumps(meta, JSON_COMPACT) : NULL;
    struct blob b = {.name = json_string_value(json_object_get(line, "file")), .digest = digest};
    struct kv_row pair = {
        .key = name, .value = hob_str(text), .meta = meta_text ? hob_str(meta_text) : HOB_STR("")};
    if (judge_bytes(place, &b, err) != HOB_OK)
        return err->code;
    return name_put(tx, &pair, digest, err);
}

/* --- door ------------------------------------------------------------------------------------------------------------- */

enum hob_code fact_import(struct data_tx *tx, const struct transfer_lines *lines, const json_t *line,
                          struct transfer_counts *counts, bool *ret_is_one, struct hob_err *err)
{
    const struct {
        const char *member;
        unsigned part;
    } kinds[] = {{"cache", TRANSFER_CACHE}, {"file_key", TRANSFER_FILES}, {"file", TRANSFER_FILES}};
    for (size_t i = 0; i < HOB_COUNT(kinds); i++) {
        if (!json_object_get(line, kinds[i].member))
            continue;
        *ret_is_one = true;
        if (kinds[i].part & lines->without)
            return HOB_OK;
        counts->cached += i == 0;
        counts->files += i == 2;
        return i == 0   ? cached_import(tx, line, err)
               : i == 1 ? key_import(tx, lines, line, err)
                        : name_import(tx, lines->files, line, err);
    }
    *ret_is_one = false;
    return HOB_OK;
}
