#include "daemon/privileges.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

/* Membership is how an administrator allows the docker engine (docs/security.md); nobody is a member by default. */
static gid_t find_docker_group(const char *user, gid_t gid)
{
    struct group gr, *found = NULL;
    char buf[4096];
    gid_t groups[256];
    int n = (int)HOB_COUNT(groups);
    if (getgrnam_r("docker", &gr, buf, sizeof buf, &found) != 0 || !found ||
        getgrouplist(user, gid, groups, &n) < 0)
        return 0;
    for (int i = 0; i < n; i++)
        if (groups[i] == gr.gr_gid)
            return gr.gr_gid;
    return 0;
}

enum hob_code identity_find(struct identity *id, const char *user, struct hob_err *err)
{
    *id = (struct identity){.uid = geteuid(), .gid = getegid(), .is_root = geteuid() == 0};
    if (!id->is_root)
        return HOB_OK;
    struct passwd pw, *found = NULL;
    char buf[4096];
    int rc = getpwnam_r(user, &pw, buf, sizeof buf, &found);
    if (rc != 0)
        return hob_fail_errno(err, rc, "looking up the user '%s'", user);
    if (!found)
        return hob_fail(
            err, HOB_E_NOT_FOUND,
            "user '%s' does not exist: create it (useradd --system --shell /usr/sbin/nologin %s) or give --user NAME",
            user, user);
    if (found->pw_uid == 0)
        return hob_fail(err, HOB_E_INVALID,
                        "--user '%s' is root: hobd parses what strangers send and must not be root", user);
    id->uid = found->pw_uid;
    id->gid = found->pw_gid;
    id->docker = find_docker_group(user, id->gid);
    return HOB_OK;
}

int identity_take(const struct identity *id)
{
    const struct rlimit no_core = {0, 0};
    if (setrlimit(RLIMIT_CORE, &no_core) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -1;
    if (!id->is_root)
        return 0;
    if (setgroups(id->docker ? 1 : 0, id->docker ? &id->docker : NULL) < 0 ||
        setresgid(id->gid, id->gid, id->gid) < 0 || setresuid(id->uid, id->uid, id->uid) < 0)
        return -1;
    if (setuid(0) == 0) {
        errno = EPERM;
        return -1;
    }
    return 0;
}
