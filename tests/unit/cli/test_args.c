/* The words of the command line: options anywhere, values, what is wrong said by name. */
#include "check.h"

#include "base/mem.h"
#include "cli/cli.h"
#include "cli/commands.h"

static struct args parsed;
static struct hob_err err;
static struct cli cli;

/* `words` is one string, split at spaces; "''" stands for the empty word. */
static enum hob_code parse(const struct command *cmd, const char *words)
{
    static char copy[512];
    char *argv[32];
    int argc = 0;
    (void)snprintf(copy, sizeof copy, "%s", words);
    for (char *at = copy, *save = NULL; (at = strtok_r(at, " ", &save)); at = NULL) {
        argv[argc] = at;
        if (strcmp(argv[argc], "''") == 0)
            argv[argc] = (char[]){""};
        argc++;
    }
    cli = (struct cli){0};
    return args_parse(&cli, cmd, argc, argv, &parsed, &err);
}

static void options_stand_anywhere(void **state)
{
    (void)state;
    assert_ok(parse(&cmd_logs, "-f shop/checkout --tail 5 --json"));
    assert_string_equal(args_at(&parsed, 0), "shop/checkout");
    assert_true(args_has(&parsed, "follow"));
    assert_string_equal(args_get(&parsed, "tail"), "5");
    assert_true(cli.is_json);
    assert_ok(parse(&cmd_logs, "--tail=7 a/b -qf"));
    assert_string_equal(args_get(&parsed, "tail"), "7");
    assert_true(cli.is_quiet);
    assert_true(args_has(&parsed, "follow"));
}

static void values_may_look_like_options(void **state)
{
    (void)state;
    assert_ok(parse(&cmd_invoke, "a/b -d -5"));
    assert_string_equal(args_get(&parsed, "data"), "-5");
    assert_ok(parse(&cmd_invoke, "a/b -d5"));
    assert_string_equal(args_get(&parsed, "data"), "5");
    assert_ok(parse(&cmd_invoke, "a/b --data="));
    assert_string_equal(args_get(&parsed, "data"), "");
    assert_ok(parse(&cmd_invoke, "a/b --data ''"));
    assert_string_equal(args_get(&parsed, "data"), "");
    assert_ok(parse(&cmd_invoke, "-- -d"));
    assert_string_equal(args_at(&parsed, 0), "-d");
    assert_ok(parse(&cmd_backup, "-"));
    assert_string_equal(args_at(&parsed, 0), "-");
}

static void repeated_options_keep_their_order(void **state)
{
    (void)state;
    assert_ok(parse(&cmd_invoke, "a/b -H a:1 --header=b:2 -Hc:3"));
    assert_string_equal(args_nth(&parsed, "header", 0), "a:1");
    assert_string_equal(args_nth(&parsed, "header", 1), "b:2");
    assert_string_equal(args_nth(&parsed, "header", 2), "c:3");
    assert_null(args_nth(&parsed, "header", 3));
    assert_string_equal(args_get(&parsed, "header"), "c:3");
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *words, *part;
    } cases[] = {{"a/b --folow", "did you mean '--follow'"}, {"a/b -z", "unknown option '-z'"},
                 {"a/b --tail", "'--tail' needs a value"},   {"a/b -n", "'-n' needs a value"},
                 {"a/b --follow=1", "takes no value"},       {"", "FUNCTION is missing: hob logs FUNCTION"},
                 {"a/b c", "'c' is one word too many"},      {"a/b --=x", "unknown option"}};
    for (size_t i = 0; i < HOB_COUNT(cases); i++) {
        assert_int_equal(parse(&cmd_logs, cases[i].words), HOB_E_INVALID);
        assert_contains(err.msg, cases[i].part);
    }
}

static void numbers_are_judged(void **state)
{
    (void)state;
    uint64_t v = 0;
    assert_ok(parse(&cmd_logs, "a/b -n 10"));
    assert_ok(args_number(&parsed, "tail", 5, 10, &v, &err));
    assert_int_equal(v, 10);
    assert_int_equal(args_number(&parsed, "tail", 5, 9, &v, &err), HOB_E_INVALID);
    assert_ok(parse(&cmd_logs, "a/b"));
    assert_ok(args_number(&parsed, "tail", 5, 9, &v, &err));
    assert_int_equal(v, 5);
    assert_ok(parse(&cmd_logs, "a/b -n 99999999999999999999"));
    assert_int_equal(args_number(&parsed, "tail", 5, UINT64_MAX, &v, &err), HOB_E_INVALID);
}

static void too_many_words_and_options_are_refused(void **state)
{
    (void)state;
    char word[] = "x", option[] = "-q";
    char *argv[ARG_POSITIONALS_MAX + 1];
    for (size_t i = 0; i < HOB_COUNT(argv); i++)
        argv[i] = word;
    assert_int_equal(args_parse(&cli, NULL, ARG_POSITIONALS_MAX + 1, argv, &parsed, &err), HOB_E_TOO_LARGE);
    assert_ok(args_parse(&cli, NULL, ARG_POSITIONALS_MAX, argv, &parsed, &err));
    for (size_t i = 0; i < HOB_COUNT(argv); i++)
        argv[i] = option;
    assert_int_equal(args_parse(&cli, NULL, ARG_VALUES_MAX + 1, argv, &parsed, &err), HOB_E_TOO_LARGE);
    assert_ok(args_parse(&cli, NULL, ARG_VALUES_MAX, argv, &parsed, &err));
}

static void commands_of_two_words_are_found(void **state)
{
    (void)state;
    char alias[] = "alias", set[] = "set", ls[] = "ls", wrong[] = "sett", deploy[] = "deploy";
    int words = 0;
    assert_ptr_equal(command_find(3, (char *[]){alias, set, ls}, &words, &err), &cmd_alias_set);
    assert_int_equal(words, 2);
    assert_ptr_equal(command_find(2, (char *[]){deploy, set}, &words, &err), &cmd_deploy);
    assert_int_equal(words, 1);
    assert_null(command_find(1, (char *[]){alias}, &words, &err));
    assert_contains(err.msg, "needs one more word");
    assert_null(command_find(2, (char *[]){alias, wrong}, &words, &err));
    assert_contains(err.msg, "did you mean 'alias set'");
}

static void every_command_is_complete_and_has_no_letter_twice(void **state)
{
    (void)state;
    for (size_t i = 0; i < commands_n; i++) {
        const struct command *c = commands[i];
        assert_true(c->name && c->usage && c->summary && c->options && c->run);
        assert_true(c->positionals_min <= c->positionals_max);
        for (const struct option *o = c->options; o->name; o++) {
            assert_non_null(o->help);
            for (const struct option *p = c->options; p < o; p++)
                assert_true(strcmp(o->name, p->name) != 0 && (!o->letter || o->letter != p->letter));
            for (const struct option *p = global_options; p->name; p++)
                assert_true(strcmp(o->name, p->name) != 0 && (!o->letter || o->letter != p->letter));
        }
    }
}

int main(void)
{
    alarm(280);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_stand_anywhere),
        cmocka_unit_test(values_may_look_like_options),
        cmocka_unit_test(repeated_options_keep_their_order),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(numbers_are_judged),
        cmocka_unit_test(too_many_words_and_options_are_refused),
        cmocka_unit_test(commands_of_two_words_are_found),
        cmocka_unit_test(every_command_is_complete_and_has_no_letter_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
