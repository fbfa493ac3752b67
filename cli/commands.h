/* Every command's row; each is defined in its own file in cli/cmd/. */
#pragma once

#include "cli/cli.h"

/* An empty options table. */
#define NO_OPTIONS ((const struct option[]){{0}})
#define OPTION_APP                                                                                           \
    {                                                                                                        \
        'a', "app", "NAME", "the app; without it, that of APP/FUNCTION or of the nearest hob.json"           \
    }
#define OPTION_YES                                                                                           \
    {                                                                                                        \
        'y', "yes", NULL, "do not ask"                                                                       \
    }

/* clang-format off */
#define COMMANDS(X) \
    X(cmd_init) X(cmd_deploy) X(cmd_invoke) X(cmd_logs) X(cmd_ls) X(cmd_describe) X(cmd_isolate_learn) X(cmd_instances) X(cmd_versions) \
    X(cmd_top) X(cmd_scale_explain) X(cmd_scale_record) X(cmd_scale_simulate) \
    X(cmd_rollback) X(cmd_rm) X(cmd_alias_set) X(cmd_alias_ls) X(cmd_alias_rm) X(cmd_env_set) X(cmd_env_unset) \
    X(cmd_env_ls) X(cmd_secret_set) X(cmd_secret_ls) X(cmd_secret_rm) X(cmd_app_create) X(cmd_app_ls) X(cmd_app_show) X(cmd_app_set) X(cmd_app_rm) \
    X(cmd_key_create) X(cmd_key_rm) X(cmd_data_export) X(cmd_data_import) X(cmd_data_changes) \
    X(cmd_data_restore) X(cmd_data_advise) X(cmd_data_indexes) X(cmd_backup) X(cmd_engine_ls) X(cmd_engine_test) X(cmd_engine_gc) X(cmd_runtime_build) X(cmd_doctor) X(cmd_limits) \
    X(cmd_schema) X(cmd_version) X(cmd_completion) X(cmd_help)
/* clang-format on */
#define X(symbol) extern const struct command symbol;
COMMANDS(X)
#undef X
