/* Which images are Hob's: those that carry a name that only Hob gives, "hob-HOME:built-...", ":pulled-...", ":runtime-...".
 * A name and not a label, because labels are inherited by whatever is built from an image; and because with the last name
 * Docker takes an image away by itself, so that what somebody else named, too, stays. Pure, so that it can be fuzzed. */
#pragma once

#include "base/json.h"
#include "runner/docker/answers.h"

enum mark_kind { MARK_NONE, MARK_BUILT, MARK_PULLED, MARK_RUNTIME };
enum { MARK_HOME_CHARS = 12, MARK_TAG_BYTES = 128, MARK_NAMES_MAX = 64, MARK_RUNTIME_BYTES = 65 };

/* The tag behind "hob-HOME:". `what`: the image's ID (built), the name that was pulled, the runtime. */
void mark_tag(enum mark_kind kind, const char *what, const char *id, char ret_tag[MARK_TAG_BYTES]);
/* What kind of mark of `home` this name is; *ret_runtime (may be NULL) of MARK_RUNTIME. */
enum mark_kind mark_of(const char *home, const char *name, char ret_runtime[MARK_RUNTIME_BYTES]);

struct marked {     /* one image of GET /images/json; all borrowed from it */
    const char *id; /* valid */
    const char *names[MARK_NAMES_MAX];
    bool is_mark[MARK_NAMES_MAX], is_pulled[MARK_NAMES_MAX]; /* is_pulled: came with it when Hob got it */
    size_t names_n, others_n;                                /* others_n: neither mark nor pulled */
    enum mark_kind kind;                                     /* MARK_NONE: not Hob's */
    char runtime[MARK_RUNTIME_BYTES];
    uint64_t bytes;
};
/* False for what is no image, or has more names than could be looked at. */
HOB_MUST_USE bool marked_read(const char *home, const json_t *image, struct marked *ret_image);
/* Is `name` of the image `id` one that a pull gave, to what it brought or to what another pull had brought? `before`: GET
 * /images/json right before it. */
bool mark_is_due(const char *home, const json_t *before, const char *id, const char *name);
/* Is it needed? `keep`: words with a space between: 16 digits of an ID, "=NAME" (an image's name, with its tag), "@NAME" (a
 * runtime). `current`: the ID that the runtime's image has now, "": not known. */
bool marked_is_needed(const struct marked *i, struct hob_str keep, const char *current);
