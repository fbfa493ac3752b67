/* A store, catalogue, code store, deployer and admin in a private folder, and bundles made in the test: everything of
 * the controller that needs no runner. */
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/bundle.h"
#include "controller/admin.h"
#include "controller/deploy/deploy_priv.h"
#include "home.h"

struct platform {
    struct home *home;
    struct store *store;
    struct catalog *catalog;
    struct code_store *code;
    struct runtimes *runtimes;
    struct vault *vault;
    struct deployer *deployer;
    struct admin *admin;
};

/* --- bundles --- */

struct bundle {
    struct hob_buf out;
    uint64_t entries;
};

static inline void bundle_start(struct bundle *b)
{
    *b = (struct bundle){0};
    hob_buf_init(&b->out, (size_t)300 << 20);
}

static inline void bundle_record(struct bundle *b, uint8_t kind, const char *path, uint64_t size,
                                 bool is_executable)
{
    unsigned char head[HOB_BUNDLE_HEADER_BYTES];
    struct hob_bundle_record r = {
        .kind = kind, .is_executable = is_executable, .path_n = (uint16_t)strlen(path), .size = size};
    hob_bundle_encode(&r, head);
    assert_ok(hob_buf_add(&b->out, head, sizeof head));
    assert_ok(hob_buf_add(&b->out, path, strlen(path)));
    b->entries += kind == HOB_BUNDLE_DIRECTORY || kind == HOB_BUNDLE_FILE;
}

static inline void bundle_folder(struct bundle *b, const char *path)
{
    bundle_record(b, HOB_BUNDLE_DIRECTORY, path, 0, false);
}

static inline void bundle_file(struct bundle *b, const char *path, const char *text)
{
    bundle_record(b, HOB_BUNDLE_FILE, path, strlen(text), false);
    assert_ok(hob_buf_add(&b->out, text, strlen(text)));
}

static inline void bundle_end(struct bundle *b)
{
    bundle_record(b, HOB_BUNDLE_END, "", b->entries, false);
}

/* Returns owned descriptor at the stream's start; the bundle is empty afterwards. */
static inline int bundle_fd(struct bundle *b)
{
    int fd = memfd_create("bundle", MFD_CLOEXEC);
    assert_true(fd >= 0);
    struct hob_str all = hob_buf_str(&b->out);
    assert_int_equal(write(fd, all.at, all.n), all.n); /* not by base/fs.h: that has fault points */
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    hob_buf_done(&b->out);
    return fd;
}

/* --- the platform --- */

static inline void put_runtime(struct platform *p, const char *name, const char *needs)
{
    struct hob_err err;
    hob_auto_free char *dir = hob_asprintf("%s/runtimes/%s", p->home->dir, name);
    hob_auto_free char *path = hob_asprintf("%s/runtime.json", dir);
    hob_auto_free char *text = hob_asprintf(
        "{\"name\":\"%s\",\"title\":\"T\",\"needs\":[\"%s\"],\"install\":\"apt-get install it\","
        "\"argv\":[\"/bin/sh\",\"/app/${entry}\"],\"entries\":[\"index.sh\",\"main.sh\"],\"env\":{}}",
        name, needs);
    assert_ok(hob_mkdirs(dir, 0755, &err));
    assert_ok(hob_write_file(path, hob_str(text), 0644, &err));
}

#define assert_opened(p, err)                                                                                \
    do {                                                                                                     \
        if (!(p))                                                                                            \
            print_error("%s\n", (err).msg);                                                                  \
        assert_non_null(p);                                                                                  \
    } while (0)

static inline void platform_open(struct platform *p)
{
    struct hob_err err = {0};
    struct home *h = p->home;
    p->store = store_open(&h->loop, home_path(h, "hob.db"), &err);
    assert_opened(p->store, err);
    p->code = code_store_open(home_path(h, "code"), &err);
    assert_opened(p->code, err);
    p->catalog = catalog_new();
    if (catalog_load(p->catalog, p->store, p->code, &err) != HOB_OK)
        fail_msg("%s", err.msg);
    p->vault = vault_open(p->store, home_path(h, "master.key"), &err);
    assert_opened(p->vault, err);
    p->runtimes = runtimes_load(home_path(h, "runtimes"), &err);
    assert_opened(p->runtimes, err);
    struct deployer_options dopt = {
        .loop = &h->loop, .store = p->store, .catalog = p->catalog, .code = p->code, .runtimes = p->runtimes};
    p->deployer = deployer_new(&dopt);
    struct admin_options aopt = {
        .loop = &h->loop, .store = p->store, .catalog = p->catalog, .code = p->code, .vault = p->vault};
    p->admin = admin_new(&aopt);
}

static inline void platform_noticed(void *ctx)
{
    (*(int *)ctx)++;
}

static inline void platform_close(struct platform *p)
{
    int n = 0;
    deployer_close(p->deployer, platform_noticed, &n);
    admin_close(p->admin, platform_noticed, &n);
    (void)uv_run(&p->home->loop, UV_RUN_DEFAULT);
    assert_int_equal(n, 2);
    store_close(p->store, platform_noticed, &n);
    (void)uv_run(&p->home->loop, UV_RUN_DEFAULT);
    assert_int_equal(n, 3);
    catalog_free(p->catalog);
    code_store_free(p->code);
    runtimes_free(p->runtimes);
    vault_free(p->vault);
}

static inline int platform_make(void **state)
{
    struct platform *p = hob_new(struct platform);
    if (home_make((void **)&p->home) != 0)
        return -1;
    put_runtime(p, "node", "/bin/sh");
    put_runtime(p, "absent", "/nonexistent/interpreter");
    platform_open(p);
    *state = p;
    return 0;
}

static inline int platform_drop(void **state)
{
    struct platform *p = *state;
    platform_close(p);
    int rc = home_drop((void **)&p->home);
    free(p);
    return rc;
}

static inline void platform_restart(struct platform *p)
{
    platform_close(p);
    platform_open(p);
}

/* --- deploying --- */

struct deployed {
    bool is_told;
    struct hob_err err; /* HOB_OK when it worked */
    char digest[65];
    size_t functions_n;
    uint32_t versions[8];
    bool is_new[8];
    uint64_t files, bytes;
};

static inline void on_deployed(void *ctx, const struct deploy_result *r, const struct hob_err *err)
{
    struct deployed *d = ctx;
    assert_false(d->is_told);
    assert_true((r == NULL) != (err == NULL));
    d->is_told = true;
    if (err) {
        d->err = *err;
        return;
    }
    (void)snprintf(d->digest, sizeof d->digest, "%s", r->digest);
    d->files = r->files;
    d->bytes = r->bytes;
    d->functions_n = r->functions_n;
    for (size_t i = 0; i < r->functions_n && i < HOB_COUNT(d->versions); i++) {
        d->versions[i] = r->functions[i].version;
        d->is_new[i] = r->functions[i].is_new;
    }
}

static inline struct deployed deploy_fd(struct platform *p, const char *app, int fd, bool is_dry_run)
{
    struct deployed d = {.is_told = false};
    struct deploy_spec spec = {.app = app, .is_dry_run = is_dry_run, .archive_fd = -1};
    struct deploy *dp = deploy_start_from_records(p->deployer, &spec, fd, on_deployed, &d);
    assert_non_null(dp);
    assert_false(d.is_told);
    while (!d.is_told)
        (void)uv_run(&p->home->loop, UV_RUN_ONCE);
    return d;
}

/* hob.json and index.sh with that text. */
static inline int app_fd(const char *manifest, const char *code)
{
    struct bundle b;
    bundle_start(&b);
    bundle_file(&b, "hob.json", manifest);
    bundle_file(&b, "index.sh", code);
    bundle_end(&b);
    return bundle_fd(&b);
}

static inline struct deployed deploy_app(struct platform *p, const char *app, const char *manifest,
                                         const char *code)
{
    return deploy_fd(p, app, app_fd(manifest, code), false);
}

/* --- admin --- */

struct administered {
    bool is_told;
    struct hob_err err;
    struct admin_result r;
};

static inline void on_administered(void *ctx, const struct admin_result *r, const struct hob_err *err)
{
    struct administered *a = ctx;
    assert_false(a->is_told);
    a->is_told = true;
    if (err)
        a->err = *err;
    else
        a->r = *r;
}

static inline void wait_for(struct platform *p, const struct administered *a)
{
    assert_false(a->is_told);
    while (!a->is_told)
        (void)uv_run(&p->home->loop, UV_RUN_ONCE);
}

/* Entries of a folder of HOME whose names start so. */
static inline size_t count_in(struct platform *p, const char *name, const char *prefix)
{
    size_t n = 0;
    DIR *d = opendir(home_path(p->home, name));
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        n += strncmp(e->d_name, prefix, strlen(prefix)) == 0 && strcmp(e->d_name, ".") != 0 &&
             strcmp(e->d_name, "..") != 0;
    (void)closedir(d);
    return n;
}
