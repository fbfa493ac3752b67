/* Hash tables: uthash with a hash that is seeded per process, so that strangers cannot choose colliding keys.
 * Include this, never uthash.h. */
#pragma once

#include "base/compiler.h"

/* SipHash-2-4 with the process's random key. */
unsigned hob_hash(const void *key, size_t n);

#define HASH_FUNCTION(keyptr, keylen, hashv) ((hashv) = hob_hash((keyptr), (keylen)))
#define uthash_fatal(msg) HOB_ASSERT(!"out of memory in a hash table: " msg)
#include <uthash.h>
