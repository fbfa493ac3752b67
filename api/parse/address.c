/* Lists of addresses and networks: who may use which key. */
#include <arpa/inet.h>
#include <string.h>

#include "api/parse/parse_priv.h"

#include "base/banned.h"

struct address {
    unsigned char bytes[16]; /* IPv4 as ::ffff:a.b.c.d */
};

static bool read_address(const char *text, struct address *ret, bool *ret_is_v4)
{
    static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    unsigned char v4[4];
    *ret_is_v4 = false;
    if (inet_pton(AF_INET, text, v4) == 1) {
        memcpy(ret->bytes, mapped, sizeof mapped);
        memcpy(ret->bytes + sizeof mapped, v4, sizeof v4);
        *ret_is_v4 = true;
        return true;
    }
    return inet_pton(AF_INET6, text, ret->bytes) == 1;
}

static bool shares_bits(const struct address *a, const struct address *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;
    if (memcmp(a->bytes, b->bytes, whole) != 0)
        return false;
    unsigned char mask = (unsigned char)(0xff << (8 - rest));
    return !rest || ((a->bytes[whole] ^ b->bytes[whole]) & mask) == 0;
}

static bool is_in(const struct address *a, const char *entry)
{
    char text[64];
    struct address network;
    bool is_v4;
    uint64_t bits = 128;
    const char *slash = strchr(entry, '/');
    size_t n = slash ? (size_t)(slash - entry) : strlen(entry);
    if (n >= sizeof text)
        return false;
    memcpy(text, entry, n);
    text[n] = '\0';
    if (!read_address(text, &network, &is_v4))
        return false;
    if (slash && (!hob_str_u64(hob_str(slash + 1), &bits) || bits > (is_v4 ? 32 : 128)))
        return false;
    if (slash && is_v4)
        bits += 96;
    if (slash && !is_v4 && bits == 0) /* "::/0" is meant as "everybody" */
        return true;
    return shares_bits(a, &network, (unsigned)bits);
}

bool address_is_listed(const char *address, const json_t *list)
{
    struct address a;
    bool is_v4;
    if (!read_address(address, &a, &is_v4))
        return false;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *entry = json_string_value(json_array_get(list, i));
        if (entry && is_in(&a, entry))
            return true;
    }
    return false;
}
