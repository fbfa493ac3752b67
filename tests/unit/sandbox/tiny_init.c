/* The smallest first process that the launcher's tests can do with: runs what stands behind "--", passes SIGTERM
 * on, reaps, ends as its child ended. hob-init has tests of its own. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t child;

static void pass_on(int sig)
{
    if (child > 0)
        kill(child, sig);
}

int main(int argc, char **argv, char **env)
{
    if (argc < 3)
        return 125;
    sigset_t none; /* SIGTERM comes blocked, so that it cannot be lost before this */
    sigemptyset(&none);
    signal(SIGTERM, pass_on);
    child = vfork();
    if (child == 0) {
        signal(SIGTERM, SIG_DFL);
        sigprocmask(SIG_SETMASK, &none, NULL);
        execve(argv[2], argv + 2, env);
        _exit(126);
    }
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int status;;) {
        pid_t pid = wait(&status);
        if (pid == child)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
}
