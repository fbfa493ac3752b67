/* Thefts: canaries of another app are searched everywhere. The argument is the canary, cut in two by '.' so that the
 * request itself, which lies in our own memory, is no find. */
#define _GNU_SOURCE
#include "attack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { FILE_MAX = 2 << 20, DEPTH_MAX = 12 };

static char needle[256];
static unsigned files;

static int has(const char *at, size_t n)
{
    return memmem(at, n, needle, strlen(needle)) != NULL;
}

static void search(FILE *out, const char *dir, int depth)
{
    DIR *d = opendir(dir);
    if (!d || depth > DEPTH_MAX) {
        if (d)
            closedir(d);
        return;
    }
    for (struct dirent *e; (e = readdir(d));) {
        char path[1024];
        struct stat st;
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        if (snprintf(path, sizeof path, "%s/%s", strcmp(dir, "/") ? dir : "", e->d_name) >= (int)sizeof path)
            continue;
        if (has(e->d_name, strlen(e->d_name)))
            fprintf(out, "hole: named at %s\n", path);
        if (lstat(path, &st) < 0)
            continue;
        if (S_ISSOCK(st.st_mode))
            fprintf(out, "hole: a socket at %s\n", path);
        if (S_ISDIR(st.st_mode)) {
            if (strncmp(path, "/usr/", 5) != 0 &&
                strncmp(path, "/lib", 4) != 0) /* the host's libraries hold nothing of ours */
                search(out, path, depth + 1);
            continue;
        }
        if (!S_ISREG(st.st_mode))
            continue;
        static char content[FILE_MAX];
        int fd = open(path, O_RDONLY | O_NONBLOCK);
        ssize_t n = fd < 0 ? -1 : read(fd, content, sizeof content);
        files += n >= 0;
        if (n > 0 && has(content, (size_t)n))
            fprintf(out, "hole: read in %s\n", path);
        close(fd);
    }
    closedir(d);
}

static void canary(FILE *out, const char *argument)
{
    const char *dot = strchr(argument, '.');
    if (!dot || strlen(argument) >= sizeof needle) {
        fprintf(out, "hole: no canary was named\n");
        return;
    }
    snprintf(needle, sizeof needle, "%.*s%s", (int)(dot - argument), argument, dot + 1);
    extern char **environ;
    for (char **var = environ; *var; var++)
        if (has(*var, strlen(*var)))
            fprintf(out, "hole: in the environment\n");
    search(out, "/", 0);
    fprintf(out, "files=%u\n", files);
    memset(needle, 0, sizeof needle);
}

/* What a tenant before might have left. */
static void leftovers(FILE *out, const char *argument)
{
    (void)argument;
    static const char *const dirs[] = {"/tmp", "/dev/shm"};
    for (size_t i = 0; i < 2; i++) {
        DIR *d = opendir(dirs[i]);
        for (struct dirent *e; d && (e = readdir(d));)
            if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && strcmp(e->d_name, ".shm"))
                fprintf(out, "hole: %s/%s was there\n", dirs[i], e->d_name);
        if (d)
            closedir(d);
    }
    struct stat st;
    for (int fd = 0; fd < 1024; fd++)
        if (fstat(fd, &st) == 0)
            fprintf(out, "fd%d=%s\n", fd,
                    S_ISSOCK(st.st_mode)   ? "socket"
                    : S_ISFIFO(st.st_mode) ? "pipe"
                                           : "other");
}

static void leave(FILE *out, const char *argument)
{
    static const char *const paths[] = {"/tmp/left", "/dev/shm/left", "/tmp/.hidden"};
    for (size_t i = 0; i < 3; i++) {
        int fd = open(paths[i], O_CREAT | O_WRONLY, 0666);
        if (fd < 0 || write(fd, argument, strlen(argument)) < 0)
            fprintf(out, "failed=%s\n", paths[i]);
        close(fd);
    }
}

/* What a function can see of its own walls, for isolation.test.mjs. */
static void posture(FILE *out, const char *argument)
{
    static const char *const paths[] = {"/proc/self/status", "/proc/self/limits", "/proc/self/mountinfo"};
    static const char *const names[] = {"mnt", "pid", "ipc", "uts", "cgroup", "net", "user"};
    char path[64], line[1024];
    (void)argument;
    for (size_t i = 0; i < 3; i++) {
        FILE *f = fopen(paths[i], "r");
        fprintf(out, "=== %s\n", paths[i]);
        while (f && fgets(line, sizeof line, f))
            fputs(line, out);
        if (f)
            fclose(f);
    }
    fprintf(out, "=== ns\n");
    for (size_t i = 0; i < 7; i++) {
        snprintf(path, sizeof path, "/proc/self/ns/%s", names[i]);
        ssize_t n = readlink(path, line, sizeof line - 1);
        fprintf(out, "%.*s\n", n > 0 ? (int)n : 0, line);
    }
}

static void randomness(FILE *out, const char *argument)
{
    (void)argument;
    unsigned char bytes[16];
    if (getrandom(bytes, sizeof bytes, 0) == sizeof bytes)
        for (size_t i = 0; i < sizeof bytes; i++)
            fprintf(out, "%02x", bytes[i]);
    fprintf(out, "\nstack=%p\n", (void *)bytes);
}

static void crash(FILE *out, const char *argument)
{
    (void)out;
    static volatile char secret[64];
    for (size_t i = 0; argument[i] && i < sizeof secret; i++)
        secret[i] = argument[i];
    if (chdir("/tmp") == 0)
        abort();
}

const struct attack thefts[] = {
    {"canary", canary}, {"leftovers", leftovers}, {"leave", leave}, {"randomness", randomness},
    {"crash", crash},   {"posture", posture},     {NULL, NULL}};
