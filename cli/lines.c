#include "cli/lines.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "cli/parse_export.h"

#include "base/banned.h"

enum { FILES_MAX = 10000, MADE_BYTES_MAX = 64 << 20 };

struct lines {
    FILE *file; /* the one that is read now */
    char *line;
    size_t line_cap;
    uint64_t bytes, total;
    /* of a folder */
    char *dir;
    char **names; /* "_User.json", in order */
    size_t names_n, at;
    char *collection;
    json_t *schema, *list; /* list: a file that is one JSON array */
    size_t list_at;
    struct parse_export *exported;
    struct hob_buf made; /* lines of ours that were not taken yet */
};

/* --- opening --- */

static enum hob_code open_file(struct lines *l, const char *path, struct hob_err *err)
{
    l->file = fopen(path, "re");
    return l->file ? HOB_OK : hob_fail_errno(err, errno, "opening '%.150s'", path);
}

static int by_name(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

static bool is_json_name(const char *name)
{
    size_t n = strlen(name);
    return n > 5 && strcmp(name + n - 5, ".json") == 0;
}

static char *collection_of(const char *name)
{
    return hob_strndup(name, strlen(name) - 5);
}

static enum hob_code list_folder(struct lines *l, struct hob_err *err)
{
    DIR *d = opendir(l->dir);
    struct dirent *one;
    if (!d)
        return hob_fail_errno(err, errno, "opening '%.150s'", l->dir);
    while ((one = readdir(d)) && l->names_n < FILES_MAX) { /* NOLINT(concurrency-mt-unsafe): one thread */
        hob_auto_free char *path = hob_asprintf("%s/%s", l->dir, one->d_name);
        struct stat st;
        if (!is_json_name(one->d_name) || stat(path, &st) < 0)
            continue;
        hob_auto_free char *collection = collection_of(one->d_name);
        if (!parse_export_wants(collection))
            continue;
        l->names = hob_realloc(l->names, l->names_n + 1, sizeof(char *));
        l->names[l->names_n++] = hob_strdup(one->d_name);
        l->total += (uint64_t)st.st_size;
    }
    (void)closedir(d);
    if (!l->names_n)
        return hob_fail(err, HOB_E_NOT_FOUND, "'%.150s' has no file COLLECTION.json", l->dir);
    qsort(l->names, l->names_n, sizeof(char *), by_name);
    return HOB_OK;
}

/* --- reading a file --- */

static enum hob_code read_line(struct lines *l, struct hob_str *ret_line, bool *ret_has_line,
                               struct hob_err *err)
{
    ssize_t n = getline(&l->line, &l->line_cap, l->file);
    *ret_has_line = n >= 0;
    if (n < 0)
        return ferror(l->file) ? hob_fail_errno(err, errno, "reading") : HOB_OK;
    if (n > LINE_BYTES_MAX)
        return hob_fail(err, HOB_E_TOO_LARGE, "a line has more than %d bytes", LINE_BYTES_MAX);
    l->bytes += (uint64_t)n;
    *ret_line = hob_str_trim(hob_str_n(l->line, (size_t)n));
    return HOB_OK;
}

/* --- a folder: documents, one by one --- */

/* A file is one JSON array, {"results":[...]}, or a document a line. */
static enum hob_code load_list(struct lines *l, const char *path, struct hob_err *err)
{
    int first = fgetc(l->file);
    (void)ungetc(first, l->file);
    if (first == '{') {
        char head[12] = "";
        (void)!fread(head, 1, sizeof head - 1, l->file);
        (void)fseek(l->file, 0, SEEK_SET);
        if (strncmp(head, "{\"results\"", 10) != 0 && strncmp(head, "{ \"results\"", 11) != 0)
            return HOB_OK;
    } else if (first != '[') {
        return HOB_OK;
    }
    json_error_t je;
    json_t *whole = json_loadf(l->file, JSON_DECODE_INT_AS_REAL, &je);
    if (!whole)
        return hob_fail(err, HOB_E_INVALID, "'%.100s' is no JSON: %.60s in line %d", path, je.text, je.line);
    l->list = json_is_array(whole) ? json_incref(whole) : json_incref(json_object_get(whole, "results"));
    json_decref(whole);
    return HOB_OK;
}

static enum hob_code open_next(struct lines *l, struct hob_err *err)
{
    hob_auto_free char *path = hob_asprintf("%s/%s", l->dir, l->names[l->at]);
    free(l->collection);
    l->collection = collection_of(l->names[l->at++]);
    l->list_at = 0;
    if (open_file(l, path, err) != HOB_OK)
        return err->code;
    return load_list(l, path, err);
}

static void close_current(struct lines *l)
{
    if (l->file)
        (void)fclose(l->file);
    l->file = NULL;
    json_decref(l->list);
    l->list = NULL;
}

/* The next document of the file that is open; NULL in *ret_doc at its end. Owned. */
static enum hob_code next_in_file(struct lines *l, json_t **ret_doc, struct hob_err *err)
{
    struct hob_str line;
    bool has_line = true;
    *ret_doc = NULL;
    if (l->list) {
        *ret_doc = json_incref(json_array_get(l->list, l->list_at++));
        return HOB_OK;
    }
    do {
        if (read_line(l, &line, &has_line, err) != HOB_OK)
            return err->code;
    } while (has_line && !line.n);
    if (!has_line)
        return HOB_OK;
    *ret_doc = hob_json_parse(line, "a document", err);
    return *ret_doc ? HOB_OK : hob_err_wrap(err, "%s.json", l->collection);
}

static enum hob_code next_document(struct lines *l, json_t **ret_doc, struct hob_err *err)
{
    for (;;) {
        if (!l->file && l->at >= l->names_n) {
            *ret_doc = NULL;
            return HOB_OK;
        }
        if (!l->file && open_next(l, err) != HOB_OK)
            return err->code;
        if (next_in_file(l, ret_doc, err) != HOB_OK || *ret_doc)
            return err->code;
        close_current(l);
    }
}

static enum hob_code next_made(struct lines *l, struct hob_str *ret_line, bool *ret_has_line,
                               struct hob_err *err)
{
    while (!l->made.n) {
        json_t *doc = NULL;
        if (next_document(l, &doc, err) != HOB_OK)
            return err->code;
        *ret_has_line = doc != NULL;
        if (!doc)
            return HOB_OK;
        hob_buf_clear(&l->made);
        enum hob_code rc = parse_export_lines(l->exported, l->collection, doc, &l->made, err);
        json_decref(doc);
        if (rc != HOB_OK)
            return hob_err_wrap(err, "%s.json", l->collection);
    }
    struct hob_str rest;
    *ret_line = hob_str_cut(hob_buf_str(&l->made), '\n', &rest);
    *ret_has_line = true;
    free(l->line);
    l->line = hob_strndup(ret_line->at, ret_line->n);
    l->line_cap = ret_line->n + 1;
    hob_buf_consume(&l->made, ret_line->n + 1);
    *ret_line = hob_str(l->line);
    return HOB_OK;
}

/* The documents of _SCHEMA.json are needed before the first object: it sorts first, but is read for itself. */
static enum hob_code load_schema(struct lines *l, struct hob_err *err)
{
    json_t *doc = NULL;
    l->schema = json_array();
    for (size_t i = 0; i < l->names_n; i++) {
        if (strcmp(l->names[i], "_SCHEMA.json") != 0)
            continue;
        l->at = i;
        enum hob_code rc = open_next(l, err);
        while (rc == HOB_OK && (rc = next_in_file(l, &doc, err)) == HOB_OK && doc)
            (void)json_array_append_new(l->schema, doc);
        close_current(l);
        if (rc != HOB_OK)
            return rc;
        /* first of all: it makes the classes with the types of their fields */
        char *schema = l->names[i];
        memmove(&l->names[1], &l->names[0], i * sizeof(char *));
        l->names[0] = schema;
    }
    l->at = 0;
    l->bytes = 0;
    l->exported = parse_export_new(l->schema);
    return HOB_OK;
}

/* --- door --- */

struct lines *lines_open(const char *path, struct hob_err *err)
{
    struct lines *l = hob_new(struct lines);
    struct stat st;
    hob_buf_init(&l->made, MADE_BYTES_MAX);
    enum hob_code rc;
    if (stat(path, &st) < 0) {
        rc = hob_fail_errno(err, errno, "opening '%.150s'", path);
    } else if (S_ISDIR(st.st_mode)) {
        l->dir = hob_strdup(path);
        rc = list_folder(l, err);
        if (rc == HOB_OK)
            rc = load_schema(l, err);
    } else {
        l->total = (uint64_t)st.st_size;
        rc = open_file(l, path, err);
    }
    if (rc == HOB_OK)
        return l;
    lines_close(l);
    return NULL;
}

void lines_close(struct lines *l)
{
    close_current(l);
    for (size_t i = 0; i < l->names_n; i++)
        free(l->names[i]);
    free(l->names);
    free(l->dir);
    free(l->collection);
    free(l->line);
    json_decref(l->schema);
    parse_export_free(l->exported);
    hob_buf_done(&l->made);
    free(l);
}

enum hob_code lines_next(struct lines *l, struct hob_str *ret_line, bool *ret_has_line, struct hob_err *err)
{
    return l->dir ? next_made(l, ret_line, ret_has_line, err) : read_line(l, ret_line, ret_has_line, err);
}

uint64_t lines_bytes(const struct lines *l)
{
    return l->bytes;
}

uint64_t lines_total(const struct lines *l)
{
    return l->total;
}
