#include "bindings/files/blob.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "bindings/files/s3.h"

/* --- the place --- */

static char *text_of(const json_t *setting, const char *member)
{
    const char *text = json_string_value(json_object_get(setting, member));
    return hob_strdup(text ? text : "");
}

static enum hob_code check_s3(const struct blob_place *p, struct hob_err *err)
{
    const struct {
        const char *name, *value;
    } needed[] = {{"endpoint", p->endpoint},
                  {"bucket", p->bucket},
                  {"accessKeyId", p->key_id},
                  {"secretAccessKeySecret", p->secret}};
    for (size_t i = 0; i < HOB_COUNT(needed); i++)
        if (!needed[i].value || !*needed[i].value)
            return hob_fail(err, HOB_E_INVALID, "the setting 'files' has store s3 but no '%s'",
                            needed[i].name);
    if (strncmp(p->endpoint, "https://", 8) != 0 && strncmp(p->endpoint, "http://", 7) != 0)
        return hob_fail(err, HOB_E_INVALID,
                        "the setting 'files.endpoint' must begin with https:// or http://");
    return HOB_OK;
}

enum hob_code blob_place_fill(struct blob_place *p, const char *dir, const json_t *setting,
                              const char *secret, struct hob_err *err)
{
    const char *store = json_string_value(json_object_get(setting, "store"));
    *p = (struct blob_place){.dir = hob_strdup(dir)};
    if (!store || strcmp(store, "local") == 0)
        return HOB_OK;
    if (strcmp(store, "s3") != 0)
        return hob_fail(err, HOB_E_INVALID, "the setting 'files.store' is '%.32s': local and s3 are possible",
                        store);
    p->is_s3 = true;
    p->is_path_style = !json_is_false(json_object_get(setting, "pathStyle"));
    p->endpoint = text_of(setting, "endpoint");
    p->region = text_of(setting, "region");
    if (!*p->region) {
        free(p->region);
        p->region = hob_strdup("us-east-1");
    }
    p->bucket = text_of(setting, "bucket");
    p->prefix = text_of(setting, "prefix");
    p->key_id = text_of(setting, "accessKeyId");
    p->secret = secret ? hob_strdup(secret) : NULL;
    return check_s3(p, err);
}

void blob_place_done(struct blob_place *p)
{
    char *const owned[] = {p->dir, p->endpoint, p->region, p->bucket, p->prefix, p->key_id};
    for (size_t i = 0; i < HOB_COUNT(owned); i++)
        free(owned[i]);
    if (p->secret)
        explicit_bzero(p->secret, strlen(p->secret));
    free(p->secret);
}

/* --- local: DIR/ab/abcd... --- */

static char *local_dir(const struct blob_place *p, const struct blob *b)
{
    return hob_asprintf("%s/%.2s", p->dir, b->digest);
}

static char *local_path(const struct blob_place *p, const struct blob *b)
{
    return hob_asprintf("%s/%.2s/%s", p->dir, b->digest, b->digest);
}

static enum hob_code local_put(const struct blob_place *p, const struct blob *b, const char *path,
                               struct hob_err *err)
{
    hob_auto_free char *dir = local_dir(p, b), *to = local_path(p, b);
    if (hob_mkdirs(dir, 0700, err) != HOB_OK)
        return err->code;
    if (link(path, to) < 0 && errno != EEXIST)
        return hob_fail_errno(err, errno, "storing the file '%s'", b->name);
    if (hob_fsync_dir(dir, err) != HOB_OK)
        return err->code;
    return hob_fsync_dir(p->dir, err);
}

static enum hob_code local_open(const struct blob_place *p, const struct blob *b, int *ret_fd,
                                struct hob_err *err)
{
    hob_auto_free char *path = local_path(p, b);
    *ret_fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return *ret_fd >= 0 ? HOB_OK : hob_fail_errno(err, errno, "the bytes of the file '%s'", b->name);
}

static enum hob_code local_drop(const struct blob_place *p, const struct blob *b, struct hob_err *err)
{
    hob_auto_free char *path = local_path(p, b);
    if (unlink(path) < 0 && errno != ENOENT)
        return hob_fail_errno(err, errno, "removing the file '%s'", b->name);
    return HOB_OK;
}

/* --- door --- */

enum hob_code blob_put(const struct blob_place *p, const struct blob *b, const char *path,
                       struct hob_err *err)
{
    return p->is_s3 ? s3_put(p, b, path, err) : local_put(p, b, path, err);
}

enum hob_code blob_open(const struct blob_place *p, const struct blob *b, const char *tmp_dir, int *ret_fd,
                        struct hob_err *err)
{
    return p->is_s3 ? s3_open(p, b, tmp_dir, ret_fd, err) : local_open(p, b, ret_fd, err);
}

enum hob_code blob_drop(const struct blob_place *p, const struct blob *b, struct hob_err *err)
{
    return p->is_s3 ? s3_drop(p, b, err) : local_drop(p, b, err);
}
