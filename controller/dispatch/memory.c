/* Whether the node has memory for one more instance. Two bounds: what instances may come to together (memory_mb of each;
 * an operator's choice, none by default, because a ceiling is seldom reached), and what the system has left, always. */
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/limits.h"
#include "base/log.h"
#include "controller/dispatch/dispatch_priv.h"

#include "base/banned.h"

enum {
    LOOK_EVERY_US = 100 * 1000,
    RESERVE_MB = 128, /* left to the system and to instances that grow */
    NEED_MB = 32,     /* what an instance takes at once, whatever its ceiling */
    MEMINFO_BYTES = 16384,
    LEAVING_MAX = 8, /* instances that are let go at a time */
};

/* MemAvailable of /proc/meminfo; everything when that cannot be read. */
static uint64_t available_mb(void)
{
    static const char key[] = "MemAvailable:";
    hob_auto_buf struct hob_buf text;
    uint64_t kib;
    hob_buf_init(&text, MEMINFO_BYTES);
    if (hob_read_file("/proc/meminfo", &text, NULL) != HOB_OK)
        return UINT64_MAX;
    for (struct hob_str line, rest = hob_buf_str(&text); rest.at;) {
        line = hob_str_cut(rest, '\n', &rest);
        if (!hob_str_starts(line, HOB_STR(key)))
            continue;
        struct hob_str unit,
            value = hob_str_trim(hob_str_n(line.at + sizeof key - 1, line.n - sizeof key + 1));
        return hob_str_u64(hob_str_cut(value, ' ', &unit), &kib) ? kib / 1024 : UINT64_MAX;
    }
    return UINT64_MAX;
}

static uint64_t look(struct dispatcher *d, uint64_t now_us)
{
    struct node_memory *m = &d->memory;
    if (d->o.memory_free_mb) {
        m->free_mb = d->o.memory_free_mb(d->o.memory_ctx);
    } else if (d->o.clock) {
        m->free_mb = UINT64_MAX; /* under a virtual clock nothing real is asked */
    } else if (!m->looked_us || now_us - m->looked_us >= LOOK_EVERY_US) {
        m->free_mb = available_mb();
        m->looked_us = now_us;
    } else if (m->free_mb > NEED_MB) {
        m->free_mb -= NEED_MB; /* those that were let through since the last look */
    }
    return m->free_mb;
}

bool memory_has_room(struct dispatcher *d, uint32_t memory_mb, uint64_t now_us)
{
    struct node_memory *m = &d->memory;
    uint64_t need = memory_mb < NEED_MB ? memory_mb : NEED_MB;
    bool is_promised = m->limit_mb && m->promised_mb + memory_mb > m->limit_mb;
    bool has_room = !is_promised && look(d, now_us) >= RESERVE_MB + need;
    if (!has_room && !m->is_full) {
        m->full_us = now_us;
        hob_log(HOB_LOG_WARN, "node.full", "promised_mb=%llu limit_mb=%llu free_mb=%llu",
                (unsigned long long)m->promised_mb, (unsigned long long)m->limit_mb,
                (unsigned long long)m->free_mb);
    }
    m->is_full = !has_room;
    return has_room;
}

/* The one of all that has been idle longest, hence a frozen one first, and that no floor keeps. */
static struct instance *least_needed(struct dispatcher *d, uint64_t now_us)
{
    struct instance *longest = NULL;
    HOB_LIST_EACH(&d->pools, n, tmp)
    {
        struct pool *p = HOB_CONTAINER_OF(n, struct pool, in_pools);
        struct instance *i = pool_longest_idle(p);
        if (!i || (longest && i->idle_us >= longest->idle_us))
            continue;
        struct scaler_view v = pool_scaler_view(p, now_us);
        enum scaler_why why;
        if (v.queued == 0 && v.ready > scaler_floor(&p->scaler, &v, &why))
            longest = i;
    }
    return longest;
}

/* As many as there are starts that wait, a few at a time; instances that work are never touched. */
void memory_make_room(struct dispatcher *d, uint64_t now_us)
{
    struct node_memory *m = &d->memory;
    struct instance *i;
    unsigned wanted = starts_wanted(&d->starts, LEAVING_MAX);
    if (now_us >= m->evict_again_us)
        m->leaving_n = 0;
    while (m->leaving_n < wanted && (i = least_needed(d, now_us)) != NULL) {
        m->leaving_n++;
        m->evict_again_us = now_us + (uint64_t)HOB_MAX_STOP_GRACE_MS * 1000u;
        instance_event(i, INSTANCE_DRAIN);
    }
}
