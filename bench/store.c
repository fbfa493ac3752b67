/* Acknowledged writes a second of the store, by how many are asked at once: what group commit is worth. Beside it what
 * one fsync of the same disk costs. Usage: store FOLDER [SECONDS] */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/rows.h"

enum { ASKED_MAX = 256 };

struct writer {
    struct store *store;
    uint64_t deadline_us, done, slowest_us;
    struct slot {
        struct writer *writer;
        uint64_t asked_us;
        unsigned n;
    } slots[ASKED_MAX];
};

static enum hob_code work(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    const struct slot *slot = ctx;
    char name[32], value[64]; /* a new value each time: SQLite writes nothing for an equal one */
    (void)snprintf(name, sizeof name, "n%u", slot->n % 1000);
    (void)snprintf(value, sizeof value, "a value of some bytes, as a small row has: %u", slot->n);
    return store_meta_put(tx, name, value, err);
}

static void on_done(void *ctx, const struct hob_err *err)
{
    struct slot *slot = ctx;
    struct writer *w = slot->writer;
    uint64_t now = hob_now_us();
    if (err) {
        (void)fprintf(stderr, "%s\n", err->msg);
        exit(1);
    }
    w->done++;
    if (now - slot->asked_us > w->slowest_us)
        w->slowest_us = now - slot->asked_us;
    if (now >= w->deadline_us)
        return;
    slot->n += 7919;
    slot->asked_us = now;
    store_write(w->store, work, on_done, slot);
}

static void measure(uv_loop_t *loop, struct store *s, unsigned asked, unsigned seconds)
{
    static struct writer w;
    struct store_stats before = store_stats(s);
    uint64_t from = hob_now_us();
    w = (struct writer){.store = s, .deadline_us = from + seconds * 1000000ULL};
    for (unsigned i = 0; i < asked; i++) {
        w.slots[i] = (struct slot){&w, from, i};
        store_write(s, work, on_done, &w.slots[i]);
    }
    (void)uv_run(loop, UV_RUN_DEFAULT);
    double took = (double)(hob_now_us() - from) / 1e6;
    uint64_t commits = store_stats(s).commits - before.commits;
    (void)printf("%3u at once: %8.0f writes/s  %6.0f commits/s  %5.1f a commit  slowest %.1f ms\n", asked,
                 (double)w.done / took, (double)commits / took, (double)w.done / (double)commits,
                 (double)w.slowest_us / 1e3);
}

static void measure_fsync(const char *dir)
{
    char path[300];
    (void)snprintf(path, sizeof path, "%s/fsync", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    uint64_t from = hob_now_us();
    enum { N = 100 };
    for (int i = 0; i < N; i++) {
        if (pwrite(fd, path, sizeof path, i * 4096) < 0 || fdatasync(fd) < 0)
            exit(1);
    }
    (void)printf("one write with fdatasync: %.0f us\n", (double)(hob_now_us() - from) / N);
    (void)close(fd);
    (void)unlink(path);
}

int main(int argc, char **argv)
{
    struct hob_err err;
    uv_loop_t loop;
    char path[300];
    uint64_t seconds = 3;
    if (argc < 2 || (argc > 2 && !hob_str_u64(hob_str(argv[2]), &seconds))) {
        (void)fprintf(stderr, "usage: store FOLDER [SECONDS]\n");
        return 2;
    }
    (void)snprintf(path, sizeof path, "%s/bench.db", argv[1]);
    struct store *s = uv_loop_init(&loop) == 0 ? store_open(&loop, path, &err) : NULL;
    if (!s) {
        (void)fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    measure_fsync(argv[1]);
    static const unsigned asked[] = {1, 8, 64, ASKED_MAX};
    for (size_t i = 0; i < HOB_COUNT(asked); i++)
        measure(&loop, s, asked[i], (unsigned)seconds);
    store_close(s, NULL, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    (void)unlink(path);
    return uv_loop_close(&loop) == 0 ? 0 : 1;
}
