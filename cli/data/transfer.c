/* An app's data: exported into a file of JSON lines, imported from one (or from an export of Parse Server). */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/lines.h"
#include "cli/out.h"
#include "cli/target.h"

#include "base/banned.h"

enum { CALL_MS = 10 * 60 * 1000, PIECE_BYTES = 4 << 20, PIECE_LINES = 2000, CURSOR_BYTES_MAX = 4096 };

static void progress(struct cli *c, const char *what, uint64_t done, uint64_t total)
{
    char size[24];
    if (!c->is_err_terminal || c->is_quiet || c->is_json)
        return;
    bytes_text(done, size);
    if (total)
        (void)fprintf(c->err, "\r\033[K%s %s, %3d %%", what, size, (int)(done * 100 / total));
    else
        (void)fprintf(c->err, "\r\033[K%s %s", what, size);
    (void)fflush(c->err);
}

static void progress_end(struct cli *c)
{
    if (c->is_err_terminal && !c->is_quiet && !c->is_json)
        (void)fprintf(c->err, "\r\033[K");
}

/* --- export ----------------------------------------------------------------------------------------------------------
 * FILE.part grows page by page; FILE.next holds how far it is good and where the next page begins, so that the same
 * command goes on where a broken one stopped. */

struct export
{
    struct cli *c;
    const char *app;
    int fd, next_fd;     /* next_fd -1: to stdout, nothing to go on with */
    const char *without; /* NULL: nothing */
    uint64_t bytes, lines;
    char *cursor; /* NULL: from the start */
    struct hob_err err;
};

static bool on_page(void *ctx, struct hob_str data)
{
    struct export *e = ctx;
    e->bytes += data.n;
    for (size_t i = 0; i < data.n; i++)
        e->lines += data.at[i] == '\n';
    return hob_write_all(e->fd, data, "the export", &e->err) == HOB_OK;
}

static enum hob_code note_next(struct export *e, struct hob_err *err)
{
    if (e->next_fd < 0)
        return HOB_OK;
    hob_auto_free char *text =
        hob_asprintf("%llu %llu %s\n", (unsigned long long)e->bytes, (unsigned long long)e->lines, e->cursor);
    if (fsync(e->fd) < 0 || ftruncate(e->next_fd, 0) < 0 || lseek(e->next_fd, 0, SEEK_SET) < 0)
        return hob_fail_errno(err, errno, "noting how far the export is");
    return hob_write_all(e->next_fd, hob_str(text), "how far the export is", err);
}

/* One page; *ret_more false behind the last. */
static enum hob_code fetch_page(struct export *e, bool *ret_more, struct hob_err *err)
{
    hob_auto_free char *path = NULL, *query = url_path("?after=%s&without=%s", e->cursor ? e->cursor : "",
                                                       e->without ? e->without : "");
    if (app_path(e->app, "/data/export", &path, err) != HOB_OK)
        return err->code;
    hob_auto_free char *full = hob_asprintf("%s%s", path, query);
    struct request q = {.method = "GET", .path = full, .timeout_ms = CALL_MS, .on_data = on_page, .ctx = e};
    struct response r;
    response_init(&r);
    enum hob_code rc = client_send(e->c, &q, &r, err);
    struct hob_str next = rc == HOB_OK ? response_field(&r, "x-hob-next") : HOB_STR("");
    free(e->cursor);
    e->cursor = hob_strndup(next.at ? next.at : "", next.n);
    *ret_more = next.n > 0;
    response_done(&r);
    if (e->err.code != HOB_OK) {
        *err = e->err;
        return err->code;
    }
    return rc == HOB_OK ? note_next(e, err) : rc;
}

static enum hob_code fetch_pages(struct export *e, struct hob_err *err)
{
    bool has_more = true;
    while (has_more) {
        if (fetch_page(e, &has_more, err) != HOB_OK)
            return err->code;
        progress(e->c, "exported", e->bytes, 0);
    }
    progress_end(e->c);
    return HOB_OK;
}

/* Takes up what a broken export left. */
static enum hob_code take_up(struct export *e, const char *next_path, struct hob_err *err)
{
    hob_auto_buf struct hob_buf text;
    hob_buf_init(&text, CURSOR_BYTES_MAX);
    if (hob_read_file(next_path, &text, err) != HOB_OK)
        return err->code;
    struct hob_str rest, bytes = hob_str_cut(hob_str_trim(hob_buf_str(&text)), ' ', &rest), cursor;
    struct hob_str lines = hob_str_cut(rest.at ? rest : HOB_STR(""), ' ', &cursor);
    if (!text.n)
        return HOB_OK;
    if (!hob_str_u64(bytes, &e->bytes) || !hob_str_u64(lines, &e->lines) || !cursor.at)
        return hob_fail(err, HOB_E_INVALID, "'%.150s' is damaged: remove it to begin anew", next_path);
    e->cursor = hob_strndup(cursor.at, cursor.n);
    note(e->c, "Going on behind %llu lines.", (unsigned long long)e->lines);
    return HOB_OK;
}

static enum hob_code export_to_file(struct export *e, const char *path, struct hob_err *err)
{
    hob_auto_free char *part = hob_asprintf("%s.part", path), *next = hob_asprintf("%s.next", path);
    hob_auto_close int fd = open(part, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    hob_auto_close int next_fd = open(next, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || next_fd < 0)
        return hob_fail_errno(err, errno, "making '%.150s'", fd < 0 ? part : next);
    e->fd = fd;
    e->next_fd = next_fd;
    if (take_up(e, next, err) != HOB_OK)
        return err->code;
    if (ftruncate(fd, (off_t)e->bytes) < 0 || lseek(fd, 0, SEEK_END) < 0)
        return hob_fail_errno(err, errno, "going on with '%.150s'", part);
    if (fetch_pages(e, err) != HOB_OK)
        return hob_err_wrap(err, "the export broke off behind %llu lines; the same command goes on",
                            (unsigned long long)e->lines);
    if (fsync(fd) < 0 || rename(part, path) < 0 || unlink(next) < 0)
        return hob_fail_errno(err, errno, "keeping '%.150s'", path);
    return HOB_OK;
}

static enum hob_code run_export(struct cli *c, const struct args *a, struct hob_err *err)
{
    struct export e = {
        .c = c, .app = args_at(a, 0), .without = args_get(a, "without"), .fd = STDOUT_FILENO, .next_fd = -1};
    const char *path = args_at(a, 1);
    struct stat st;
    bool is_stdout = strcmp(path, "-") == 0;
    enum hob_code rc = HOB_OK;
    if (!is_stdout && !args_has(a, "force") && lstat(path, &st) == 0)
        return hob_fail(err, HOB_E_CONFLICT, "'%.150s' is there already; say --force to replace it", path);
    rc = is_stdout ? fetch_pages(&e, err) : export_to_file(&e, path, err);
    free(e.cursor);
    if (rc != HOB_OK || is_stdout)
        return rc;
    char size[24];
    bytes_text(e.bytes, size);
    hob_auto_json json_t *j =
        json_pack("{s:s,s:I,s:I}", "file", path, "lines", (json_int_t)e.lines, "bytes", (json_int_t)e.bytes);
    if (c->is_json)
        print_json(c, j);
    else
        (void)fprintf(c->out, "%s: %llu lines, %s\n", path, (unsigned long long)e.lines, size);
    return HOB_OK;
}

/* --- import ---------------------------------------------------------------------------------------------------------- */

struct import {
    struct cli *c;
    char *path;
    struct hob_buf piece;
    uint64_t lines, piece_lines; /* taken in; waiting in the piece */
    uint64_t objects, related, files, cached;
    bool has_sql;
    uint64_t sql_line;        /* where the database of env.sql begins */
    bool is_in_sql, ends_sql; /* the last line is a piece of it; the piece that waits holds its last one */
};

/* With its last piece the server puts the database in place, and has no pieces any more to go on with. When that request
 * breaks off, nobody knows which side of it the server is on: it is begun anew. */
static uint64_t line_to_go_on(const struct import *im)
{
    return im->ends_sql && im->sql_line <= im->lines ? im->sql_line : im->lines + 1;
}

/* Of line `n`, before it is added; behind the last one of all with is_sql false. */
static void note_sql(struct import *im, bool is_sql, uint64_t n)
{
    if (is_sql && !im->is_in_sql)
        im->sql_line = n;
    if (!is_sql && im->is_in_sql && im->piece_lines)
        im->ends_sql = true;
    im->is_in_sql = is_sql;
}

static enum hob_code send_piece(struct import *im, struct hob_err *err)
{
    if (!im->piece_lines)
        return HOB_OK;
    struct request q = {.method = "POST",
                        .path = im->path,
                        .body = hob_buf_str(&im->piece),
                        .content_type = "application/x-ndjson",
                        .timeout_ms = CALL_MS};
    struct response r;
    response_init(&r);
    enum hob_code rc = client_send(im->c, &q, &r, err);
    hob_auto_json json_t *answer =
        rc == HOB_OK ? hob_json_parse(hob_buf_str(&r.body), "the server's answer", err) : NULL;
    response_done(&r);
    if (!answer)
        return hob_err_wrap(err, "behind line %llu", (unsigned long long)im->lines);
    im->objects += (uint64_t)json_number_value(json_object_get(answer, "objects"));
    im->related += (uint64_t)json_number_value(json_object_get(answer, "related"));
    im->files += (uint64_t)json_number_value(json_object_get(answer, "files"));
    im->cached += (uint64_t)json_number_value(json_object_get(answer, "cached"));
    im->has_sql = im->has_sql || json_is_true(json_object_get(answer, "sql"));
    im->lines += im->piece_lines;
    im->piece_lines = 0;
    im->ends_sql = false;
    hob_buf_clear(&im->piece);
    return HOB_OK;
}

static enum hob_code import_lines(struct import *im, struct lines *from, uint64_t skip, struct hob_err *err)
{
    struct hob_str line;
    bool has_line = true;
    for (uint64_t n = 1;; n++) {
        if (signals_interrupted())
            return hob_fail(err, HOB_E_CANCELLED, "interrupted");
        if (lines_next(from, &line, &has_line, err) != HOB_OK)
            return err->code;
        note_sql(im, has_line && hob_str_starts(line, HOB_STR("{\"sql\":")), n);
        if (!has_line)
            return send_piece(im, err);
        if (n <= skip) {
            im->lines++;
            continue;
        }
        if (im->piece.n + line.n + 1 > PIECE_BYTES || im->piece_lines >= PIECE_LINES) {
            if (send_piece(im, err) != HOB_OK)
                return err->code;
            progress(im->c, "imported", lines_bytes(from), lines_total(from));
        }
        if (hob_buf_add_str(&im->piece, line) != HOB_OK || hob_buf_add(&im->piece, "\n", 1) != HOB_OK)
            return hob_fail(err, HOB_E_TOO_LARGE, "line %llu has more than %d bytes (data.import_bytes)",
                            (unsigned long long)n, LINE_BYTES_MAX);
        im->piece_lines++;
    }
}

static void print_imported(struct cli *c, const struct import *im)
{
    hob_auto_json json_t *j =
        json_pack("{s:I,s:I,s:I,s:I,s:I,s:b}", "lines", (json_int_t)im->lines, "objects",
                  (json_int_t)im->objects, "related", (json_int_t)im->related, "files", (json_int_t)im->files,
                  "cached", (json_int_t)im->cached, "sql", im->has_sql);
    if (c->is_json) {
        print_json(c, j);
        return;
    }
    (void)fprintf(c->out, "Imported %llu objects and %llu relations", (unsigned long long)im->objects,
                  (unsigned long long)im->related);
    if (im->files)
        (void)fprintf(c->out, ", %llu files", (unsigned long long)im->files);
    if (im->cached)
        (void)fprintf(c->out, ", %llu pairs of env.cache", (unsigned long long)im->cached);
    (void)fprintf(c->out, "%s (%llu lines)\n", im->has_sql ? ", the database of env.sql" : "",
                  (unsigned long long)im->lines);
}

static enum hob_code run_import(struct cli *c, const struct args *a, struct hob_err *err)
{
    struct import im = {.c = c};
    uint64_t from_line;
    hob_auto_free char *path = NULL;
    if (args_number(a, "from-line", 1, UINT64_MAX / 2, &from_line, err) != HOB_OK ||
        app_path(args_at(a, 0), "/data/import", &path, err) != HOB_OK)
        return err->code;
    struct lines *from = lines_open(args_at(a, 1), err);
    if (!from)
        return err->code;
    const char *without = args_get(a, "without");
    hob_auto_free char *query =
        url_path("?without=%s&settings=%s", without ? without : "", args_has(a, "settings") ? "1" : "0");
    hob_auto_free char *full = hob_asprintf("%s%s", path, query);
    im.path = full;
    hob_buf_init(&im.piece, LINE_BYTES_MAX);
    enum hob_code rc = import_lines(&im, from, from_line ? from_line - 1 : 0, err);
    progress_end(c);
    lines_close(from);
    hob_buf_done(&im.piece);
    if (rc != HOB_OK && im.lines)
        return hob_err_wrap(err, "%llu lines are in, go on with --from-line %llu",
                            (unsigned long long)im.lines, (unsigned long long)line_to_go_on(&im));
    if (rc != HOB_OK)
        return rc;
    print_imported(c, &im);
    return HOB_OK;
}

/* --- rows --------------------------------------------------------------------------------------------------------------- */

#define OPTION_WITHOUT                                                                                       \
    {                                                                                                        \
        0, "without", "LIST", "leave out cache, sql or files (commas between)"                               \
    }
static const struct option export_options[] = {{'f', "force", NULL, "replace FILE"}, OPTION_WITHOUT, {0}};
const struct command cmd_data_export = {
    .name = "data export",
    .usage = "APP FILE",
    .summary = "Write all data of an app as JSON lines, to keep or to take elsewhere; - is stdout.",
    .details =
        "Classes, permissions, configuration, objects with ids, dates and ACLs, relations, password hashes, files with their\n"
        "bytes (not those in an S3 store), the database of env.sql, env.cache, the settings: as secret as the app itself. Not in it are the\n"
        "app's keys, webhooks, secrets and functions.\n"
        "hob data export shop shop.jsonl && hob app create copy && hob data import copy shop.jsonl\n"
        "A broken export goes on when the command is given again. What is written meanwhile may or may not be in it;\n"
        "a snapshot of one moment, of the objects alone, is `hob backup FILE --app APP`.",
    .options = export_options,
    .positionals_min = 2,
    .positionals_max = 2,
    .run = run_export,
};
static const struct option import_options[] = {
    {0, "from-line", "N", "go on there, where a broken import said so"},
    {0, "settings", NULL, "set the settings that the export has, too"},
    OPTION_WITHOUT,
    {0},
};
const struct command cmd_data_import = {
    .name = "data import",
    .usage = "APP FILE|DIR",
    .summary = "Take in an export, or a folder with the collections of a Parse Server (mongoexport).",
    .details =
        "hob data import shop shop.jsonl\nhob data import shop dump/      # _SCHEMA.json, _User.json, Order.json, _Join:users:_Role.json\n"
        "Ids, dates, ACLs, relations, password hashes, linked identities and names of files are kept. The same import again\n"
        "changes nothing. A database of env.sql takes the place of the one that is there.",
    .options = import_options,
    .positionals_min = 2,
    .positionals_max = 2,
    .run = run_import,
};
