#include "runner/docker/image_tar.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/id.h"
#include "base/json.h"
#include "base/mem.h"

#include "base/banned.h"

enum { LIST_BYTES_MAX = 65536, COPY_BYTES = 256 * 1024, BLOCK = 512, CONFIG_BYTES_MAX = 4096, LAYOUT = 1 };

/* --- survey ------------------------------------------------------------------------------------------------------- */

static enum hob_code add_needs(struct tree *t, const json_t *info, struct hob_err *err)
{
    const json_t *needs = json_object_get(info, "needs");
    for (size_t i = 0; i < json_array_size(needs); i++) {
        const char *need = json_string_value(json_array_get(needs, i));
        if (!need || need[0] != '/')
            continue;
        if (access(need, F_OK) < 0) {
            const char *install = json_string_value(json_object_get(info, "install"));
            return hob_fail_reason(err, HOB_E_UNAVAILABLE, "image_missing",
                                   "the image needs %.80s, which is not on this machine; install it: %.80s",
                                   need, install ? install : "");
        }
        if (tree_add(t, need, err) != HOB_OK)
            return err->code;
    }
    return HOB_OK;
}

static enum hob_code add_rootfs(struct tree *t, const char *path, struct hob_err *err)
{
    hob_auto_buf struct hob_buf text;
    hob_buf_init(&text, LIST_BYTES_MAX);
    if (access(path, F_OK) < 0)
        return HOB_OK;
    if (hob_read_file(path, &text, err) != HOB_OK)
        return err->code;
    struct hob_str rest = hob_buf_str(&text);
    while (rest.at) {
        struct hob_str line = hob_str_trim(hob_str_cut(rest, '\n', &rest));
        if (line.n == 0 || line.at[0] != '/')
            continue;
        hob_auto_free char *one = hob_strndup(line.at, line.n);
        if (tree_add(t, one, err) != HOB_OK)
            return err->code;
    }
    return HOB_OK;
}

/* Paths, sizes and times say whether an image is still what this machine would make. */
static void key_of(struct tree *t, const char *runtime, char ret_key[IMAGE_KEY_CHARS + 1])
{
    crypto_hash_sha256_state sha;
    unsigned char digest[crypto_hash_sha256_BYTES];
    (void)crypto_hash_sha256_init(&sha);
    hob_auto_free char *head = hob_asprintf("%d %s\n", LAYOUT, runtime);
    (void)crypto_hash_sha256_update(&sha, (const unsigned char *)head, strlen(head));
    for (const struct tree_entry *e = t->entries; e; e = e->hh.next) {
        hob_auto_free char *line =
            hob_asprintf("%s %s %o %llu %lld\n", e->path, e->target ? e->target : "", (unsigned)e->mode,
                         (unsigned long long)e->bytes, S_ISREG(e->mode) ? (long long)e->mtime_s : 0LL);
        (void)crypto_hash_sha256_update(&sha, (const unsigned char *)line, strlen(line));
    }
    (void)crypto_hash_sha256_final(&sha, digest);
    hob_hex(ret_key, digest, sizeof digest);
}

enum hob_code image_survey(const char *runtimes_dir, const char *runtime, struct tree *ret_tree,
                           char ret_key[IMAGE_KEY_CHARS + 1], struct hob_err *err)
{
    struct tree t = {0};
    hob_auto_free char *info_path = hob_asprintf("%s/%s/runtime.json", runtimes_dir, runtime);
    hob_auto_free char *rootfs_path = hob_asprintf("%s/%s/rootfs", runtimes_dir, runtime);
    hob_auto_buf struct hob_buf text;
    hob_buf_init(&text, LIST_BYTES_MAX);
    if (access(info_path, F_OK) < 0)
        return hob_fail_reason(err, HOB_E_NOT_FOUND, "runtime_not_found", "there is no runtime '%.40s'",
                               runtime);
    if (hob_read_file(info_path, &text, err) != HOB_OK)
        return err->code;
    hob_auto_json json_t *info = hob_json_parse(hob_buf_str(&text), "runtime.json", err);
    bool is_good = info && add_needs(&t, info, err) == HOB_OK && add_rootfs(&t, rootfs_path, err) == HOB_OK &&
                   tree_add_libraries(&t, err) == HOB_OK;
    if (!is_good) {
        tree_done(&t);
        return err->code;
    }
    tree_sort(&t);
    key_of(&t, runtime, ret_key);
    *ret_tree = t;
    return HOB_OK;
}

/* --- the layer ---------------------------------------------------------------------------------------------------- */

struct layer {
    int fd;
    uint64_t bytes;
    crypto_hash_sha256_state sha;
    int errnum;
};

static la_ssize_t on_layer_bytes(struct archive *a, void *ctx, const void *data, size_t n)
{
    struct layer *l = ctx;
    struct hob_err err;
    (void)a;
    if (hob_write_all(l->fd, hob_str_n(data, n), "an image", &err) != HOB_OK) {
        l->errnum = err.errnum ? err.errnum : EIO;
        archive_set_error(a, l->errnum, "writing");
        return -1;
    }
    l->bytes += n;
    (void)crypto_hash_sha256_update(&l->sha, data, n);
    return (la_ssize_t)n;
}

static enum hob_code put_entry(struct archive *a, struct archive_entry *e, const char *path, mode_t mode,
                               struct hob_err *err)
{
    archive_entry_set_pathname(e, path[0] == '/' ? path + 1 : path);
    archive_entry_set_mode(e, mode);
    archive_entry_set_uid(e, 0);
    archive_entry_set_gid(e, 0);
    if (archive_write_header(a, e) != ARCHIVE_OK)
        return hob_fail(err, HOB_E_INTERNAL, "writing an image: %.120s", archive_error_string(a));
    return HOB_OK;
}

/* Exactly `bytes` of the file, whatever happens to it meanwhile: padded when it shrank, cut when it grew. */
static enum hob_code copy_file(struct archive *a, const struct tree_entry *e, char *buf, struct hob_err *err)
{
    hob_auto_close int fd = open(e->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    uint64_t left = e->bytes;
    if (fd < 0)
        return hob_fail_errno(err, errno, "reading %s", e->path);
    while (left) {
        size_t want = left < COPY_BYTES ? (size_t)left : COPY_BYTES;
        ssize_t n = read(fd, buf, want);
        if (n < 0)
            return hob_fail_errno(err, errno, "reading %s", e->path);
        if (n == 0) {
            memset(buf, 0, want);
            n = (ssize_t)want;
        }
        if (archive_write_data(a, buf, (size_t)n) < 0)
            return hob_fail(err, HOB_E_NO_SPACE, "writing an image: %.120s", archive_error_string(a));
        left -= (uint64_t)n;
    }
    return HOB_OK;
}

/* A file we may not read (a private key in a shared folder, say) is left out: a function could not read it either. */
static enum hob_code put_tree(struct archive *a, const struct tree *t, struct archive_entry *entry, char *buf,
                              struct hob_err *err)
{
    for (const struct tree_entry *e = t->entries; e; e = e->hh.next) {
        bool is_file = S_ISREG(e->mode);
        if (is_file && access(e->path, R_OK) < 0)
            continue;
        archive_entry_clear(entry);
        if (is_file)
            archive_entry_set_size(entry, (la_int64_t)e->bytes);
        if (e->target)
            archive_entry_set_symlink(entry, e->target);
        archive_entry_set_mtime(entry, e->mtime_s, 0);
        mode_t mode = is_file ? S_IFREG | (e->mode & 0755) : e->target ? S_IFLNK | 0777 : S_IFDIR | 0755;
        if (put_entry(a, entry, e->path, mode, err) != HOB_OK ||
            (is_file && copy_file(a, e, buf, err) != HOB_OK))
            return err->code;
    }
    return HOB_OK;
}

static enum hob_code put_own(struct archive *a, const struct tree *t, struct archive_entry *entry,
                             struct hob_err *err)
{
    static const char *const dirs[] = {"/app",         "/dev",  "/etc", "/hob",
                                       "/hob/runtime", "/proc", "/sys", "/tmp"};
    static const struct {
        const char *path, *text;
    } files[] = {
        {"/etc/passwd", "root:x:0:0::/:/bin/false\nnobody:x:65534:65534::/tmp:/bin/false\n"},
        {"/etc/group", "root:x:0:\nnogroup:x:65534:\n"},
        {"/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"},
    };
    for (size_t i = 0; i < HOB_COUNT(dirs); i++) {
        struct tree_entry *known;
        HASH_FIND_STR(t->entries, dirs[i], known);
        archive_entry_clear(entry);
        if (!known && put_entry(a, entry, dirs[i], S_IFDIR | 0755, err) != HOB_OK)
            return err->code;
    }
    for (size_t i = 0; i < HOB_COUNT(files); i++) {
        size_t n = strlen(files[i].text);
        archive_entry_clear(entry);
        archive_entry_set_size(entry, (la_int64_t)n);
        if (put_entry(a, entry, files[i].path, S_IFREG | 0644, err) != HOB_OK)
            return err->code;
        if (archive_write_data(a, files[i].text, n) < 0)
            return hob_fail(err, HOB_E_NO_SPACE, "writing an image: %.120s", archive_error_string(a));
    }
    return HOB_OK;
}

static enum hob_code write_layer(const struct tree *t, struct layer *l, struct hob_err *err)
{
    struct archive *a = archive_write_new();
    struct archive_entry *entry = archive_entry_new();
    hob_auto_free char *buf = hob_calloc(1, COPY_BYTES);
    HOB_ASSERT(a && entry);
    (void)crypto_hash_sha256_init(&l->sha);
    (void)archive_write_set_format_gnutar(a);
    (void)archive_write_set_bytes_per_block(a, COPY_BYTES);
    (void)archive_write_set_bytes_in_last_block(a, 1);
    enum hob_code code = HOB_OK;
    if (archive_write_open(a, l, NULL, on_layer_bytes, NULL) != ARCHIVE_OK)
        code = hob_fail(err, HOB_E_INTERNAL, "writing an image: %.120s", archive_error_string(a));
    if (code == HOB_OK && (code = put_own(a, t, entry, err)) == HOB_OK)
        code = put_tree(a, t, entry, buf, err);
    if (code == HOB_OK && archive_write_close(a) != ARCHIVE_OK)
        code = hob_fail(err, HOB_E_NO_SPACE, "writing an image: %.120s", archive_error_string(a));
    (void)archive_write_free(a);
    archive_entry_free(entry);
    if (code != HOB_OK && l->errnum)
        return hob_fail_errno(err, l->errnum, "writing an image");
    return code;
}

/* --- the archive around it ------------------------------------------------------------------------------------------ */

/* A ustar head (POSIX.1-1988) of a plain file. */
static void tar_head(char head[BLOCK], const char *name, uint64_t bytes)
{
    memset(head, 0, BLOCK);
    (void)snprintf(head, 100, "%s", name);
    (void)snprintf(head + 100, 8, "0000644");
    (void)snprintf(head + 108, 8, "0000000");
    (void)snprintf(head + 116, 8, "0000000");
    (void)snprintf(head + 124, 12, "%011llo", (unsigned long long)bytes);
    (void)snprintf(head + 136, 12, "00000000000");
    memset(head + 148, ' ', 8);
    head[156] = '0';
    memcpy(head + 257, "ustar\00000", 8);
    unsigned sum = 0;
    for (int i = 0; i < BLOCK; i++)
        sum += (unsigned char)head[i];
    (void)snprintf(head + 148, 8, "%06o", sum);
}

static enum hob_code put_padding(int fd, uint64_t bytes, struct hob_err *err)
{
    static const char zeros[BLOCK];
    size_t n = (size_t)((BLOCK - bytes % BLOCK) % BLOCK);
    return hob_write_all(fd, hob_str_n(zeros, n), "an image", err);
}

static enum hob_code put_small(int fd, const char *name, struct hob_str text, struct hob_err *err)
{
    char head[BLOCK];
    tar_head(head, name, text.n);
    if (hob_write_all(fd, hob_str_n(head, sizeof head), "an image", err) != HOB_OK ||
        hob_write_all(fd, text, "an image", err) != HOB_OK)
        return err->code;
    return put_padding(fd, text.n, err);
}

static char *config_of(const char *runtime, const char *key, const char *layer)
{
#if defined(__aarch64__)
    static const char arch[] = "arm64";
#else
    static const char arch[] = "amd64";
#endif
    return hob_asprintf("{\"architecture\":\"%s\",\"os\":\"linux\",\"created\":\"2026-01-01T00:00:00Z\","
                        "\"config\":{\"Env\":[\"PATH=/usr/local/bin:/usr/bin:/bin\"],"
                        "\"Labels\":{\"hob.runtime\":\"%s\",\"hob.key\":\"%s\"}},"
                        "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:%s\"]},"
                        "\"history\":[{\"created\":\"2026-01-01T00:00:00Z\",\"created_by\":\"hob\"}]}",
                        arch, runtime, key, layer);
}

enum hob_code image_write(const struct tree *t, const char *runtime, const char *key, int fd,
                          char ret_id[IMAGE_ID_CHARS + 1], struct hob_err *err)
{
    static const char ends[2 * BLOCK];
    char head[BLOCK] = {0}, layer_hex[65], config_hex[65];
    unsigned char digest[crypto_hash_sha256_BYTES];
    struct layer l = {.fd = fd};
    if (hob_write_all(fd, hob_str_n(head, sizeof head), "an image", err) != HOB_OK ||
        write_layer(t, &l, err) != HOB_OK || put_padding(fd, l.bytes, err) != HOB_OK)
        return err->code;
    (void)crypto_hash_sha256_final(&l.sha, digest);
    hob_hex(layer_hex, digest, sizeof digest);
    hob_auto_free char *config = config_of(runtime, key, layer_hex);
    hob_sha256_hex(config, strlen(config), config_hex);
    hob_auto_free char *config_name = hob_asprintf("%s.json", config_hex);
    hob_auto_free char *manifest =
        hob_asprintf("[{\"Config\":\"%s\",\"RepoTags\":[\"hob/%s:%.12s\"],\"Layers\":[\"layer.tar\"]}]",
                     config_name, runtime, key);
    if (put_small(fd, config_name, hob_str(config), err) != HOB_OK ||
        put_small(fd, "manifest.json", hob_str(manifest), err) != HOB_OK ||
        hob_write_all(fd, hob_str_n(ends, sizeof ends), "an image", err) != HOB_OK)
        return err->code;
    tar_head(head, "layer.tar", l.bytes); /* its length was not known before */
    if (pwrite(fd, head, sizeof head, 0) != (ssize_t)sizeof head || lseek(fd, 0, SEEK_SET) < 0)
        return hob_fail_errno(err, errno, "writing an image");
    (void)snprintf(ret_id, IMAGE_ID_CHARS + 1, "sha256:%s", config_hex);
    return HOB_OK;
}
