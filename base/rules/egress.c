#include "base/rules/egress.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

enum { V4_BITS = 96, LABEL_MAX = 63, WILDCARD_LABELS_MIN = 2 };

/* Ranges of IPv4 as their first address and length; the first that fits counts. IANA's special-purpose registries. */
#define V4(a, b, c, d, n)                                                                                    \
    {                                                                                                        \
        {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d}, V4_BITS + (n)                                \
    }
static const struct hob_address_range ranges[] = {
    {V4(0, 0, 0, 0, 8), true, "no address of a host"},
    {V4(127, 0, 0, 0, 8), true, "a loopback address"},
    {V4(224, 0, 0, 0, 4), true, "a multicast address"},
    {V4(255, 255, 255, 255, 32), true, "the broadcast address"},
    {V4(169, 254, 0, 0, 16), false, "a link-local address, where clouds keep their metadata"},
    {V4(168, 63, 129, 16, 32), false, "a cloud's metadata address"},
    {V4(10, 0, 0, 0, 8), false, "a private address"},
    {V4(172, 16, 0, 0, 12), false, "a private address"},
    {V4(192, 168, 0, 0, 16), false, "a private address"},
    {V4(100, 64, 0, 0, 10), false, "a carrier's private address"},
    {V4(192, 0, 0, 0, 24), false, "a special-purpose address"},
    {V4(192, 0, 2, 0, 24), false, "a documentation address"},
    {V4(192, 88, 99, 0, 24), false, "a special-purpose address"},
    {V4(198, 18, 0, 0, 15), false, "a benchmarking address"},
    {V4(198, 51, 100, 0, 24), false, "a documentation address"},
    {V4(203, 0, 113, 0, 24), false, "a documentation address"},
    {V4(240, 0, 0, 0, 4), false, "a reserved address"},
    {{{0}, 128}, true, "no address of a host"},
    {{{[15] = 1}, 128}, true, "a loopback address"},
    {{{0xff}, 8}, true, "a multicast address"},
    {{{0}, 96}, false, "an IPv4 address in disguise"},
    {{{0, 0x64, 0xff, 0x9b}, 32}, false, "an IPv4 address in disguise"},
    {{{0x20, 0x02}, 16}, false, "an IPv4 address in disguise"},
    {{{0x20, 0x01, 0, 0}, 23}, false, "a special-purpose address"},
    {{{0x20, 0x01, 0x0d, 0xb8}, 32}, false, "a documentation address"},
    {{{0xfe, 0x80}, 10}, false, "a link-local address"},
    {{{0xfc}, 7}, false, "a private address"},
};
static const struct hob_network internet_v6 = {{0x20}, 3};
static const struct hob_network all_v4 = V4(0, 0, 0, 0, 0);
static const struct hob_address_range elsewhere = {{{0}, 0}, false, "a reserved address"};

bool hob_network_has(const struct hob_network *n, const uint8_t address[HOB_ADDRESS_BYTES])
{
    unsigned whole = n->bits / 8, rest = n->bits % 8;
    if (memcmp(n->address, address, whole) != 0)
        return false;
    return rest == 0 || ((n->address[whole] ^ address[whole]) >> (8 - rest)) == 0;
}

const struct hob_address_range *hob_address_range(const uint8_t address[HOB_ADDRESS_BYTES])
{
    for (size_t i = 0; i < HOB_COUNT(ranges); i++)
        if (hob_network_has(&ranges[i].network, address))
            return &ranges[i];
    return hob_network_has(&internet_v6, address) || hob_network_has(&all_v4, address) ? NULL : &elsewhere;
}

bool hob_address_is_internet(const struct sockaddr *a)
{
    uint8_t address[HOB_ADDRESS_BYTES] = {0};
    if (a->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, a, sizeof in);
        address[10] = address[11] = 0xff;
        memcpy(address + 12, &in.sin_addr, 4);
    } else if (a->sa_family == AF_INET6) {
        struct sockaddr_in6 in;
        memcpy(&in, a, sizeof in);
        memcpy(address, &in.sin6_addr, sizeof address);
    } else {
        return false;
    }
    return hob_address_range(address) == NULL;
}

void hob_address_text(const uint8_t address[HOB_ADDRESS_BYTES], char out[HOB_ADDRESS_TEXT])
{
    bool is_v4 = hob_network_has(&all_v4, address);
    const char *text =
        inet_ntop(is_v4 ? AF_INET : AF_INET6, address + (is_v4 ? 12 : 0), out, HOB_ADDRESS_TEXT);
    HOB_ASSERT(text);
}

/* --- reading ----------------------------------------------------------------------------------------------------- */
static enum hob_code wrong(struct hob_err *err, struct hob_str text, const char *right)
{
    return hob_fail(err, HOB_E_INVALID, "'%.*s': %s", (int)(text.n < 80 ? text.n : 80), text.at, right);
}

/* Dotted IPv4 of four decimal numbers, or IPv6: nothing else is an address here. */
static bool read_address(struct hob_str s, bool is_v6, uint8_t out[HOB_ADDRESS_BYTES])
{
    char text[HOB_ADDRESS_TEXT];
    uint8_t v4[4];
    if (s.n == 0 || s.n >= sizeof text)
        return false;
    memcpy(text, s.at, s.n);
    text[s.n] = '\0';
    if (is_v6)
        return inet_pton(AF_INET6, text, out) == 1;
    if (inet_pton(AF_INET, text, v4) != 1)
        return false;
    memcpy(out, all_v4.address, 12);
    memcpy(out + 12, v4, 4);
    return true;
}

static bool has_bits_behind(const struct hob_network *n)
{
    for (unsigned bit = n->bits; bit < 8 * HOB_ADDRESS_BYTES; bit++)
        if (n->address[bit / 8] & (0x80 >> (bit % 8)))
            return true;
    return false;
}

static enum hob_code read_network(struct hob_str text, struct hob_str host, bool is_v6,
                                  struct hob_network *out, struct hob_err *err)
{
    struct hob_str length, address = hob_str_cut(host, '/', &length);
    uint64_t bits = is_v6 ? 128 : 32;
    if (!read_address(address, is_v6, out->address))
        return wrong(err, text,
                     is_v6 ? "no IPv6 address in the brackets; give one as in \"[2001:db8::7]:443\""
                           : "no address before the '/'; give one as in \"10.1.2.0/24:5432\"");
    if (length.at && (!hob_str_u64(length, &bits) || bits > (is_v6 ? 128U : 32U)))
        return wrong(err, text,
                     is_v6 ? "give 0 to 128 bits behind the '/'" : "give 0 to 32 bits behind the '/'");
    if (is_v6 && hob_network_has(&all_v4, out->address))
        return wrong(err, text, "give an IPv4 address without \"::ffff:\"");
    out->bits = (unsigned)bits + (is_v6 ? 0 : V4_BITS);
    if (has_bits_behind(out))
        return wrong(err, text,
                     "the address has bits behind the network's length; give the first of the network");
    const struct hob_address_range *range = hob_address_range(out->address);
    if (range && range->is_never && out->bits >= range->network.bits)
        return hob_fail(err, HOB_E_INVALID, "'%.*s': %s, which no function may connect to",
                        (int)(text.n < 80 ? text.n : 80), text.at, range->what);
    return HOB_OK;
}

static bool label_is_valid(struct hob_str label)
{
    if (label.n < 1 || label.n > LABEL_MAX || label.at[0] == '-' || label.at[label.n - 1] == '-')
        return false;
    for (size_t i = 0; i < label.n; i++)
        if (!isalnum((unsigned char)label.at[i]) && label.at[i] != '-' && label.at[i] != '_')
            return false;
    return true;
}

static enum hob_code read_name(struct hob_str text, struct hob_str host, struct hob_egress_rule *rule,
                               struct hob_err *err)
{
    rule->is_name = true;
    if (hob_str_starts(host, HOB_STR("*."))) {
        rule->is_wildcard = true;
        host = hob_str_n(host.at + 2, host.n - 2);
    }
    if (host.n < 1 || host.n > HOB_NAME_BYTES_MAX)
        return wrong(err, text, "give HOST:PORT, as in \"api.pay.example:443\"");
    unsigned labels = 0;
    struct hob_str rest = host, last = {0};
    while (rest.at) {
        last = hob_str_cut(rest, '.', &rest);
        labels++;
        if (!label_is_valid(last))
            return wrong(err, text,
                         "no name; give one as in \"api.pay.example:443\" or \"*.svc.example:443\"");
    }
    if (isdigit((unsigned char)last.at[0]))
        return wrong(err, text,
                     "no name, and no address either: four decimal numbers, as in \"203.0.113.7:80\"");
    if (rule->is_wildcard && labels < WILDCARD_LABELS_MIN)
        return wrong(err, text, "too much at once; give at least two labels behind '*.'");
    for (size_t i = 0; i < host.n; i++)
        rule->name[i] = (char)tolower((unsigned char)host.at[i]);
    rule->name[host.n] = '\0';
    return HOB_OK;
}

enum hob_code hob_egress_rule_parse(struct hob_str text, struct hob_egress_rule *ret_rule,
                                    struct hob_err *err)
{
    struct hob_egress_rule rule = {0};
    for (size_t i = 0; i < text.n; i++)
        if (text.at[i] <= ' ' || text.at[i] >= 0x7f)
            return hob_fail(err, HOB_E_INVALID,
                            "byte %zu is none that a host has; give HOST:PORT, as in \"api.pay.example:443\"",
                            i + 1);
    const char *colon = text.n ? memrchr(text.at, ':', text.n) : NULL;
    uint64_t port = 0;
    if (!colon)
        return wrong(err, text, "give HOST:PORT, as in \"api.pay.example:443\"");
    struct hob_str host = hob_str_n(text.at, (size_t)(colon - text.at));
    if (!hob_str_u64(hob_str_n(colon + 1, text.n - host.n - 1), &port) || port < 1 || port > UINT16_MAX)
        return wrong(err, text, "give a port from 1 to 65535 behind the last ':'");
    rule.port = (uint16_t)port;
    bool is_v6 = host.n > 2 && host.at[0] == '[' && host.at[host.n - 1] == ']';
    uint8_t address[HOB_ADDRESS_BYTES];
    enum hob_code code;
    if (is_v6)
        code = read_network(text, hob_str_n(host.at + 1, host.n - 2), true, &rule.network, err);
    else if (host.n && memchr(host.at, ':', host.n))
        code = wrong(err, text, "an IPv6 address stands in brackets, as in \"[2001:db8::7]:443\"");
    else if (host.n && (memchr(host.at, '/', host.n) || read_address(host, false, address)))
        code = read_network(text, host, false, &rule.network, err);
    else
        code = read_name(text, host, &rule, err);
    if (code == HOB_OK)
        *ret_rule = rule;
    return code;
}

bool hob_egress_name_matches(const struct hob_egress_rule *rule, struct hob_str name)
{
    struct hob_str own = hob_str(rule->name);
    if (!rule->is_name)
        return false;
    if (!rule->is_wildcard)
        return hob_str_ieq(name, own);
    return name.n > own.n + 1 && name.at[name.n - own.n - 1] == '.' &&
           hob_str_ieq(hob_str_n(name.at + name.n - own.n, own.n), own);
}
