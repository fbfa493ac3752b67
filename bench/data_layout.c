/* How should an object lie in SQLite? The same objects in four layouts, one thread, one connection set up as the engine
 * sets up its own. Processor time and wall time of each verb. docs/data.md has the result and the decision.
 * Usage: data_layout FOLDER [OBJECTS] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "store/data/data_priv.h"

struct layout {
    const char *name, *make, *index, *insert, *get, *query, *scan, *update;
    bool is_columns;
};

#define ROW "id TEXT NOT NULL, created BIGINT, updated BIGINT, readers TEXT, writers TEXT"
#define JSON_INSERT "INSERT INTO t (id, created, updated, readers, doc) VALUES (?1, ?2, ?2, '[\"*\"]', ?3)"
#define JSON_UPDATE "UPDATE t SET updated = ?2, doc = ?3 WHERE id = ?1"

static const struct layout layouts[] = {
    {"typed keys",
     "CREATE TABLE t (seq INTEGER PRIMARY KEY, " ROW ", doc TEXT); CREATE UNIQUE INDEX t_id ON t (id)",
     "CREATE INDEX t_x ON t (hob_val(doc, 'city'), hob_val(doc, 'score'))", JSON_INSERT,
     "SELECT * FROM t WHERE id = ?1",
     "SELECT * FROM t WHERE hob_val(doc, 'city') = ?1 AND hob_val(doc, 'score') >= ?2 AND hob_val(doc, 'score') < ''"
     " ORDER BY hob_val(doc, 'score') DESC LIMIT 10",
     "SELECT count(*) FROM t WHERE hob_val(doc, 'name') = ?1", JSON_UPDATE, false},
    {"json_extract",
     "CREATE TABLE t (seq INTEGER PRIMARY KEY, " ROW ", doc TEXT); CREATE UNIQUE INDEX t_id ON t (id)",
     "CREATE INDEX t_x ON t (json_extract(doc, '$.city'), json_extract(doc, '$.score'))", JSON_INSERT,
     "SELECT * FROM t WHERE id = ?1",
     "SELECT * FROM t WHERE json_extract(doc, '$.city') = ?1 AND json_extract(doc, '$.score') >= ?2"
     " ORDER BY json_extract(doc, '$.score') DESC LIMIT 10",
     "SELECT count(*) FROM t WHERE json_extract(doc, '$.name') = ?1", JSON_UPDATE, false},
    {"columns",
     "CREATE TABLE t (seq INTEGER PRIMARY KEY, " ROW ", name TEXT, score REAL, cheat INTEGER, city TEXT);"
     "CREATE UNIQUE INDEX t_id ON t (id)",
     "CREATE INDEX t_x ON t (city, score)",
     "INSERT INTO t (id, created, updated, readers, name, score, cheat, city)"
     " VALUES (?1, ?2, ?2, '[\"*\"]', ?4, ?5, ?6, ?7)",
     "SELECT * FROM t WHERE id = ?1",
     "SELECT * FROM t WHERE city = ?1 AND score >= ?2 ORDER BY score DESC LIMIT 10",
     "SELECT count(*) FROM t WHERE name = ?1",
     "UPDATE t SET updated = ?2, name = ?4, score = ?5, cheat = ?6, city = ?7 WHERE id = ?1", true},
    {"by id (WITHOUT ROWID)", "CREATE TABLE t (" ROW ", doc TEXT, PRIMARY KEY (id)) WITHOUT ROWID",
     "CREATE INDEX t_x ON t (hob_val(doc, 'city'), hob_val(doc, 'score'))", JSON_INSERT,
     "SELECT * FROM t WHERE id = ?1",
     "SELECT * FROM t WHERE hob_val(doc, 'city') = ?1 AND hob_val(doc, 'score') >= ?2 AND hob_val(doc, 'score') < ''"
     " ORDER BY hob_val(doc, 'score') DESC LIMIT 10",
     "SELECT count(*) FROM t WHERE hob_val(doc, 'name') = ?1", JSON_UPDATE, false},
};

struct object {
    char id[11], doc[256], name[64], city[16];
    int score, cheat;
};

static void make_object(unsigned long long n, struct object *o)
{
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    uint64_t v = n * UINT64_C(0x9e3779b97f4a7c15);
    v ^= v >> 29;
    v *= UINT64_C(0xbf58476d1ce4e5b9);
    for (int i = 0; i < 10; i++, v /= 62)
        o->id[i] = letters[v % 62];
    o->id[10] = '\0';
    o->score = (int)(n * 7919 % 100000);
    o->cheat = (int)(n % 2);
    (void)snprintf(o->name, sizeof o->name, "player number %llu of the bench", n);
    (void)snprintf(o->city, sizeof o->city, "city%llu", n % 1000);
    (void)snprintf(o->doc, sizeof o->doc, "{\"name\":\"%s\",\"score\":%d,\"cheat\":%s,\"city\":\"%s\"}",
                   o->name, o->score, o->cheat ? "true" : "false", o->city);
}

/* --- one connection --- */

static struct conn conn;

static void must(int rc)
{
    if (rc == SQLITE_OK || rc == SQLITE_ROW || rc == SQLITE_DONE)
        return;
    (void)fprintf(stderr, "%s\n", sqlite3_errmsg(conn.db.h));
    exit(1);
}

static void sql(const char *text)
{
    must(sqlite3_exec(conn.db.h, text, NULL, NULL, NULL));
}

static sqlite3_stmt *prepare(const char *text)
{
    sqlite3_stmt *s = NULL;
    must(sqlite3_prepare_v3(conn.db.h, text, -1, SQLITE_PREPARE_PERSISTENT, &s, NULL));
    return s;
}

static unsigned long long run(sqlite3_stmt *s)
{
    unsigned long long rows = 0;
    int rc;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW)
        rows += sqlite3_column_bytes(s, 0) > 0;
    must(rc);
    must(sqlite3_reset(s));
    return rows;
}

static void bind_object(const struct layout *l, sqlite3_stmt *s, const struct object *o, sqlite3_int64 at)
{
    must(sqlite3_bind_text(s, 1, o->id, -1, SQLITE_STATIC));
    must(sqlite3_bind_int64(s, 2, at));
    if (!l->is_columns) {
        must(sqlite3_bind_text(s, 3, o->doc, -1, SQLITE_STATIC));
        return;
    }
    must(sqlite3_bind_text(s, 4, o->name, -1, SQLITE_STATIC));
    must(sqlite3_bind_double(s, 5, o->score));
    must(sqlite3_bind_int(s, 6, o->cheat));
    must(sqlite3_bind_text(s, 7, o->city, -1, SQLITE_STATIC));
}

/* --- the clock --- */

struct timer {
    double cpu_us;
    uint64_t wall_us;
};

static double cpu_us(void)
{
    struct rusage u;
    (void)getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static struct timer start(void)
{
    return (struct timer){cpu_us(), hob_now_us()};
}

static void say(const char *what, struct timer t, unsigned long long n)
{
    (void)printf("  %-28s %9.2f us of processor, %9.2f us in all\n", what, (cpu_us() - t.cpu_us) / (double)n,
                 (double)(hob_now_us() - t.wall_us) / (double)n);
    (void)fflush(stdout);
}

/* --- the verbs --- */

enum { BATCH = 1000, SMALL = 20000 };

static void bench_insert(const struct layout *l, unsigned long long objects)
{
    struct object o;
    sqlite3_stmt *s = prepare(l->insert);
    struct timer t = start();
    for (unsigned long long n = 0; n < objects; n++) {
        if (n % BATCH == 0)
            sql("BEGIN");
        make_object(n, &o);
        bind_object(l, s, &o, (sqlite3_int64)n);
        (void)run(s);
        if (n % BATCH == BATCH - 1 || n + 1 == objects) {
            sql("COMMIT");
            if (conn.db.wal_pages > 2000)
                must(sqlite3_wal_checkpoint_v2(conn.db.h, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL));
        }
    }
    say("insert (1,000 a commit)", t, objects);
    (void)sqlite3_finalize(s);
}

static void bench_get(const struct layout *l, unsigned long long objects)
{
    struct object o;
    sqlite3_stmt *s = prepare(l->get);
    struct timer t = start();
    sql("BEGIN");
    for (unsigned long long i = 0; i < SMALL; i++) {
        make_object(i * 7919 % objects, &o);
        must(sqlite3_bind_text(s, 1, o.id, -1, SQLITE_STATIC));
        if (run(s) != 1)
            exit(1);
    }
    sql("COMMIT");
    say("get by id", t, SMALL);
    (void)sqlite3_finalize(s);
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void bench_query(const struct layout *l)
{
    static uint64_t took[SMALL];
    char city[16];
    sqlite3_stmt *s = prepare(l->query);
    struct timer t = start();
    for (int i = 0; i < SMALL; i++) {
        uint64_t from = hob_now_us();
        (void)snprintf(city, sizeof city, "city%d", i * 31 % 1000);
        must(sqlite3_bind_text(s, 1, city, -1, SQLITE_STATIC));
        must(sqlite3_bind_int(s, 2, i * 7 % 90000));
        (void)run(s);
        took[i] = hob_now_us() - from;
    }
    say("indexed query, 10 of 1,000", t, SMALL);
    qsort(took, SMALL, sizeof took[0], by_size);
    (void)printf("  %-28s %9llu us p50, %llu us p99\n", "", (unsigned long long)took[SMALL / 2],
                 (unsigned long long)took[SMALL * 99 / 100]);
    (void)sqlite3_finalize(s);
}

static void bench_scan(const struct layout *l, unsigned long long objects)
{
    sqlite3_stmt *s = prepare(l->scan);
    struct timer t = start();
    must(sqlite3_bind_text(s, 1, "nobody", -1, SQLITE_STATIC));
    (void)run(s);
    say("scan without index, a row", t, objects);
    (void)sqlite3_finalize(s);
}

static void bench_update(const struct layout *l, unsigned long long objects)
{
    struct object o;
    sqlite3_stmt *s = prepare(l->update);
    struct timer t = start();
    for (unsigned long long i = 0; i < SMALL; i++) {
        if (i % BATCH == 0)
            sql("BEGIN");
        make_object(i * 104729 % objects, &o);
        bind_object(l, s, &o, (sqlite3_int64)(objects + i));
        (void)run(s);
        if (i % BATCH == BATCH - 1)
            sql("COMMIT");
    }
    say("update (1,000 a commit)", t, SMALL);
    (void)sqlite3_finalize(s);
}

static void bench_layout(const struct layout *l, const char *dir, unsigned long long objects)
{
    char path[300];
    struct hob_err err = {0};
    struct stat st = {.st_size = 0};
    (void)snprintf(path, sizeof path, "%s/layout.db", dir);
    (void)unlink(path);
    if (conn_open(&conn, path, true, &err) != HOB_OK) {
        (void)fprintf(stderr, "%s\n", err.msg);
        exit(1);
    }
    (void)printf("%s\n", l->name);
    sql("PRAGMA trusted_schema=ON"); /* json_extract in an index asks for it */
    sql(l->make);
    bench_insert(l, objects);
    struct timer t = start();
    sql(l->index);
    say("making the index, a row", t, objects);
    bench_get(l, objects);
    bench_query(l);
    bench_scan(l, objects);
    bench_update(l, objects);
    conn_close(&conn);
    (void)stat(path, &st);
    (void)printf("  %-28s %9.1f bytes an object\n", "file", (double)st.st_size / (double)objects);
    (void)unlink(path);
}

int main(int argc, char **argv)
{
    unsigned long long objects = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000;
    if (argc < 2 || objects < 1000)
        return 2;
    (void)hob_hash("", 0);
    for (size_t i = 0; i < HOB_COUNT(layouts); i++)
        bench_layout(&layouts[i], argv[1], objects);
    return 0;
}
