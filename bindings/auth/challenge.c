/* POST /challenge: what a provider asks before somebody can log in by it (a nonce, a code that is sent, ...). Flow:
 *
 *   JUDGED -> [who: by password (login.c), or by the one identity that authData names] -> ASKING the providers named in
 *   challengeData, one after another by name -> answered {"challengeData": {PROVIDER: what it said}}
 *
 * Providers that have no challenge are passed over: those that are a function of the app have one. */
#include <stdlib.h>

#include "bindings/auth/user_flow.h"
#include "bindings/login/provider.h"

#include "base/banned.h"

enum { PROVIDERS_MAX = 16 };

struct challenge {
    struct user_flow *flow;
    const json_t *data, *identity; /* challengeData; authData, or NULL */
    const char *names[PROVIDERS_MAX];
    size_t n, at;
    json_t *answers; /* of the call */
};

static void ask_next(struct backend_call *c);

/* --- asking --- */
static struct challenge *state_of(const struct backend_call *c)
{
    return ((struct user_flow *)c->state)->challenge;
}

static void on_asked(void *ctx, const struct hob_err *err, const json_t *said)
{
    struct backend_call *c = ctx;
    struct challenge *h = state_of(c);
    if (err) {
        c->err = *err;
        ask_fail(c);
        return;
    }
    bool is_nothing = !said || json_is_null(said) || json_is_false(said);
    json_t *answer = is_nothing ? json_true() : json_deep_copy(said);
    (void)json_object_set_new(h->answers, h->names[h->at++], answer);
    ask_next(c);
}

static void ask_next(struct backend_call *c)
{
    struct challenge *h = state_of(c);
    const struct user_flow *f = h->flow;
    for (; h->at < h->n; h->at++) {
        const char *name = h->names[h->at];
        struct provider_ask ask = {.call = c,
                                   .provider = name,
                                   .options = json_object_get(ask_json(c, SETTING_AUTH), name),
                                   .data = json_object_get(h->data, name)};
        if (!provider_has_challenge(&ask))
            continue;
        json_t *user = f->user ? call_json(c, user_shown(f->user, f->hidden)) : NULL;
        provider_challenge(&ask, json_object_get(h->identity, name), user, on_asked, c);
        return;
    }
    answer_finish(c, call_json(c, json_pack("{s:O}", "challengeData", h->answers)));
}

/* --- who --- */
static void fail_unknown(struct backend_call *c)
{
    fail_now(c, PARSE_OBJECT_NOT_FOUND, "User not found.");
}

static enum hob_code find_owner(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    struct user_flow *f = c->state;
    enum hob_code rc = identities_owner(&f->identities, tx, f->id, err);
    return rc == HOB_OK ? user_flow_read(c, tx, err) : rc;
}

static void owner_found(struct backend_call *c)
{
    const struct user_flow *f = c->state;
    if (f->user)
        ask_next(c);
    else
        fail_unknown(c);
}

static void identified(struct backend_call *c)
{
    ask_read(c, find_owner, owner_found);
}

/* The one identity with an id that authData names; -1 and the refusal, when it is none or more. */
static int pick_identity(struct backend_call *c, json_t *auth_data, const char **ret_provider)
{
    const char *name;
    json_t *identity;
    int n = 0;
    json_object_foreach(auth_data, name, identity)
    {
        if (!json_is_object(identity) && !json_is_null(identity)) {
            (void)parse_fail(&c->err, PARSE_OTHER_CAUSE, "authData.%.64s should be an object.", name);
            ask_fail(c);
            return -1;
        }
        if (!json_object_get(identity, "id"))
            continue;
        *ret_provider = name;
        n++;
    }
    if (n == 1)
        return 0;
    if (n == 0)
        fail_unknown(c);
    else
        fail_now(c, PARSE_OTHER_CAUSE, "You cannot provide more than one authData provider with an id.");
    return -1;
}

static void find_by_identity(struct backend_call *c, json_t *auth_data)
{
    struct user_flow *f = c->state;
    const char *provider = NULL;
    if (pick_identity(c, auth_data, &provider) != 0)
        return;
    json_t *one = call_json(c, json_pack("{s:O}", provider, json_object_get(auth_data, provider)));
    identities_recognize(c, &f->identities, one, identified, fail_unknown);
}

/* --- the beginning --- */
static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void take_names(struct challenge *h)
{
    const char *name;
    json_t *ignored;
    json_object_foreach((json_t *)(uintptr_t)h->data, name, ignored)
    {
        if (h->n < PROVIDERS_MAX)
            h->names[h->n++] = name;
    }
    qsort(h->names, h->n, sizeof *h->names, by_name);
}

/* Empty texts and null name nobody. */
static bool is_given(const struct backend_call *c, const char *name)
{
    const json_t *j = ask_param(c, name);
    return j && !json_is_null(j) && !(json_is_string(j) && json_string_length(j) == 0);
}

static const char *judge(const struct backend_call *c, bool is_by_name)
{
    const json_t *auth_data = ask_param(c, "authData");
    if (is_by_name && !is_given(c, "password"))
        return "You provided username or email, you need to also provide password.";
    if (!is_given(c, "challengeData"))
        return "Nothing to challenge.";
    if (!json_is_object(ask_param(c, "challengeData")))
        return "challengeData should be an object.";
    if (json_object_size(ask_param(c, "challengeData")) > PROVIDERS_MAX)
        return "challengeData names too many providers.";
    if (is_given(c, "authData") && !json_is_object(auth_data))
        return "authData should be an object.";
    if (is_by_name && is_given(c, "authData"))
        return "You cannot provide username/email and authData, only use one identification method.";
    return NULL;
}

void challenge_serve(struct backend_call *c)
{
    bool is_by_name = is_given(c, "username") || is_given(c, "email");
    const char *refusal = judge(c, is_by_name);
    if (refusal) {
        fail_now(c, PARSE_OTHER_CAUSE, refusal);
        return;
    }
    struct user_flow *f = user_flow_new(c);
    json_t *auth_data = ask_param(c, "authData");
    f->challenge = call_alloc(c, sizeof *f->challenge);
    *f->challenge = (struct challenge){.flow = f,
                                       .data = ask_param(c, "challengeData"),
                                       .identity = auth_data,
                                       .answers = call_json(c, json_object())};
    take_names(f->challenge);
    if (is_by_name)
        login_verify(c, ask_next);
    else if (is_given(c, "authData"))
        find_by_identity(c, auth_data);
    else
        ask_next(c);
}
