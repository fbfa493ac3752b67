#include "runner/engine_message.h"

#include <string.h>

static unsigned flags_of(const struct engine_spec *spec)
{
    return (spec->is_stem ? (unsigned)HOB_LAUNCH_STEM : 0) |
           (spec->has_egress && !spec->is_stem ? (unsigned)HOB_LAUNCH_EGRESS : 0) |
           (spec->has_profile ? (unsigned)HOB_LAUNCH_PROFILE : 0) |
           (spec->is_zygote ? (unsigned)HOB_LAUNCH_ZYGOTE : 0) |
           (spec->is_learning ? (unsigned)HOB_LAUNCH_LEARN : 0);
}

static void add_app(struct hob_launch_request *q, const struct engine_spec *spec)
{
    size_t n = spec->app ? strlen(spec->app) : 0;
    HOB_ASSERT(n < sizeof q->app);
    if (n)
        memcpy(q->app, spec->app, n);
}

enum hob_code engine_launch_message(uint64_t id, const struct engine_spec *spec, struct hob_buf *out)
{
    struct hob_launch_request q = {.magic = HOB_LAUNCH_MAGIC,
                                   .op = HOB_LAUNCH_LAUNCH,
                                   .id = id,
                                   .flags = flags_of(spec),
                                   .calls = spec->calls,
                                   .memory_mb = spec->memory_mb,
                                   .cpu_percent = spec->cpu_percent,
                                   .cpu_weight = spec->cpu_weight,
                                   .pids_max = spec->pids_max,
                                   .nofile_max = spec->nofile_max,
                                   .tmp_inodes = spec->tmp_inodes,
                                   .tmp_bytes = spec->tmp_bytes,
                                   .fsize_bytes = spec->fsize_bytes,
                                   .argc = spec->argc,
                                   .envc = spec->envc,
                                   .strings_n = (uint32_t)spec->strings.n};
    HOB_ASSERT(strlen(spec->runtime) < sizeof q.runtime && strlen(spec->digest) < sizeof q.digest);
    add_app(&q, spec);
    HOB_ASSERT(spec->strings.n <= HOB_LAUNCH_STRINGS_MAX);
    memcpy(q.runtime, spec->runtime, strlen(spec->runtime));
    memcpy(q.digest, spec->digest, strlen(spec->digest));
    enum hob_code code = hob_buf_add(out, &q, sizeof q);
    return code == HOB_OK ? hob_buf_add_str(out, spec->strings) : code;
}

void engine_assign_message(uint64_t id, const struct engine_spec *spec, struct hob_launch_request *ret)
{
    *ret = (struct hob_launch_request){.magic = HOB_LAUNCH_MAGIC,
                                       .op = HOB_LAUNCH_ASSIGN,
                                       .id = id,
                                       .memory_mb = spec->memory_mb,
                                       .cpu_percent = spec->cpu_percent,
                                       .cpu_weight = spec->cpu_weight,
                                       .pids_max = spec->pids_max};
    memcpy(ret->digest, spec->digest, strlen(spec->digest));
    add_app(ret, spec);
}

enum hob_code engine_fork_message(uint64_t id, uint64_t of, const struct engine_spec *spec,
                                  struct hob_buf *out)
{
    struct hob_launch_request q = {.magic = HOB_LAUNCH_MAGIC,
                                   .op = HOB_LAUNCH_FORK,
                                   .id = id,
                                   .of = of,
                                   .memory_mb = spec->memory_mb,
                                   .cpu_percent = spec->cpu_percent,
                                   .cpu_weight = spec->cpu_weight,
                                   .pids_max = spec->pids_max};
    return hob_buf_add(out, &q, sizeof q);
}
