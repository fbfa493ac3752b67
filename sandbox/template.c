#include "sandbox/template.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fdmsg.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "sandbox/launcher.h"

#include "base/banned.h"

#if defined(__x86_64__)
#define MULTIARCH "x86_64-linux-gnu"
#elif defined(__aarch64__)
#define MULTIARCH "aarch64-linux-gnu"
#endif

enum { ROOTFS_BYTES_MAX = 65536, LINKS_MAX = 8, LD_CACHE_BYTES_MAX = 1 << 20 };

/* In this order. /lib and /lib64 are links into /usr on most hosts (then only the link is made), folders on some. */
static const char *const base_paths[] = {
    "/usr/lib/" MULTIARCH, "/usr/lib64", "/usr/lib/ld-linux-aarch64.so.1", "/lib", "/lib64",
    "/lib/" MULTIARCH};
static const char *const devices[] = {"null", "zero", "full", "random", "urandom"};
static const struct {
    const char *path, *text;
} etc_files[] = {
    {"/etc/passwd", "root:x:0:0::/:/bin/false\nnobody:x:65534:65534::/tmp:/bin/false\n"},
    {"/etc/group", "root:x:0:\nnogroup:x:65534:\n"},
    {"/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"},
    {"/etc/resolv.conf", "nameserver 127.0.0.53\noptions timeout:5 attempts:2\n"},
    {"/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"},
};
static const struct {
    const char *path, *target;
} dev_links[] = {
    {"/dev/fd", "/proc/self/fd"},       {"/dev/stdin", "/proc/self/fd/0"}, {"/dev/stdout", "/proc/self/fd/1"},
    {"/dev/stderr", "/proc/self/fd/2"}, {"/dev/shm", "/tmp/.shm"}, /* one budget for /tmp and /dev/shm */
};

/* --- paths inside the root being built: resolved in it, whatever its links say ------------------------------- */
static int open_in(int root, const char *path, int flags)
{
    struct open_how how = {.flags = (unsigned)(flags | O_CLOEXEC), .resolve = RESOLVE_IN_ROOT};
    return (int)syscall(SYS_openat2, root, path, &how, sizeof how);
}

/* mkdir -p; returns an owned O_PATH descriptor of the folder, or -1. */
static int make_dirs(int root, const char *path)
{
    char part[PATH_MAX];
    int at = open_in(root, "/", O_PATH | O_DIRECTORY);
    for (const char *end = path; at >= 0 && *end;) {
        const char *name = end + strspn(end, "/");
        end = name + strcspn(name, "/");
        if (end == name)
            break;
        (void)snprintf(part, sizeof part, "%.*s", (int)(end - name), name);
        if (mkdirat(at, part, 0755) < 0 && errno != EEXIST && errno != EROFS)
            return close(at), -1;
        (void)snprintf(part, sizeof part, "%.*s", (int)(end - path), path);
        (void)close(at);
        at = open_in(root, part, O_PATH | O_DIRECTORY);
    }
    return at;
}

/* Opens the folder that holds `path` and says where its last name begins. */
static int make_parent(int root, const char *path, const char **ret_name)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(path, '/');
    (void)snprintf(dir, sizeof dir, "%.*s", (int)(slash - path), path);
    *ret_name = slash + 1;
    return make_dirs(root, dir);
}

static int make_file(int root, const char *path, struct hob_str text)
{
    const char *name;
    hob_auto_close int parent = make_parent(root, path, &name);
    hob_auto_close int fd =
        parent < 0 ? -1 : openat(parent, name, O_CREAT | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0 || (text.n && write(fd, text.at, text.n) != (ssize_t)text.n))
        return -1;
    return open_in(root, path, O_PATH);
}

static int make_link(int root, const char *path, const char *target)
{
    const char *name;
    hob_auto_close int parent = make_parent(root, path, &name);
    return parent < 0 || (symlinkat(target, parent, name) < 0 && errno != EEXIST) ? -1 : 0;
}

/* --- what is shown of the host ------------------------------------------------------------------------------ */
/* A file or folder of the host at `path` in the root; `attributes` as of mount_setattr. */
static int show(int root, const char *source, const char *path, uint64_t attributes)
{
    struct stat st;
    hob_auto_close int tree = open_tree(AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0 && errno == EINVAL) /* rootless: what is mounted below it may not be uncovered */
        tree = open_tree(AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    if (tree < 0 || fstat(tree, &st) < 0)
        return -1;
    hob_auto_close int at =
        S_ISDIR(st.st_mode) ? make_dirs(root, path) : make_file(root, path, (struct hob_str){0});
    struct mount_attr attr = {.attr_set = attributes};
    if (at < 0 || mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof attr) < 0)
        return -1;
    return move_mount(tree, "", at, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

static const uint64_t read_only = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;

/* Folds "." and ".." without looking at the disk; false when it would leave the root or is too long. */
static bool normalize(const char *path, char out[PATH_MAX])
{
    size_t n = 0;
    for (const char *at = path; *at;) {
        at += strspn(at, "/");
        size_t len = strcspn(at, "/");
        if (len == 2 && at[0] == '.' && at[1] == '.') {
            if (n == 0)
                return false;
            while (out[--n] != '/')
                ;
        } else if (len && !(len == 1 && at[0] == '.')) {
            if (n + len + 2 > PATH_MAX)
                return false;
            out[n++] = '/';
            memcpy(out + n, at, len);
            n += len;
        }
        at += len;
    }
    out[n] = '\0';
    return n > 0;
}

/* Shows `path` as the host has it; a symbolic link is made again and followed. Missing: nothing. */
static int show_host(int root, dev_t root_dev, const char *path)
{
    char now[PATH_MAX], link[1024], next[PATH_MAX + 1024];
    if (!normalize(path, now))
        return 0;
    for (int depth = 0; depth < LINKS_MAX; depth++) {
        struct stat st;
        hob_auto_close int there = open_in(root, now, O_PATH | O_NOFOLLOW);
        if (there >= 0 && fstat(there, &st) == 0 && st.st_dev != root_dev)
            return 0; /* inside something already shown */
        if (lstat(now, &st) < 0)
            return 0;
        if (!S_ISLNK(st.st_mode))
            return show(root, now, now, read_only);
        ssize_t n = readlink(now, link, sizeof link - 1);
        if (n < 0)
            return -1;
        link[n] = '\0';
        if (make_link(root, now, link) < 0)
            return -1;
        *strrchr(now, '/') = '\0';
        (void)snprintf(next, sizeof next, "%s/%s", link[0] == '/' ? "" : now, link);
        if (!normalize(next, now))
            return 0;
    }
    return 0;
}

/* --- the parts, in order ------------------------------------------------------------------------------------- */
static int part_base(int root, dev_t root_dev)
{
    char target[PATH_MAX];
    for (size_t i = 0; i < HOB_COUNT(base_paths); i++) {
        ssize_t n = readlink(base_paths[i], target, sizeof target - 1);
        if (n > 0)
            target[n] = '\0';
        if ((n > 0 ? make_link(root, base_paths[i], target) : show_host(root, root_dev, base_paths[i])) < 0)
            return -1;
    }
    return 0;
}

static int part_etc(int root)
{
    for (size_t i = 0; i < HOB_COUNT(etc_files); i++) {
        hob_auto_close int fd = make_file(root, etc_files[i].path, hob_str(etc_files[i].text));
        if (fd < 0)
            return -1;
    }
    struct hob_buf hob_auto_buf cache = {0};
    hob_buf_init(&cache, LD_CACHE_BYTES_MAX);
    if (hob_read_file("/etc/ld.so.cache", &cache, NULL) == HOB_OK) { /* musl hosts have none */
        hob_auto_close int fd = make_file(root, "/etc/ld.so.cache", hob_buf_str(&cache));
        if (fd < 0)
            return -1;
    }
    return access("/etc/ssl/certs", F_OK) == 0 ? show(root, "/etc/ssl/certs", "/etc/ssl/certs", read_only)
                                               : 0;
}

static int part_dev(int root)
{
    char path[32];
    for (size_t i = 0; i < HOB_COUNT(devices); i++) {
        (void)snprintf(path, sizeof path, "/dev/%s", devices[i]);
        if (show(root, path, path, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC) < 0)
            return -1;
    }
    for (size_t i = 0; i < HOB_COUNT(dev_links); i++)
        if (make_link(root, dev_links[i].path, dev_links[i].target) < 0)
            return -1;
    return 0;
}

static int part_empty(int root, bool is_rootless)
{
    static const char *const dirs[] = {"/app", "/tmp", "/proc", "/hob/runtime"};
    for (size_t i = 0; i < HOB_COUNT(dirs); i++) {
        hob_auto_close int fd = make_dirs(root, dirs[i]);
        if (fd < 0)
            return -1;
    }
    /* A user namespace may mount a new /proc only where a whole one is visible; the sandbox's own covers it. */
    return is_rootless ? mount("/proc", "proc", NULL, MS_BIND | MS_REC, NULL) : 0;
}

static int part_hob(int root, const struct launcher_options *o, const char *runtime)
{
    char dir[PATH_MAX];
    bool is_unpack = strcmp(runtime, "unpack") == 0;
    (void)snprintf(dir, sizeof dir, "%s/%s", o->runtimes, runtime);
    if (show(root, dir, "/hob/runtime", read_only) < 0 && !(is_unpack && errno == ENOENT))
        return -1;
    if (show(root, o->init, "/hob/init", read_only) < 0)
        return -1;
    return is_unpack && o->unpacker ? show(root, o->unpacker, "/hob/unpack", read_only) : 0;
}

static int part_runtime(int root, dev_t root_dev, const char *runtimes, const char *runtime)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s/rootfs", runtimes, runtime);
    struct hob_buf hob_auto_buf list = {0};
    hob_buf_init(&list, ROOTFS_BYTES_MAX);
    if (hob_read_file(path, &list, NULL) != HOB_OK)
        return access(path, F_OK) == 0 ? -1 : 0; /* none: the base is enough */
    for (struct hob_str rest = hob_buf_str(&list); rest.at;) {
        struct hob_str line = hob_str_trim(hob_str_cut(rest, '\n', &rest));
        if (line.n == 0 || line.at[0] != '/' || line.n >= sizeof path)
            continue;
        (void)snprintf(path, sizeof path, "%.*s", HOB_STR_ARG(line));
        if (show_host(root, root_dev, path) < 0)
            return -1;
    }
    return 0;
}

/* In the child: builds the root on a tmpfs over /sys (a folder every host has and no runtime needs) and makes it
 * this namespace's only mount. */
static enum hob_code build(const struct launcher *l, const char *runtime, struct hob_err *err)
{
    struct stat st;
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", "/sys", "tmpfs", MS_NOSUID | MS_NODEV, "size=8m,nr_inodes=4096,mode=755") < 0 ||
        chdir("/sys") < 0)
        return hob_fail_errno(err, errno, "mounting a tmpfs for the root");
    hob_auto_close int root = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0 || fstat(root, &st) < 0)
        return hob_fail_errno(err, errno, "opening the new root");
    if (part_base(root, st.st_dev) < 0)
        return hob_fail_errno(err, errno, "showing the host's libraries");
    if (part_empty(root, l->is_rootless) < 0 || part_etc(root) < 0)
        return hob_fail_errno(err, errno, "making the minimal /etc");
    if (part_dev(root) < 0)
        return hob_fail_errno(err, errno, "making the minimal /dev");
    if (part_hob(root, l->options, runtime) < 0)
        return hob_fail_errno(err, errno, "showing the runtime's folder, hob-init or the unpacker");
    if (part_runtime(root, st.st_dev, l->options->runtimes, runtime) < 0)
        return hob_fail_errno(err, errno, "showing what its rootfs file lists");
    struct mount_attr attr = {.attr_set = read_only};
    if (mount_setattr(AT_FDCWD, ".", 0, &attr, sizeof attr) < 0)
        return hob_fail_errno(err, errno, "making the root read-only");
    if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0)
        return hob_fail_errno(err, errno, "making it the root");
    return HOB_OK;
}

/* The child's whole life: sends the error (code HOB_OK: none) and its mount namespace. */
static void builder(const struct launcher *l, const char *runtime, int out)
{
    struct hob_err err = {.code = HOB_OK};
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)umask(022);
    int ns = unshare(CLONE_NEWNS) < 0 ? -1 : open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    if (ns < 0)
        (void)hob_fail_errno(&err, errno, "a mount namespace");
    else
        (void)build(l, runtime, &err);
    err.reason = NULL; /* a pointer means nothing outside */
    _exit(hob_fdmsg_send(out, hob_str_n(&err, sizeof err), &ns, ns >= 0) == 1 ? 0 : 1);
}

bool template_name_is_valid(const char *runtime)
{
    size_t n = strnlen(runtime, TEMPLATE_NAME_MAX);
    return n >= 1 && n < TEMPLATE_NAME_MAX && strspn(runtime, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

/* --- what root must own ---------------------------------------------------------------------------------------
 * A runtime's folder and its rootfs file say what of the host a sandbox sees, so whoever may write them, or a folder
 * above them, could show it anything: the uid that is served must not. An ordinary user's launcher can show no more
 * than that user. */
static bool may_change(const struct launcher_options *o, const struct stat *st, bool is_above)
{
    bool is_sticky = is_above && (st->st_mode & S_ISVTX); /* as /tmp: not what is another's */
    if (st->st_uid == o->uid)
        return true;
    if (S_ISLNK(st->st_mode) || is_sticky)
        return false;
    return (st->st_mode & S_IWOTH) || ((st->st_mode & S_IWGRP) && st->st_gid == o->gid);
}

/* `path` and all above it; cuts it on the way. */
static bool walk(const struct launcher_options *o, char *path)
{
    struct stat st;
    for (bool is_above = false;; is_above = true) {
        if (lstat(path[0] ? path : "/", &st) == 0 && may_change(o, &st, is_above))
            return false;
        char *slash = strrchr(path, '/');
        if (!slash || !path[0])
            return true;
        *slash = '\0';
    }
}

/* HOB_E_FORBIDDEN when `path` or a folder above it, as written or as resolved, may be changed by the served uid or its
 * group, or by everybody. A path that is not there is judged by what is. */
static enum hob_code trust_path(const struct launcher_options *o, const char *path, struct hob_err *err)
{
    char at[PATH_MAX];
    if (geteuid() != 0 || o->uid == 0)
        return HOB_OK;
    (void)snprintf(at, sizeof at, "%s", path);
    bool is_trusted = walk(o, at);
    if (is_trusted && realpath(path, at))
        is_trusted = walk(o, at);
    if (is_trusted)
        return HOB_OK;
    return hob_fail(err, HOB_E_FORBIDDEN,
                    "uid %u, which is served here, may change '%.150s'; give it to root", o->uid,
                    at[0] ? at : "/");
}

static int template_build(struct launcher *l, const char *runtime, struct hob_err *err)
{
    int pair[2], ns = -1, status;
    size_t fds_n = 0;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return (void)hob_fail_errno(err, errno, "socketpair"), -1;
    pid_t pid = fork();
    if (pid == 0)
        builder(l, runtime, pair[1]);
    (void)close(pair[1]);
    struct hob_err answer = {0};
    if (pid < 0)
        (void)hob_fail_errno(err, errno, "fork");
    else if (hob_fdmsg_recv(pair[0], &answer, sizeof answer, &ns, 1, &fds_n) != (ssize_t)sizeof answer)
        (void)hob_fail(err, HOB_E_INTERNAL, "its builder died");
    else if (answer.code != HOB_OK) {
        *err = answer;
        if (fds_n)
            (void)close(ns);
        ns = -1;
    }
    (void)close(pair[0]);
    if (pid > 0)
        (void)waitpid(pid, &status, 0);
    return fds_n ? ns : -1;
}

int template_get(struct launcher *l, const char *runtime, struct hob_err *err)
{
    struct templates *all = &l->templates;
    for (size_t i = 0; i < all->n; i++)
        if (strcmp(all->all[i].runtime, runtime) == 0)
            return all->all[i].mnt;
    HOB_ASSERT(template_name_is_valid(runtime));
    char dir[PATH_MAX];
    (void)snprintf(dir, sizeof dir, "%s/%s", l->options->runtimes, runtime);
    if (strcmp(runtime, "unpack") == 0 ? !l->options->unpacker : access(dir, F_OK) < 0)
        return (void)hob_fail(err, HOB_E_NOT_FOUND, "runtime '%s': there is no '%s'", runtime,
                              strcmp(runtime, "unpack") == 0 ? "unpacker configured" : dir),
               -1;
    if (all->n == TEMPLATES_MAX)
        return (void)hob_fail(err, HOB_E_TOO_LARGE, "runtime '%s': %d runtimes are in use, no more fit",
                              runtime, TEMPLATES_MAX),
               -1;
    (void)snprintf(dir, sizeof dir, "%s/%s/rootfs", l->options->runtimes, runtime);
    if (strcmp(runtime, "unpack") != 0 && trust_path(l->options, dir, err) != HOB_OK)
        return (void)hob_err_wrap(err, "runtime '%s'", runtime), -1;
    struct hob_err why = {0};
    int mnt = template_build(l, runtime, &why);
    if (mnt < 0)
        return (void)hob_fail(err, HOB_E_INTERNAL, "root of runtime '%s': %s", runtime, why.msg), -1;
    struct template *t = &all->all[all->n++];
    (void)snprintf(t->runtime, sizeof t->runtime, "%s", runtime);
    t->mnt = mnt;
    return mnt;
}
