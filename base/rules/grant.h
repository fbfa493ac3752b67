/* What a function may reach through its bindings, as hob.json names it ("bindings"): one line a grant. The same words are
 * judged when the file is read and when a call comes in. Not thread-bound.
 *
 *   data:CLASS:r  data:CLASS:w  data:CLASS:rw    objects of a class; "*" stands for every class
 *   data:master                                  may act as master: no permission of classes and objects is asked
 *   auth                                         who calls, other users as the caller may see them, tokens
 *   auth:admin                                   makes, changes and removes users
 *   files  cache  sql                            the app's files, its key-value pairs, its SQL database
 *   secrets:NAME                                 that secret of the app
 *   fn:NAME                                      calls that function of the app */
#pragma once

#include "base/err.h"
#include "base/str.h"

enum hob_grant_kind {
    HOB_GRANT_DATA,
    HOB_GRANT_MASTER,
    HOB_GRANT_AUTH,
    HOB_GRANT_AUTH_ADMIN,
    HOB_GRANT_FILES,
    HOB_GRANT_CACHE,
    HOB_GRANT_SQL,
    HOB_GRANT_SECRET,
    HOB_GRANT_FUNCTION,
};
enum { HOB_GRANT_READ = 1, HOB_GRANT_WRITE = 2 };
struct hob_grant {
    enum hob_grant_kind kind;
    struct hob_str name; /* of the class ("*": every), secret or function; borrowed */
    unsigned rights;     /* of DATA */
};
HOB_MUST_USE enum hob_code hob_grant_parse(struct hob_str text, struct hob_grant *ret_grant,
                                           struct hob_err *err);
/* Does one of the lines allow that? `name` and `rights` as the kind has them. Malformed lines allow nothing. */
bool hob_grants_allow(const char *const *lines, size_t lines_n, const struct hob_grant *want);
