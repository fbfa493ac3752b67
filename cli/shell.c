#include "cli/shell.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

#include "base/banned.h"

/* Returns owned. */
static char **environment(bool has_token)
{
    size_t n = 0, kept = 0;
    while (environ[n])
        n++;
    char **list = hob_new_n(char *, n + 1);
    for (size_t i = 0; i < n; i++)
        if (has_token || strncmp(environ[i], "HOB_TOKEN=", 10) != 0)
            list[kept++] = environ[i];
    return list;
}

int shell_start(const char *dir, const char *command, bool has_token, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t defaults;
    char sh[] = "/bin/sh", flag[] = "-c";
    hob_auto_free char *text = hob_strdup(command);
    char *argv[] = {sh, flag, text, NULL};
    int failed = posix_spawn_file_actions_init(&actions);
    if (failed)
        return failed;
    failed = posix_spawnattr_init(&attributes);
    if (failed) {
        (void)posix_spawn_file_actions_destroy(&actions);
        return failed;
    }
    hob_auto_free char **env = environment(has_token);
    (void)sigemptyset(&defaults);
    (void)sigaddset(&defaults, SIGPIPE); /* we ignore it, the command shall not */
    failed = posix_spawnattr_setsigdefault(&attributes, &defaults);
    failed = failed ? failed : posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    failed = failed ? failed : posix_spawn_file_actions_addchdir_np(&actions, dir);
    failed =
        failed ? failed : posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    failed = failed ? failed : posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
    failed = failed ? failed : posix_spawn(ret_pid, sh, &actions, &attributes, argv, env);
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&actions);
    return failed;
}
