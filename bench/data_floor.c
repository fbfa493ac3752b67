/* Batches of ten creates: the engine through its pool beside a bare loop over SQLite that writes the same rows and the
 * same change log, in turns within one run. The loop is the floor: prepared statements, nothing judged, nobody answered,
 * one transaction for 32 batches. Then the floor with ids that are random from their first letter on.
 * Usage: data_floor FOLDER [SECONDS [OBJECTS]], which are there before the measuring begins. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "store/data.h"

enum { BATCH = 10, AT_ONCE = 32, ROUNDS = 3, CHECKPOINT_EVERY = 64 };

static const char doc[] = "{\"name\":\"item 3\",\"price\":12.5,\"stock\":7,\"tags\":[\"a\",\"b\"]}";

static void fail(const char *what)
{
    (void)fprintf(stderr, "%s\n", what);
    exit(1);
}

struct result {
    double rate, cpu_us; /* batches a second; of the writing threads, a batch */
};

static double cpu_of(int who)
{
    struct rusage u;
    (void)getrusage(who, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* --- the engine --- */

struct engine {
    struct appdbs *a;
    uv_loop_t loop;
    uint64_t until_us, done;
};

static enum hob_code work_class(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    (void)ctx;
    return data_class_add(tx, "Item", err);
}

static enum hob_code work_create(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    char id[DATA_ID_CHARS + 1];
    (void)ctx;
    data_id_make(id);
    struct data_row row = {
        .id = hob_str(id), .created_ms = hob_utc_ms(), .updated_ms = hob_utc_ms(), .doc = HOB_STR(doc)};
    return data_insert(tx, "Item", &row, err);
}

static enum hob_code work_batch(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    for (int i = 0; i < BATCH; i++)
        if (data_step(tx, work_create, ctx, err) != HOB_OK)
            return err->code;
    return HOB_OK;
}

static void on_batch(void *ctx, const struct hob_err *err)
{
    struct engine *e = ctx;
    if (err)
        fail(err->msg);
    e->done++;
    if (hob_now_us() < e->until_us)
        appdb_write(e->a, "floor", work_batch, on_batch, e);
}

static void on_class(void *ctx, const struct hob_err *err)
{
    (void)ctx;
    if (err)
        fail(err->msg);
}

static void open_engine(struct engine *e, const char *dir)
{
    struct hob_err err = {0};
    if (uv_loop_init(&e->loop) != 0)
        fail("no loop");
    e->a = appdbs_open(&(struct appdbs_options){.loop = &e->loop, .dir = dir}, &err);
    if (!e->a)
        fail(err.msg);
    appdb_write(e->a, "floor", work_class, on_class, NULL);
    (void)uv_run(&e->loop, UV_RUN_DEFAULT);
}

static struct result run_engine(struct engine *e, double seconds)
{
    uint64_t from = hob_now_us();
    double cpu =
        cpu_of(RUSAGE_SELF) - cpu_of(RUSAGE_THREAD); /* without the loop's thread, which is this one */
    e->done = 0;
    e->until_us = from + (uint64_t)(seconds * 1e6);
    for (int i = 0; i < AT_ONCE; i++)
        appdb_write(e->a, "floor", work_batch, on_batch, e);
    (void)uv_run(&e->loop, UV_RUN_DEFAULT);
    cpu = cpu_of(RUSAGE_SELF) - cpu_of(RUSAGE_THREAD) - cpu;
    return (struct result){(double)e->done * 1e6 / (double)(hob_now_us() - from), cpu / (double)e->done};
}

/* --- the floor --- */

struct bare {
    sqlite3 *h;
    sqlite3_stmt *begin, *commit, *row, *change;
    unsigned commits;
    bool has_random_ids;
};

static void run(sqlite3 *h, const char *sql)
{
    char *why = NULL;
    if (sqlite3_exec(h, sql, NULL, NULL, &why) != SQLITE_OK)
        fail(why);
}

static sqlite3_stmt *prepared(sqlite3 *h, const char *sql)
{
    sqlite3_stmt *stmt;
    if (sqlite3_prepare_v3(h, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL) != SQLITE_OK)
        fail(sqlite3_errmsg(h));
    return stmt;
}

static void open_bare(struct bare *b, const char *path)
{
    if (sqlite3_open(path, &b->h) != SQLITE_OK)
        fail("cannot open the floor's database");
    run(b->h, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0;"
              "PRAGMA cache_size=-8192; PRAGMA secure_delete=FAST;"
              "CREATE TABLE c1 (seq INTEGER PRIMARY KEY, id TEXT NOT NULL, created BIGINT NOT NULL,"
              " updated BIGINT NOT NULL, readers TEXT, writers TEXT, doc TEXT NOT NULL, hidden TEXT);"
              "CREATE UNIQUE INDEX c1_id ON c1 (id); CREATE INDEX c1_created ON c1 (created);"
              "CREATE TABLE changes (seq INTEGER PRIMARY KEY, at BIGINT NOT NULL, class TEXT NOT NULL,"
              " id TEXT NOT NULL, op TEXT NOT NULL, before TEXT, after TEXT);");
    b->begin = prepared(b->h, "BEGIN IMMEDIATE");
    b->commit = prepared(b->h, "COMMIT");
    b->row = prepared(b->h, "INSERT INTO c1 (id, created, updated, readers, writers, doc, hidden)"
                            " VALUES ($1, $2, $3, $4, $5, $6, $7)");
    b->change = prepared(b->h, "INSERT INTO changes (at, class, id, op, before, after)"
                               " VALUES ($1, $2, $3, $4, $5, $6)");
}

static void step(sqlite3_stmt *stmt)
{
    if (sqlite3_step(stmt) != SQLITE_DONE)
        fail(sqlite3_errmsg(sqlite3_db_handle(stmt)));
    (void)sqlite3_reset(stmt);
}

static void bare_create(struct bare *b)
{
    char id[DATA_ID_CHARS + 1], other[DATA_ID_CHARS + 1], after[300];
    sqlite3_int64 now = hob_utc_ms();
    data_id_make(id);
    data_id_make(other);
    if (b->has_random_ids) /* its end is random */
        memcpy(id, other + DATA_ID_CHARS - 2, 2);
    int n = snprintf(after, sizeof after, "{\"created\":%lld,\"updated\":%lld,\"doc\":%s}", (long long)now,
                     (long long)now, doc);
    (void)sqlite3_bind_text(b->row, 1, id, DATA_ID_CHARS, SQLITE_STATIC);
    (void)sqlite3_bind_int64(b->row, 2, now);
    (void)sqlite3_bind_int64(b->row, 3, now);
    (void)sqlite3_bind_text(b->row, 6, doc, (int)sizeof doc - 1, SQLITE_STATIC);
    step(b->row);
    (void)sqlite3_bind_int64(b->change, 1, now);
    (void)sqlite3_bind_text(b->change, 2, "Item", 4, SQLITE_STATIC);
    (void)sqlite3_bind_text(b->change, 3, id, DATA_ID_CHARS, SQLITE_STATIC);
    (void)sqlite3_bind_text(b->change, 4, "c", 1, SQLITE_STATIC);
    (void)sqlite3_bind_text(b->change, 6, after, n, SQLITE_STATIC);
    step(b->change);
}

static void bare_group(struct bare *b)
{
    step(b->begin);
    for (int i = 0; i < AT_ONCE * BATCH; i++)
        bare_create(b);
    step(b->commit);
    if (++b->commits % CHECKPOINT_EVERY == 0)
        (void)sqlite3_wal_checkpoint_v2(b->h, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}

static struct result run_bare(struct bare *b, double seconds)
{
    uint64_t from = hob_now_us(), done = 0, until = from + (uint64_t)(seconds * 1e6);
    double cpu = cpu_of(RUSAGE_THREAD);
    for (; hob_now_us() < until; done += AT_ONCE)
        bare_group(b);
    return (struct result){(double)done * 1e6 / (double)(hob_now_us() - from),
                           (cpu_of(RUSAGE_THREAD) - cpu) / (double)done};
}

/* --- in turns --- */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static struct result middle(const struct result *list)
{
    double rates[ROUNDS], cpus[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        rates[i] = list[i].rate;
        cpus[i] = list[i].cpu_us;
    }
    qsort(rates, ROUNDS, sizeof *rates, by_size);
    qsort(cpus, ROUNDS, sizeof *cpus, by_size);
    return (struct result){rates[ROUNDS / 2], cpus[ROUNDS / 2]};
}

static void tell(const char *what, struct result r)
{
    (void)printf("%-28s %7.0f batches of %d/s  %6.1f us of processor a batch, writing\n", what, r.rate, BATCH,
                 r.cpu_us);
}

int main(int argc, char **argv)
{
    static struct engine e;
    static struct bare b, random;
    struct result engine[ROUNDS], floor[ROUNDS], other[ROUNDS];
    char path[500], random_path[500];
    double seconds = argc > 2 ? strtod(argv[2], NULL) : 2;
    if (argc < 2)
        return 2;
    (void)snprintf(path, sizeof path, "%s/bare.db", argv[1]);
    (void)snprintf(random_path, sizeof random_path, "%s/random.db", argv[1]);
    open_engine(&e, argv[1]);
    open_bare(&b, path);
    open_bare(&random, random_path);
    random.has_random_ids = true;
    uint64_t objects = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;
    for (uint64_t n = 0; n < objects; n += AT_ONCE * BATCH) {
        bare_group(&b);
        bare_group(&random);
    }
    for (uint64_t n = 0; n < objects; n += e.done * BATCH)
        (void)run_engine(&e, 0.2);
    for (int i = 0; i < ROUNDS; i++) {
        engine[i] = run_engine(&e, seconds);
        floor[i] = run_bare(&b, seconds);
        other[i] = run_bare(&random, seconds);
    }
    struct result r = middle(engine), f = middle(floor);
    (void)printf("%d batches at once, %llu objects before, median of %d turns\n", AT_ONCE,
                 (unsigned long long)objects, ROUNDS);
    tell("the engine", r);
    tell("bare SQLite", f);
    tell("bare SQLite, random ids", middle(other));
    (void)printf("of the floor: %.2f by rate, %.2f by processor time\n", r.rate / f.rate,
                 f.cpu_us / r.cpu_us);
    appdbs_close(e.a, NULL, NULL);
    (void)uv_run(&e.loop, UV_RUN_DEFAULT);
    return 0;
}
