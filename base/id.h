/* Identifiers that are global, not of one node: UUID version 7 (RFC 9562), and random tokens. Thread-safe. */
#pragma once

#include "base/compiler.h"

enum { HOB_UUID_CHARS = 36 };
/* Lower-case text with NUL; sorts by time. */
void hob_uuid7(char out[HOB_UUID_CHARS + 1]);
/* 63-bit, from the same source; unique on its own for instance ids. Never 0. */
uint64_t hob_id64(void);
void hob_random(void *out, size_t n);
/* `n` random bytes as 2n lower-case hexadecimal digits and NUL. */
void hob_random_hex(char *out, size_t n);
void hob_hex(char *out, const void *bytes, size_t n);
enum { HOB_DIGEST_CHARS = 64 };
/* SHA-256 as text. */
void hob_sha256_hex(const void *data, size_t n, char out[HOB_DIGEST_CHARS + 1]);
/* 64 lower-case hexadecimal digits. */
bool hob_digest_is_valid(const char *s);
