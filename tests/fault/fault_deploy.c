/* The fault sweep of store, code store, deploy and admin verbs (built with -DHOB_FAULTS): a scenario is run once for
 * every fault point that it passes, each time with that one failing (or killing the process there). After every run:
 * the error was a documented one, what was live is live or what was acknowledged is, nothing is left over, and the same
 * again works.
 *
 * Each run is a process of its own. It seeds a folder with version 1, arms the fault, runs the scenario, then disarms
 * and judges; after a kill the parent's next child judges. */
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "../unit/controller/platform.h"
#include "base/log.h"

#define SHOP "{\"app\":\"shop\",\"functions\":{\"checkout\":{\"runtime\":\"node\",\"entry\":\"index.sh\"}}}"

static const struct admin_target checkout = {{"shop", 4}, {"checkout", 8}};

/* What the scenario was told before a kill: a file, so that it survives. */
enum told { TOLD_DEPLOY = 'd', TOLD_ALIAS = 'a', TOLD_SECRET = 's', TOLD_ENV = 'e', TOLD_ROLLBACK = 'r' };

struct sweep {
    char dir[64];
    char told_path[96], count_path[96], output_path[96];
    bool is_killing;
};

static void tell(const struct sweep *s, char what)
{
    int fd = open(s->told_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, &what, 1), 1);
    (void)close(fd);
}

static bool was_told(const struct sweep *s, char what)
{
    struct hob_err err;
    hob_auto_buf struct hob_buf b;
    hob_buf_init(&b, 100);
    if (access(s->told_path, F_OK) < 0)
        return false;
    assert_ok(hob_read_file(s->told_path, &b, &err));
    return b.n && memchr(hob_buf_data(&b), what, b.n);
}

static unsigned points_passed(const struct sweep *s)
{
    struct hob_err err;
    unsigned n = 0;
    hob_auto_buf struct hob_buf b;
    hob_buf_init(&b, 8 << 20);
    if (access(s->count_path, F_OK) < 0)
        return 0;
    assert_ok(hob_read_file(s->count_path, &b, &err));
    for (size_t i = 0; i < b.n; i++)
        n += hob_buf_data(&b)[i] == '\n';
    return n;
}

static void judge_error(const struct hob_err *err)
{
    bool is_documented =
        err->code == HOB_E_NO_SPACE || err->code == HOB_E_INTERNAL || err->code == HOB_E_UNAVAILABLE;
    if (!is_documented || !err->msg[0])
        fail_msg("not a documented failure: %d '%s'", err->code, err->msg);
}

/* --- a platform whose opening may fail --- */

static bool try_open(struct platform *p)
{
    struct hob_err err = {0};
    struct home *h = p->home;
    p->code = code_store_open(home_path(h, "code"), &err);
    p->catalog = p->code ? catalog_new() : NULL;
    p->store = p->code ? store_open(&h->loop, home_path(h, "hob.db"), &err) : NULL;
    if (p->store && catalog_load(p->catalog, p->store, p->code, &err) == HOB_OK)
        p->vault = vault_open(p->store, home_path(h, "master.key"), &err);
    if (p->vault)
        p->runtimes = runtimes_load(home_path(h, "runtimes"), &err);
    if (!p->runtimes) {
        judge_error(&err);
        return false;
    }
    struct deployer_options dopt = {
        .loop = &h->loop, .store = p->store, .catalog = p->catalog, .code = p->code, .runtimes = p->runtimes};
    struct admin_options aopt = {&h->loop, p->store, p->catalog, p->code, p->vault, NULL, NULL};
    p->deployer = deployer_new(&dopt);
    p->admin = admin_new(&aopt);
    return true;
}

static void close_half(struct platform *p)
{
    int n = 0;
    if (p->store)
        store_close(p->store, platform_noticed, &n);
    (void)uv_run(&p->home->loop, UV_RUN_DEFAULT);
    catalog_free(p->catalog);
    code_store_free(p->code);
    vault_free(p->vault);
    *p = (struct platform){.home = p->home};
}

/* --- the scenario --- */

static bool judge_verb(const struct sweep *s, struct platform *p, struct administered *a, char what)
{
    while (!a->is_told)
        (void)uv_run(&p->home->loop, UV_RUN_ONCE);
    if (a->err.code != HOB_OK) {
        judge_error(&a->err);
        return false;
    }
    tell(s, what);
    return true;
}

static uint32_t live(struct platform *p)
{
    struct function *f = catalog_function_find(p->catalog, checkout.app, checkout.function);
    return f && f->live ? f->live->number : 0;
}

static bool run_deploy(const struct sweep *s, struct platform *p)
{
    struct deployed d = deploy_app(p, "shop", SHOP, "echo 2");
    if (d.err.code != HOB_OK) {
        judge_error(&d.err);
        assert_int_equal(live(p), 1); /* V5 */
        return false;
    }
    assert_int_equal(live(p), 2);
    tell(s, TOLD_DEPLOY);
    return true;
}

static bool run_verbs(const struct sweep *s, struct platform *p)
{
    struct administered alias = {.is_told = false}, secret = alias, env = alias, back = alias;
    char name[] = "MODE", value[] = "x";
    struct env_var v = {name, value};
    admin_alias_set(p->admin, checkout, HOB_STR("prod"), 1, on_administered, &alias);
    if (!judge_verb(s, p, &alias, TOLD_ALIAS))
        return false;
    admin_secret_set(p->admin, checkout.app, HOB_STR("KEY"), HOB_STR("value"), on_administered, &secret);
    if (!judge_verb(s, p, &secret, TOLD_SECRET))
        return false;
    admin_env_patch(p->admin, checkout, &(struct admin_env_patch){.set = &v, .set_n = 1}, on_administered,
                    &env);
    if (!judge_verb(s, p, &env, TOLD_ENV))
        return false;
    admin_rollback(p->admin, checkout, 2, on_administered, &back);
    return judge_verb(s, p, &back, TOLD_ROLLBACK);
}

static void on_backup(void *ctx, const struct hob_err *err)
{
    struct administered *a = ctx;
    a->is_told = true;
    if (err)
        a->err = *err;
}

static bool run_backup(const struct sweep *s, struct platform *p)
{
    char path[96];
    struct administered a = {.is_told = false};
    (void)snprintf(path, sizeof path, "%s/backup.db", s->dir);
    store_backup(p->store, path, on_backup, &a);
    while (!a.is_told)
        (void)uv_run(&p->home->loop, UV_RUN_ONCE);
    if (a.err.code == HOB_OK)
        return true;
    judge_error(&a.err);
    assert_int_equal(access(path, F_OK), -1); /* a failed backup leaves none */
    return false;
}

static bool run_all(const struct sweep *s, struct platform *p)
{
    return run_deploy(s, p) && run_verbs(s, p) && run_backup(s, p);
}

/* --- judging --- */

/* Everything in HOME/code is a tree that a version refers to, and every version's tree is there. */
static void judge_code(struct platform *p)
{
    struct version *v = catalog_function_find(p->catalog, checkout.app, checkout.function)->versions;
    const char *seen[8];
    size_t n = 0, at;
    for (; v; v = v->older) {
        assert_true(code_store_has(p->code, v->digest));
        for (at = 0; at < n && strcmp(seen[at], v->digest) != 0; at++)
            ;
        if (at == n)
            seen[n++] = v->digest;
        assert_in_range(n, 1, HOB_COUNT(seen) - 1);
    }
    assert_int_equal(count_in(p, "code", ""), n);
}

static void judge_live(const struct sweep *s, uint32_t number)
{
    assert_in_range(number, 1, 3);
    if (was_told(s, TOLD_DEPLOY))
        assert_in_range(number, 2, 3);
    if (was_told(s, TOLD_ROLLBACK)) /* one that was not told may have happened as well */
        assert_int_equal(number, 2);
}

static void judge_kept(const struct sweep *s, struct platform *p)
{
    struct hob_err err;
    if (was_told(s, TOLD_ALIAS))
        assert_non_null(catalog_resolve(p->catalog, checkout.app, checkout.function, HOB_STR("prod"), &err));
    if (was_told(s, TOLD_SECRET))
        assert_int_equal(vault_count(p->vault, checkout.app), 1);
}

/* Consistent, nothing told is lost, and everything works from here. Returns the version that the retry made live. */
static uint32_t judge_home(const struct sweep *s, struct platform *p)
{
    judge_live(s, live(p));
    judge_kept(s, p);
    (void)uv_run(&p->home->loop, UV_RUN_DEFAULT);
    judge_code(p);
    struct deployed d = deploy_app(p, "shop", SHOP, "echo last");
    if (d.err.code != HOB_OK)
        fail_msg("the retry failed: %s", d.err.msg);
    assert_int_equal(live(p), d.versions[0]);
    return d.versions[0];
}

/* The same home after a restart. */
static void judge_restarted(const struct sweep *s, struct platform *p, uint32_t retried)
{
    assert_int_equal(live(p), retried);
    judge_kept(s, p);
    (void)uv_run(&p->home->loop, UV_RUN_DEFAULT);
    judge_code(p);
}

/* --- one process --- */

static void set_fault(unsigned at, bool is_killing)
{
    char text[16];
    (void)snprintf(text, sizeof text, "%u", at);
    (void)setenv("HOB_FAULT_AT", text, 1);
    if (is_killing)
        (void)setenv("HOB_FAULT_KILL", "1", 1);
}

static void clear_fault(void)
{
    (void)unsetenv("HOB_FAULT_AT");
    (void)unsetenv("HOB_FAULT_KILL");
}

static struct home *open_home(const struct sweep *s)
{
    struct home *h = hob_new(struct home);
    (void)snprintf(h->dir, sizeof h->dir, "%s", s->dir);
    assert_int_equal(uv_loop_init(&h->loop), 0);
    (void)alarm(60);
    return h;
}

static void close_home(struct home *h)
{
    (void)uv_run(&h->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&h->loop), 0);
    free(h);
}

enum { RAN = 0, NO_SUCH_POINT = 42 };

static int run_with_fault(const struct sweep *s, unsigned nth)
{
    struct platform p = {.home = open_home(s)};
    put_runtime(&p, "node", "/bin/sh");
    platform_open(&p);
    assert_int_equal(deploy_app(&p, "shop", SHOP, "echo 1").err.code, HOB_OK);
    platform_close(&p);
    p = (struct platform){.home = p.home};
    unsigned target = points_passed(s) + nth;
    set_fault(target, s->is_killing);
    if (try_open(&p))
        (void)run_all(s, &p);
    bool is_reached = points_passed(s) >= target;
    clear_fault();
    uint32_t retried = 0;
    if (p.runtimes) { /* the process that met the fault goes on */
        retried = judge_home(s, &p);
        platform_close(&p);
    } else {
        close_half(&p);
    }
    platform_open(&p); /* and the next one */
    judge_restarted(s, &p, retried ? retried : judge_home(s, &p));
    platform_close(&p);
    close_home(p.home);
    return is_reached ? RAN : NO_SUCH_POINT;
}

static int judge_after_kill(const struct sweep *s)
{
    struct platform p = {.home = open_home(s)};
    platform_open(&p);
    uint32_t retried = judge_home(s, &p);
    platform_close(&p);
    platform_open(&p);
    judge_restarted(s, &p, retried);
    platform_close(&p);
    close_home(p.home);
    return RAN;
}

/* --- the sweep --- */

static struct {
    const struct sweep *sweep;
    unsigned nth;
    int result;
} child;

static void faulted_child(void **state)
{
    (void)state;
    child.result = run_with_fault(child.sweep, child.nth);
}

static void judging_child(void **state)
{
    (void)state;
    child.result = judge_after_kill(child.sweep);
}

/* What the child prints is kept in the folder and shown only when it fails. */
static int in_child(CMUnitTestFunction run, const struct sweep *s, unsigned nth)
{
    int status = 0;
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        const struct CMUnitTest tests[] = {{"run", run, NULL, NULL, NULL}};
        child.sweep = s;
        child.nth = nth;
        if (!freopen(s->output_path, "a", stdout) || dup2(STDOUT_FILENO, STDERR_FILENO) < 0)
            exit(3);
        int failed = cmocka_run_group_tests(tests, NULL, NULL);
        exit(failed ? 1 : child.result);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void show_output(const struct sweep *s)
{
    struct hob_err err;
    hob_auto_buf struct hob_buf b;
    hob_buf_init(&b, 8 << 20);
    if (hob_read_file(s->output_path, &b, &err) == HOB_OK)
        (void)fprintf(stderr, "%.*s", HOB_STR_ARG(hob_buf_str(&b)));
}

/* The newest line of the count file: where it went wrong, or little behind it. */
static void last_point(const struct sweep *s, char out[64])
{
    struct hob_err err;
    hob_auto_buf struct hob_buf b;
    hob_buf_init(&b, 8 << 20);
    out[0] = '\0';
    if (hob_read_file(s->count_path, &b, &err) != HOB_OK || b.n == 0)
        return;
    struct hob_str rest = hob_buf_str(&b), line = rest;
    while (rest.at) {
        struct hob_str next = hob_str_cut(rest, '\n', &rest);
        if (next.n)
            line = next;
    }
    (void)snprintf(out, 64, "%.*s", HOB_STR_ARG(line));
}

static bool sweep_one(unsigned nth, bool is_killing)
{
    struct sweep s = {.is_killing = is_killing};
    struct hob_err err;
    (void)snprintf(s.dir, sizeof s.dir, "/tmp/hob-fault-XXXXXX");
    assert_non_null(mkdtemp(s.dir));
    (void)snprintf(s.told_path, sizeof s.told_path, "%s/told", s.dir);
    (void)snprintf(s.count_path, sizeof s.count_path, "%s/points", s.dir);
    (void)snprintf(s.output_path, sizeof s.output_path, "%s/output", s.dir);
    (void)setenv("HOB_FAULT_COUNT", s.count_path, 1);
    int status = in_child(faulted_child, &s, nth);
    bool is_over = WIFEXITED(status) && WEXITSTATUS(status) == NO_SUCH_POINT;
    bool is_good = is_over || (WIFEXITED(status) && WEXITSTATUS(status) == RAN);
    if (is_killing && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
        status = in_child(judging_child, &s, nth);
        is_good = WIFEXITED(status) && WEXITSTATUS(status) == RAN;
    }
    if (!is_good) {
        char point[64];
        last_point(&s, point);
        show_output(&s);
        (void)fprintf(stderr, "FAILED: %s at passing %u of the scenario (status %x, last point %s)\n",
                      is_killing ? "kill" : "fault", nth, (unsigned)status, point);
        exit(1);
    }
    assert_ok(hob_remove_tree(s.dir, &err));
    return !is_over;
}

int main(void)
{
    (void)setenv("HOB_LOG_LEVEL", "error", 1);
    hob_log_init("fault");
    for (int is_killing = 0; is_killing < 2; is_killing++) {
        unsigned nth = 1;
        while (sweep_one(nth, is_killing))
            nth++;
        if (nth < 30) {
            (void)fprintf(stderr, "FAILED: only %u points were passed; is this a build with -DHOB_FAULTS?\n",
                          nth - 1);
            return 1;
        }
        (void)printf("%s: %u points, each %s in turn\n", is_killing ? "kill -9" : "faults", nth - 1,
                     is_killing ? "killed at" : "failed");
    }
    return 0;
}
