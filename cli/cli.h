/* The command line's own door: what a command is, what it is given, and how it answers.
 * A command is one row of a table (cli/commands.c) and one function in cli/cmd/; help, completion, docs/cli.md and
 * "did you mean" come from the same tables. One thread. */
#pragma once

#include <stdio.h>

#include "base/buf.h"
#include "base/json.h"

enum { ARG_VALUES_MAX = 64, ARG_POSITIONALS_MAX = 256 };

struct option {
    char letter;      /* 'd', or 0 */
    const char *name; /* "data" */
    const char *arg;  /* "DATA"; NULL: takes none */
    const char *help;
};
struct option_value {
    const struct option *option;
    const char *value; /* borrowed from argv; "" for options without one */
};
struct args {
    struct option_value values[ARG_VALUES_MAX];
    size_t values_n;
    const char *positionals[ARG_POSITIONALS_MAX];
    size_t positionals_n;
};

struct client;
struct cli {
    FILE *out, *err; /* stdout, stderr */
    int out_errno;   /* why stdout took no more, or 0 */
    bool is_json, is_quiet;
    bool is_out_terminal, is_err_terminal, is_in_terminal;
    bool has_colour_out, has_colour_err;
    const char *url, *token; /* --url, --token; NULL: from the environment or the local daemon */
    struct client *client;   /* made when first needed */
};

struct command {
    const char *name;             /* "deploy", "alias set" */
    const char *usage;            /* "[DIR]" */
    const char *summary;          /* one line */
    const char *details;          /* more lines for `hob help COMMAND`, or NULL */
    const struct option *options; /* ended by a row without name */
    unsigned positionals_min, positionals_max;
    /* On failure `err` says why; the caller prints it and exits with the code's exit code. */
    enum hob_code (*run)(struct cli *c, const struct args *a, struct hob_err *err);
};
extern const struct command *const commands[];
extern const size_t commands_n;
extern const struct option global_options[];

/* The whole program: returns the exit code. */
int cli_main(int argc, char **argv);
/* HOB_OK, or the first failure of writing what was printed. */
HOB_MUST_USE enum hob_code cli_flush(struct cli *c, struct hob_err *err);

/* args.c */
/* Options may stand anywhere; "--" ends them. Global options are put into *c. `cmd` NULL: only global ones. */
HOB_MUST_USE enum hob_code args_parse(struct cli *c, const struct command *cmd, int argc, char *const *argv,
                                      struct args *ret_args, struct hob_err *err);
bool args_has(const struct args *a, const char *name);
/* The last value, or NULL. */
const char *args_get(const struct args *a, const char *name);
/* The n-th value of a repeated option, or NULL. */
const char *args_nth(const struct args *a, const char *name, size_t n);
/* The n-th positional, or NULL. */
const char *args_at(const struct args *a, size_t n);
/* A decimal number within bounds, or `fallback` when the option is not there. */
HOB_MUST_USE enum hob_code args_number(const struct args *a, const char *name, uint64_t fallback,
                                       uint64_t max, uint64_t *ret_value, struct hob_err *err);
/* The command that argv begins with and how many words it took, or NULL with "did you mean". */
HOB_MUST_USE const struct command *command_find(int argc, char *const *argv, int *ret_words,
                                                struct hob_err *err);

/* help.c */
enum hob_code help_run(struct cli *c, const struct args *a, struct hob_err *err);
enum hob_code completion_run(struct cli *c, const struct args *a, struct hob_err *err);
void help_command(FILE *to, const struct command *cmd);

/* signals.c: SIGINT and SIGTERM set a flag (the second one ends at once); SIGPIPE is ignored, so that a broken pipe is
 * an error of writing. */
void signals_catch(void);
bool signals_interrupted(void);
void signals_forget(void); /* it was meant for a wait that is over now */
