/* JSON: reading by jansson behind a depth guard, writing by our own streaming writer (numbers keep their digits,
 * keys keep their order, output is UTF-8 and safe inside HTML). Not thread-bound. */
#pragma once

#include <jansson.h>

#include "base/buf.h"

/* Returns owned (json_decref), or NULL: malformed, deeper than json.depth, duplicate keys. The message names line and
 * column. `what` names the document for people ("hob.json", "the body"). */
HOB_MUST_USE json_t *hob_json_parse(struct hob_str text, const char *what, struct hob_err *err);
/* The same with // and block comments and trailing commas allowed (hob.json). */
HOB_MUST_USE json_t *hob_json_parse_commented(struct hob_str text, const char *what, struct hob_err *err);
void hob_json_decref_p(json_t **j);
#define hob_auto_json __attribute__((cleanup(hob_json_decref_p)))

/* Writer: values in order; commas and colons come by themselves. A full buffer makes it fail once, at the end. */
struct hob_jw {
    struct hob_buf *out; /* borrows */
    bool needs_comma, is_full;
};
void hob_jw_init(struct hob_jw *w, struct hob_buf *out);
void hob_jw_object(struct hob_jw *w);
void hob_jw_object_end(struct hob_jw *w);
void hob_jw_array(struct hob_jw *w);
void hob_jw_array_end(struct hob_jw *w);
void hob_jw_key(struct hob_jw *w, const char *key);
void hob_jw_str(struct hob_jw *w, struct hob_str s); /* invalid UTF-8 becomes U+FFFD */
void hob_jw_cstr(struct hob_jw *w, const char *s);   /* NULL gives null */
void hob_jw_int(struct hob_jw *w, int64_t v);
void hob_jw_double(struct hob_jw *w, double v); /* not finite gives null */
void hob_jw_bool(struct hob_jw *w, bool v);
void hob_jw_null(struct hob_jw *w);
void hob_jw_raw(struct hob_jw *w, struct hob_str json); /* already JSON */
void hob_jw_json(struct hob_jw *w, const json_t *j);    /* a parsed value again */
/* key and value in one */
void hob_jw_kstr(struct hob_jw *w, const char *key, struct hob_str s);
void hob_jw_kcstr(struct hob_jw *w, const char *key, const char *s);
void hob_jw_kint(struct hob_jw *w, const char *key, int64_t v);
void hob_jw_kbool(struct hob_jw *w, const char *key, bool v);
HOB_MUST_USE enum hob_code hob_jw_end(struct hob_jw *w, struct hob_err *err);
