#include "runner/egress/policy.h"

#include <stdio.h>

#include "base/mem.h"

#include "base/banned.h"

enum { PIN_S_MIN = 120, PIN_S_MAX = 86400 }; /* clients keep answers a little longer than their TTL */

struct pin {
    uint8_t address[HOB_ADDRESS_BYTES];
    uint64_t rules; /* one bit each */
    uint64_t until_ms;
    char name[HOB_NAME_BYTES_MAX + 1];
};
struct policy {
    struct hob_egress_rule rules[POLICY_RULES_MAX];
    size_t rules_n;
    struct pin *pins; /* POLICY_PINS_MAX, from the first one on */
    size_t pins_n;
};

struct policy *policy_new(void)
{
    return hob_new(struct policy);
}

void policy_free(struct policy *p)
{
    if (p)
        free(p->pins);
    free(p);
}

enum hob_code policy_add(struct policy *p, struct hob_str rule, struct hob_err *err)
{
    if (p->rules_n == POLICY_RULES_MAX)
        return hob_fail(err, HOB_E_TOO_LARGE, "more than %d egress rules", POLICY_RULES_MAX);
    if (hob_egress_rule_parse(rule, &p->rules[p->rules_n], err) != HOB_OK)
        return hob_err_wrap(err, "egress");
    p->rules_n++;
    return HOB_OK;
}

bool policy_has_rules(const struct policy *p)
{
    return p->rules_n > 0;
}

/* A range that is kept closed opens only to a network within it: 0.0.0.0/0 is the internet, not the machine room. */
static bool rule_opens(const struct hob_egress_rule *rule, const struct hob_address_range *range,
                       const uint8_t address[HOB_ADDRESS_BYTES])
{
    if (rule->is_name || !hob_network_has(&rule->network, address))
        return false;
    return !range || rule->network.bits >= range->network.bits;
}

static struct pin *pin_find(const struct policy *p, const uint8_t address[HOB_ADDRESS_BYTES])
{
    for (size_t i = 0; i < p->pins_n; i++)
        if (memcmp(p->pins[i].address, address, HOB_ADDRESS_BYTES) == 0)
            return &p->pins[i];
    return NULL;
}

const char *policy_refuses(const struct policy *p, const uint8_t address[HOB_ADDRESS_BYTES], uint16_t port,
                           uint64_t now_ms)
{
    const struct hob_address_range *range = hob_address_range(address);
    if (range && range->is_never)
        return range->what;
    for (size_t i = 0; i < p->rules_n; i++)
        if (p->rules[i].port == port && rule_opens(&p->rules[i], range, address))
            return NULL;
    if (range)
        return range->what;
    const struct pin *pin = pin_find(p, address);
    for (size_t i = 0; pin && pin->until_ms >= now_ms && i < p->rules_n; i++)
        if ((pin->rules & (1ULL << i)) && p->rules[i].port == port)
            return NULL;
    return "not listed";
}

bool policy_lists_name(const struct policy *p, struct hob_str name)
{
    for (size_t i = 0; i < p->rules_n; i++)
        if (hob_egress_name_matches(&p->rules[i], name))
            return true;
    return false;
}

const char *policy_refuses_answer(const struct policy *p, const uint8_t address[HOB_ADDRESS_BYTES])
{
    const struct hob_address_range *range = hob_address_range(address);
    if (!range)
        return NULL;
    for (size_t i = 0; i < p->rules_n && !range->is_never; i++)
        if (rule_opens(&p->rules[i], range, address))
            return NULL;
    return range->what;
}

static struct pin *pin_make(struct policy *p)
{
    if (!p->pins)
        p->pins = hob_calloc(POLICY_PINS_MAX, sizeof *p->pins);
    if (p->pins_n < POLICY_PINS_MAX)
        return &p->pins[p->pins_n++];
    struct pin *oldest = &p->pins[0];
    for (size_t i = 1; i < p->pins_n; i++)
        if (p->pins[i].until_ms < oldest->until_ms)
            oldest = &p->pins[i];
    return oldest;
}

void policy_pin(struct policy *p, struct hob_str name, const uint8_t address[HOB_ADDRESS_BYTES],
                uint32_t ttl_s, uint64_t now_ms)
{
    uint64_t rules = 0;
    for (size_t i = 0; i < p->rules_n; i++)
        if (hob_egress_name_matches(&p->rules[i], name))
            rules |= 1ULL << i;
    struct pin *pin = pin_find(p, address);
    if (pin && pin->until_ms >= now_ms)
        rules |= pin->rules; /* two names of one address */
    else if (!pin)
        pin = pin_make(p);
    uint64_t s = ttl_s < PIN_S_MIN ? PIN_S_MIN : ttl_s > PIN_S_MAX ? PIN_S_MAX : ttl_s;
    memcpy(pin->address, address, HOB_ADDRESS_BYTES);
    pin->rules = rules;
    pin->until_ms = now_ms + s * 1000;
    (void)snprintf(pin->name, sizeof pin->name, "%.*s", HOB_STR_ARG(name));
}

const char *policy_name_of(const struct policy *p, const uint8_t address[HOB_ADDRESS_BYTES])
{
    const struct pin *pin = pin_find(p, address);
    return pin ? pin->name : "";
}
