#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/out.h"
#include "manifest/manifest.h"

#include "base/banned.h"

static void print_options(FILE *to, const struct option *table)
{
    for (; table && table->name; table++) {
        char left[64];
        int n = snprintf(left, sizeof left, "%s%c%s--%s%s%s", table->letter ? "-" : "  ",
                         table->letter ? table->letter : ' ', table->letter ? ", " : " ", table->name,
                         table->arg ? " " : "", table->arg ? table->arg : "");
        (void)fprintf(to, "  %s%*s%s\n", left, n < 26 ? 26 - n : 1, "", table->help);
    }
}

/* Each exit code once, with the reasons behind it; `row` takes the number and the text. */
static void print_exit_codes(FILE *to, void (*row)(FILE *to, int exit_code, const char *text))
{
    row(to, 0, "it worked");
    for (int exit_code = 1; exit_code <= 130; exit_code++) {
        char names[128];
        size_t used = 0;
        for (int i = 1; i < HOB_E_COUNT_; i++) {
            const struct hob_code_info *info = hob_code_info((enum hob_code)i);
            if (info->exit_code == exit_code)
                used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "",
                                         info->reason);
        }
        if (used)
            row(to, exit_code, names);
    }
}

static void text_row(FILE *to, int exit_code, const char *text)
{
    (void)fprintf(to, "  %-4d %s\n", exit_code, text);
}

static void markdown_row(FILE *to, int exit_code, const char *text)
{
    (void)fprintf(to, "| %d | %s |\n", exit_code, text);
}

void help_command(FILE *to, const struct command *cmd)
{
    (void)fprintf(to, "hob %s%s%s\n\n%s\n", cmd->name, cmd->usage[0] ? " " : "", cmd->usage, cmd->summary);
    if (cmd->details)
        (void)fprintf(to, "\n%s\n", cmd->details);
    if (cmd->options && cmd->options->name) {
        (void)fprintf(to, "\nOptions\n");
        print_options(to, cmd->options);
    }
    (void)fprintf(to, "\nFor every command\n");
    print_options(to, global_options);
}

static void help_all(FILE *to)
{
    (void)fprintf(to, "hob COMMAND [OPTIONS]: run your code on a Hob server\n\n");
    for (size_t i = 0; i < commands_n; i++)
        (void)fprintf(to, "  %-12s %s\n", commands[i]->name, commands[i]->summary);
    (void)fprintf(to, "\nFor every command\n");
    print_options(to, global_options);
    (void)fprintf(to, "\nExit codes\n");
    print_exit_codes(to, text_row);
    (void)fprintf(to,
                  "\n`hob help COMMAND` says more. First steps: hob init hello && cd hello && hob deploy\n");
}

/* The reference page ---------------------------------------------------------------------------------------------- */

static void markdown_options(FILE *to, const struct option *table)
{
    (void)fprintf(to, "| option | |\n| --- | --- |\n");
    for (; table->name; table++) {
        (void)fprintf(to, "| `");
        if (table->letter)
            (void)fprintf(to, "-%c`, `", table->letter);
        (void)fprintf(to, "--%s%s%s` | %s |\n", table->name, table->arg ? " " : "",
                      table->arg ? table->arg : "", table->help);
    }
    (void)fputc('\n', to);
}

static void markdown_all(FILE *to)
{
    (void)fprintf(
        to,
        "# The command line: hob\n\nThis page is written by `hob help --markdown` from the tables that the program itself "
        "reads.\n\n## Every command\n\n| command | |\n| --- | --- |\n");
    for (size_t i = 0; i < commands_n; i++)
        (void)fprintf(to, "| `hob %s` | %s |\n", commands[i]->name, commands[i]->summary);
    (void)fprintf(
        to,
        "\nOptions may stand anywhere behind the command; `--` ends them. These are for every command:\n\n");
    markdown_options(to, global_options);
    (void)fprintf(
        to,
        "A FUNCTION is `APP/FUNCTION`, or `FUNCTION` beside a hob.json (or with `--app`); `:ALIAS` or `@VERSION` behind it\n"
        "chooses a version: `shop/checkout:prod`, `checkout@7`.\n\n"
        "Server and token: `--url` and `--token`, else `HOB_URL` and `HOB_TOKEN`, else the daemon of this machine: "
        "http://127.0.0.1:7070\nand `admin.token` in `$HOB_HOME`, or in the first that can be read of `.hob` (here and above), "
        "`~/.local/share/hob`, `/var/lib/hob`.\nA local daemon's token is only ever sent to this machine.\n\n"
        "Colours only on a terminal and not with `NO_COLOR`. Control characters in what functions and servers say are shown\n"
        "as `\\xNN` on a terminal.\n\n"
        "## Exit codes\n\n| code | reason |\n| --- | --- |\n");
    print_exit_codes(to, markdown_row);
}

static void markdown_commands(FILE *to)
{
    for (size_t i = 0; i < commands_n; i++) {
        const struct command *cmd = commands[i];
        (void)fprintf(to, "\n## hob %s\n\n```\nhob %s%s%s\n```\n\n%s\n", cmd->name, cmd->name,
                      cmd->usage[0] ? " " : "", cmd->usage, cmd->summary);
        if (cmd->details)
            (void)fprintf(to, "\n```\n%s\n```\n", cmd->details);
        if (cmd->options->name) {
            (void)fputc('\n', to);
            markdown_options(to, cmd->options);
        }
    }
}

static enum hob_code manifest_page(struct cli *c, struct hob_err *err)
{
    hob_auto_buf struct hob_buf b;
    hob_buf_init(&b, 1 << 20);
    if (manifest_reference_write(&b) != HOB_OK)
        return hob_fail(err, HOB_E_INTERNAL, "the manifest's reference is too large");
    (void)fwrite(hob_buf_str(&b).at, 1, b.n, c->out);
    return HOB_OK;
}

enum hob_code help_run(struct cli *c, const struct args *a, struct hob_err *err)
{
    if (a->positionals_n && strcmp(a->positionals[0], "manifest") == 0)
        return manifest_page(c, err);
    if (args_has(a, "markdown")) {
        markdown_all(c->out);
        markdown_commands(c->out);
        return HOB_OK;
    }
    if (!a->positionals_n) {
        help_all(c->out);
        return HOB_OK;
    }
    char words[2][65];
    char *argv[2] = {words[0], words[1]};
    int argc = a->positionals_n > 1 ? 2 : 1, taken = 0;
    for (int i = 0; i < argc; i++)
        (void)snprintf(words[i], sizeof words[i], "%s", a->positionals[i]);
    const struct command *cmd = command_find(argc, argv, &taken, err);
    if (!cmd)
        return err->code;
    help_command(c->out, cmd);
    return HOB_OK;
}

static const struct option help_options[] = {
    {0, "markdown", NULL, "all of it as a page (docs/cli.md)"},
    {0},
};
const struct command cmd_help = {
    .name = "help",
    .usage = "[COMMAND]",
    .summary = "Say how a command is used.",
    .details = "`hob help manifest` prints the reference of hob.json.",
    .options = help_options,
    .positionals_max = 2,
    .run = help_run,
};
