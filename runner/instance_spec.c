#include "runner/instance_spec.h"

#include "base/id.h"
#include "base/launch.h"
#include "base/limits.h"
#include "runner/init/await.h"

enum { STEMS_PER_START_MAX = 64, FORKS_PER_ZYGOTE_MAX = 256 };

/* One row per number of START: where it goes, what it is when absent, and what is allowed. */
struct number {
    const char *name;
    size_t at, bytes;
    uint64_t fallback, min, max;
};
#define NUMBER(field, fallback_, min_, max_)                                                                 \
    {                                                                                                        \
        .name = #field, .at = offsetof(struct engine_spec, field),                                           \
        .bytes = sizeof((struct engine_spec *)0)->field, .fallback = (fallback_), .min = (min_),             \
        .max = (max_)                                                                                        \
    }
static const struct number numbers[] = {
    NUMBER(memory_mb, 128, 4, 65536),
    NUMBER(cpu_percent, 0, 0, 100000),
    NUMBER(cpu_weight, 100, 1, 10000),
    NUMBER(pids_max, HOB_MAX_PROCESSES, 1, 4194304),
    NUMBER(nofile_max, HOB_MAX_NOFILE, 16, 1048576),
    NUMBER(tmp_inodes, HOB_MAX_TMP_INODES, 16, UINT32_MAX),
    NUMBER(tmp_bytes, HOB_MAX_TMP_BYTES, 0, UINT64_MAX),
    NUMBER(fsize_bytes, HOB_MAX_TMP_BYTES, 0, UINT64_MAX),
};

static enum hob_code read_numbers(struct engine_spec *to, const struct hob_pairs *start, struct hob_err *err)
{
    for (size_t i = 0; i < HOB_COUNT(numbers); i++) {
        const struct number *n = &numbers[i];
        struct hob_str text = hob_pairs_get(start, n->name);
        uint64_t v = n->fallback;
        if (text.at && (!hob_str_u64(text, &v) || v < n->min || v > n->max))
            return hob_fail(err, HOB_E_INVALID, "%s '%.*s': a number from %llu to %llu", n->name,
                            (int)(text.n < 40 ? text.n : 40), text.at, (unsigned long long)n->min,
                            (unsigned long long)n->max);
        if (n->bytes == sizeof(uint32_t))
            *(uint32_t *)(void *)((char *)to + n->at) = (uint32_t)v;
        else
            *(uint64_t *)(void *)((char *)to + n->at) = v;
    }
    return HOB_OK;
}

static bool runtime_is_valid(struct hob_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.at[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
            return false;
    }
    return s.n >= 1 && s.n < sizeof((struct instance_spec *)0)->runtime;
}

static enum hob_code read_names(struct instance_spec *s, const struct hob_pairs *start, struct hob_err *err)
{
    struct hob_str runtime = hob_pairs_get(start, "runtime"), digest = hob_pairs_get(start, "digest");
    if (!runtime_is_valid(runtime))
        return hob_fail(err, HOB_E_INVALID, "runtime '%.*s': 1 to 31 of a-z, 0-9, '-'",
                        (int)(runtime.n < 40 ? runtime.n : 40), runtime.at ? runtime.at : "");
    memcpy(s->runtime, runtime.at, runtime.n);
    if (digest.n >= sizeof s->digest)
        return hob_fail(err, HOB_E_INVALID, "digest of %zu characters: 64 hexadecimal digits, or none",
                        digest.n);
    if (digest.n)
        memcpy(s->digest, digest.at, digest.n);
    if (digest.n && !hob_digest_is_valid(s->digest))
        return hob_fail(err, HOB_E_INVALID, "digest '%s': 64 lower-case hexadecimal digits, or none",
                        s->digest);
    return HOB_OK;
}

/* Whose it is, and the image that takes the runtime's place. */
static enum hob_code read_owner(struct instance_spec *s, const struct hob_pairs *start, struct hob_err *err)
{
    struct hob_str app = hob_pairs_get(start, "app"), image = hob_pairs_get(start, "image"),
                   function = hob_pairs_get(start, "function");
    if (app.n >= sizeof s->app || (app.n && !hob_name_is_valid(app)))
        return hob_fail(err, HOB_E_INVALID, "app: not a name");
    if (app.n)
        memcpy(s->app, app.at, app.n);
    if (function.n >= sizeof s->function || (function.n && !hob_name_is_valid(function)))
        return hob_fail(err, HOB_E_INVALID, "function: not a name");
    if (function.n)
        memcpy(s->function, function.at, function.n);
    if (image.n >= sizeof s->image || (image.n && memchr(image.at, '\0', image.n)))
        return hob_fail(err, HOB_E_INVALID, "image: a name of at most 255 bytes");
    if (image.n && !hob_str_is(hob_pairs_get(start, "engine"), "docker"))
        return hob_fail(err, HOB_E_INVALID, "image: only engine docker takes one in the place of a runtime");
    if (image.n)
        memcpy(s->image, image.at, image.n);
    return HOB_OK;
}

static enum hob_code add_string(struct instance_spec *s, struct hob_str name, struct hob_str value,
                                struct hob_err *err)
{
    if ((name.n && memchr(name.at, '\0', name.n)) || (value.n && memchr(value.at, '\0', value.n)))
        return hob_fail(err, HOB_E_INVALID, "an argument or variable has a NUL in it");
    if (hob_buf_add_str(&s->strings, name) != HOB_OK ||
        (name.n && hob_buf_add(&s->strings, "=", 1) != HOB_OK) ||
        hob_buf_add_str(&s->strings, value) != HOB_OK || hob_buf_add(&s->strings, "", 1) != HOB_OK)
        return hob_fail(err, HOB_E_TOO_LARGE, "arguments and environment have more than %d bytes together",
                        HOB_LAUNCH_STRINGS_MAX);
    return HOB_OK;
}

static enum hob_code read_strings(struct instance_spec *s, const struct hob_pairs *start, bool is_env,
                                  uint32_t *ret_n, struct hob_err *err)
{
    static const struct hob_str env = {"env.", 4};
    struct hob_pairs_iter it = hob_pairs_walk(start);
    struct hob_str name, value;
    enum hob_code code = HOB_OK;
    *ret_n = 0;
    while (code == HOB_OK && hob_pairs_next(&it, &name, &value)) {
        bool is_mine = is_env ? hob_str_starts(name, env) && name.n > env.n : hob_str_is(name, "arg");
        if (!is_mine)
            continue;
        struct hob_str key = is_env ? hob_str_n(name.at + env.n, name.n - env.n) : (struct hob_str){"", 0};
        code = add_string(s, key, value, err);
        ++*ret_n;
    }
    return code;
}

static enum hob_code read_egress(struct instance_spec *s, const struct hob_pairs *start, struct hob_err *err)
{
    struct hob_pairs_iter it = hob_pairs_walk(start);
    struct hob_str name, value;
    while (hob_pairs_next(&it, &name, &value)) {
        if (!hob_str_is(name, "egress"))
            continue;
        if (!s->policy)
            s->policy = policy_new();
        if (policy_add(s->policy, value, err) != HOB_OK)
            return err->code;
    }
    s->engine.has_egress = s->policy != NULL;
    return HOB_OK;
}

static enum hob_code read_syscalls(struct instance_spec *s, const struct hob_pairs *start,
                                   struct hob_err *err)
{
    struct hob_pairs_iter it = hob_pairs_walk(start);
    struct hob_str name, value;
    struct engine_spec *e = &s->engine;
    e->is_learning = hob_pairs_u64(start, "learn", 0) != 0;
    while (hob_pairs_next(&it, &name, &value)) {
        if (!hob_str_is(name, "syscall"))
            continue;
        int index = hob_syscall_find(value);
        if (index < 0)
            return hob_fail(err, HOB_E_INVALID, "syscall '%.*s': a sandbox never allows it",
                            (int)(value.n < 40 ? value.n : 40), value.at);
        if (!e->has_profile)
            e->calls = hob_syscalls_always();
        e->has_profile = true;
        hob_syscalls_add(&e->calls, (size_t)index);
    }
    if (e->has_profile && e->is_learning)
        return hob_fail(err, HOB_E_INVALID, "learn with syscalls: want one of the two");
    return HOB_OK;
}

enum hob_code instance_spec_read(struct instance_spec *ret_spec, const struct hob_pairs *start,
                                 struct hob_err *err)
{
    struct instance_spec *s = ret_spec;
    *s = (struct instance_spec){.wants_logs = hob_pairs_u64(start, "log_lines", 1) != 0};
    uint64_t pool_max = hob_pairs_u64(start, "pool_max", 0);
    s->pool_max = (uint32_t)(pool_max < STEMS_PER_START_MAX ? pool_max : STEMS_PER_START_MAX);
    uint64_t forks_max = hob_pairs_u64(start, "forks_max", 0);
    s->forks_max = (uint32_t)(forks_max < FORKS_PER_ZYGOTE_MAX ? forks_max : FORKS_PER_ZYGOTE_MAX);
    s->version = (uint32_t)hob_pairs_u64(start, "version", 0);
    hob_buf_init(&s->strings, HOB_LAUNCH_STRINGS_MAX);
    enum hob_code code = read_numbers(&s->engine, start, err);
    if (code == HOB_OK)
        code = read_names(s, start, err);
    if (code == HOB_OK)
        code = read_owner(s, start, err);
    if (code == HOB_OK)
        code = read_strings(s, start, false, &s->engine.argc, err);
    if (code == HOB_OK)
        code = read_strings(s, start, true, &s->engine.envc, err);
    if (code == HOB_OK)
        code = read_egress(s, start, err);
    if (code == HOB_OK)
        code = read_syscalls(s, start, err);
    if (code == HOB_OK && s->engine.argc == 0 && !s->image[0])
        code = hob_fail(err, HOB_E_INVALID, "no program to start: START needs at least one 'arg'");
    if (code != HOB_OK) {
        instance_spec_done(s);
        return code;
    }
    s->engine.runtime = s->runtime;
    s->engine.digest = s->digest;
    s->engine.app = s->app;
    s->engine.image = s->image;
    s->engine.strings = hob_buf_str(&s->strings);
    return HOB_OK;
}

void instance_spec_done(struct instance_spec *s)
{
    hob_buf_done(&s->strings);
    policy_free(s->policy);
    s->policy = NULL;
}

bool instance_spec_is_native(const struct instance_spec *s)
{
    return hob_str_starts(s->engine.strings, HOB_STR("/app/")) && s->engine.argc <= AWAIT_ARGS_MAX &&
           s->engine.strings.n <= AWAIT_PAYLOAD_MAX;
}
