#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/control/control_priv.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"

/* Wrong tokens are counted by address in a table of fixed size: an address whose place another takes starts anew,
 * which bounds memory and only ever forgives. A right token is never refused, so nobody can lock an admin out. */
enum { GUARD_SLOTS = 1024, GUARD_WINDOW_MS = 60000 };

struct guard_slot {
    char address[48];
    uint64_t since_ms;
    unsigned failures;
};
struct auth_guard {
    struct guard_slot slots[GUARD_SLOTS];
};

struct auth_guard *auth_guard_new(void)
{
    return hob_new(struct auth_guard);
}

void auth_guard_free(struct auth_guard *g)
{
    free(g);
}

enum hob_code auth_guard_failed(struct auth_guard *g, const char *address, uint64_t now_ms,
                                unsigned *ret_retry_s, struct hob_err *err)
{
    struct guard_slot *slot = &g->slots[hob_hash(address, strlen(address)) % GUARD_SLOTS];
    if (strncmp(slot->address, address, sizeof slot->address - 1) != 0 ||
        now_ms - slot->since_ms >= GUARD_WINDOW_MS) {
        (void)snprintf(slot->address, sizeof slot->address, "%s", address);
        slot->since_ms = now_ms;
        slot->failures = 0;
    }
    if (slot->failures < HOB_MAX_API_AUTH_FAILURES) {
        slot->failures++;
        *ret_retry_s = 0;
        return hob_fail(
            err, HOB_E_UNAUTHORIZED,
            "this call needs a valid token: Authorization: Bearer hob_... (the first one is in HOME/admin.token)");
    }
    *ret_retry_s = (unsigned)((slot->since_ms + GUARD_WINDOW_MS - now_ms) / 1000 + 1);
    return hob_fail_reason(err, HOB_E_BUSY, "too_many_failures",
                           "more than %d wrong tokens from %s in a minute", HOB_MAX_API_AUTH_FAILURES,
                           address);
}

struct hob_str auth_bearer(struct hob_str field)
{
    struct hob_str token, scheme = hob_str_cut(field, ' ', &token);
    if (!token.at || !hob_str_ieq(scheme, HOB_STR("bearer")))
        return hob_str_n(NULL, 0);
    return hob_str_trim(token);
}
