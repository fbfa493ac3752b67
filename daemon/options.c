#include "daemon/options.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/env.h"
#include "base/mem.h"
#include "base/str.h"

struct option_row {
    const char *name, *value, *help;
};
enum option_id {
    OPT_HOME,
    OPT_LISTEN,
    OPT_USER,
    OPT_RUNTIMES,
    OPT_DOCKER,
    OPT_PRIVATE,
    OPT_HELP,
    OPT_VERSION,
    OPT_COUNT
};
static const struct option_row rows[OPT_COUNT] = {
    [OPT_HOME] = {"--home", "DIR",
                  "where everything is kept (HOB_HOME; /var/lib/hob as root, else ~/.local/share/hob)"},
    [OPT_LISTEN] = {"--listen", "ADDR:PORT",
                    "numeric address and port of the HTTP face (HOB_LISTEN; 127.0.0.1:7070; port 0: any)"},
    [OPT_USER] = {"--user", "NAME", "whom to become when started as root (hob)"},
    [OPT_RUNTIMES] = {"--runtimes", "DIR", "folder of the language runtimes (beside the program)"},
    [OPT_DOCKER] =
        {"--docker", "HOST",
         "the Docker Engine for functions with engine docker (HOB_DOCKER_HOST; unix:///var/run/docker.sock; off)"},
    [OPT_PRIVATE] =
        {"--apps-reach-private", NULL,
         "apps may name mail servers and providers of identities at private and loopback addresses, and "
         "without TLS (HOB_APPS_REACH_PRIVATE=1; off)"},
    [OPT_HELP] = {"--help", NULL, "this text"},
    [OPT_VERSION] = {"--version", NULL, "the version"},
};

void daemon_options_help(void)
{
    printf("hobd: the Hob daemon\n\nusage: hobd [options]\n\n");
    for (size_t i = 0; i < OPT_COUNT; i++)
        printf("  %-20s %-10s %s\n", rows[i].name, rows[i].value ? rows[i].value : "", rows[i].help);
    printf("\nLogs go to stderr: HOB_LOG_FORMAT=text|json, HOB_LOG_LEVEL=debug|info|warn|error.\n"
           "Manual: docs/operations.md\n");
}

static void replace(char **slot, char *owned)
{
    free(*slot);
    *slot = owned;
}

/* "127.0.0.1:7070", "[::1]:7070" */
static enum hob_code parse_listen(struct daemon_options *o, const char *text, struct hob_err *err)
{
    const char *colon = strrchr(text, ':');
    uint64_t port = 0;
    if (!colon || colon == text || !hob_str_u64(hob_str(colon + 1), &port) || port > 65535)
        return hob_fail(err, HOB_E_INVALID,
                        "--listen '%s': give a numeric address and a port, like 127.0.0.1:7070 or [::1]:7070",
                        text);
    struct hob_str host = hob_str_n(text, (size_t)(colon - text));
    if (host.n > 2 && host.at[0] == '[' && host.at[host.n - 1] == ']')
        host = hob_str_n(host.at + 1, host.n - 2);
    replace(&o->host, hob_strndup(host.at, host.n));
    o->port = (uint16_t)port;
    return HOB_OK;
}

static enum hob_code take(struct daemon_options *o, enum option_id id, const char *value, struct hob_err *err)
{
    switch (id) {
    case OPT_HOME:
        replace(&o->home, hob_strdup(value));
        return HOB_OK;
    case OPT_LISTEN:
        return parse_listen(o, value, err);
    case OPT_USER:
        replace(&o->user, hob_strdup(value));
        return HOB_OK;
    case OPT_RUNTIMES:
        replace(&o->runtimes, hob_strdup(value));
        return HOB_OK;
    case OPT_DOCKER:
        replace(&o->docker, strcmp(value, "off") == 0 ? NULL : hob_strdup(value));
        o->is_docker_asked_for = true;
        return HOB_OK;
    case OPT_PRIVATE:
        o->may_reach_private = true;
        return HOB_OK;
    case OPT_HELP:
        o->is_help = true;
        return HOB_OK;
    case OPT_VERSION:
        o->is_version = true;
        return HOB_OK;
    case OPT_COUNT:
    default:
        HOB_ASSERT(!"a row without a case");
    }
}

/* Finds the row of "--name" or "--name=value"; *ret_value points behind '=' or is NULL. */
static enum hob_code find_row(const char *arg, enum option_id *ret_id, const char **ret_value,
                              struct hob_err *err)
{
    struct hob_str rest, name = hob_str_cut(hob_str(arg), '=', &rest);
    const char *names[OPT_COUNT];
    for (size_t i = 0; i < OPT_COUNT; i++) {
        names[i] = rows[i].name;
        if (!hob_str_is(name, rows[i].name))
            continue;
        *ret_id = (enum option_id)i;
        *ret_value = rest.at;
        return HOB_OK;
    }
    const char *near = hob_nearest(arg, names, OPT_COUNT);
    return hob_fail(err, HOB_E_INVALID, "unknown option '%s'%s%s%s; see hobd --help", arg,
                    near ? ": did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static enum hob_code take_arguments(struct daemon_options *o, int argc, char **argv, struct hob_err *err)
{
    for (int i = 1; i < argc; i++) {
        enum option_id id = OPT_HELP;
        const char *value = NULL;
        enum hob_code rc = find_row(argv[i], &id, &value, err);
        if (rc != HOB_OK)
            return rc;
        if (rows[id].value && !value)
            value = i + 1 < argc ? argv[++i] : NULL;
        if (rows[id].value && !value)
            return hob_fail(err, HOB_E_INVALID, "%s needs a value: %s", rows[id].name, rows[id].value);
        rc = take(o, id, value, err);
        if (rc != HOB_OK)
            return rc;
    }
    return HOB_OK;
}

static char *own_folder(void)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n <= 0)
        return hob_strdup(".");
    path[n] = '\0';
    char *slash = strrchr(path, '/');
    return hob_strndup(path, slash && slash != path ? (size_t)(slash - path) : 1);
}

/* In a build tree programs are in build/…/bin and the runtimes at the root; installed, in bin/ and lib/hob/. */
static char *default_runtimes(const char *programs)
{
    static const char *const places[] = {"../lib/hob/runtimes", "../../runtimes", "../../../runtimes"};
    for (size_t i = 0; i < HOB_COUNT(places); i++) {
        char *path = hob_asprintf("%s/%s", programs, places[i]);
        char *real = realpath(path, NULL);
        free(path);
        if (real)
            return real;
    }
    return hob_asprintf("%s/%s", programs, places[0]);
}

static char *default_home(void)
{
    const char *user_home = hob_env("HOME");
    if (geteuid() == 0 || !user_home)
        return hob_strdup("/var/lib/hob");
    return hob_asprintf("%s/.local/share/hob", user_home);
}

enum hob_code daemon_options_parse(struct daemon_options *o, int argc, char **argv, struct hob_err *err)
{
    const char *home = hob_env("HOB_HOME"), *listen = hob_env("HOB_LISTEN");
    *o = (struct daemon_options){.programs = own_folder(), .user = hob_strdup("hob")};
    o->home = home ? hob_strdup(home) : default_home();
    o->runtimes = default_runtimes(o->programs);
    const char *docker = hob_env("HOB_DOCKER_HOST"), *private = hob_env("HOB_APPS_REACH_PRIVATE");
    o->may_reach_private = private && strcmp(private, "1") == 0;
    o->is_docker_asked_for = docker != NULL;
    if (!docker || strcmp(docker, "off") != 0)
        o->docker = hob_strdup(docker ? docker : "unix:///var/run/docker.sock");
    enum hob_code rc = parse_listen(o, listen ? listen : "127.0.0.1:7070", err);
    return rc == HOB_OK ? take_arguments(o, argc, argv, err) : rc;
}

void daemon_options_done(struct daemon_options *o)
{
    free(o->home);
    free(o->host);
    free(o->user);
    free(o->runtimes);
    free(o->programs);
    free(o->docker);
}
