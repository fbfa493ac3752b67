/* Egress rules: "HOST:PORT", what a function may connect to. Both hob.json's judge and the runner read them here.
 *
 *   api.pay.example:443    a name                    203.0.113.7:80      an address
 *   *.svc.example:443      every name below it       10.1.2.0/24:5432    a network; IPv6 in brackets: [2001:db8::/32]:443
 *
 * An address is 16 bytes; IPv4 stands in it as ::ffff:a.b.c.d, so that both spellings are one. Pure; not thread-bound. */
#pragma once

#include "base/err.h"
#include "base/str.h"

enum { HOB_ADDRESS_BYTES = 16, HOB_ADDRESS_TEXT = 46, HOB_NAME_BYTES_MAX = 253 };

struct hob_network {
    uint8_t address[HOB_ADDRESS_BYTES];
    unsigned bits; /* how many of the 128 count */
};
struct hob_egress_rule {
    bool is_name, is_wildcard;         /* is_wildcard: names below `name`, not itself */
    char name[HOB_NAME_BYTES_MAX + 1]; /* lower-case */
    struct hob_network network;
    uint16_t port;
};
/* Addresses that no list opens by a name or by a wide network: only a network within the range does, and not even
 * that where is_never. */
struct hob_address_range {
    struct hob_network network;
    bool is_never;
    const char *what; /* "a private address" */
};

/* HOB_E_INVALID with what is wrong and what would be right. */
HOB_MUST_USE enum hob_code hob_egress_rule_parse(struct hob_str text, struct hob_egress_rule *ret_rule,
                                                 struct hob_err *err);
/* `name` as it came from a resolver: any case, no dot at its end. */
bool hob_egress_name_matches(const struct hob_egress_rule *rule, struct hob_str name);
bool hob_network_has(const struct hob_network *n, const uint8_t address[HOB_ADDRESS_BYTES]);
/* NULL: an ordinary address of the internet. */
const struct hob_address_range *hob_address_range(const uint8_t address[HOB_ADDRESS_BYTES]);
/* Is it an address (IPv4 or IPv6) that anybody may be sent to? */
struct sockaddr;
bool hob_address_is_internet(const struct sockaddr *a);
void hob_address_text(const uint8_t address[HOB_ADDRESS_BYTES], char out[HOB_ADDRESS_TEXT]);
