#include <string.h>

#include "cli/commands.h"

#include "base/banned.h"

/* Completion scripts from the tables: the first words, then the command's options. Function names are not asked from
 * the server: a key press shall not wait for a network. */

/* The first word of a command's name, each once. */
static bool is_first_of_group(size_t i)
{
    size_t n = strcspn(commands[i]->name, " ");
    for (size_t k = 0; k < i; k++)
        if (strcspn(commands[k]->name, " ") == n && strncmp(commands[k]->name, commands[i]->name, n) == 0)
            return false;
    return true;
}

static void first_words(FILE *to)
{
    const char *gap = "";
    for (size_t i = 0; i < commands_n; i++)
        if (is_first_of_group(i)) {
            (void)fprintf(to, "%s%.*s", gap, (int)strcspn(commands[i]->name, " "), commands[i]->name);
            gap = " ";
        }
}

static void option_words(FILE *to, const struct option *o)
{
    for (; o->name; o++)
        (void)fprintf(to, " --%s", o->name);
}

static void bash_script(FILE *to)
{
    (void)fprintf(
        to,
        "# bash completion for hob: eval \"$(hob completion bash)\"\n_hob() {\n    local cur=${COMP_WORDS[COMP_CWORD]} words\n"
        "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        words=\"");
    first_words(to);
    (void)fprintf(to, "\"\n    else\n        case \"${COMP_WORDS[1]} ${COMP_WORDS[2]}\" in\n");
    for (size_t i = 0; i < commands_n; i++) { /* groups first: their patterns are longer */
        if (!strchr(commands[i]->name, ' '))
            continue;
        (void)fprintf(to, "        \"%s\") words=\"", commands[i]->name);
        option_words(to, commands[i]->options);
        option_words(to, global_options);
        (void)fprintf(to, "\" ;;\n");
    }
    for (size_t i = 0; i < commands_n; i++) {
        if (!is_first_of_group(i))
            continue;
        size_t n = strcspn(commands[i]->name, " ");
        (void)fprintf(to, "        \"%.*s \"*) words=\"", (int)n, commands[i]->name);
        for (size_t k = 0; k < commands_n; k++)
            if (strncmp(commands[k]->name, commands[i]->name, n) == 0 && commands[k]->name[n] == ' ')
                (void)fprintf(to, " %s", commands[k]->name + n + 1);
        if (!commands[i]->name[n])
            option_words(to, commands[i]->options);
        option_words(to, global_options);
        (void)fprintf(to, "\" ;;\n");
    }
    (void)fprintf(
        to,
        "        esac\n    fi\n    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
        "    [ ${#COMPREPLY[@]} -eq 0 ] && COMPREPLY=($(compgen -f -- \"$cur\"))\n}\ncomplete -F _hob hob\n");
}

static void fish_options(FILE *to, const struct command *cmd)
{
    size_t n = strcspn(cmd->name, " ");
    for (const struct option *o = cmd->options; o->name; o++) {
        (void)fprintf(to, "complete -c hob -n '__fish_seen_subcommand_from %.*s' -l %s", (int)n, cmd->name,
                      o->name);
        if (o->letter)
            (void)fprintf(to, " -s %c", o->letter);
        (void)fprintf(to, "%s -d \"%s\"\n", o->arg ? " -r" : "", o->help);
    }
}

static void fish_script(FILE *to)
{
    (void)fprintf(to, "# fish completion for hob: hob completion fish | source\n");
    for (size_t i = 0; i < commands_n; i++) {
        const char *gap = strchr(commands[i]->name, ' ');
        if (is_first_of_group(i))
            (void)fprintf(to, "complete -c hob -n __fish_use_subcommand -a %.*s -d \"%s\"\n",
                          (int)strcspn(commands[i]->name, " "), commands[i]->name, commands[i]->summary);
        if (gap)
            (void)fprintf(to, "complete -c hob -n '__fish_seen_subcommand_from %.*s' -a %s -d \"%s\"\n",
                          (int)(gap - commands[i]->name), commands[i]->name, gap + 1, commands[i]->summary);
        fish_options(to, commands[i]);
    }
    for (const struct option *o = global_options; o->name; o++)
        (void)fprintf(to, "complete -c hob -l %s -d \"%s\"\n", o->name, o->help);
}

enum hob_code completion_run(struct cli *c, const struct args *a, struct hob_err *err)
{
    const char *shell = a->positionals[0];
    if (strcmp(shell, "zsh") == 0) {
        (void)fprintf(
            c->out,
            "# zsh completion for hob: eval \"$(hob completion zsh)\"\nautoload -U +X bashcompinit && bashcompinit\n");
        bash_script(c->out);
    } else if (strcmp(shell, "bash") == 0) {
        bash_script(c->out);
    } else if (strcmp(shell, "fish") == 0) {
        fish_script(c->out);
    } else {
        return hob_fail(err, HOB_E_INVALID, "no completion for '%.40s': give bash, zsh or fish", shell);
    }
    return HOB_OK;
}

const struct command cmd_completion = {
    .name = "completion",
    .usage = "bash|zsh|fish",
    .summary = "Print a completion script for a shell.",
    .details =
        "bash: eval \"$(hob completion bash)\"    zsh: eval \"$(hob completion zsh)\"    fish: hob completion fish | source",
    .options = NO_OPTIONS,
    .positionals_min = 1,
    .positionals_max = 1,
    .run = completion_run,
};
