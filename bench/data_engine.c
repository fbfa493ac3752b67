/* The engine below the backend, through its pool of threads: operations a second and processor time of one, by how many
 * are asked at once; then a thousand apps. Usage: data_engine FOLDER [SECONDS [OBJECTS]], which are there before the
 * measuring begins. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "store/data.h"

enum { ASKED_MAX = 256 };

struct bench {
    struct appdbs *a;
    uv_loop_t *loop;
    bool is_write;
    data_work_cb work;
    uint64_t deadline_us, done, from_id, ids;
    uint64_t slots_at[ASKED_MAX];
    uint32_t *took; /* microseconds of each, for the percentiles */
    size_t took_n, took_cap;
};
struct slot {
    struct bench *b;
    uint64_t n, asked_us;
};

static void id_of(uint64_t n, char out[11])
{
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    uint64_t v = n * UINT64_C(0x9e3779b97f4a7c15);
    v ^= v >> 29;
    v *= UINT64_C(0xbf58476d1ce4e5b9);
    out[0] = letters[n / 1024 / 62 % 62]; /* as data_id_make does, but known from the number */
    out[1] = letters[n / 1024 % 62];
    for (int i = 2; i < 10; i++, v /= 62)
        out[i] = letters[v % 62];
    out[10] = '\0';
}

static enum hob_code prepare(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    static const struct data_field fields[] = {{.name = "name", .type = DATA_STRING},
                                               {.name = "score", .type = DATA_NUMBER},
                                               {.name = "cheat", .type = DATA_BOOLEAN},
                                               {.name = "city", .type = DATA_STRING}};
    (void)ctx;
    if (data_class_find(tx, "Score"))
        return HOB_OK;
    if (data_class_add(tx, "Score", err) != HOB_OK)
        return err->code;
    for (size_t i = 0; i < HOB_COUNT(fields); i++)
        if (data_field_add(tx, "Score", &fields[i], err) != HOB_OK)
            return err->code;
    return data_index_add(tx, "Score", &(struct data_index){"by_score", "{\"city\":1,\"score\":1}"}, false,
                          err);
}

static struct data_row row_of(uint64_t n, char id[11], char doc[200])
{
    id_of(n, id);
    int len = snprintf(doc, 200,
                       "{\"name\":\"player number %llu\",\"score\":%llu,\"cheat\":%s,\"city\":\"city%llu\"}",
                       (unsigned long long)n, (unsigned long long)(n * 7919 % 100000),
                       n % 2 ? "true" : "false", (unsigned long long)(n % 1000));
    return (struct data_row){.id = hob_str_n(id, 10),
                             .created_ms = 1700000000000 + (int64_t)n,
                             .updated_ms = 1700000000000 + (int64_t)n,
                             .doc = hob_str_n(doc, (size_t)len)};
}

static enum hob_code work_insert(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    const struct slot *s = ctx;
    char id[11], doc[200];
    struct data_row row = row_of(s->n, id, doc);
    return data_insert(tx, "Score", &row, err);
}

enum { FILL_STEP = 1000 };

static enum hob_code work_fill(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    const struct slot *s = ctx;
    for (uint64_t i = 0; i < FILL_STEP; i++) {
        char id[11], doc[200];
        struct data_row row = row_of(s->n * FILL_STEP + i, id, doc);
        if (data_insert(tx, "Score", &row, err) != HOB_OK)
            return err->code;
    }
    return HOB_OK;
}

static enum hob_code ignore(void *ctx, const struct data_row *row, struct hob_err *err)
{
    (void)err;
    *(uint64_t *)ctx += row->doc.n;
    return HOB_OK;
}

static enum hob_code work_get(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    const struct slot *s = ctx;
    char id[11];
    uint64_t bytes = 0;
    bool is_found;
    id_of(s->n % s->b->ids, id);
    enum hob_code rc = data_get(tx, "Score", hob_str_n(id, 10), NULL, ignore, &bytes, &is_found, err);
    if (rc == HOB_OK && !is_found)
        return hob_fail(err, HOB_E_NOT_FOUND, "%s is not there", id);
    return rc;
}

static enum hob_code work_query(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    const struct slot *s = ctx;
    uint64_t bytes = 0;
    json_t *where = json_pack("{s:o, s:{s:i}}", "city", json_sprintf("city%d", (int)(s->n * 31 % 1000)),
                              "score", "$gte", (int)(s->n * 7 % 90000));
    struct data_query q = {.class_name = "Score", .where = where, .order = "-score", .limit = 10};
    enum hob_code rc = data_find(tx, &q, ignore, &bytes, err);
    json_decref(where);
    return rc;
}

static enum hob_code work_update(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct slot *s = ctx;
    char id[11], doc[200];
    uint64_t bytes = 0;
    bool is_found;
    uint64_t n = s->n % s->b->ids;
    struct data_row row = row_of(n, id, doc);
    row.updated_ms++;
    if (data_get(tx, "Score", row.id, NULL, ignore, &bytes, &is_found, err) != HOB_OK)
        return err->code;
    return data_replace(tx, "Score", &row, err);
}

static void ask(struct slot *s);

static void on_done(void *ctx, const struct hob_err *err)
{
    struct slot *s = ctx;
    struct bench *b = s->b;
    uint64_t now = hob_now_us();
    if (err) {
        (void)fprintf(stderr, "%s\n", err->msg);
        exit(1);
    }
    b->done++;
    if (b->took_n < b->took_cap)
        b->took[b->took_n++] = (uint32_t)(now - s->asked_us);
    if (now < b->deadline_us)
        ask(s);
}

static void ask(struct slot *s)
{
    s->n = s->b->from_id++;
    s->asked_us = hob_now_us();
    if (s->b->is_write)
        appdb_write(s->b->a, "bench", s->b->work, on_done, s);
    else
        appdb_read(s->b->a, "bench", s->b->work, on_done, s);
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double cpu_us(void)
{
    struct rusage u;
    (void)getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void measure(struct bench *b, const char *what, unsigned asked, double seconds)
{
    static struct slot slots[ASKED_MAX];
    uint64_t from = hob_now_us();
    double cpu = cpu_us();
    b->done = b->took_n = 0;
    b->deadline_us = from + (uint64_t)(seconds * 1e6);
    for (unsigned i = 0; i < asked; i++) {
        slots[i] = (struct slot){.b = b};
        ask(&slots[i]);
    }
    (void)uv_run(b->loop, UV_RUN_DEFAULT);
    double took = (double)(hob_now_us() - from) / 1e6;
    qsort(b->took, b->took_n, sizeof *b->took, by_size);
    (void)printf("%-8s %3u at once: %8.0f/s  %5.1f us of processor each  p50 %6u us  p99 %6u us\n", what,
                 asked, (double)b->done / took, (cpu_us() - cpu) / (double)b->done, b->took[b->took_n / 2],
                 b->took[b->took_n * 99 / 100]);
    (void)fflush(stdout);
}

static void on_filled(void *ctx, const struct hob_err *err)
{
    if (err) {
        (void)fprintf(stderr, "%s\n", err->msg);
        exit(1);
    }
    free(ctx);
}

static void fill(struct bench *b, uint64_t objects)
{
    uint64_t from = hob_now_us();
    double cpu = cpu_us();
    for (uint64_t i = 0; i < objects / FILL_STEP; i++) {
        struct slot *s = malloc(sizeof *s);
        *s = (struct slot){.b = b, .n = i};
        appdb_write(b->a, "bench", work_fill, on_filled, s);
        if (i % 16 == 15)
            (void)uv_run(b->loop, UV_RUN_DEFAULT);
    }
    (void)uv_run(b->loop, UV_RUN_DEFAULT);
    b->from_id = objects;
    (void)printf("filled with %llu objects: %.1f us of processor, %.1f us each\n",
                 (unsigned long long)objects, (cpu_us() - cpu) / (double)objects,
                 (double)(hob_now_us() - from) / (double)objects);
}

/* --- a thousand apps --- */

enum { APPS = 1000 };

static unsigned open_files(void)
{
    unsigned n = 0;
    for (int fd = 0; fd < 65536; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static enum hob_code work_first(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    (void)ctx;
    return data_class_find(tx, "First") ? HOB_OK : data_class_add(tx, "First", err);
}

static void on_app(void *ctx, const struct hob_err *err)
{
    (void)ctx;
    if (err) {
        (void)fprintf(stderr, "%s\n", err->msg);
        exit(1);
    }
}

static void each_app(struct bench *b, bool is_write, const char *what)
{
    uint64_t from = hob_now_us();
    static struct slot ignored;
    for (unsigned i = 0; i < APPS; i++) {
        char app[16];
        (void)snprintf(app, sizeof app, "app-%u", i);
        ignored.b = b;
        if (is_write)
            appdb_write(b->a, app, work_first, on_app, &ignored);
        else
            appdb_read(b->a, app, work_first, on_app, &ignored);
    }
    (void)uv_run(b->loop, UV_RUN_DEFAULT);
    (void)printf("%d apps, %s: %.0f ms in all, %u databases and %u files open\n", APPS, what,
                 (double)(hob_now_us() - from) / 1e3, appdbs_stats(b->a).open, open_files());
}

static void open_pool(struct bench *b, const char *dir);

static void bench_apps(struct bench *b, const char *dir)
{
    each_app(b, true, "first write of each");
    appdbs_close(b->a, NULL, NULL);
    (void)uv_run(b->loop, UV_RUN_DEFAULT);
    uint64_t from = hob_now_us();
    open_pool(b, dir);
    (void)printf("opening the pool over %d apps: %.1f ms\n", APPS, (double)(hob_now_us() - from) / 1e3);
    each_app(b, false, "first read of each");
}

static void on_prepared(void *ctx, const struct hob_err *err)
{
    (void)ctx;
    if (err) {
        (void)fprintf(stderr, "%s\n", err->msg);
        exit(1);
    }
}

static void open_pool(struct bench *b, const char *dir)
{
    struct hob_err err = {0};
    b->a = appdbs_open(&(struct appdbs_options){.loop = b->loop, .dir = dir}, &err);
    if (!b->a) {
        (void)fprintf(stderr, "%s\n", err.msg);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    static struct bench b;
    uv_loop_t loop;
    double seconds = argc > 2 ? strtod(argv[2], NULL) : 2;
    if (argc < 2 || uv_loop_init(&loop) != 0)
        return 2;
    b.loop = &loop;
    open_pool(&b, argv[1]);
    b.took_cap = 4000000;
    b.took = malloc(b.took_cap * sizeof *b.took);
    appdb_write(b.a, "bench", prepare, on_prepared, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    if (argc > 3)
        fill(&b, strtoull(argv[3], NULL, 10));
    static const unsigned at_once[] = {1, 4, 16, 64, 256};
    b.is_write = true;
    b.work = work_insert;
    for (size_t i = 0; i < HOB_COUNT(at_once); i++)
        measure(&b, "insert", at_once[i], seconds);
    b.ids = b.from_id;
    b.work = work_update;
    for (size_t i = 0; i < HOB_COUNT(at_once); i += 2)
        measure(&b, "update", at_once[i], seconds);
    b.is_write = false;
    b.work = work_get;
    for (size_t i = 0; i < HOB_COUNT(at_once); i++)
        measure(&b, "get", at_once[i], seconds);
    b.work = work_query;
    for (size_t i = 0; i < HOB_COUNT(at_once); i += 2)
        measure(&b, "query", at_once[i], seconds);
    (void)printf("%llu objects\n", (unsigned long long)b.ids);
    bench_apps(&b, argv[1]);
    appdbs_close(b.a, NULL, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    free(b.took);
    return 0;
}
