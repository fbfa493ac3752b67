/* What the scaler did for one version, kept compactly: the last decisions that changed something, and counters. Embedded
 * in a pool; explain_write says the present state in words. Not thread-bound. */
#pragma once

#include "base/json.h"
#include "controller/scale/scaler.h"

enum { DECISIONS_KEPT = 24 };
struct decision {
    uint64_t at_us;
    uint16_t started, stopped; /* one of both is 0 */
    uint16_t want, backlog, floor, ready, starting;
    uint8_t why, bound; /* enum scaler_why, enum scaler_bound */
    uint32_t queued;
    float rate;
    uint32_t service_us, cold_us;
};
struct decisions {
    struct decision kept[DECISIONS_KEPT]; /* a ring */
    uint64_t n;                           /* ever */
    uint64_t started_by[SCALER_WHYS_], stopped, refused;
    enum scaler_bound bound; /* of the last look */
};
extern const char *const scaler_why_names[SCALER_WHYS_];

void decisions_started(struct decisions *d, const struct scaler *s, const struct scaler_view *v,
                       const struct scaler_decision *made);
void decisions_stopped(struct decisions *d, const struct scaler *s, const struct scaler_view *v);

struct explain_node {    /* what the version does not know of itself */
    unsigned frozen;     /* of those that are up */
    bool is_away;        /* there is none */
    bool is_full;        /* no memory for one more instance */
    unsigned waiting;    /* starts that wait for their turn */
    const char *failure; /* why the last start failed; "" or NULL: it did not */
};
/* Members of an object that is open: numbers, `because` (sentences) and `decisions` (newest first). */
void explain_write(struct hob_jw *w, const struct scaler *s, const struct scaler_view *v,
                   const struct decisions *d, const struct explain_node *node);
