#include "sandbox/request.h"

#include <string.h>
#include <sys/stat.h>

#include "base/str.h"
#include "sandbox/template.h"

#include "base/banned.h"

static const struct {
    const char *name;
    size_t offset, bytes;
    uint64_t min, max;
} bounds[] = {
#define FIELD(f, lo, hi)                                                                                     \
    {                                                                                                        \
#f, offsetof(struct hob_launch_request, f), sizeof((struct hob_launch_request){0}.f), lo, hi         \
    }
    FIELD(memory_mb, 4, 65536), /* the first four are ASSIGN's and FORK's, too */
    FIELD(cpu_percent, 0, 102400),
    FIELD(cpu_weight, 1, 10000),
    FIELD(pids_max, 2, 32768),
    FIELD(nofile_max, 8, 65536),
    FIELD(tmp_inodes, 16, 16777216),
    FIELD(flags, 0,
          HOB_LAUNCH_STEM | HOB_LAUNCH_EGRESS | HOB_LAUNCH_PROFILE | HOB_LAUNCH_LEARN | HOB_LAUNCH_ZYGOTE),
    FIELD(tmp_bytes, 4096, 1ULL << 40),
    FIELD(fsize_bytes, 4096, 1ULL << 40),
    FIELD(argc, 1, REQUEST_ARGC_MAX),
    FIELD(envc, 0, REQUEST_ENVC_MAX),
    FIELD(strings_n, 2, HOB_LAUNCH_STRINGS_MAX),
    FIELD(reserved, 0, 0),
#undef FIELD
};
enum { BOUNDS_ASSIGN = 4 };
static const char *const env_base[REQUEST_ENV_BASE] = {"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/tmp",
                                                       "TMPDIR=/tmp", "LANG=C.UTF-8"};

static enum hob_code judge_numbers(const struct hob_launch_request *head, size_t n, struct hob_err *err)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t value = 0; /* little-endian, as both architectures are */
        memcpy(&value, (const char *)head + bounds[i].offset, bounds[i].bytes);
        if (value < bounds[i].min || value > bounds[i].max)
            return hob_fail(err, HOB_E_INVALID, "%s is %llu; it may be %llu to %llu", bounds[i].name,
                            (unsigned long long)value, (unsigned long long)bounds[i].min,
                            (unsigned long long)bounds[i].max);
    }
    return HOB_OK;
}

static bool digest_is_valid(const char digest[65])
{
    size_t n = strnlen(digest, 65);
    return n == 0 || (n == 64 && strspn(digest, "0123456789abcdef") == 64);
}

static bool app_is_valid(const char app[65])
{
    size_t n = strnlen(app, 65);
    for (size_t i = 0; i < n; i++)
        if (app[i] < ' ' || app[i] > '~')
            return false;
    return n < 65;
}

/* Whether only the first `n` indices are used. */
static bool calls_are_listed(const struct hob_syscalls *calls, size_t n)
{
    for (; n < HOB_SYSCALLS_MAX; n++)
        if (calls->bits[n / 64] >> n % 64 & 1)
            return false;
    return true;
}

static bool port_is_valid(struct hob_str text, uint32_t *ret_port)
{
    uint64_t port;
    if (!hob_str_u64(text, &port) || port < 1024 || port > UINT16_MAX)
        return false;
    *ret_port = (uint32_t)port;
    return true;
}

/* hob-init's own options in front of the program: "--http", PORT or PORT+PORT, "--". They say which TCP there may be. */
static bool http_ports_are_valid(const struct request *r, uint32_t ret_ports[2])
{
    bool is_whole = r->head->argc > 3 && r->argv[4] && strcmp(r->argv[4], "--") == 0;
    if (!is_whole)
        return false;
    struct hob_str second, first = hob_str_cut(hob_str(r->argv[3]), '+', &second);
    return port_is_valid(first, &ret_ports[0]) &&
           (!second.at || (port_is_valid(second, &ret_ports[1]) && ret_ports[1] != ret_ports[0]));
}

static bool env_is_valid(const char *var)
{
    const char *equals = strchr(var, '=');
    return equals && equals != var;
}

static bool env_is_given(const struct request *r, size_t from, size_t n, const char *var)
{
    size_t name_n = strcspn(var, "=") + 1;
    for (size_t i = from; i < n; i++)
        if (strncmp(r->env[i], var, name_n) == 0)
            return true;
    return false;
}

/* Cuts the back-to-back strings; they must fill the message to its last byte. */
static enum hob_code judge_strings(const char *at, struct request *r, struct hob_err *err)
{
    const char *end = at + r->head->strings_n;
    size_t argc = 0, envc = REQUEST_ENV_BASE;
    r->argv[argc++] = "/hob/init";
    r->argv[argc++] = "--";
    for (uint32_t i = 0; i < r->head->argc + r->head->envc; i++) {
        const char *nul = memchr(at, '\0', (size_t)(end - at));
        if (!nul)
            return hob_fail(err, HOB_E_INVALID, "the strings end at number %u; argc and envc say %u", i,
                            r->head->argc + r->head->envc);
        if (i < r->head->argc)
            r->argv[argc++] = at;
        else if (env_is_valid(at))
            r->env[envc++] = at;
        else
            return hob_fail(err, HOB_E_INVALID, "environment string %u: want NAME=value", i - r->head->argc);
        at = nul + 1;
    }
    if (at != end)
        return hob_fail(err, HOB_E_INVALID, "%td bytes behind the last string", end - at);
    r->argv[argc] = NULL;
    r->env[envc] = NULL;
    r->http_ports[0] = r->http_ports[1] = 0;
    if (r->argv[2] && strcmp(r->argv[2], "--http") == 0 && !http_ports_are_valid(r, r->http_ports))
        return hob_fail(err, HOB_E_INVALID,
                        "--http: want a port from 1024 to 65535 (or two, A+B), '--' and a program");
    size_t ours = 0; /* ours first, those given already left out */
    for (size_t i = 0; i < REQUEST_ENV_BASE; i++)
        if (!env_is_given(r, REQUEST_ENV_BASE, envc, env_base[i]))
            r->env[ours++] = env_base[i];
    memmove(&r->env[ours], &r->env[REQUEST_ENV_BASE], (envc - REQUEST_ENV_BASE + 1) * sizeof r->env[0]);
    return HOB_OK;
}

static enum hob_code judge_launch(const char *strings, size_t strings_n, struct request *r,
                                  struct hob_err *err)
{
    const struct hob_launch_request *head = r->head;
    if (judge_numbers(head, HOB_COUNT(bounds), err) != HOB_OK)
        return err->code;
    if (!template_name_is_valid(head->runtime))
        return hob_fail(err, HOB_E_INVALID, "the runtime's name: use a-z, 0-9, '-', 1 to 31 characters");
    if (!digest_is_valid(head->digest))
        return hob_fail(err, HOB_E_INVALID, "the digest: want 64 digits 0-9a-f, or none");
    if ((head->flags & HOB_LAUNCH_STEM) && head->digest[0])
        return hob_fail(err, HOB_E_INVALID, "a stem gets its code by ASSIGN: want no digest");
    if ((head->flags & HOB_LAUNCH_STEM) && (head->flags & (HOB_LAUNCH_EGRESS | HOB_LAUNCH_LEARN)))
        return hob_fail(err, HOB_E_INVALID, "a stem with egress, or to learn from: want one of the flags");
    if ((head->flags & HOB_LAUNCH_ZYGOTE) && (head->flags & (HOB_LAUNCH_EGRESS | HOB_LAUNCH_LEARN)))
        return hob_fail(err, HOB_E_INVALID, "a zygote with egress, or to learn from: want one of the flags");
    if ((head->flags & HOB_LAUNCH_PROFILE) && (head->flags & HOB_LAUNCH_LEARN))
        return hob_fail(err, HOB_E_INVALID, "learning with a profile: want one of the two flags");
    if (!(head->flags & HOB_LAUNCH_PROFILE) && !calls_are_listed(&head->calls, 0))
        return hob_fail(err, HOB_E_INVALID, "calls without the flag of a profile");
    if (!calls_are_listed(&head->calls, hob_syscalls_count()))
        return hob_fail(err, HOB_E_INVALID, "calls that a sandbox may not make: the list has %zu",
                        hob_syscalls_count());
    if (!app_is_valid(head->app))
        return hob_fail(err, HOB_E_INVALID, "the app: want at most 64 printable characters");
    if (head->strings_n != strings_n)
        return hob_fail(err, HOB_E_INVALID, "strings_n is %u, the message brings %zu", head->strings_n,
                        strings_n);
    return judge_strings(strings, r, err);
}

static enum hob_code judge_assign(const struct hob_launch_request *head, struct hob_err *err)
{
    if (!head->digest[0] || !digest_is_valid(head->digest))
        return hob_fail(err, HOB_E_INVALID, "the digest: want 64 digits 0-9a-f");
    if (!app_is_valid(head->app))
        return hob_fail(err, HOB_E_INVALID, "the app: want at most 64 printable characters");
    return judge_numbers(head, BOUNDS_ASSIGN, err);
}

enum hob_code request_judge(const void *msg, size_t n, struct request *ret_request, struct hob_err *err)
{
    const struct hob_launch_request *head = msg;
    ret_request->head = head;
    if (n < sizeof *head)
        return hob_fail(err, HOB_E_INVALID, "a message of %zu bytes; a request has at least %zu", n,
                        sizeof *head);
    if (head->magic != HOB_LAUNCH_MAGIC)
        return hob_fail(err, HOB_E_INVALID, "magic is 0x%x; want 0x%x", head->magic, HOB_LAUNCH_MAGIC);
    if (head->op == HOB_LAUNCH_LAUNCH)
        return judge_launch((const char *)msg + sizeof *head, n - sizeof *head, ret_request, err);
    if (head->op < HOB_LAUNCH_FREEZE || head->op > HOB_LAUNCH_FORK)
        return hob_fail(err, HOB_E_UNSUPPORTED, "operation %u is not known", head->op);
    if (n != sizeof *head)
        return hob_fail(err, HOB_E_INVALID, "%zu bytes too many", n - sizeof *head);
    if (head->op == HOB_LAUNCH_FORK)
        return judge_numbers(head, BOUNDS_ASSIGN, err);
    return head->op == HOB_LAUNCH_ASSIGN ? judge_assign(head, err) : HOB_OK;
}

enum hob_code request_judge_fds(const struct request *r, const int *fds, size_t fds_n, struct hob_err *err)
{
    bool is_launch = r->head->op == HOB_LAUNCH_LAUNCH, is_fork = r->head->op == HOB_LAUNCH_FORK,
         has_stdin = is_launch && !(r->head->flags & HOB_LAUNCH_ZYGOTE);
    size_t min = is_launch || is_fork ? 3 : 0, max = has_stdin ? 4 : min;
    if (fds_n < min || fds_n > max)
        return hob_fail(err, HOB_E_INVALID, "%zu descriptors; want %s", fds_n,
                        has_stdin ? "3 or 4"
                        : max     ? "3"
                                  : "none");
    for (size_t i = 0; i < fds_n; i++) {
        struct stat st;
        if (fstat(fds[i], &st) < 0 || S_ISDIR(st.st_mode) || S_ISBLK(st.st_mode) || S_ISLNK(st.st_mode) ||
            (i == 0 && !S_ISSOCK(st.st_mode)))
            return hob_fail(err, HOB_E_INVALID, "descriptor %zu is %s", i,
                            i == 0 ? "no socket" : "neither pipe, socket, file nor terminal");
    }
    return HOB_OK;
}
