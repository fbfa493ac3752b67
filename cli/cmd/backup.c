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
#include "cli/out.h"

#include "base/banned.h"

enum { BACKUP_MS = 60 * 60 * 1000 };

struct sink {
    int fd;
    uint64_t bytes;
    struct hob_err err;
};

static bool on_data(void *ctx, struct hob_str data)
{
    struct sink *s = ctx;
    s->bytes += data.n;
    return hob_write_all(s->fd, data, "the backup", &s->err) == HOB_OK;
}

/* SQLite's own first 16 bytes (file format, section 1.3). */
static enum hob_code check_header(int fd, struct hob_err *err)
{
    char head[16];
    if (pread(fd, head, sizeof head, 0) == (ssize_t)sizeof head && memcmp(head, "SQLite format 3", 16) == 0)
        return HOB_OK;
    return hob_fail(err, HOB_E_INTERNAL, "what came is not a database; nothing was kept");
}

/* `app` NULL: the server's store. */
static enum hob_code fetch(struct cli *c, const char *app, int fd, uint64_t *ret_bytes, struct hob_err *err)
{
    struct sink sink = {.fd = fd};
    hob_auto_free char *path = app ? url_path("/v1/apps/%s/data/backup", app) : hob_strdup("/v1/backup");
    struct request q = {
        .method = "POST", .path = path, .timeout_ms = BACKUP_MS, .on_data = on_data, .ctx = &sink};
    struct response r;
    response_init(&r);
    enum hob_code code = client_send(c, &q, &r, err);
    response_done(&r);
    if (sink.err.code != HOB_OK) {
        *err = sink.err;
        return err->code;
    }
    *ret_bytes = sink.bytes;
    return code;
}

static enum hob_code fetch_to_file(struct cli *c, const struct args *a, struct hob_err *err)
{
    const char *path = args_at(a, 0);
    bool is_forced = args_has(a, "force");
    struct stat st;
    uint64_t bytes = 0;
    if (!is_forced && lstat(path, &st) == 0)
        return hob_fail(err, HOB_E_CONFLICT, "'%.150s' is there already; say --force to replace it", path);
    hob_auto_free char *temporary = hob_asprintf("%s.part-XXXXXX", path);
    hob_auto_close int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return hob_fail_errno(err, errno, "making '%.150s'", temporary);
    enum hob_code code = fetch(c, args_get(a, "app"), fd, &bytes, err);
    if (code == HOB_OK)
        code = check_header(fd, err);
    if (code == HOB_OK && (fsync(fd) < 0 || rename(temporary, path) < 0))
        code = hob_fail_errno(err, errno, "keeping '%.150s'", path);
    if (code != HOB_OK) {
        (void)unlink(temporary);
        return code;
    }
    char size[24];
    bytes_text(bytes, size);
    hob_auto_json json_t *j = json_pack("{s:s,s:I}", "file", path, "bytes", (json_int_t)bytes);
    if (c->is_json && j)
        print_json(c, j);
    else
        (void)fprintf(c->out, "%s: %s\n", path, size);
    return HOB_OK;
}

static enum hob_code run(struct cli *c, const struct args *a, struct hob_err *err)
{
    uint64_t bytes;
    if (strcmp(args_at(a, 0), "-") != 0)
        return fetch_to_file(c, a, err);
    if (c->is_out_terminal)
        return hob_fail(err, HOB_E_INVALID,
                        "a database does not go to a terminal; name a file, or pipe it on");
    return fetch(c, args_get(a, "app"), STDOUT_FILENO, &bytes, err);
}

static const struct option options[] = {
    {'a', "app", "NAME", "of the objects of that app's backend instead (all of an app: hob data export)"},
    {'f', "force", NULL, "replace FILE"},
    {0},
};
const struct command cmd_backup = {
    .name = "backup",
    .usage = "FILE",
    .summary = "Save a consistent snapshot of the server's store (an SQLite file); - is stdout.",
    .details =
        "FILE is readable by its owner only, and appears whole or not at all. The code store and master.key of the server's home\n"
        "are not in it: without master.key the secrets in it cannot be opened.",
    .options = options,
    .positionals_min = 1,
    .positionals_max = 1,
    .run = run,
};
