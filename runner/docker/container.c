/* What a container of Hob may do. Every line of HostConfig is here on purpose; docs/docker.md says why. */
#include <stdio.h>
#include <stdlib.h>

#include "base/id.h"
#include "base/mem.h"
#include "runner/docker/docker_priv.h"

#include "base/banned.h"

enum {
    UID_FIRST = 3000000, /* beside the sandboxes' range; one for each container in a row of 100,000 */
    UIDS = 100000,
    HOLDER_MEMORY_MB = 8,
    HOLDER_PIDS = 4,
    SHM_BYTES_MAX = 32 * 1024 * 1024,
    MEMLOCK_BYTES = 64 * 1024,
    SIGPENDING = 256,
    OOM_SCORE = 500, /* as the sandboxes': when the machine runs out of memory, functions go before daemons */
};

static void put_mount(struct hob_jw *w, const char *from, const char *to)
{
    hob_jw_object(w);
    hob_jw_kcstr(w, "Type", "bind");
    hob_jw_kcstr(w, "Source", from);
    hob_jw_kcstr(w, "Target", to);
    hob_jw_kbool(w, "ReadOnly", true);
    hob_jw_key(w, "BindOptions");
    hob_jw_object(w);
    hob_jw_kcstr(w, "Propagation", "rprivate");
    hob_jw_object_end(w);
    hob_jw_object_end(w);
}

static void put_mounts(const struct docker *e, const struct box *b, const struct container_spec *c,
                       struct hob_jw *w)
{
    hob_jw_key(w, "Mounts");
    hob_jw_array(w);
    put_mount(w, e->init_path, "/hob/init");
    put_mount(w, b->socket_path, "/hob/runner.sock");
    if (c->spec && !c->image) {
        hob_auto_free char *runtime = hob_asprintf("%s/%s", e->runtimes_dir, c->spec->runtime);
        put_mount(w, runtime, "/hob/runtime");
    }
    if (c->spec && !c->image && c->spec->digest[0]) {
        hob_auto_free char *code = hob_asprintf("%s/%s", e->code_dir, c->spec->digest);
        put_mount(w, code, "/app");
    }
    hob_jw_array_end(w);
}

/* Podman knows no nr_inodes. */
static void put_tmpfs(const struct docker *e, struct hob_jw *w, const char *path, uint64_t bytes,
                      uint32_t inodes)
{
    char options[128];
    int n =
        snprintf(options, sizeof options, "rw,nosuid,nodev,mode=1777,size=%llu", (unsigned long long)bytes);
    if (!e->facts.is_podman)
        (void)snprintf(options + n, sizeof options - (size_t)n, ",nr_inodes=%u", inodes);
    hob_jw_kcstr(w, path, options);
}

static void put_tmpfses(const struct docker *e, const struct container_spec *c, struct hob_jw *w)
{
    uint64_t tmp = c->spec ? c->spec->tmp_bytes : 0, shm = tmp / 2 < SHM_BYTES_MAX ? tmp / 2 : SHM_BYTES_MAX;
    uint32_t inodes = c->spec ? c->spec->tmp_inodes : 16;
    hob_jw_key(w, "Tmpfs");
    hob_jw_object(w);
    put_tmpfs(e, w, "/tmp", tmp > 4096 ? tmp : 4096, inodes);
    put_tmpfs(e, w, "/dev/shm", shm > 4096 ? shm : 4096, inodes);
    /* What an image declares as volumes would be folders on the host's disk without a limit. */
    for (char *const *v = c->image ? c->image->volumes : NULL; v && *v; v++)
        if (strcmp(*v, "/tmp") != 0 && strcmp(*v, "/dev/shm") != 0)
            put_tmpfs(e, w, *v, tmp > 4096 ? tmp : 4096, inodes);
    hob_jw_object_end(w);
}

static void put_ulimit(struct hob_jw *w, const char *name, uint64_t value)
{
    hob_jw_object(w);
    hob_jw_kcstr(w, "Name", name);
    hob_jw_kint(w, "Soft", (int64_t)value);
    hob_jw_kint(w, "Hard", (int64_t)value);
    hob_jw_object_end(w);
}

static void put_limits(const struct docker *e, const struct container_spec *c, struct hob_jw *w)
{
    const struct engine_spec *s = c->spec;
    int64_t memory = (int64_t)(s ? s->memory_mb : HOLDER_MEMORY_MB) << 20;
    hob_jw_kint(w, "Memory", memory);
    hob_jw_kint(w, "MemorySwap", memory); /* both together: no swap */
    hob_jw_kint(w, "PidsLimit", s ? s->pids_max : HOLDER_PIDS);
    hob_jw_kint(w, "CpuShares", s ? (int64_t)s->cpu_weight * 1024 / 100 + 2 : 2);
    if (s && s->cpu_percent)
        hob_jw_kint(w, "NanoCpus", (int64_t)s->cpu_percent * 10000000);
    hob_jw_kint(w, "OomScoreAdj", OOM_SCORE);
    hob_jw_key(w, "Ulimits");
    hob_jw_array(w);
    put_ulimit(w, "core",
               1); /* and fixed there by the filter: for a core handler that is a pipe 0 would not do */
    put_ulimit(w, "msgqueue", 0);
    put_ulimit(w, "memlock", MEMLOCK_BYTES);
    put_ulimit(w, "sigpending", SIGPENDING);
    put_ulimit(w, "nofile", s ? s->nofile_max : 256);
    if (e->facts.is_podman) /* its own default may be more than it may set */
        put_ulimit(w, "nproc", s ? s->pids_max : HOLDER_PIDS);
    if (s)
        put_ulimit(w, "fsize", s->fsize_bytes);
    hob_jw_array_end(w);
}

static void put_host_config(const struct docker *e, const struct box *b, const struct container_spec *c,
                            struct hob_jw *w)
{
    hob_jw_key(w, "HostConfig");
    hob_jw_object(w);
    put_mounts(e, b, c, w);
    put_tmpfses(e, c, w);
    put_limits(e, c, w);
    hob_jw_kbool(w, "ReadonlyRootfs", true);
    hob_jw_kbool(w, "Privileged", false);
    hob_jw_key(w, "CapDrop");
    hob_jw_array(w);
    hob_jw_cstr(w, "ALL");
    hob_jw_array_end(w);
    hob_jw_key(w, "SecurityOpt");
    hob_jw_array(w);
    hob_jw_cstr(w, "no-new-privileges");
    if (e->facts.has_seccomp) {
        hob_auto_free char *profile = e->facts.is_podman
                                          ? hob_asprintf("seccomp=%s/seccomp.json", e->sockets_dir)
                                          : hob_asprintf("seccomp=%s", container_seccomp());
        hob_jw_cstr(w, profile);
    }
    hob_jw_array_end(w);
    hob_jw_kcstr(w, "NetworkMode", c->network);
    hob_jw_kcstr(w, "IpcMode", "none"); /* its own, without a /dev/shm but ours */
    hob_jw_key(w, "LogConfig");
    hob_jw_object(w);
    hob_jw_kcstr(w, "Type", "none");
    hob_jw_object_end(w);
    hob_jw_key(w, "RestartPolicy");
    hob_jw_object(w);
    hob_jw_kcstr(w, "Name", "no");
    hob_jw_object_end(w);
    hob_jw_kbool(w, "AutoRemove", true);
    if (e->facts.has_crun)
        hob_jw_kcstr(w, "Runtime", "crun");
    hob_jw_object_end(w);
}

static void put_labels(const struct docker *e, const struct container_spec *c, struct hob_jw *w)
{
    hob_jw_key(w, "Labels");
    hob_jw_object(w);
    hob_jw_kcstr(w, "hob.home", e->home_id);
    hob_jw_kcstr(w, "hob.runner", e->own_id);
    hob_jw_kcstr(w, "hob.role", c->role);
    hob_jw_kcstr(w, "hob.app", c->app);
    hob_jw_object_end(w);
}

/* hob-init, and behind it: the runtime's arguments, or (for an image, perhaps behind "--http PORT --") its entrypoint and
 * command. */
static void put_program(const struct container_spec *c, struct hob_jw *w)
{
    char signal[128];
    int n = snprintf(signal, sizeof signal, "%d", c->image ? c->image->stop_signal : 15);
    size_t health_n = c->image ? c->image->health_n : 0;
    if (health_n)
        (void)snprintf(signal + n, sizeof signal - (size_t)n, ":%llu:%llu:%llu:%u:%zu",
                       (unsigned long long)c->image->health_interval_ms,
                       (unsigned long long)c->image->health_timeout_ms,
                       (unsigned long long)c->image->health_start_ms, c->image->health_retries, health_n);
    const char *const init[] = {"/hob/init", "--runner", "/hob/runner.sock", signal, "--"};
    const char *const hold[] = {"/hob/init", "--hold", "/hob/runner.sock"};
    hob_jw_key(w, "Entrypoint");
    hob_jw_array(w);
    for (size_t i = 0; i < (c->spec ? HOB_COUNT(init) : HOB_COUNT(hold)); i++)
        hob_jw_cstr(w, c->spec ? init[i] : hold[i]);
    hob_jw_array_end(w);
    hob_jw_key(w, "Cmd");
    hob_jw_array(w);
    for (size_t i = 0; i < health_n; i++)
        hob_jw_cstr(w, c->image->health[i]);
    const char *at = c->spec ? c->spec->strings.at : NULL;
    uint32_t argc = c->spec ? c->spec->argc : 0;
    for (uint32_t i = 0; i < argc; i++, at += strlen(at) + 1)
        hob_jw_cstr(w, at);
    for (size_t i = 0; c->image && c->image->words[i]; i++)
        hob_jw_cstr(w, c->image->words[i]);
    hob_jw_array_end(w);
    hob_jw_key(w, "Env");
    hob_jw_array(w);
    for (uint32_t i = 0; c->spec && i < c->spec->envc; i++, at += strlen(at) + 1)
        hob_jw_cstr(w, at);
    hob_jw_array_end(w);
}

static void put_user(const struct box *b, const struct container_spec *c, struct hob_jw *w)
{
    char own[32];
    bool is_images = c->image && !docker_user_is_root(c->image->user);
    unsigned uid = UID_FIRST + (unsigned)(b->e->last_box % UIDS);
    (void)snprintf(own, sizeof own, "%u:%u", uid, uid);
    hob_jw_kcstr(w, "User", is_images ? c->image->user : own);
}

enum hob_code container_write(const struct docker *e, const struct box *b, const struct container_spec *c,
                              struct hob_buf *out, struct hob_err *err)
{
    struct hob_jw w;
    hob_jw_init(&w, out);
    hob_jw_object(&w);
    hob_jw_kcstr(&w, "Image", c->image_id);
    put_user(b, c, &w);
    put_program(c, &w);
    if (c->spec && !c->image)
        hob_jw_kcstr(&w, "WorkingDir", c->spec->digest[0] ? "/app" : "/tmp");
    put_labels(e, c, &w);
    hob_jw_key(&w, "Healthcheck"); /* hob-init runs the image's, in the container's own limits and time */
    hob_jw_object(&w);
    hob_jw_key(&w, "Test");
    hob_jw_array(&w);
    hob_jw_cstr(&w, "NONE");
    hob_jw_array_end(&w);
    hob_jw_object_end(&w);
    put_host_config(e, b, c, &w);
    hob_jw_object_end(&w);
    return hob_jw_end(&w, err);
}

void container_key(const struct container_spec *c, char ret_key[65])
{
    const struct engine_spec *s = c->spec;
    hob_auto_buf struct hob_buf b;
    hob_buf_init(&b, 1 << 20);
    enum hob_code code = hob_buf_addf(&b, "%s\n%s\n%s\n%s\n%s\n%u %u %u %u %u %u %u %llu %llu\n", c->image_id,
                                      c->app, c->network, s->runtime, s->digest, s->argc, s->envc,
                                      s->memory_mb, s->cpu_percent, s->cpu_weight, s->pids_max, s->tmp_inodes,
                                      (unsigned long long)s->tmp_bytes, (unsigned long long)s->fsize_bytes);
    if (code == HOB_OK)
        code = hob_buf_add_str(&b, s->strings);
    HOB_ASSERT(code == HOB_OK); /* strings were judged: they fit */
    hob_sha256_hex(hob_buf_data(&b), hob_buf_str(&b).n, ret_key);
}
