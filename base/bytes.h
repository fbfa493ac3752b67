/* Little-endian integers in byte strings, without alignment or aliasing traps. */
#pragma once

#include <string.h>

#include "base/compiler.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the channel and the link are little-endian; add byte swaps here for this machine"
#endif

static inline uint16_t hob_get_u16(const void *at)
{
    uint16_t v;
    memcpy(&v, at, sizeof v);
    return v;
}
static inline uint32_t hob_get_u32(const void *at)
{
    uint32_t v;
    memcpy(&v, at, sizeof v);
    return v;
}
static inline uint64_t hob_get_u64(const void *at)
{
    uint64_t v;
    memcpy(&v, at, sizeof v);
    return v;
}
static inline void hob_put_u16(void *at, uint16_t v)
{
    memcpy(at, &v, sizeof v);
}
static inline void hob_put_u32(void *at, uint32_t v)
{
    memcpy(at, &v, sizeof v);
}
static inline void hob_put_u64(void *at, uint64_t v)
{
    memcpy(at, &v, sizeof v);
}
