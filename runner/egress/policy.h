/* What one instance may connect to: the rules of hob.json and the addresses that its names have been resolved to.
 *
 * The address is judged, never the name: a name counts by what the runner's own resolver found for it (a pin), so
 * that a name which changes behind the check leads nowhere. Pure but for what it keeps; single owner. */
#pragma once

#include "base/rules/egress.h"

enum { POLICY_RULES_MAX = 64, POLICY_PINS_MAX = 256 };

struct policy;
/* Returns owned, without rules: nothing is allowed. */
struct policy *policy_new(void);
void policy_free(struct policy *p); /* NULL is fine */
HOB_MUST_USE enum hob_code policy_add(struct policy *p, struct hob_str rule, struct hob_err *err);
bool policy_has_rules(const struct policy *p);

/* NULL: allowed; else why not, for people: "a private address". */
const char *policy_refuses(const struct policy *p, const uint8_t address[HOB_ADDRESS_BYTES], uint16_t port,
                           uint64_t now_ms);
bool policy_lists_name(const struct policy *p, struct hob_str name);
/* Whether an answer to a name may have this address at all; else why not. */
const char *policy_refuses_answer(const struct policy *p, const uint8_t address[HOB_ADDRESS_BYTES]);
/* `name` has resolved to `address`: allowed by the rules with that name for ttl_s, kept within bounds. */
void policy_pin(struct policy *p, struct hob_str name, const uint8_t address[HOB_ADDRESS_BYTES],
                uint32_t ttl_s, uint64_t now_ms);
/* The name that was resolved to it, or "". */
const char *policy_name_of(const struct policy *p, const uint8_t address[HOB_ADDRESS_BYTES]);
