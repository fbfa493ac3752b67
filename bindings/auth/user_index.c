#include "bindings/auth/user_index.h"

#include <locale.h>
#include <pthread.h>
#include <stdlib.h>
#include <wctype.h>

#include "base/mem.h"
#include "bindings/auth/auth_priv.h"
#include "bindings/auth/user.h"
#include "store/data.h"

#include "base/banned.h"

static const char *const spaces[] = {
    [USER_BY_NAME] = "user_name", [USER_BY_EMAIL] = "user_email", [USER_BY_IDENTITY] = "user_identity"};

/* --- folding --- */
static locale_t letters;
static pthread_once_t letters_once = PTHREAD_ONCE_INIT;

static void load_letters(void)
{
    letters = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
}

static unsigned decode(const unsigned char *at, size_t n, uint32_t *ret_point)
{
    unsigned length = at[0] < 0x80 ? 1 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
    if (length == 1 || length > n || at[0] < 0xc2) {
        *ret_point = at[0];
        return 1;
    }
    uint32_t point = at[0] & (0xffu >> (length + 1));
    for (unsigned i = 1; i < length; i++)
        point = point << 6 | (at[i] & 0x3f);
    *ret_point = point;
    return length;
}

static size_t encode(uint32_t p, char *out)
{
    if (p < 0x80) {
        out[0] = (char)p;
        return 1;
    }
    size_t n = p < 0x800 ? 2 : p < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, p >>= 6)
        out[i] = (char)(0x80 | (p & 0x3f));
    out[0] = (char)((0xf00u >> n & 0xf0u) | p);
    return n;
}

char *user_fold(struct hob_str text)
{
    char *out = hob_calloc(text.n * 2 + 5, 1); /* a lower-case letter may take more bytes than its capital */
    size_t out_n = 0;
    (void)pthread_once(&letters_once, load_letters);
    for (size_t i = 0; i < text.n;) {
        uint32_t point;
        unsigned taken = decode((const unsigned char *)text.at + i, text.n - i, &point);
        if (taken == 1 && point >= 0x80) { /* no UTF-8: as it is */
            out[out_n++] = text.at[i++];
            continue;
        }
        i += taken;
        if (letters)
            point = (uint32_t)towlower_l((wint_t)point, letters);
        else if (point >= 'A' && point <= 'Z')
            point += 'a' - 'A';
        out_n += encode(point, out + out_n);
    }
    return out;
}

char *user_identity_key(const char *provider, struct hob_str id)
{
    return hob_asprintf("%s\n%.*s", provider, HOB_STR_ARG(id));
}

static char *key_of(enum user_index which, struct hob_str key)
{
    return which == USER_BY_IDENTITY ? hob_strndup(key.at, key.n) : user_fold(key);
}

/* --- what a row holds --- */
static bool holds_identity(const json_t *hidden, const char *key)
{
    struct hob_str rest, provider = hob_str_cut(hob_str(key), '\n', &rest);
    hob_auto_free char *name = hob_strndup(provider.at, provider.n);
    const char *id =
        json_string_value(json_object_get(json_object_get(json_object_get(hidden, "authData"), name), "id"));
    return id && rest.at && hob_str_is(rest, id);
}

bool user_holds(enum user_index which, const json_t *doc, const json_t *hidden, const char *key)
{
    if (which == USER_BY_IDENTITY)
        return holds_identity(hidden, key);
    const json_t *j = json_object_get(doc, which == USER_BY_NAME ? "username" : "email");
    if (!json_is_string(j))
        return false;
    hob_auto_free char *own = user_fold(hob_str_n(json_string_value(j), json_string_length(j)));
    return strcmp(own, key) == 0;
}

struct check {
    enum user_index which;
    const char *key;
    bool holds;
};

static enum hob_code check_row(void *ctx, const struct data_row *row, struct hob_err *err)
{
    struct check *k = ctx;
    json_t *doc hob_auto_json = hob_json_parse(row->doc, "a user", err);
    json_t *hidden hob_auto_json = row->hidden.n ? hob_json_parse(row->hidden, "a user", err) : json_object();
    if (!doc || !hidden)
        return err->code;
    k->holds = user_holds(k->which, doc, hidden, k->key);
    return HOB_OK;
}

static enum hob_code take_id(void *ctx, const struct kv_row *row, struct hob_err *err)
{
    (void)err;
    char *id = ctx;
    if (row->value.n && row->value.n <= USER_ID_CHARS_MAX)
        memcpy(id, row->value.at, row->value.n);
    return HOB_OK;
}

/* Whom the key belongs to, "" when nobody living holds it. */
static enum hob_code holder(struct data_tx *tx, enum user_index which, const char *key,
                            char id[USER_ID_CHARS_MAX + 1], struct hob_err *err)
{
    struct check k = {.which = which, .key = key};
    bool is_found = false;
    memset(id, 0, USER_ID_CHARS_MAX + 1);
    enum hob_code rc = kv_maybe(tx, spaces[which], hob_str(key), 0, take_id, id, err);
    if (rc == HOB_OK && *id && data_class_find(tx, "_User"))
        rc = data_get(tx, "_User", hob_str(id), NULL, check_row, &k, &is_found, err);
    if (rc == HOB_OK && (!is_found || !k.holds))
        *id = '\0';
    return rc;
}

/* --- door --- */
enum hob_code user_index_find(struct data_tx *tx, enum user_index which, struct hob_str key,
                              char id[USER_ID_CHARS_MAX + 1], struct hob_err *err)
{
    hob_auto_free char *folded = key_of(which, key);
    return holder(tx, which, folded, id, err);
}

static enum hob_code fail_taken(enum user_index which, struct hob_err *err)
{
    if (which == USER_BY_NAME)
        return parse_fail(err, PARSE_USERNAME_TAKEN, "Account already exists for this username.");
    if (which == USER_BY_EMAIL)
        return parse_fail(err, PARSE_EMAIL_TAKEN, "Account already exists for this email address.");
    return parse_fail(err, PARSE_ACCOUNT_ALREADY_LINKED, "this auth is already used");
}

enum hob_code user_index_claim(struct data_tx *tx, enum user_index which, struct hob_str key,
                               struct hob_str user_id, struct hob_err *err)
{
    char id[USER_ID_CHARS_MAX + 1];
    hob_auto_free char *folded = key_of(which, key);
    if (strlen(folded) > USER_NAME_BYTES_MAX)
        return parse_fail(err, PARSE_INVALID_VALUE, "a name or an address has at most %d bytes",
                          USER_NAME_BYTES_MAX);
    enum hob_code rc = holder(tx, which, folded, id, err);
    if (rc != HOB_OK)
        return rc;
    if (*id && !hob_str_is(user_id, id))
        return fail_taken(which, err);
    struct kv_row row = {.key = hob_str(folded), .value = user_id};
    return kv_put(tx, spaces[which], &row, err);
}

enum hob_code user_index_release(struct data_tx *tx, enum user_index which, struct hob_str key,
                                 struct hob_str user_id, struct hob_err *err)
{
    char id[USER_ID_CHARS_MAX + 1] = "";
    hob_auto_free char *folded = key_of(which, key);
    enum hob_code rc = kv_maybe(tx, spaces[which], hob_str(folded), 0, take_id, id, err);
    if (rc != HOB_OK || !hob_str_is(user_id, id))
        return rc;
    return kv_drop(tx, spaces[which], hob_str(folded), NULL, err);
}

/* --- whole rows --- */
static enum hob_code each_key(struct data_tx *tx, const struct data_row *row,
                              enum hob_code (*act)(struct data_tx *tx, enum user_index which,
                                                   struct hob_str key, struct hob_str user_id,
                                                   struct hob_err *err),
                              struct hob_err *err)
{
    json_t *doc hob_auto_json = hob_json_parse(row->doc, "a user", err);
    json_t *hidden hob_auto_json = row->hidden.n ? hob_json_parse(row->hidden, "a user", err) : json_object();
    enum hob_code rc = doc && hidden ? HOB_OK : err->code;
    const char *name = json_string_value(json_object_get(doc, "username"));
    const char *email = json_string_value(json_object_get(doc, "email"));
    if (rc == HOB_OK && name)
        rc = act(tx, USER_BY_NAME, hob_str(name), row->id, err);
    if (rc == HOB_OK && email)
        rc = act(tx, USER_BY_EMAIL, hob_str(email), row->id, err);
    const char *provider;
    json_t *identity, *identities = json_object_get(hidden, "authData");
    json_object_foreach(identities, provider, identity)
    {
        const char *id = json_string_value(json_object_get(identity, "id"));
        hob_auto_free char *key = id ? user_identity_key(provider, hob_str(id)) : NULL;
        if (rc == HOB_OK && key)
            rc = act(tx, USER_BY_IDENTITY, hob_str(key), row->id, err);
    }
    return rc;
}

enum hob_code user_removed(struct data_tx *tx, const struct data_row *row, struct hob_err *err)
{
    return each_key(tx, row, user_index_release, err);
}

static enum hob_code reindex_row(void *ctx, const struct data_row *row, struct hob_err *err)
{
    return each_key(ctx, row, user_index_claim, err);
}

enum hob_code user_reindex(struct data_tx *tx, struct hob_err *err)
{
    struct data_query all = {.class_name = "_User", .limit = -1, .time_ms = UINT32_MAX};
    return data_class_find(tx, "_User") ? data_find(tx, &all, reindex_row, tx, err) : HOB_OK;
}
