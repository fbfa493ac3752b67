/* The request target: its forms (RFC 9112, 3.2) and the one canonical path that routes and rights are matched on.
 *
 * Canonical path (RFC 3986, 6.2.2): escapes of unreserved characters are decoded, all others keep their escape in
 * upper case (so %2F stays distinct from '/'), characters that must not stand in a path are escaped, dot segments
 * are removed, and they never climb above the root. Empty segments, trailing slashes and letter case are kept.
 * An escape that is not two hexadecimal digits, and %00, are refused. It is idempotent.
 * Pure functions; results live in the arena or point into the argument. */
#pragma once

#include "base/err.h"
#include "base/mem.h"

struct http_target {
    struct hob_str origin;    /* origin-form: path and query as received; "*" for the asterisk form */
    struct hob_str path;      /* canonical */
    struct hob_str query;     /* as received; at == NULL when there is no '?' */
    struct hob_str authority; /* of the absolute form; at == NULL otherwise */
};

/* `method` matters for "*", which is OPTIONS' alone. HOB_E_INVALID. */
HOB_MUST_USE enum hob_code http_target_parse(struct hob_arena *arena, struct hob_str method,
                                             struct hob_str raw, struct http_target *ret_target,
                                             struct hob_err *err);
/* `raw` begins with '/'. HOB_E_INVALID; HOB_E_TOO_LARGE when the arena is full. */
HOB_MUST_USE enum hob_code http_path_canonical(struct hob_arena *arena, struct hob_str raw,
                                               struct hob_str *ret_path, struct hob_err *err);
/* The host of "host[:port]": lower case, without port and without the root's final dot. HOB_E_INVALID. */
HOB_MUST_USE enum hob_code http_host_parse(struct hob_arena *arena, struct hob_str authority,
                                           struct hob_str *ret_host, struct hob_err *err);
