#include "controller/scale/learned.h"

#include <math.h>

#include "base/bytes.h"

#include "base/banned.h"

/* Little-endian: u8 format, u32 instances, u64 utc_ms, u64 quiet since (utc_ms; 0: not), f64 rate over 10 s, f64 mean
 * service time, sketch of runs, sketch of starts, gaps. A sketch: u64 samples, f64 weight, u8 buckets, each u8 place and
 * u16 part of the weight. Gaps: u32 beyond, u8 bins, each u8 place and u16 count. */
enum { FORMAT = 1, WHOLE = UINT16_MAX };
static const double RATE_MAX = 1e7, SERVICE_MAX_US = 3600e6;

/* ---- writing ---- */

static void put(struct hob_buf *out, const void *bytes, size_t n)
{
    HOB_ASSERT(hob_buf_add(out, bytes, n) == HOB_OK); /* three bytes a bucket and bin at most */
}

static void put_u8(struct hob_buf *out, size_t v)
{
    uint8_t byte = (uint8_t)v;
    put(out, &byte, 1);
}

static void put_u16(struct hob_buf *out, uint16_t v)
{
    put(out, &v, sizeof v);
}

static void put_u32(struct hob_buf *out, uint32_t v)
{
    put(out, &v, sizeof v);
}

static void put_u64(struct hob_buf *out, uint64_t v)
{
    put(out, &v, sizeof v);
}

static void put_f64(struct hob_buf *out, double v)
{
    put(out, &v, sizeof v);
}

static uint16_t part(const struct sketch *s, unsigned bucket)
{
    double p = s->total > 0 ? (double)s->weights[bucket] / s->total * WHOLE : 0;
    return (uint16_t)fmin(round(p), WHOLE);
}

static void put_sketch(struct hob_buf *out, const struct sketch *s)
{
    unsigned n = 0;
    for (unsigned i = 0; i < SKETCH_BUCKETS; i++)
        n += part(s, i) != 0;
    put_u64(out, s->samples);
    put_f64(out, s->total / s->unit);
    put_u8(out, n);
    for (unsigned i = 0; i < SKETCH_BUCKETS; i++) {
        if (part(s, i) == 0)
            continue;
        put_u8(out, i);
        put_u16(out, part(s, i));
    }
}

static void put_gaps(struct hob_buf *out, const struct keep *k)
{
    unsigned n = 0;
    for (unsigned i = 0; i < KEEP_BINS; i++)
        n += k->bins[i] != 0;
    put_u32(out, k->beyond);
    put_u8(out, n);
    for (unsigned i = 0; i < KEEP_BINS; i++) {
        if (k->bins[i] == 0)
            continue;
        put_u8(out, i);
        put_u16(out, k->bins[i]);
    }
}

/* Whoever is at work when the process ends is quiet from then on. */
static int64_t quiet_ms(const struct scaler *s, struct learned_at at)
{
    uint64_t us = s->quiet_us && s->quiet_us < at.now_us ? at.now_us - s->quiet_us : 0;
    return s->arrivals || s->quiet_us ? at.utc_ms - (int64_t)(us / 1000) : 0;
}

void learned_write(struct hob_buf *out, const struct scaler *s, unsigned instances, struct learned_at at)
{
    put_u8(out, FORMAT);
    put_u32(out, instances);
    put_u64(out, (uint64_t)at.utc_ms);
    put_u64(out, (uint64_t)quiet_ms(s, at));
    put_f64(out, scaler_rate_10s(s, at.now_us));
    put_f64(out, s->service_mean);
    put_sketch(out, &s->service);
    put_sketch(out, &s->cold);
    put_gaps(out, &s->keep);
}

/* ---- reading ---- */

struct reader {
    struct hob_str left;
    bool is_bad;
};

static void get(struct reader *r, void *into, size_t n)
{
    r->is_bad = r->is_bad || r->left.n < n;
    if (r->is_bad) {
        memset(into, 0, n);
        return;
    }
    memcpy(into, r->left.at, n);
    r->left = hob_str_n(r->left.at + n, r->left.n - n);
}

static uint8_t get_u8(struct reader *r)
{
    uint8_t v;
    get(r, &v, sizeof v);
    return v;
}

static uint16_t get_u16(struct reader *r)
{
    uint16_t v;
    get(r, &v, sizeof v);
    return v;
}

static uint32_t get_u32(struct reader *r)
{
    uint32_t v;
    get(r, &v, sizeof v);
    return v;
}

static uint64_t get_u64(struct reader *r)
{
    uint64_t v;
    get(r, &v, sizeof v);
    return v;
}

static double get_f64(struct reader *r, double max)
{
    double v;
    get(r, &v, sizeof v);
    r->is_bad = r->is_bad || !(v >= 0 && v <= max); /* neither infinite nor no number */
    return r->is_bad ? 0 : v;
}

static void get_sketch(struct reader *r, struct sketch *s, double weight_max)
{
    uint64_t samples = get_u64(r);
    double weight = get_f64(r, weight_max);
    for (unsigned n = get_u8(r); n && !r->is_bad; n--) {
        unsigned at = get_u8(r);
        double p = get_u16(r);
        r->is_bad = r->is_bad || at >= SKETCH_BUCKETS;
        if (r->is_bad)
            return;
        s->weights[at] = (float)(weight * p / WHOLE);
        s->total += weight * p / WHOLE;
    }
    s->samples = s->total > 0 ? samples : 0;
}

static void get_gaps(struct reader *r, struct keep *k)
{
    uint32_t beyond = get_u32(r);
    for (unsigned n = get_u8(r); n && !r->is_bad; n--) {
        unsigned at = get_u8(r);
        uint16_t count = get_u16(r);
        r->is_bad = r->is_bad || at >= KEEP_BINS || count == UINT16_MAX || k->bins[at];
        if (!r->is_bad)
            k->bins[at] = count;
    }
    keep_restore(k, beyond);
}

static void hold(struct scaler *s, unsigned instances, int64_t age_ms, uint64_t now_us)
{
    if (instances && age_ms < SCALER_HOLD_US / 1000)
        scaler_hold(s, instances, now_us);
}

bool learned_read(struct hob_str bytes, struct scaler *s, struct learned_at at)
{
    struct reader r = {.left = bytes};
    struct scaler new = *s;
    r.is_bad = get_u8(&r) != FORMAT;
    unsigned instances = get_u32(&r);
    int64_t saved_ms = (int64_t)get_u64(&r), since_ms = (int64_t)get_u64(&r);
    double rate = get_f64(&r, RATE_MAX);
    new.service_mean = get_f64(&r, SERVICE_MAX_US);
    new.service_us = new.service_mean > 0 ? (uint64_t)fmax(new.service_mean, 1) : 0;
    get_sketch(&r, &new.service, 1e6);
    get_sketch(&r, &new.cold, 1e6);
    get_gaps(&r, &new.keep);
    if (r.is_bad || r.left.n || saved_ms < 0 || since_ms < 0 || since_ms > saved_ms)
        return false;
    int64_t age_ms = at.utc_ms > saved_ms ? at.utc_ms - saved_ms : 0;
    new.lam10 = rate *exp(-(double)age_ms / 10e3);
    new.rate_at_us = at.now_us;
    new.cold95_us = sketch_quantile(&new.cold, 0.95);
    uint64_t quiet_us = (uint64_t)(at.utc_ms > since_ms ? at.utc_ms - since_ms : 0) * 1000u;
    /* a machine that was started since has a clock too young to say it */
    new.quiet_us = since_ms &&quiet_us < at.now_us ? at.now_us - quiet_us : 0;
    new.last_arrival_us = new.quiet_us;
    hold(&new, instances, age_ms, at.now_us);
    *s = new;
    return true;
}

void learned_inherit(struct scaler *s, const struct scaler *from, unsigned instances, uint64_t now_us)
{
    s->lam10 = scaler_rate_10s(from, now_us);
    s->rate_at_us = now_us;
    s->service_mean = from->service_mean;
    s->service_us = from->service_us;
    s->cold_prior_us = scaler_cold95_us(from); /* other code may start otherwise: a guess, until one did */
    s->keep = from->keep;
    s->quiet_us = from->quiet_us;
    s->last_arrival_us = from->last_arrival_us;
    if (instances)
        scaler_hold(s, instances, now_us);
}
