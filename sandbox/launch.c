/* A launch: shelf -> template's namespace -> clone -> [steps in the new process] -> exec of hob-init.
 *
 * The new process shares the worker's memory until it execs (CLONE_VM | CLONE_VFORK: no page tables are copied,
 * the worker sleeps meanwhile), so a step makes system calls and nothing else: it allocates nothing and changes
 * nothing but the report. Everything it needs is prepared in the recipe before. It shares the table of descriptors, too,
 * until it has what it keeps of it: a worker with ten thousand sandboxes has as many descriptors, and to copy and close
 * them would cost more than the rest of a launch. What it keeps stands in the worker's low slots.
 *
 * A stem: the same, but the worker makes the mount namespace itself and keeps a descriptor of it, so that ASSIGN can
 * later go there and put the code at /app. The stem has no part in that and no privilege for it. */
#include "sandbox/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fdmsg.h"
#include "base/mem.h"
#include "sandbox/caps.h"
#include "sandbox/landlock.h"
#include "sandbox/notify/egress.h"
#include "sandbox/rlimits.h"
#include "sandbox/seccomp.h"

#include "base/banned.h"

enum { STACK_BYTES = 128 * 1024 };

struct report { /* in memory that a forked child shares too */
    volatile int step, errnum;
};
struct recipe {
    const struct launcher *l;
    const struct request *request;
    struct cgroup_set set;
    int template, netns, code, fds[4];
    int dns; /* of an instance with egress, else -1 */
    int mnt; /* of a stem, else -1 */
    unsigned uid;
    int landlock_abi;
    char tmp_options[96];
    struct seccomp_kind filter;
    struct sock_fprog program; /* that filter */
    struct report *report;
};

/* --- the steps, in the new process --------------------------------------------------------------------------- */
static int step_cgroups(const struct recipe *r)
{
    if (cgroup_enter(&r->l->cgroups, &r->set) < 0)
        return -1;
    return unshare(CLONE_NEWCGROUP); /* after entering: the namespace's root is the sandbox's own group */
}

static int step_network(const struct recipe *r)
{
    return setns(r->netns, CLONE_NEWNET);
}

static int step_tmp(const struct recipe *r)
{
    (void)umask(0);
    if (mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, r->tmp_options) < 0)
        return -1;
    return mkdir("/tmp/.shm", 01777); /* /dev/shm points here: one budget */
}

static int step_proc(const struct recipe *r)
{
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "subset=pid,hidepid=2") < 0)
        return -1;
    if (r->l->is_rootless) /* an ordinary user's daemon is not protected */
        return 0;
    /* When the whole machine runs out of memory, functions go before daemons, whose score we inherited. */
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    bool is_set = fd >= 0 && write(fd, "500", 3) == 3;
    return fd >= 0 && close(fd) == 0 && is_set ? 0 : -1;
}

static int step_code(const struct recipe *r)
{
    if (r->request->head->flags & HOB_LAUNCH_STEM)
        return chdir("/app"); /* empty still */
    if (r->code < 0)
        return chdir("/tmp");
    if (move_mount(r->code, "", AT_FDCWD, "/app", MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return -1;
    return chdir("/app");
}

static int step_session(const struct recipe *r)
{
    (void)r;
    (void)umask(077);
    return setsid() < 0 ? -1 : sethostname("hob", 3);
}

/* Bare system calls: libc's setters would tell threads that share this memory but are not ours. */
static int step_ids(const struct recipe *r)
{
    if (syscall(SYS_setgroups, 0, NULL) < 0 && r->l->has_uid_range)
        return -1; /* with one mapped uid the kernel forbids it, and the probe says so */
    if (syscall(SYS_setresgid, r->uid, r->uid, r->uid) < 0)
        return r->l->has_uid_range ? -1 : (int)syscall(SYS_setresuid, r->uid, r->uid, r->uid);
    return (int)syscall(SYS_setresuid, r->uid, r->uid, r->uid);
}

static int step_privileges(const struct recipe *r)
{
    (void)r;
    if (caps_none() < 0)
        return -1;
    return prctl(PR_SET_PDEATHSIG, SIGKILL); /* after the ids: a change of ids clears it */
}

static int step_landlock(const struct recipe *r)
{
    return landlock_restrict(r->landlock_abi, r->request->http_ports);
}

static int step_descriptors(const struct recipe *r)
{
    static const int target[4] = {3, 1, 2, 0}; /* channel, stdout, stderr, stdin */
    unsigned top = (unsigned)r->l->out;
    for (size_t i = 0; i < 4; i++)
        top = (unsigned)r->l->slots[i] > top ? (unsigned)r->l->slots[i] : top;
    if (syscall(SYS_close_range, top + 1, ~0U, CLOSE_RANGE_UNSHARE) < 0) /* from here on a table of its own */
        return -1;
    for (size_t i = 0; i < 4; i++)
        if (dup2(r->l->slots[i], target[i]) < 0)
            return -1;
    /* 4 goes away by the exec: until then the filter's listener goes out by it */
    if (dup3(r->l->out, 4, O_CLOEXEC) < 0)
        return -1;
    return (int)syscall(SYS_close_range, 5, ~0U, 0);
}

static int step_rlimits(const struct recipe *r)
{
    const struct hob_launch_request *head = r->request->head;
    /* Where no group shares out the CPU, a thousand processes of a bomb shall not outweigh us. */
    if (!(r->l->cgroups.parts & CGROUP_CPU) && setpriority(PRIO_PROCESS, 0, WALLS_NICE) < 0)
        return -1;
    return rlimits_set(head->nofile_max, head->fsize_bytes, walls_nproc(r->l, head->pids_max));
}

static int step_filter(const struct recipe *r)
{
    /* A first process ignores these until it asks for them; blocked they wait, so that no early STOP is lost. */
    sigset_t waiting;
    (void)sigemptyset(&waiting);
    (void)sigaddset(&waiting, SIGTERM);
    (void)sigaddset(&waiting, SIGINT);
    (void)sigaddset(&waiting, SIGHUP);
    if (sigprocmask(SIG_SETMASK, &waiting, NULL) < 0)
        return -1;
    int listener = -1;
    if (seccomp_restrict(&r->filter, &r->program, &listener) < 0)
        return -1;
    /* Without it denied calls are answered all the same, only not seen. */
    return listener < 0 || hob_fdmsg_send(4, HOB_STR("l"), &listener, 1) == 1 ? 0 : -1;
}

static int step_exec(const struct recipe *r)
{
    return execve("/hob/init", (char *const *)(uintptr_t)r->request->argv,
                  (char *const *)(uintptr_t)r->request->env);
}

static const struct {
    const char *what;
    int (*take)(const struct recipe *r);
} steps[] = {
    {"entering its cgroups", step_cgroups},
    {"joining its network namespace", step_network},
    {"mounting /tmp", step_tmp},
    {"mounting /proc", step_proc},
    {"mounting the code at /app", step_code},
    {"starting its session", step_session},
    {"taking its uid and gid", step_ids},
    {"giving up all privileges", step_privileges},
    {"restricting itself with Landlock", step_landlock},
    {"arranging its descriptors", step_descriptors},
    {"setting its resource limits", step_rlimits},
    {"installing the system call filter", step_filter},
    {"executing /hob/init", step_exec},
};

static int sandboxed(void *arg)
{
    const struct recipe *r = arg;
    for (size_t i = 0; i < HOB_COUNT(steps); i++) {
        r->report->step = (int)i;
        if (steps[i].take(r) < 0) {
            r->report->errnum = errno ? errno : EINVAL;
            break;
        }
    }
    (void)syscall(SYS_exit_group, 127);
    return 127;
}

/* --- the worker's part ----------------------------------------------------------------------------------------- */
static const int namespaces = CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS;

/* Starts the new process as pid 1 of its namespaces and waits until it has exec'd or died. */
static pid_t clone_sandboxed(struct recipe *r, int *ret_pidfd)
{
    int into = cgroup_clone_into(&r->l->cgroups, &r->set);
    int flags = (r->mnt < 0 ? CLONE_NEWNS : 0) | namespaces;
    *ret_pidfd = -1;
    if (into < 0) {
        static char stack[STACK_BYTES] __attribute__((aligned(16)));
        return clone(sandboxed, stack + sizeof stack,
                     flags | CLONE_VM | CLONE_FILES | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, r, ret_pidfd);
    }
    /* clone3 has no libc function that would give the child a stack, so this one gets a copy of the memory */
    struct clone_args args = {
        .flags = (unsigned)flags | CLONE_FILES | CLONE_VFORK | CLONE_PIDFD | CLONE_INTO_CGROUP,
        .pidfd = (uint64_t)(uintptr_t)ret_pidfd,
        .exit_signal = SIGCHLD,
        .cgroup = (unsigned)into,
    };
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0)
        (void)sandboxed(r);
    return pid;
}

/* The version's folder as a detached, read-only mount. */
static int code_open(const struct launcher *l, const char *digest, struct hob_err *err)
{
    struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    hob_auto_close int dir = (int)syscall(SYS_openat2, l->code, digest, &how, sizeof how);
    if (dir < 0)
        return (void)hob_fail_errno(err, errno, "code '%s' below '%s'", digest, l->options->code), -1;
    hob_auto_close int tree = open_tree(dir, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};
    if (tree < 0 || mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof attr) < 0)
        return (void)hob_fail_errno(err, errno, "a read-only mount of code '%s'", digest), -1;
    return hob_steal_fd(&tree);
}

static struct cgroup_limits limits_of(const struct hob_launch_request *head)
{
    return (struct cgroup_limits){.memory_bytes = (uint64_t)head->memory_mb << 20,
                                  .cpu_percent = head->cpu_percent,
                                  .cpu_weight = head->cpu_weight,
                                  .pids_max = head->pids_max};
}

void launch_tenant(const struct hob_launch_request *head, struct shelf_tenant *ret_tenant)
{
    memcpy(ret_tenant->app, head->app, sizeof head->app);
    memcpy(ret_tenant->digest, head->digest, sizeof head->digest);
}

/* Fills what the steps need. Whatever it took is in *r even when it fails. */
static enum hob_code prepare(struct launcher *l, struct recipe *r, struct hob_err *err)
{
    const struct hob_launch_request *head = r->request->head;
    struct cgroup_limits limits = limits_of(head);
    if ((r->template = template_get(l, head->runtime, err)) < 0)
        return err->code;
    if (head->digest[0] && (r->code = code_open(l, head->digest, err)) < 0)
        return err->code;
    if (!shelf_take_set(&l->shelf, &l->cgroups, &limits, &r->set))
        return hob_fail_errno(err, errno, "its cgroups");
    struct shelf_tenant tenant;
    launch_tenant(head, &tenant);
    if ((r->netns = shelf_take_netns(&l->shelf, &tenant, l->own_net)) < 0)
        return hob_fail_errno(err, errno, "its network namespace");
    if ((head->flags & HOB_LAUNCH_EGRESS) && (r->dns = egress_dns_socket(r->netns, l->own_net)) < 0)
        return hob_fail_errno(err, errno, "a socket for names in its network namespace");
    (void)snprintf(r->tmp_options, sizeof r->tmp_options, "size=%llu,nr_inodes=%u,mode=1777",
                   (unsigned long long)head->tmp_bytes, head->tmp_inodes);
    return HOB_OK;
}

/* In the template's namespace: goes to a copy of it, of which a descriptor is kept. */
static bool mounts_make(struct launcher *l, struct recipe *r)
{
    if (unshare(CLONE_NEWNS) < 0)
        return false;
    r->mnt = openat(l->proc, "self/ns/mnt", O_RDONLY | O_CLOEXEC);
    return r->mnt >= 0;
}

/* What the new process has sent before its exec: its filter's listener, or -1. */
static int listener_take(struct launcher *l)
{
    char byte;
    int fd = -1;
    size_t n = 0;
    return hob_fdmsg_recv(l->in, &byte, 1, &fd, 1, &n) == 1 && n == 1 ? fd : -1;
}

/* Puts what the new process keeps into the slots, or (NULL) empties them. */
static bool slots_fill(const struct launcher *l, const int fds[4])
{
    for (size_t i = 0; i < HOB_COUNT(l->slots); i++)
        if (dup3(fds ? fds[i] : l->null, l->slots[i], O_CLOEXEC) < 0)
            return false;
    return true;
}

/* Goes to the template's mount namespace, clones there, comes back. */
static enum hob_code start(struct launcher *l, struct recipe *r, struct launched *ret, struct hob_err *err)
{
    r->report->step = r->report->errnum = 0;
    if (setns(r->template, CLONE_NEWNS) < 0)
        return hob_fail_errno(err, errno, "entering the mounts of runtime '%s'", r->request->head->runtime);
    bool is_stem = r->request->head->flags & HOB_LAUNCH_STEM;
    if (slots_fill(l, r->fds) && (!is_stem || mounts_make(l, r)))
        ret->pid = clone_sandboxed(r, &ret->pidfd);
    int errnum = errno;
    HOB_ASSERT(setns(l->host_mnt, CLONE_NEWNS) == 0);
    HOB_ASSERT(
        slots_fill(l, NULL)); /* descriptors that are there, to numbers that are taken: it cannot fail */
    ret->listener = listener_take(l);
    if (ret->pid < 0)
        return hob_fail_errno(err, errnum, "cloning a process into new namespaces");
    if (r->report->errnum) {
        hob_close_p(&ret->pidfd);
        hob_close_p(&ret->listener);
        return hob_fail_errno(err, r->report->errnum, "%s", steps[r->report->step].what);
    }
    return HOB_OK;
}

enum hob_code launch(struct launcher *l, const struct request *r, const int fds[4], unsigned uid,
                     struct launched *ret, struct hob_err *err)
{
    static int abi = -1;
    if (abi < 0)
        abi = landlock_abi();
    struct recipe recipe = {.l = l,
                            .request = r,
                            .template = -1,
                            .netns = -1,
                            .code = -1,
                            .mnt = -1,
                            .dns = -1,
                            .fds = {fds[0], fds[1], fds[2], fds[3] < 0 ? l->null : fds[3]},
                            .uid = uid,
                            .landlock_abi = abi,
                            .report = l->report};
    recipe.filter = (struct seccomp_kind){.is_egress = r->head->flags & HOB_LAUNCH_EGRESS,
                                          .is_learning = r->head->flags & HOB_LAUNCH_LEARN,
                                          .has_profile = r->head->flags & HOB_LAUNCH_PROFILE,
                                          .calls = r->head->calls};
    recipe.program = seccomp_program(&recipe.filter);
    for (size_t i = 0; i < 4; i++)
        HOB_ASSERT(recipe.fds[i] > 3); /* below lie the descriptors that they become */
    for (size_t i = 0; i < CGROUP_TREES_MAX; i++)
        recipe.set.doors[i] = -1;
    *ret = (struct launched){.pid = -1, .pidfd = -1, .mnt = -1, .netns = -1, .listener = -1, .dns = -1};
    enum hob_code code = prepare(l, &recipe, err);
    if (code == HOB_OK)
        code = start(l, &recipe, ret, err);
    if (code == HOB_OK) {
        ret->mnt = hob_steal_fd(&recipe.mnt);
        ret->dns = hob_steal_fd(&recipe.dns);
        ret->netns = hob_steal_fd(&recipe.netns);
        ret->walls = (struct walls){.uid = uid,
                                    .nofile = r->head->nofile_max,
                                    .tmp_inodes = r->head->tmp_inodes,
                                    .tmp_bytes = r->head->tmp_bytes,
                                    .fsize_bytes = r->head->fsize_bytes,
                                    .landlock_abi = abi,
                                    .has_code = r->head->digest[0] != '\0',
                                    .filter = recipe.filter,
                                    .has_listener = ret->listener >= 0};
    }
    hob_close_p(&recipe.mnt);
    hob_close_p(&recipe.dns);
    ret->set = recipe.set;
    hob_close_p(&recipe.netns);
    hob_close_p(&recipe.code);
    return code;
}

enum hob_code launch_assign(struct launcher *l, const struct hob_launch_request *head, int mnt,
                            struct cgroup_set *set, struct hob_err *err)
{
    struct cgroup_limits now = limits_of(head);
    hob_auto_close int code = code_open(l, head->digest, err);
    if (code < 0)
        return err->code;
    if (!cgroup_limit(&l->cgroups, set, &now))
        return hob_fail_errno(err, errno, "the limits of its cgroups");
    if (setns(mnt, CLONE_NEWNS) < 0)
        return hob_fail_errno(err, errno, "entering the stem's mounts");
    int moved = move_mount(code, "", AT_FDCWD, "/app", MOVE_MOUNT_F_EMPTY_PATH), errnum = errno;
    HOB_ASSERT(setns(l->host_mnt, CLONE_NEWNS) == 0);
    return moved == 0 ? HOB_OK : hob_fail_errno(err, errnum, "mounting the code at the stem's /app");
}
