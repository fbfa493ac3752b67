#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "runner/docker/docker_priv.h"

#include "base/banned.h"

enum { TEXT_BYTES = 8192, PATH_BYTES = 512 };

static const char root[] = "/sys/fs/cgroup";

static bool read_text(const char *path, char text[TEXT_BYTES])
{
    hob_auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, TEXT_BYTES - 1);
    if (n < 0)
        return false;
    text[n] = '\0';
    return true;
}

/* The number behind `key` and a space, at a line's start; `key` "": the whole file. */
static bool read_number(const char *dir, const char *file, const char *key, uint64_t *ret_value)
{
    char path[PATH_BYTES * 2], text[TEXT_BYTES];
    (void)snprintf(path, sizeof path, "%s/%s", dir, file);
    if (!read_text(path, text))
        return false;
    size_t n = strlen(key);
    for (char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, n) != 0 || (n && line[n] != ' '))
            continue;
        char *end;
        errno = 0;
        *ret_value = strtoull(line + n + (n > 0), &end, 10);
        return errno == 0 && end != line + n + (n > 0);
    }
    return false;
}

static bool has_controller(const char *list, const char *controller)
{
    struct hob_str rest = hob_str(list);
    while (rest.at)
        if (hob_str_is(hob_str_cut(rest, ',', &rest), controller))
            return true;
    return false;
}

/* The folder of one v1 controller, or of the v2 tree (controller ""), as /proc/PID/cgroup names it. */
static bool find_group(const char *text, const char *controller, char ret_dir[PATH_BYTES])
{
    char copy[TEXT_BYTES];
    (void)snprintf(copy, sizeof copy, "%s", text);
    for (char *line = copy, *next; line && *line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        char *list = strchr(line, ':'), *path = list ? strchr(list + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = '\0';
        list++;
        bool is_it = *controller ? has_controller(list, controller) : *list == '\0';
        if (!is_it || strstr(path, "..") || strlen(path) > PATH_BYTES / 2 || strcmp(path, "/") == 0)
            continue;
        (void)snprintf(ret_dir, PATH_BYTES, "%s%s%s%s", root, *controller ? "/" : "", controller, path);
        return true;
    }
    return false;
}

static bool read_v1(const char *groups, struct engine_usage *u, uint64_t *oom_kills)
{
    char dir[PATH_BYTES];
    if (!find_group(groups, "memory", dir) ||
        !read_number(dir, "memory.usage_in_bytes", "", &u->memory_bytes))
        return false;
    (void)read_number(dir, "memory.max_usage_in_bytes", "", &u->memory_peak_bytes);
    (void)read_number(dir, "memory.oom_control", "oom_kill", oom_kills);
    if (find_group(groups, "cpuacct", dir) && read_number(dir, "cpuacct.usage", "", &u->cpu_us))
        u->cpu_us /= 1000;
    if (find_group(groups, "pids", dir)) {
        (void)read_number(dir, "pids.current", "", &u->pids);
        (void)read_number(dir, "pids.events", "max", &u->pids_denied);
    }
    return true;
}

static bool read_v2(const char *groups, struct engine_usage *u, uint64_t *oom_kills)
{
    char dir[PATH_BYTES];
    if (!find_group(groups, "", dir) || !read_number(dir, "memory.current", "", &u->memory_bytes))
        return false;
    (void)read_number(dir, "memory.peak", "", &u->memory_peak_bytes);
    (void)read_number(dir, "memory.events", "oom_kill", oom_kills);
    (void)read_number(dir, "cpu.stat", "usage_usec", &u->cpu_us);
    (void)read_number(dir, "pids.current", "", &u->pids);
    (void)read_number(dir, "pids.events", "max", &u->pids_denied);
    return true;
}

bool usage_read(int64_t pid, struct engine_usage *ret_usage, uint64_t *ret_oom_kills)
{
    char path[64], groups[TEXT_BYTES];
    uint64_t oom_kills = 0;
    *ret_usage = (struct engine_usage){0};
    if (pid <= 0)
        return false;
    (void)snprintf(path, sizeof path, "/proc/%lld/cgroup", (long long)pid);
    bool is_read = read_text(path, groups) &&
                   (read_v1(groups, ret_usage, &oom_kills) || read_v2(groups, ret_usage, &oom_kills));
    if (ret_oom_kills)
        *ret_oom_kills = oom_kills;
    return is_read;
}
