/* Bytes on their way: pieces of an export, and pieces of an import put together again. Pieces of one content come in
 * order and gather in parts/ beside the app's files; the last one makes it whole: its digest is judged, then it lies where
 * uploads lie. What nobody goes on with is swept a week later. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/id.h"
#include "base/limits.h"
#include "base/mem.h"
#include "bindings/auth/auth.h"
#include "bindings/transfer/transfer_priv.h"

#include "base/banned.h"

enum { READ_BYTES = 1 << 16, SWEEP_S = 7 * 24 * 3600 };

/* --- out ------------------------------------------------------------------------------------------------------------- */

static enum hob_code piece_write(const struct pieces *p, uint64_t bytes, struct hob_str data,
                                 struct hob_buf *out, struct hob_err *err)
{
    struct hob_jw w;
    size_t chars = sodium_base64_encoded_len(data.n, sodium_base64_VARIANT_ORIGINAL);
    hob_auto_free char *text = hob_calloc(1, chars + 2); /* with its quotes: nothing in it needs an escape */
    (void)sodium_bin2base64(text + 1, chars, (const unsigned char *)data.at, data.n,
                            sodium_base64_VARIANT_ORIGINAL);
    text[0] = text[chars] = '"';
    hob_jw_init(&w, out);
    hob_jw_object(&w);
    hob_jw_kcstr(&w, p->kind, p->name);
    hob_jw_kint(&w, "bytes", (int64_t)bytes);
    hob_jw_kint(&w, "at", (int64_t)p->at);
    hob_jw_key(&w, "base64");
    hob_jw_raw(&w, hob_str_n(text, chars + 1));
    hob_jw_object_end(&w);
    return w.is_full || hob_buf_add(out, "\n", 1) != HOB_OK
               ? hob_fail(err, HOB_E_TOO_LARGE, "one page of the export does not fit in memory")
               : HOB_OK;
}

enum hob_code pieces_write(struct pieces *p, struct hob_buf *out, struct hob_err *err)
{
    struct stat st;
    hob_auto_free char *piece = hob_calloc(1, PIECE_BYTES);
    if (fstat(p->fd, &st) < 0)
        return hob_fail_errno(err, errno, "measuring what is exported");
    uint64_t bytes = (uint64_t)st.st_size;
    do {
        ssize_t n = pread(p->fd, piece, PIECE_BYTES, (off_t)p->at);
        if (n < 0 || (n == 0 && p->at < bytes))
            return hob_fail_errno(err, n < 0 ? errno : EIO, "reading what is exported");
        if (piece_write(p, bytes, hob_str_n(piece, (size_t)n), out, err) != HOB_OK)
            return err->code;
        p->at += (uint64_t)n;
    } while (p->at < bytes && out->n < PAGE_BYTES);
    p->is_over = p->at >= bytes;
    return HOB_OK;
}

bool transfer_is_sql(struct hob_str after, struct transfer_snapshot *ret_snapshot)
{
    struct hob_str at, id, phase = hob_str_cut(after, '/', &id);
    *ret_snapshot = (struct transfer_snapshot){.at = 0};
    if (!hob_str_is(phase, "+sql") || !id.at)
        return false;
    id = hob_str_cut(id, '/', &at);
    if (id.n != TRANSFER_ID_CHARS || !at.at || !hob_str_u64(at, &ret_snapshot->at))
        return true; /* from the start */
    for (size_t i = 0; i < id.n; i++)
        if (!strchr("0123456789abcdef", id.at[i]) || !id.at[i])
            return true;
    memcpy(ret_snapshot->id, id.at, id.n);
    return true;
}

enum hob_code transfer_export_sql(const struct transfer_page *page, const struct transfer_snapshot *s, int fd,
                                  struct hob_buf *out, char ret_next[TRANSFER_CURSOR_BYTES],
                                  bool *ret_is_over, struct hob_err *err)
{
    struct pieces p = {.fd = fd, .kind = "sql", .name = "main", .at = s->at};
    if (fd >= 0 && pieces_write(&p, out, err) != HOB_OK)
        return err->code;
    *ret_is_over = fd < 0 || p.is_over;
    if (*ret_is_over)
        phase_next("sql", page->without, ret_next);
    else
        (void)snprintf(ret_next, TRANSFER_CURSOR_BYTES, "+sql/%s/%llu", s->id, (unsigned long long)p.at);
    return HOB_OK;
}

/* --- in -------------------------------------------------------------------------------------------------------------- */

struct take {
    struct file_work work;
    struct blob_place place;
    struct hob_str lines;
    unsigned without;
    uint64_t pieces;
    char *parts, *sql; /* sql: a whole database waits there */
    transfer_taken_cb done;
    void *ctx;
};

bool piece_is(struct hob_str line, enum transfer_part *ret_part)
{
    bool is_blob = hob_str_starts(line, HOB_STR("{\"blob\":"));
    bool is_sql = hob_str_starts(line, HOB_STR("{\"sql\":"));
    *ret_part = is_sql ? TRANSFER_SQL : TRANSFER_FILES;
    return is_blob || is_sql;
}

struct part { /* one piece, judged */
    bool is_sql;
    char path[4096];
    const char *digest;
    uint64_t at, bytes;
    const json_t *text;
};

static enum hob_code bad_piece(const char *what, struct hob_err *err)
{
    return hob_fail(err, HOB_E_INVALID, "a piece of bytes %s", what);
}

static bool whole(const json_t *j, uint64_t max, uint64_t *ret_n)
{
    double d = json_number_value(j);
    if (!json_is_number(j) || d < 0 || d > (double)max || d != (double)(uint64_t)d)
        return false;
    *ret_n = (uint64_t)d;
    return true;
}

static enum hob_code judge(const struct take *t, const json_t *line, struct part *p, struct hob_err *err)
{
    const json_t *sql = json_object_get(line, "sql");
    *p = (struct part){.is_sql = sql != NULL,
                       .digest = json_string_value(json_object_get(line, "blob")),
                       .text = json_object_get(line, "base64")};
    uint64_t max = p->is_sql ? (uint64_t)HOB_MAX_SQL_FILE_BYTES : 1ULL << 40;
    if (p->is_sql ? !json_is_string(sql) : !p->digest || !hob_digest_is_valid(p->digest))
        return bad_piece("names no content (\"blob\": its SHA-256)", err);
    if (!whole(json_object_get(line, "bytes"), max, &p->bytes))
        return hob_fail(err, HOB_E_TOO_LARGE, "a piece of bytes: of a whole of at most %llu bytes",
                        (unsigned long long)max);
    if (!whole(json_object_get(line, "at"), p->bytes, &p->at) || !json_is_string(p->text))
        return bad_piece("lacks 'at' or 'base64'", err);
    int n = snprintf(p->path, sizeof p->path, "%s/%s", t->parts, p->is_sql ? "sql" : p->digest);
    HOB_ASSERT(n > 0 && (size_t)n < sizeof p->path);
    return HOB_OK;
}

static enum hob_code digest_fd(int fd, char out[HOB_DIGEST_CHARS + 1], struct hob_err *err)
{
    crypto_hash_sha256_state state;
    unsigned char sum[crypto_hash_sha256_BYTES];
    hob_auto_free unsigned char *piece = hob_calloc(1, READ_BYTES);
    (void)crypto_hash_sha256_init(&state);
    for (off_t at = 0;;) {
        ssize_t n = pread(fd, piece, READ_BYTES, at);
        if (n < 0)
            return hob_fail_errno(err, errno, "reading what was imported");
        if (n == 0)
            break;
        (void)crypto_hash_sha256_update(&state, piece, (unsigned long long)n);
        at += n;
    }
    (void)crypto_hash_sha256_final(&state, sum);
    hob_hex(out, sum, sizeof sum);
    return HOB_OK;
}

/* All pieces are there. */
static enum hob_code finish(struct take *t, const struct part *p, int fd, struct hob_err *err)
{
    char digest[HOB_DIGEST_CHARS + 1];
    if (p->is_sql) {
        free(t->sql);
        t->sql = hob_strdup(p->path);
        return HOB_OK;
    }
    if (digest_fd(fd, digest, err) != HOB_OK)
        return err->code;
    struct blob b = {.name = p->digest, .digest = p->digest, .bytes = p->bytes};
    bool is_right = strcmp(digest, p->digest) == 0;
    enum hob_code rc =
        is_right ? blob_put(&t->place, &b, p->path, err)
                 : hob_fail(err, HOB_E_INVALID,
                            "the bytes of %.16s... are damaged: import from its first piece on", p->digest);
    if (unlink(p->path) < 0 && errno != ENOENT && rc == HOB_OK)
        rc = hob_fail_errno(err, errno, "removing '%.150s'", p->path);
    return rc;
}

static enum hob_code add(struct take *t, const struct part *p, struct hob_str data, struct hob_err *err)
{
    struct stat st;
    hob_auto_close int fd =
        open(p->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | (p->at ? 0 : O_TRUNC), 0600);
    if (fd < 0 || fstat(fd, &st) < 0)
        return hob_fail_errno(err, errno, "keeping a piece of bytes");
    if ((uint64_t)st.st_size < p->at)
        return bad_piece("lacks those before it: import from the first piece on", err);
    if (lseek(fd, (off_t)p->at, SEEK_SET) < 0)
        return hob_fail_errno(err, errno, "keeping a piece of bytes");
    if (hob_write_all(fd, data, "a piece of bytes", err) != HOB_OK)
        return err->code;
    bool is_last = p->at + data.n == p->bytes;
    if ((is_last && ftruncate(fd, (off_t)p->bytes) < 0) || fdatasync(fd) < 0)
        return hob_fail_errno(err, errno, "keeping a piece of bytes");
    return is_last ? finish(t, p, fd, err) : HOB_OK;
}

/* The same content lies there already. */
static bool is_there(const struct take *t, const struct part *p)
{
    struct hob_err ignored;
    struct blob b = {.name = p->digest, .digest = p->digest};
    int fd = -1;
    if (p->is_sql || blob_open(&t->place, &b, NULL, &fd, &ignored) != HOB_OK)
        return false;
    (void)close(fd);
    return true;
}

static enum hob_code take_line(struct take *t, struct hob_str line, struct hob_err *err)
{
    struct part p;
    size_t n = 0;
    hob_auto_json json_t *j = hob_json_parse(line, "the line", err);
    if (!j || judge(t, j, &p, err) != HOB_OK)
        return err->code;
    if (!p.is_sql && t->place.is_s3)
        return hob_fail(err, HOB_E_UNSUPPORTED,
                        "the app's files lie in an S3 store, where an import puts no bytes: leave them out "
                        "(--without files), or import before the setting 'files' is set");
    size_t chars = json_string_length(p.text), room = chars / 4 * 3 + 4;
    hob_auto_free char *data = hob_calloc(1, room);
    if (sodium_base642bin((unsigned char *)data, room, json_string_value(p.text), chars, NULL, &n, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0)
        return bad_piece("is no base64", err);
    if (p.at + n > p.bytes || (n == 0 && p.bytes))
        return bad_piece("does not fit into the whole", err);
    t->pieces++;
    if (p.is_sql && !p.at) { /* begun anew */
        free(t->sql);
        t->sql = NULL;
    }
    return is_there(t, &p) ? HOB_OK : add(t, &p, hob_str_n(data, n), err);
}

static void sweep(const char *dir)
{
    DIR *d = opendir(dir);
    struct stat st;
    if (!d)
        return;
    for (const struct dirent *e; (e = readdir(d)) != NULL;) /* NOLINT(concurrency-mt-unsafe): ours alone */
        if (e->d_name[0] != '.' && fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            st.st_mtime < time(NULL) - SWEEP_S)
            (void)unlinkat(dirfd(d), e->d_name, 0);
    (void)closedir(d);
}

static enum hob_code take_work(void *ctx, struct hob_err *err)
{
    struct take *t = ctx;
    struct hob_str rest = t->lines;
    uint64_t n = 0;
    enum transfer_part part;
    bool is_ready = false;
    while (rest.at && rest.n) {
        struct hob_str line = hob_str_trim(hob_str_cut(rest, '\n', &rest));
        n++;
        if (!piece_is(line, &part) || (part & t->without))
            continue;
        if (!is_ready && hob_mkdirs(t->parts, 0700, err) != HOB_OK)
            return err->code;
        if (!is_ready)
            sweep(t->parts);
        is_ready = true;
        if (take_line(t, line, err) != HOB_OK)
            return hob_err_wrap(err, "line %llu", (unsigned long long)n);
    }
    return HOB_OK;
}

static void on_taken(void *ctx, const struct hob_err *err)
{
    struct take *t = ctx;
    t->done(t->ctx, err, t->pieces, err ? NULL : hob_steal(&t->sql));
    blob_place_done(&t->place);
    free(t->parts);
    free(t->sql);
    free(t);
}

void transfer_take(struct backend *b, const struct backend_app *app, struct hob_str lines, unsigned without,
                   transfer_taken_cb done, void *ctx)
{
    struct take *t = hob_new(struct take);
    *t = (struct take){.lines = lines, .without = without, .done = done, .ctx = ctx};
    t->place.is_s3 = file_place(b, app, &t->place, &t->work.err) != HOB_OK || t->place.is_s3;
    t->parts = hob_asprintf("%s/%s/parts", backend_files(b)->dir, backend_app_name(app));
    t->work.files = backend_files(b);
    t->work.work = take_work;
    t->work.done = on_taken;
    t->work.ctx = t;
    file_work_start(&t->work);
}
