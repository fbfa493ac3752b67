/* What a command is about: "APP/FUNCTION", "FUNCTION" beside a hob.json, with ":ALIAS" or "@VERSION". */
#pragma once

#include "cli/cli.h"

struct target {
    char app[65], function[65];
    char qualifier[65]; /* alias or version; "" for none */
};
/* `app_option` (--app) goes before hob.json of the folder or one above it. */
HOB_MUST_USE enum hob_code target_parse(const char *text, const char *app_option, struct target *ret,
                                        struct hob_err *err);
/* Only the app, when a command is about one. */
HOB_MUST_USE enum hob_code target_app(const char *app_option, char ret_app[65], struct hob_err *err);
/* "/v1/apps/APP" and `below`, which is encoded already; *ret_path owned. */
HOB_MUST_USE enum hob_code app_path(const char *app, const char *below, char **ret_path, struct hob_err *err);
/* "did you mean" after the server said not found: asks it which functions there are. */
void target_suggest(struct cli *c, const struct target *t, struct hob_err *err);
/* client_call on /v1/apps/APP/functions/FUNCTION with `below` (already encoded, begins with '/' or is "") behind it; a
 * name that is not found gets "did you mean". Returns owned. */
HOB_MUST_USE json_t *target_call(struct cli *c, const struct target *t, const char *method, const char *below,
                                 const json_t *body, struct hob_err *err);
/* The text of a key, or "". Borrowed. */
const char *text_of(const json_t *object, const char *key);
