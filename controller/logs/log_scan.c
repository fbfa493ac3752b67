#include "controller/logs/log_scan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "controller/logs.h"

/* Lines are ours (log_line_write), so their shape is fixed: {"time":"…","level":"…","stream":…,"request_id":"…","text":…}
 * with text last. Nothing before it can hold a quote that is not escaped, so the first hit of a key is the key. */
#define LINE_START "{\"time\":\""
#define LINE_LEVEL "\",\"level\":\""
#define LINE_REQUEST ",\"request_id\":\""
enum { TIME_AT = sizeof LINE_START - 1, TIME_CHARS = 24, LEVEL_AT = TIME_AT + TIME_CHARS };

struct mapped {
    const char *at;
    size_t n;
};

static struct hob_str text_until_quote(struct hob_str line, size_t at)
{
    const char *end = at < line.n ? memchr(line.at + at, '"', line.n - at) : NULL;
    return end ? hob_str_n(line.at + at, (size_t)(end - line.at) - at) : hob_str_n("", 0);
}

static bool is_whole(struct hob_str line)
{
    return line.n > LEVEL_AT + sizeof LINE_LEVEL && memcmp(line.at, LINE_START, TIME_AT) == 0 &&
           memcmp(line.at + LEVEL_AT, LINE_LEVEL, sizeof LINE_LEVEL - 1) == 0 && line.at[line.n - 1] == '}';
}

static bool is_older(struct hob_str line, const struct log_match *m)
{
    return m->since[0] && memcmp(line.at + TIME_AT, m->since, TIME_CHARS) < 0;
}

static bool is_of_request(struct hob_str line, const char *request)
{
    const char *key = memmem(line.at, line.n, LINE_REQUEST, sizeof LINE_REQUEST - 1);
    return key &&
           hob_str_is(text_until_quote(line, (size_t)(key - line.at) + sizeof LINE_REQUEST - 1), request);
}

static bool passes(struct hob_str line, const struct log_match *m)
{
    if (m->level_min && log_level_of(text_until_quote(line, LEVEL_AT + sizeof LINE_LEVEL - 1)) < m->level_min)
        return false;
    return !m->request || is_of_request(line, m->request);
}

bool log_line_matches(struct hob_str line, const struct log_match *m)
{
    if (line.n && line.at[line.n - 1] == '\n')
        line.n--;
    return is_whole(line) && !is_older(line, m) && passes(line, m);
}

static enum hob_code map_file(const char *path, struct mapped *ret_map, struct hob_err *err)
{
    *ret_map = (struct mapped){NULL, 0};
    hob_auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 && errno == ENOENT)
        return HOB_OK;
    if (fd < 0 || fstat(fd, &st) < 0)
        return hob_fail_errno(err, errno, "opening the log %s", path);
    if (st.st_size <= 0)
        return HOB_OK;
    /* only appended to and renamed, never truncated: the mapping cannot fault */
    void *at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (at == MAP_FAILED)
        return hob_fail_errno(err, errno, "reading the log %s", path);
    *ret_map = (struct mapped){at, (size_t)st.st_size};
    return HOB_OK;
}

static void unmap_file(struct mapped *m)
{
    if (m->at)
        (void)munmap((void *)(uintptr_t)m->at, m->n);
}

struct found {
    struct hob_str *lines; /* newest first, each with its '\n' */
    size_t n, max, bytes, bytes_max;
    bool is_done; /* enough, or only older ones follow */
};

static void find_in(const struct mapped *map, const struct log_match *m, struct found *f)
{
    size_t end = map->n;
    while (end && !f->is_done) {
        const char *before = end > 1 ? memrchr(map->at, '\n', end - 1) : NULL;
        size_t start = before ? (size_t)(before - map->at) + 1 : 0;
        struct hob_str line = hob_str_n(map->at + start, end - start);
        bool is_ended = line.at[line.n - 1] == '\n';
        struct hob_str bare = hob_str_n(line.at, line.n - is_ended);
        end = start;
        if (!is_ended || !is_whole(bare))
            continue; /* torn by a crash */
        f->is_done = is_older(bare, m) || f->bytes + line.n > f->bytes_max;
        if (f->is_done || !passes(bare, m))
            continue;
        f->lines[f->n++] = line;
        f->bytes += line.n;
        f->is_done = f->n == f->max;
    }
}

enum hob_code log_scan(const char *path, const struct log_match *m, uint32_t lines_max, struct hob_buf *out,
                       struct hob_err *err)
{
    if (lines_max == 0)
        return HOB_OK;
    hob_auto_free char *older = hob_asprintf("%s.1", path);
    struct mapped maps[2] = {{NULL, 0}, {NULL, 0}};
    enum hob_code rc = map_file(path, &maps[0], err);
    if (rc == HOB_OK)
        rc = map_file(older, &maps[1], err);
    hob_auto_free struct hob_str *lines = hob_new_n(struct hob_str, lines_max);
    struct found f = {.lines = lines, .max = lines_max, .bytes_max = out->max - out->n};
    for (size_t i = 0; rc == HOB_OK && i < HOB_COUNT(maps); i++)
        find_in(&maps[i], m, &f);
    while (rc == HOB_OK && f.n) {
        f.n--;
        rc = hob_buf_add_str(out, f.lines[f.n]);
    }
    HOB_ASSERT(rc != HOB_E_TOO_LARGE); /* counted above */
    unmap_file(&maps[0]);
    unmap_file(&maps[1]);
    return rc;
}
