#include "runner/docker/tree.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"

#include "base/banned.h"

enum { LINKS_MAX = 16, DEPTH_MAX = 32 };

#if defined(__x86_64__)
#define MULTIARCH "x86_64-linux-gnu"
#elif defined(__aarch64__)
#define MULTIARCH "aarch64-linux-gnu"
#endif

static enum hob_code add(struct tree *t, const char *path, bool is_deep, unsigned links, struct hob_err *err);

static struct tree_entry *find(const struct tree *t, const char *path)
{
    struct tree_entry *e;
    HASH_FIND_STR(t->entries, path, e);
    return e;
}

static enum hob_code put(struct tree *t, const char *path, const struct stat *st, const char *target,
                         struct hob_err *err)
{
    if (find(t, path))
        return HOB_OK;
    struct tree_entry *e = hob_new(struct tree_entry);
    e->path = hob_strdup(path);
    e->target = target ? hob_strdup(target) : NULL;
    e->mode = st->st_mode;
    e->bytes = S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0;
    e->mtime_s = st->st_mtime;
    HASH_ADD_KEYPTR(hh, t->entries, e->path, strlen(e->path), e);
    t->bytes += e->bytes;
    if (HASH_COUNT(t->entries) > TREE_ENTRIES_MAX || t->bytes > TREE_BYTES_MAX)
        return hob_fail(err, HOB_E_TOO_LARGE, "a runtime's image: more than %d files or %llu MiB",
                        TREE_ENTRIES_MAX, TREE_BYTES_MAX >> 20);
    return HOB_OK;
}

/* The link itself, and then what it leads to with `rest` behind it. */
static enum hob_code follow(struct tree *t, const char *at, const char *rest, const struct stat *st,
                            unsigned links, bool is_deep, struct hob_err *err)
{
    char target[PATH_MAX];
    ssize_t n = readlink(at, target, sizeof target - 1);
    if (n <= 0 || links >= LINKS_MAX)
        return HOB_OK; /* leads nowhere: nobody can need it */
    target[n] = '\0';
    if (put(t, at, st, target, err) != HOB_OK)
        return err->code;
    const char *slash = strrchr(at, '/');
    char *next = target[0] == '/' ? hob_asprintf("%s%s", target, rest)
                                  : hob_asprintf("%.*s/%s%s", (int)(slash - at), at, target, rest);
    enum hob_code code = add(t, next, is_deep, links + 1, err);
    free(next);
    return code;
}

static enum hob_code add_below(struct tree *t, const char *path, unsigned depth, struct hob_err *err)
{
    DIR *d = depth < DEPTH_MAX ? opendir(path) : NULL;
    if (!d)
        return HOB_OK; /* what we may not read a function may not, either */
    enum hob_code code = HOB_OK;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is ours alone */
    for (struct dirent *entry; code == HOB_OK && (entry = readdir(d)) != NULL;) {
        struct stat st;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        hob_auto_free char *child = hob_asprintf("%s/%s", path, entry->d_name);
        if (lstat(child, &st) < 0)
            continue;
        if (S_ISLNK(st.st_mode)) {
            code = follow(t, child, "", &st, 0, true, err);
        } else if (S_ISDIR(st.st_mode)) {
            code = put(t, child, &st, NULL, err);
            if (code == HOB_OK)
                code = add_below(t, child, depth + 1, err);
        } else if (S_ISREG(st.st_mode)) {
            code = put(t, child, &st, NULL, err);
        }
    }
    (void)closedir(d);
    return code;
}

/* "/a/./b/../c" as it is meant where no folder is a link: "/a/c". */
static char *tidy(const char *path)
{
    char *out = hob_strdup("");
    struct hob_str rest = hob_str(path);
    while (rest.at) {
        struct hob_str part = hob_str_cut(rest, '/', &rest);
        if (part.n == 0 || hob_str_is(part, "."))
            continue;
        if (hob_str_is(part, "..")) {
            char *slash = strrchr(out, '/');
            if (slash)
                *slash = '\0';
            continue;
        }
        char *longer = hob_asprintf("%s/%.*s", out, HOB_STR_ARG(part));
        free(out);
        out = longer;
    }
    return out;
}

/* Walks down to `path`: each folder and link on the way becomes an entry. */
static enum hob_code add(struct tree *t, const char *path, bool is_deep, unsigned links, struct hob_err *err)
{
    hob_auto_free char *clean = tidy(path);
    for (char *end = clean; *end;) {
        struct stat st;
        end += 1 + strcspn(end + 1, "/");
        hob_auto_free char *at = hob_strndup(clean, (size_t)(end - clean));
        if (lstat(at, &st) < 0)
            return HOB_OK;
        if (S_ISLNK(st.st_mode))
            return follow(t, at, end, &st, links, is_deep, err);
        if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
            return HOB_OK;
        bool is_known = find(t, at) != NULL;
        if (put(t, at, &st, NULL, err) != HOB_OK)
            return err->code;
        if (!*end && S_ISDIR(st.st_mode) && is_deep && (!is_known || links == 0))
            return add_below(t, at, 0, err);
    }
    return HOB_OK;
}

enum hob_code tree_add(struct tree *t, const char *path, struct hob_err *err)
{
    return add(t, path, true, 0, err);
}

/* --- libraries --- */

struct search {
    struct tree *tree;
    const char *origin; /* the folder of the file that asks */
    size_t origin_n;
    struct hob_err *err;
    enum hob_code code;
};

static bool try_add(struct search *s, const char *path)
{
    struct stat st;
    if (s->code != HOB_OK || stat(path, &st) < 0 || !S_ISREG(st.st_mode))
        return false;
    s->code = add(s->tree, path, false, 0, s->err);
    return true;
}

static bool try_rpath(struct search *s, const char *rpath, const char *name)
{
    struct hob_str rest = hob_str(rpath);
    while (rest.at) {
        struct hob_str dir = hob_str_cut(rest, ':', &rest), origin = {"$ORIGIN", 7},
                       braced = {"${ORIGIN}", 9};
        size_t skip = hob_str_starts(dir, origin) ? origin.n : hob_str_starts(dir, braced) ? braced.n : 0;
        hob_auto_free char *path = skip ? hob_asprintf("%.*s%.*s/%s", (int)s->origin_n, s->origin,
                                                       (int)(dir.n - skip), dir.at + skip, name)
                                        : hob_asprintf("%.*s/%s", HOB_STR_ARG(dir), name);
        if (path[0] == '/' && try_add(s, path))
            return true;
    }
    return false;
}

static void on_need(void *ctx, const char *name, const char *rpath)
{
    static const char *const dirs[] = {
        "/lib/" MULTIARCH, "/usr/lib/" MULTIARCH, "/lib64", "/usr/lib64", "/lib",
        "/usr/lib",        "/usr/local/lib"};
    struct search *s = ctx;
    if (name[0] == '/') {
        (void)try_add(s, name);
        return;
    }
    if (strchr(name, '/') || try_rpath(s, rpath, name))
        return;
    for (size_t i = 0; i < HOB_COUNT(dirs); i++) {
        hob_auto_free char *path = hob_asprintf("%s/%s", dirs[i], name);
        if (try_add(s, path))
            return;
    }
}

enum hob_code tree_add_libraries(struct tree *t, struct hob_err *err)
{
    /* What programs ask for only while they run. */
    static const char *const always[] = {"libc.so.6",  "libm.so.6",       "libgcc_s.so.1", "libstdc++.so.6",
                                         "libdl.so.2", "libpthread.so.0", "librt.so.1",    "libresolv.so.2"};
    struct search s = {.tree = t, .err = err, .code = HOB_OK, .origin = ""};
    for (size_t i = 0; i < HOB_COUNT(always); i++)
        on_need(&s, always[i], NULL);
    (void)try_add(&s, "/lib64/ld-linux-x86-64.so.2");
    (void)try_add(&s, "/lib/ld-linux-aarch64.so.1");
    (void)try_add(&s, "/etc/ld.so.cache");
    /* What is found comes at the end of the table's order, and its own needs are read in turn. */
    for (struct tree_entry *e = t->entries; e && s.code == HOB_OK; e = e->hh.next) {
        bool may_be_elf = S_ISREG(e->mode) && ((e->mode & 0111) || strstr(e->path, ".so"));
        if (!may_be_elf)
            continue;
        s.origin = e->path;
        s.origin_n = (size_t)(strrchr(e->path, '/') - e->path);
        (void)elf_needs(e->path, on_need, &s);
    }
    return s.code;
}

static int by_path(const struct tree_entry *a, const struct tree_entry *b)
{
    return strcmp(a->path, b->path);
}

void tree_sort(struct tree *t)
{
    HASH_SORT(t->entries, by_path);
}

void tree_done(struct tree *t)
{
    struct tree_entry *e = t->entries, *next;
    HASH_CLEAR(hh, t->entries);
    for (; e; e = next) {
        next = e->hh.next;
        free(e->path);
        free(e->target);
        free(e);
    }
    t->bytes = 0;
}
