/* The launcher's requests: whatever comes in is refused or judged so that exec could take it.
 *
 * Oracle: what was accepted is written again from its parts and must judge to the same parts; argv and env are
 * walked as exec would walk them, and every string must lie inside the message or be one of ours. */
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "sandbox/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Appends the strings of a NULL-ended list that lie in [from, to). Returns how many bytes were added. */
static size_t collect(const char *const *list, const char *from, const char *to, char *out,
                      uint32_t *ret_count)
{
    size_t n = 0;
    *ret_count = 0;
    for (; *list; list++) {
        if (*list < from || *list >= to)
            continue;
        size_t len = strlen(*list) + 1;
        HOB_ASSERT(*list + len <= to);
        memcpy(out + n, *list, len);
        n += len;
        ++*ret_count;
    }
    return n;
}

static void check_accepted(const struct request *r, const char *strings)
{
    static char again[sizeof(struct hob_launch_request) + HOB_LAUNCH_STRINGS_MAX] __attribute__((aligned(8)));
    static struct request second;
    const char *end = strings + r->head->strings_n;
    uint32_t argc, envc;
    memcpy(again, r->head, sizeof *r->head);
    char *out = again + sizeof *r->head;
    size_t out_n = collect(r->argv, strings, end, out, &argc);
    out_n += collect(r->env, strings, end, out + out_n, &envc);
    HOB_ASSERT(argc == r->head->argc && envc == r->head->envc && out_n == r->head->strings_n);
    HOB_ASSERT(memcmp(out, strings, out_n) == 0);
    HOB_ASSERT(strcmp(r->argv[0], "/hob/init") == 0 && strcmp(r->argv[1], "--") == 0);
    struct hob_err err = {0};
    HOB_ASSERT(request_judge(again, sizeof *r->head + out_n, &second, &err) == HOB_OK);
    for (size_t i = 0; r->env[i] || second.env[i]; i++)
        HOB_ASSERT(r->env[i] && second.env[i] && strcmp(r->env[i], second.env[i]) == 0 &&
                   strchr(r->env[i], '='));
    HOB_ASSERT(r->head->digest[0] == '\0' || strspn(r->head->digest, "0123456789abcdef") == 64);
    HOB_ASSERT(strnlen(r->head->app, sizeof r->head->app) < sizeof r->head->app);
    HOB_ASSERT(!strchr(r->head->runtime, '/') && !strchr(r->head->runtime, '.'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct request r;
    struct hob_err err = {0};
    char *message = aligned_alloc(8, (n + 15) / 8 * 8); /* its own, so that reading behind it is seen */
    HOB_ASSERT(message);
    memcpy(message, data, n);
    enum hob_code code = request_judge(message, n, &r, &err);
    HOB_ASSERT((code == HOB_OK) == (err.code == HOB_OK) && (code == HOB_OK || err.msg[0]));
    if (code == HOB_OK && r.head->op == HOB_LAUNCH_LAUNCH)
        check_accepted(&r, message + sizeof(struct hob_launch_request));
    free(message);
    return 0;
}
