#include "cli/commands.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/client.h"
#include "cli/out.h"

#include "base/banned.h"
#include "base/env.h"

/* clang-format off */
const struct option global_options[] = {
    {'h', "help", NULL, "how the command is used"},
    {0, "json", NULL, "one JSON document (or line by line) instead of text; errors as JSON, too"},
    {'q', "quiet", NULL, "only what was asked for, nothing beside it"},
    {0, "url", "URL", "the server; else HOB_URL, else http://127.0.0.1:7070"},
    {0, "token", "TOKEN", "what opens it; else HOB_TOKEN, else the local daemon's admin.token (others may see an option in the list of processes)"},
    {0, "version", NULL, "the version of hob"},
    {0},
};
/* clang-format on */

const struct command *const commands[] = {
#define X(symbol) &(symbol),
    COMMANDS(X)
#undef X
};
const size_t commands_n = HOB_COUNT(commands);

/* stdio forgets why a write failed; we want to tell a full disk from a reader who had enough. */
static ssize_t write_out(void *ctx, const char *data, size_t n)
{
    struct cli *c = ctx;
    size_t done = 0;
    while (done < n && !c->out_errno) {
        ssize_t k = write(STDOUT_FILENO, data + done, n - done);
        if (k < 0 && errno != EINTR)
            c->out_errno = errno;
        done += k > 0 ? (size_t)k : 0;
    }
    return c->out_errno ? 0 : (ssize_t)n;
}

static void open_streams(struct cli *c)
{
    const char *no_colour = hob_env("NO_COLOR"), *term = hob_env("TERM");
    bool may_colour = !no_colour && !(term && strcmp(term, "dumb") == 0);
    c->out = fopencookie(c, "w", (cookie_io_functions_t){.write = write_out});
    HOB_ASSERT(c->out);
    c->err = stderr;
    c->is_out_terminal = isatty(STDOUT_FILENO) == 1;
    c->is_err_terminal = isatty(STDERR_FILENO) == 1;
    c->is_in_terminal = isatty(STDIN_FILENO) == 1;
    (void)setvbuf(c->out, NULL, c->is_out_terminal ? _IOLBF : _IOFBF, BUFSIZ);
    c->has_colour_out = may_colour && c->is_out_terminal;
    c->has_colour_err = may_colour && c->is_err_terminal;
}

enum hob_code cli_flush(struct cli *c, struct hob_err *err)
{
    (void)fflush(c->out);
    if (!c->out_errno)
        return HOB_OK;
    if (c->out_errno == EPIPE)
        return hob_fail_reason(err, HOB_E_CANCELLED, "broken_pipe", "nobody reads what is printed any more");
    return hob_fail_errno(err, c->out_errno, "printing");
}

static void print_error_json(struct cli *c, const struct hob_err *err, const char *reason,
                             const char *request)
{
    hob_auto_buf struct hob_buf b;
    struct hob_jw w;
    hob_buf_init(&b, 1 << 20);
    hob_jw_init(&w, &b);
    hob_jw_object(&w);
    hob_jw_key(&w, "error");
    hob_jw_object(&w);
    hob_jw_kcstr(&w, "reason", reason);
    hob_jw_kcstr(&w, "message", err->msg);
    hob_jw_kcstr(&w, "request_id", request);
    hob_jw_kint(&w, "exit_code", hob_code_info(err->code)->exit_code);
    const json_t *thrown = *request ? json_object_get(client_problem(c->client), "error") : NULL;
    if (thrown) { /* type, message and stack of a function that failed */
        hob_jw_key(&w, "function_error");
        hob_jw_json(&w, thrown);
    }
    hob_jw_object_end(&w);
    hob_jw_object_end(&w);
    (void)fprintf(c->err, "%.*s\n", HOB_STR_ARG(hob_buf_str(&b)));
}

static void print_error(struct cli *c, const struct hob_err *err)
{
    const char *own = client_reason(c->client);
    const char *reason = !err->reason && *own ? own : hob_err_reason(err);
    const char *request = !err->reason && *own ? client_request_id(c->client) : "";
    if (c->is_json) {
        print_error_json(c, err, reason, request);
        return;
    }
    (void)fprintf(c->err, "%shob:%s ", colour_on(c->has_colour_err, COLOUR_RED),
                  colour_off(c->has_colour_err));
    print_safe(c->err, hob_str(err->msg), "\n");
    if (*request)
        (void)fprintf(c->err, "%s (request %s)%s", colour_on(c->has_colour_err, COLOUR_DIM), request,
                      colour_off(c->has_colour_err));
    (void)fputc('\n', c->err);
}

/* How many leading words are global options with their values. */
static int leading_options(int argc, char *const *argv)
{
    int i = 0;
    while (i < argc && argv[i][0] == '-' && argv[i][1]) {
        bool has_value = false;
        for (const struct option *o = global_options; o->name; o++)
            has_value =
                has_value || (o->arg && strncmp(argv[i], "--", 2) == 0 && strcmp(argv[i] + 2, o->name) == 0);
        i += has_value ? 2 : 1;
    }
    return i < argc ? i : argc;
}

static enum hob_code run(struct cli *c, int argc, char *const *argv, struct hob_err *err)
{
    struct args a;
    int words = 0, lead = leading_options(argc, argv);
    if (args_parse(c, NULL, lead, argv, &a, err) != HOB_OK)
        return err->code;
    const struct command *cmd = NULL;
    if (args_has(&a, "version"))
        cmd = &cmd_version;
    else if (argc == lead)
        cmd = &cmd_help;
    bool is_help = args_has(&a, "help");
    if (!cmd)
        cmd = command_find(argc - lead, argv + lead, &words, err);
    if (!cmd || args_parse(c, cmd, argc - lead - words, argv + lead + words, &a, err) != HOB_OK)
        return err->code;
    if (is_help || args_has(&a, "help")) {
        help_command(c->out, cmd);
        return HOB_OK;
    }
    return cmd->run(c, &a, err);
}

int cli_main(int argc, char **argv)
{
    struct cli c = {0};
    struct hob_err err = {0}, late = {0};
    open_streams(&c);
    signals_catch();
    enum hob_code code = run(&c, argc > 0 ? argc - 1 : 0, argv + 1, &err);
    enum hob_code printed = cli_flush(&c, &late);
    if (signals_interrupted()) {
        code = HOB_E_CANCELLED;
    } else if (printed == HOB_E_CANCELLED) {
        code = HOB_OK; /* `hob logs | head`: the reader had enough, which is no failure of ours */
    } else if (code != HOB_OK || printed != HOB_OK) {
        print_error(&c, code != HOB_OK ? &err : &late);
        code = code != HOB_OK ? code : printed;
    }
    client_free(c.client);
    (void)fclose(c.out);
    return hob_code_info(code)->exit_code;
}
