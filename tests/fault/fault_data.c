/* The fault sweep of the app databases (built with -DHOB_FAULTS): a few jobs are run once for every fault point that they
 * pass, each time with that one failing (or killing the process there). After every run: what was acknowledged is
 * there, a job is done whole or not at all, the change log tells exactly what is there, and the same again works - in
 * the process that met the fault and in the next one. Each run is a process of its own. */
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "../unit/store/data_home.h"
#include "base/log.h"

enum verb { SCHEMA, INSERT, REPLACE, RELATE, FACT, REMOVE, VERBS };

struct sweep {
    char dir[64], told_path[96], count_path[96], output_path[96];
    bool is_killing;
};

static struct data_row row_of(const char *id, const char *doc)
{
    return (struct data_row){.id = hob_str(id), .created_ms = 1, .updated_ms = 1, .doc = hob_str(doc)};
}

/* --- the verbs; done again they say "conflict" or "not found", or nothing --- */

static enum hob_code do_schema(struct data_tx *tx, struct hob_err *err)
{
    if (!data_class_find(tx, "More") && data_class_add(tx, "More", err) != HOB_OK)
        return err->code;
    if (data_field_add(tx, "More", &(struct data_field){.name = "n", .type = DATA_NUMBER}, err) != HOB_OK)
        return err->code;
    return data_index_add(tx, "More", &(struct data_index){"by_n", "{\"n\":1}"}, true, err);
}

static enum hob_code do_insert(struct data_tx *tx, struct hob_err *err)
{
    struct data_row a = row_of("a", "{\"n\":1}"), b = row_of("b", "{\"n\":2}");
    return data_insert(tx, "Thing", &a, err) == HOB_OK ? data_insert(tx, "Thing", &b, err) : err->code;
}

static enum hob_code do_replace(struct data_tx *tx, struct hob_err *err)
{
    struct data_row row = row_of("seed", "{\"n\":7}");
    return data_replace(tx, "Thing", &row, err);
}

static enum hob_code do_relate(struct data_tx *tx, struct hob_err *err)
{
    return data_join_add(tx, "Thing", "r", HOB_STR("seed"), HOB_STR("a"), err);
}

static enum hob_code do_fact(struct data_tx *tx, struct hob_err *err)
{
    return kv_put(tx, "s", &(struct kv_row){.key = HOB_STR("k"), .value = HOB_STR("v")}, err);
}

static enum hob_code do_remove(struct data_tx *tx, struct hob_err *err)
{
    return data_remove(tx, "Thing", HOB_STR("old"), err);
}

static enum hob_code work_verb(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    static enum hob_code (*const verbs[VERBS])(struct data_tx *, struct hob_err *) = {
        [SCHEMA] = do_schema, [INSERT] = do_insert, [REPLACE] = do_replace,
        [RELATE] = do_relate, [FACT] = do_fact,     [REMOVE] = do_remove,
    };
    return verbs[*(const int *)ctx](tx, err);
}

static enum hob_code work_seed(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct data_row seed = row_of("seed", "{\"n\":0}"), old = row_of("old", "{\"n\":9}");
    struct data_field n = {.name = "n", .type = DATA_NUMBER},
                      r = {.name = "r", .type = DATA_RELATION, .target = "Thing"};
    (void)ctx;
    if (data_class_add(tx, "Thing", err) != HOB_OK || data_field_add(tx, "Thing", &n, err) != HOB_OK ||
        data_field_add(tx, "Thing", &r, err) != HOB_OK || data_insert(tx, "Thing", &seed, err) != HOB_OK)
        return err->code;
    return data_insert(tx, "Thing", &old, err);
}

/* --- what is there --- */

struct facts {
    bool is_done[VERBS];
    int64_t rows, logged, last;
};

static bool is_there(struct data_tx *tx, const char *where, const char *class_name, uint64_t wanted)
{
    struct hob_err err;
    uint64_t n = 0;
    hob_auto_json json_t *j = hob_json_parse(hob_str(where), "where", &err);
    struct data_query q = {.class_name = class_name, .where = j, .limit = -1};
    return data_count(tx, &q, &n, &err) == HOB_OK && n == wanted;
}

static enum hob_code on_logged(void *ctx, const struct data_change *c, struct hob_err *err)
{
    struct facts *f = ctx;
    want(c->sequence > f->last);
    f->last = c->sequence;
    if (strcmp(c->class_name, "Thing") == 0)
        f->logged += c->op == 'c' ? 1 : c->op == 'd' ? -1 : 0;
    return HOB_OK;
}

static enum hob_code on_related(void *ctx, struct hob_str id, struct hob_err *err)
{
    (void)id;
    (void)err;
    *(bool *)ctx = true;
    return HOB_OK;
}

static enum hob_code work_look(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct facts *f = ctx;
    uint64_t rows = 0;
    struct data_query all = {.class_name = "Thing", .limit = -1};
    *f = (struct facts){.rows = 0};
    const struct data_class *more = data_class_find(tx, "More");
    f->is_done[SCHEMA] = more && more->indexes_n == 1 && more->fields_n == 1;
    want(!more || f->is_done[SCHEMA]);
    bool has_a = is_there(tx, "{\"objectId\":\"a\"}", "Thing", 1),
         has_b = is_there(tx, "{\"n\":2}", "Thing", 1);
    want(has_a == has_b); /* whole or not at all */
    f->is_done[INSERT] = has_a;
    f->is_done[REPLACE] = is_there(tx, "{\"objectId\":\"seed\",\"n\":7}", "Thing", 1);
    f->is_done[REMOVE] = is_there(tx, "{\"objectId\":\"old\"}", "Thing", 0);
    want(data_join_related(tx, "Thing", "r", HOB_STR("seed"), on_related, &f->is_done[RELATE], err) ==
         HOB_OK);
    f->is_done[FACT] = kv_get(tx, "s", HOB_STR("k"), 1, NULL, NULL, err) == HOB_OK;
    want(data_count(tx, &all, &rows, err) == HOB_OK);
    f->rows = (int64_t)rows;
    want(data_changes(tx, 0, UINT64_MAX, on_logged, f, err) == HOB_OK);
    want(f->logged == f->rows);
    return HOB_OK;
}

static void judge_error(const struct hob_err *err)
{
    assert_true(err->msg[0]);
    assert_in_range(err->code, HOB_OK + 1, HOB_E_COUNT_ - 1);
}

/* --- told: a file, so that it survives a kill --- */

static void tell(const struct sweep *s, int verb)
{
    char what = (char)('A' + verb);
    int fd = open(s->told_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, &what, 1), 1);
    (void)close(fd);
}

static bool was_told(const struct sweep *s, int verb)
{
    char told[64];
    int fd = open(s->told_path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, told, sizeof told);
    if (fd >= 0)
        (void)close(fd);
    return n > 0 && memchr(told, 'A' + verb, (size_t)n);
}

static unsigned points_passed(const struct sweep *s)
{
    char block[4096];
    unsigned n = 0;
    int fd = open(s->count_path, O_RDONLY | O_CLOEXEC);
    for (ssize_t got; fd >= 0 && (got = read(fd, block, sizeof block)) > 0;)
        for (ssize_t i = 0; i < got; i++)
            n += block[i] == '\n';
    if (fd >= 0)
        (void)close(fd);
    return n;
}

/* --- one process --- */

static struct pool open_pool(const struct sweep *s)
{
    struct pool p = {.h = hob_new(struct home)};
    (void)snprintf(p.h->dir, sizeof p.h->dir, "%s", s->dir);
    assert_int_equal(uv_loop_init(&p.h->loop), 0);
    (void)alarm(60);
    p.a = pool_open(p.h, 0);
    return p;
}

static void close_pool(struct pool *p)
{
    pool_close(p->h, p->a);
    assert_int_equal(uv_loop_close(&p->h->loop), 0);
    free(p->h);
}

static void run_scenario(const struct sweep *s, struct pool *p)
{
    struct facts f;
    char copy[96];
    for (int verb = 0; verb < VERBS; verb++) {
        if (pool_write(p, work_verb, &verb) == HOB_OK)
            tell(s, verb);
        else
            judge_error(&p->err);
    }
    if (pool_read(p, work_look, &f) != HOB_OK)
        judge_error(&p->err);
    (void)snprintf(copy, sizeof copy, "%s/copy.db", s->dir);
    struct waited w = {false, &p->err};
    appdb_backup(p->a, APP, copy, pool_on_done, &w);
    while (!w.is_done)
        (void)uv_run(&p->h->loop, UV_RUN_ONCE);
    if (p->err.code != HOB_OK)
        assert_int_equal(access(copy, F_OK), -1); /* a failed backup leaves none */
}

static void judge(const struct sweep *s, struct pool *p)
{
    struct facts f;
    assert_job(p, pool_read(p, work_look, &f));
    for (int verb = 0; verb < VERBS; verb++)
        assert_true(f.is_done[verb] || !was_told(s, verb));
    for (int verb = 0; verb < VERBS; verb++) {
        enum hob_code rc = pool_write(p, work_verb, &verb);
        assert_true(rc == HOB_OK || rc == HOB_E_CONFLICT || rc == HOB_E_NOT_FOUND);
    }
    assert_job(p, pool_read(p, work_look, &f));
    for (int verb = 0; verb < VERBS; verb++)
        assert_true(f.is_done[verb]);
}

enum { RAN = 0, NO_SUCH_POINT = 42 };

static void set_fault(unsigned at, bool is_killing)
{
    char text[16];
    (void)snprintf(text, sizeof text, "%u", at);
    (void)setenv("HOB_FAULT_AT", text, 1);
    if (is_killing)
        (void)setenv("HOB_FAULT_KILL", "1", 1);
}

static int run_with_fault(const struct sweep *s, unsigned nth)
{
    struct pool p = open_pool(s);
    assert_job(&p, pool_write(&p, work_seed, NULL));
    close_pool(&p);
    p = open_pool(s); /* so that opening is among the points */
    unsigned target = points_passed(s) + nth;
    set_fault(target, s->is_killing);
    run_scenario(s, &p);
    bool is_reached = points_passed(s) >= target;
    (void)unsetenv("HOB_FAULT_AT");
    judge(s, &p);
    close_pool(&p);
    p = open_pool(s);
    judge(s, &p);
    close_pool(&p);
    return is_reached ? RAN : NO_SUCH_POINT;
}

static int judge_after_kill(const struct sweep *s)
{
    struct pool p = open_pool(s);
    judge(s, &p);
    close_pool(&p);
    return RAN;
}

/* --- the sweep --- */

static struct {
    const struct sweep *sweep;
    unsigned nth;
    bool is_judge;
    int result;
} child;

static void child_test(void **state)
{
    (void)state;
    child.result = child.is_judge ? judge_after_kill(child.sweep) : run_with_fault(child.sweep, child.nth);
}

static int in_child(const struct sweep *s, unsigned nth, bool is_judge)
{
    pid_t pid = fork();
    if (pid == 0) {
        int out = open(s->output_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        (void)setenv("HOB_FAULT_COUNT", s->count_path, 1);
        (void)dup2(out, STDOUT_FILENO);
        (void)dup2(out, STDERR_FILENO);
        child.sweep = s;
        child.nth = nth;
        child.is_judge = is_judge;
        const struct CMUnitTest tests[] = {cmocka_unit_test(child_test)};
        _exit(cmocka_run_group_tests(tests, NULL, NULL) == 0 ? child.result : 1);
    }
    int status = 0;
    (void)waitpid(pid, &status, 0);
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == SIGKILL && s->is_killing ? -SIGKILL : -1;
    return WEXITSTATUS(status);
}

static void show_output(const struct sweep *s)
{
    struct hob_err err;
    hob_auto_buf struct hob_buf b;
    hob_buf_init(&b, 1 << 20);
    if (hob_read_file(s->output_path, &b, &err) == HOB_OK)
        (void)fprintf(stderr, "%.*s\n", HOB_STR_ARG(hob_buf_str(&b)));
}

/* False when there is no such point any more. */
static bool sweep_one(unsigned nth, bool is_killing)
{
    struct sweep s = {.is_killing = is_killing};
    struct hob_err err;
    (void)snprintf(s.dir, sizeof s.dir, "/tmp/hob-fault-XXXXXX");
    if (!mkdtemp(s.dir))
        exit(1);
    (void)snprintf(s.told_path, sizeof s.told_path, "%s/told", s.dir);
    (void)snprintf(s.count_path, sizeof s.count_path, "%s/count", s.dir);
    (void)snprintf(s.output_path, sizeof s.output_path, "%s/output", s.dir);
    int rc = in_child(&s, nth, false);
    if (rc == -SIGKILL)
        rc = in_child(&s, nth, true);
    if (rc != RAN && rc != NO_SUCH_POINT) {
        (void)fprintf(stderr, "point %u (%s) of the app databases: exit %d\n", nth,
                      is_killing ? "kill" : "fail", rc);
        show_output(&s);
        exit(1);
    }
    if (hob_remove_tree(s.dir, &err) != HOB_OK)
        exit(1);
    return rc == RAN;
}

int main(void)
{
    for (int is_killing = 0; is_killing < 2; is_killing++) {
        unsigned nth = 1;
        while (sweep_one(nth, is_killing))
            nth++;
        (void)printf("%u points of the app databases, %s in turn\n", nth - 1,
                     is_killing ? "killed at" : "failed");
        (void)fflush(stdout);
        if (nth < 50)
            return 1;
    }
    return 0;
}
