#include "controller/logs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/frame.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "controller/logs/logs_priv.h"

/* One job at a time is with the worker: either a batch (every file's waiting lines) or one reading.
 *
 *   append -> files -- batch_timer or a waiting reader --> batch (worker) -> readings that were cut here -> next batch
 */
enum {
    BATCH_MS = 20,                        /* lines of that long go out in one write */
    PENDING_BYTES_MAX = 16 * 1024 * 1024, /* over all functions, when the disk hangs */
    LINE_BYTES_MAX =
        HOB_MAX_LOG_LINE_BYTES * 6 + 1024, /* every byte escaped as \u00XX, and the other members */
    COMPLAIN_EVERY_MS = 60000,
};

static const char *const level_names[] = {[HOB_CHLOG_DEBUG] = "debug",
                                          [HOB_CHLOG_INFO] = "info",
                                          [HOB_CHLOG_WARN] = "warn",
                                          [HOB_CHLOG_ERROR] = "error"};

const char *log_level_name(uint8_t level)
{
    return level >= HOB_CHLOG_DEBUG && level <= HOB_CHLOG_ERROR ? level_names[level] : "info";
}

uint8_t log_level_of(struct hob_str name)
{
    for (unsigned i = HOB_CHLOG_DEBUG; i <= HOB_CHLOG_ERROR; i++)
        if (hob_str_is(name, level_names[i]))
            return (uint8_t)i;
    return 0;
}

/* --- one line --------------------------------------------------------------------------------------------------- */

enum hob_code log_line_write(const struct log_line *line, struct hob_buf *out)
{
    struct hob_jw w;
    char time[25], instance[17] = "";
    hob_utc_format(line->utc_ms, time);
    if (line->instance)
        (void)snprintf(instance, sizeof instance, "%016llx", (unsigned long long)line->instance);
    hob_jw_init(&w, out);
    hob_jw_object(&w);
    hob_jw_kcstr(&w, "time", time); /* log_scan.c relies on this order */
    hob_jw_kcstr(&w, "level", log_level_name(line->level));
    hob_jw_kcstr(&w, "stream", line->stream);
    hob_jw_kint(&w, "version", line->version);
    hob_jw_kcstr(&w, "instance", instance);
    hob_jw_kstr(&w, "request_id", line->request_id);
    hob_jw_kstr(&w, "text", line->text);
    hob_jw_object_end(&w);
    enum hob_code rc = hob_jw_end(&w, NULL);
    return rc != HOB_OK ? rc : hob_buf_add(out, "\n", 1);
}

/* The text within log.line_bytes; a longer one is cut between characters and says so. Borrowed from l->cut. */
static struct hob_str cut_text(struct logs *l, struct hob_str text)
{
    if (text.n <= HOB_MAX_LOG_LINE_BYTES)
        return text;
    size_t n = HOB_MAX_LOG_LINE_BYTES - 64; /* room for the remark */
    while (n && ((unsigned char)text.at[n] & 0xc0) == 0x80)
        n--;
    hob_buf_clear(&l->cut);
    HOB_ASSERT(hob_buf_addf(&l->cut, "%.*s... (cut, %zu bytes)", (int)n, text.at, text.n) == HOB_OK);
    return hob_buf_str(&l->cut);
}

static struct hob_str render(struct logs *l, const struct log_line *line)
{
    struct log_line short_line = *line;
    short_line.text = cut_text(l, line->text);
    if (short_line.request_id.n > 128)
        short_line.request_id.n = 128;
    hob_buf_clear(&l->line);
    HOB_ASSERT(log_line_write(&short_line, &l->line) == HOB_OK);
    return hob_buf_str(&l->line);
}

/* --- files that have something to write -------------------------------------------------------------------------- */

char *logs_path(const struct logs *l, const char *key)
{
    return hob_asprintf("%s/%s.log", l->dir, key);
}

static struct log_file *file_make(struct logs *l, const char *key)
{
    struct log_file *f;
    HASH_FIND_STR(l->files, key, f);
    if (f)
        return f;
    f = hob_new(struct log_file);
    f->key = hob_strdup(key);
    hob_buf_init(&f->pending, HOB_MAX_LOG_PENDING_BYTES + LINE_BYTES_MAX);
    HASH_ADD_KEYPTR(hh, l->files, f->key, strlen(f->key), f);
    return f;
}

static void file_free(struct log_file *f)
{
    hob_buf_done(&f->pending);
    free(f->key);
    free(f);
}

static bool file_has_work(const struct log_file *f)
{
    return f->pending.n || f->is_removed;
}

static bool file_add(struct logs *l, struct log_file *f, struct hob_str line)
{
    if (f->pending.n + line.n > f->pending.max || l->pending_bytes + line.n > PENDING_BYTES_MAX)
        return false;
    HOB_ASSERT(hob_buf_add_str(&f->pending, line) == HOB_OK);
    f->pending_lines++;
    l->pending_bytes += line.n;
    return true;
}

static void file_say_dropped(struct logs *l, struct log_file *f)
{
    char text[120];
    int n = snprintf(text, sizeof text, "%llu lines dropped here: more came than the disk took",
                     (unsigned long long)f->dropped);
    struct log_line line = {.utc_ms = hob_utc_ms(),
                            .level = HOB_CHLOG_WARN,
                            .stream = "platform",
                            .text = hob_str_n(text, (size_t)n)};
    hob_buf_clear(&l->cut); /* l->line holds the caller's line */
    HOB_ASSERT(log_line_write(&line, &l->cut) == HOB_OK);
    if (file_add(l, f, hob_buf_str(&l->cut)))
        f->dropped = 0;
}

static void key_of(char out[130], const char *app, const char *function)
{
    /* they become file names: whoever comes here has judged them */
    HOB_ASSERT(hob_name_is_valid(hob_str(app)) && hob_name_is_valid(hob_str(function)));
    (void)snprintf(out, 130, "%s/%s", app, function);
}

static void on_batch_time(uv_timer_t *timer)
{
    logs_pump(timer->data);
}

static void schedule(struct logs *l)
{
    if (!l->is_working && !l->is_closing && !uv_is_active((uv_handle_t *)&l->batch_timer))
        HOB_ASSERT(uv_timer_start(&l->batch_timer, on_batch_time, BATCH_MS, 0) == 0);
}

void logs_append(struct logs *l, const char *app, const char *function, const struct log_line *line)
{
    char key[130];
    key_of(key, app, function);
    if (l->is_closing)
        return;
    struct hob_str text = render(l, line);
    l->stats.lines_total++;
    log_readers_feed(l, key, text);
    struct log_file *f = file_make(l, key);
    if (f->dropped && f->pending.n + text.n <= HOB_MAX_LOG_PENDING_BYTES / 2)
        file_say_dropped(l, f);
    bool is_within = f->pending.n + text.n <= HOB_MAX_LOG_PENDING_BYTES;
    if (f->dropped || !is_within || !file_add(l, f, text)) {
        f->dropped++;
        l->stats.dropped_total++;
    }
    schedule(l);
}

void logs_remove(struct logs *l, const char *app, const char *function)
{
    char key[130];
    key_of(key, app, function);
    if (l->is_closing)
        return;
    struct log_file *f = file_make(l, key);
    l->pending_bytes -= f->pending.n;
    hob_buf_clear(&f->pending);
    f->pending_lines = f->dropped = 0;
    f->is_removed = true;
    log_readers_end(l, key);
    schedule(l);
}

/* --- the worker -------------------------------------------------------------------------------------------------- */

static int open_log(const char *path, struct hob_err *err)
{
    int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (fd < 0 && errno == ENOENT) {
        hob_auto_free char *dir = hob_strndup(path, (size_t)(strrchr(path, '/') - path));
        if (hob_mkdirs(dir, 0750, err) != HOB_OK)
            return -1;
        fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
    }
    if (fd < 0)
        (void)hob_fail_errno(err, errno, "opening the log %s", path);
    return fd;
}

/* A crash or a full disk can leave half a line at the end: it is ended, so that the next one stays readable. */
static enum hob_code end_torn_line(int fd, off_t size, struct hob_err *err)
{
    char last;
    if (size == 0 || pread(fd, &last, 1, size - 1) != 1 || last == '\n')
        return HOB_OK;
    return hob_write_all(fd, HOB_STR("\n"), "a log", err);
}

static enum hob_code write_lines(const char *path, struct hob_str lines, struct hob_err *err)
{
    hob_auto_close int fd = open_log(path, err);
    struct stat st;
    if (fd < 0)
        return err->code;
    if (fstat(fd, &st) < 0)
        return hob_fail_errno(err, errno, "looking at the log %s", path);
    if (st.st_size > 0 && (size_t)st.st_size + lines.n > HOB_MAX_LOG_FILE_BYTES) {
        hob_auto_free char *older = hob_asprintf("%s.1", path);
        if (rename(path, older) < 0)
            return hob_fail_errno(err, errno, "rotating the log %s", path);
        (void)close(fd);
        fd = open_log(path, err);
        if (fd < 0)
            return err->code;
        st.st_size = 0;
    }
    if (end_torn_line(fd, st.st_size, err) != HOB_OK)
        return err->code;
    return hob_write_all(fd, lines, path, err);
}

static void remove_files(const char *path)
{
    hob_auto_free char *older = hob_asprintf("%s.1", path);
    hob_auto_free char *dir = hob_strndup(path, (size_t)(strrchr(path, '/') - path));
    (void)unlink(path);
    (void)unlink(older);
    (void)rmdir(dir); /* stays while another function of the app has a log */
}

static void write_batch(struct logs *l)
{
    for (struct log_file *f = l->batch, *next; f; f = next) {
        next = f->hh.next;
        hob_auto_free char *path = logs_path(l, f->key);
        if (f->is_removed)
            remove_files(path);
        if (f->pending.n)
            (void)write_lines(path, hob_buf_str(&f->pending), &f->err);
    }
}

static void on_work(uv_work_t *work)
{
    struct logs *l = work->data;
    if (l->reading)
        log_reader_work(l->reading);
    else
        write_batch(l);
}

/* Back on the loop: what could not be written is counted against the function, and said when it can be. */
static void batch_done(struct logs *l)
{
    for (struct log_file *f = l->batch, *next; f; f = next) {
        next = f->hh.next;
        HASH_DEL(l->batch, f); /* NOLINT(clang-analyzer-unix.Malloc): lost in uthash */
        l->pending_bytes -= f->pending.n;
        if (f->err.code != HOB_OK) {
            file_make(l, f->key)->dropped += f->pending_lines;
            l->stats.dropped_total += f->pending_lines;
            l->stats.write_errors_total++;
            if (l->complained_ms == 0 || hob_now_ms() - l->complained_ms > COMPLAIN_EVERY_MS) {
                l->complained_ms = hob_now_ms();
                hob_log(HOB_LOG_ERROR, "logs.write_failed", "fn=%s lines=%llu error=\"%s\"", f->key,
                        (unsigned long long)f->pending_lines, f->err.msg);
            }
        }
        file_free(f);
    }
}

static void on_worked(uv_work_t *work, int status)
{
    struct logs *l = work->data;
    struct log_reader *r = l->reading;
    HOB_ASSERT(status == 0); /* never cancelled */
    l->is_working = false;
    l->reading = NULL;
    if (r)
        log_reader_worked(r);
    else
        batch_done(l);
    if (l->is_closing || log_readers_wait(l))
        logs_pump(l);
    else if (l->files)
        schedule(l);
}

static void on_closed(uv_handle_t *handle)
{
    struct logs *l = handle->data;
    for (struct log_file *f = l->files, *next; f; f = next) {
        next = f->hh.next;
        HASH_DEL(l->files, f); /* NOLINT(clang-analyzer-unix.Malloc): lost in uthash */
        file_free(f);
    }
    void (*closed)(void *) = l->closed;
    void *ctx = l->closed_ctx;
    HOB_ASSERT(hob_list_is_empty(&l->readers));
    hob_buf_done(&l->line);
    hob_buf_done(&l->cut);
    free(l->dir);
    free(l);
    closed(ctx);
}

/* Moves what waits into l->batch; false when nothing does. */
static bool take_batch(struct logs *l)
{
    for (struct log_file *f = l->files, *next; f; f = next) {
        next = f->hh.next;
        if (!file_has_work(f))
            continue;
        /* a loss that is not said yet stays behind for the next line */
        uint64_t dropped = f->dropped;
        HASH_DEL(l->files, f); /* NOLINT(clang-analyzer-unix.Malloc): lost in uthash */
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): lost in uthash */
        HASH_ADD_KEYPTR(hh, l->batch, f->key, strlen(f->key), f);
        if (dropped)
            file_make(l, f->key)->dropped = dropped;
    }
    return l->batch != NULL;
}

/* Gives the worker its next job: a reading whose lines are on disk, else what waits. */
void logs_pump(struct logs *l)
{
    if (l->is_working)
        return;
    (void)uv_timer_stop(&l->batch_timer);
    l->reading = log_readers_next(l);
    if (!l->reading) {
        log_readers_mark_cut(l);
        if (!take_batch(l))
            l->reading = log_readers_next(l);
    }
    if (!l->reading && !l->batch) {
        if (l->is_closing && !uv_is_closing((uv_handle_t *)&l->batch_timer))
            uv_close((uv_handle_t *)&l->batch_timer, on_closed);
        return;
    }
    l->is_working = true;
    HOB_ASSERT(uv_queue_work(l->loop, &l->work, on_work, on_worked) == 0);
}

/* --- door -------------------------------------------------------------------------------------------------------- */

struct logs *logs_start(uv_loop_t *loop, const char *dir, struct hob_err *err)
{
    if (hob_mkdirs(dir, 0750, err) != HOB_OK)
        return NULL;
    struct logs *l = hob_new(struct logs);
    l->loop = loop;
    l->dir = hob_strdup(dir);
    hob_list_init(&l->readers);
    hob_buf_init(&l->line, LINE_BYTES_MAX);
    hob_buf_init(&l->cut, LINE_BYTES_MAX);
    HOB_ASSERT(uv_timer_init(loop, &l->batch_timer) == 0);
    l->batch_timer.data = l;
    l->work.data = l;
    return l;
}

void logs_close(struct logs *l, void (*closed)(void *ctx), void *ctx)
{
    HOB_ASSERT(!l->is_closing);
    l->is_closing = true;
    l->closed = closed;
    l->closed_ctx = ctx;
    log_readers_end(l, NULL);
    logs_pump(l);
}

void logs_stats(const struct logs *l, struct logs_stats *ret_stats)
{
    *ret_stats = l->stats;
    ret_stats->pending_bytes = l->pending_bytes;
}
