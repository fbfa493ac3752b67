#include "bindings/auth/policy.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>

#include "base/limits.h"
#include "bindings/auth/user_index.h"
#include "store/kv.h"

#include "base/banned.h"

enum {
    PATTERN_BYTES_MAX = 1024,
    MATCH_STEPS_MAX = 100000,
    DAY_S = 86400,
    MINUTE_MS = 60000,
    LOCK_MINUTES_MAX = 99999,
    LOCK_THRESHOLD_MAX = 999,
    MFA_FAILURES_MAX = 10,
    MFA_LOCK_MINUTES = 15,
};

/* --- policy --- */
static const json_t *option(const struct backend_call *c, const char *name)
{
    return json_object_get(ask_json(c, SETTING_PASSWORD_POLICY), name);
}

/* A pattern that is none, or that takes too long, admits nothing: the app's owner sees it at the first sign-up. */
static bool matches(struct hob_str pattern, struct hob_str text)
{
    int code;
    PCRE2_SIZE at;
    if (pattern.n > 1 && pattern.at[0] == '/' &&
        pattern.at[pattern.n - 1] == '/') /* "/.../" as in JavaScript */
        pattern = hob_str_n(pattern.at + 1, pattern.n - 2);
    if (pattern.n > PATTERN_BYTES_MAX)
        return false;
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)pattern.at, pattern.n, PCRE2_UTF, &code, &at, NULL);
    pcre2_match_context *limits = pcre2_match_context_create(NULL);
    pcre2_match_data *found = re ? pcre2_match_data_create_from_pattern(re, NULL) : NULL;
    bool is_match = false;
    if (found && limits) {
        (void)pcre2_set_match_limit(limits, MATCH_STEPS_MAX);
        (void)pcre2_set_depth_limit(limits, MATCH_STEPS_MAX / 100);
        is_match = pcre2_match(re, (PCRE2_SPTR)text.at, text.n, 0, 0, found, limits) >= 0;
    }
    pcre2_match_data_free(found);
    pcre2_match_context_free(limits);
    pcre2_code_free(re);
    return is_match;
}

static bool has_inside(struct hob_str text, struct hob_str part)
{
    hob_auto_free char *a = user_fold(text), *b = user_fold(part);
    return part.n > 0 && strstr(a, b) != NULL;
}

enum hob_code policy_judge_password(const struct backend_call *c, struct hob_str password,
                                    struct hob_str username, struct hob_err *err)
{
    const json_t *pattern = option(c, "validatorPattern");
    const char *words = json_string_value(option(c, "validationError"));
    if (password.n > HOB_MAX_PASSWORD_BYTES)
        return parse_fail(err, PARSE_VALIDATION_ERROR, "A password has at most %d bytes.",
                          HOB_MAX_PASSWORD_BYTES);
    if (json_is_string(pattern) &&
        !matches(hob_str_n(json_string_value(pattern), json_string_length(pattern)), password))
        return parse_fail(err, PARSE_VALIDATION_ERROR, "%s",
                          words ? words : "Password does not meet the Password Policy requirements.");
    if (json_is_true(option(c, "doNotAllowUsername")) && has_inside(password, username))
        return parse_fail(err, PARSE_VALIDATION_ERROR, "Password cannot contain your username.");
    return HOB_OK;
}

size_t policy_history(const struct backend_call *c)
{
    int64_t n = member_int(ask_json(c, SETTING_PASSWORD_POLICY), "maxPasswordHistory", 0);
    return n <= 0 ? 0 : n > PASSWORD_HISTORY_MAX ? PASSWORD_HISTORY_MAX : (size_t)n;
}

bool policy_is_expired(const struct backend_call *c, int64_t set_ms)
{
    int64_t days = member_int(ask_json(c, SETTING_PASSWORD_POLICY), "maxPasswordAge", 0);
    return days > 0 && days < 100000 && set_ms > 0 && c->now_ms - set_ms > days * DAY_S * 1000;
}

int64_t policy_reset_token_s(const struct backend_call *c)
{
    int64_t s = member_int(ask_json(c, SETTING_PASSWORD_POLICY), "resetTokenValidityDuration", 0);
    return s > 0 ? s : DAY_S;
}

bool policy_reuses_reset_token(const struct backend_call *c)
{
    return json_is_true(option(c, "resetTokenReuseIfValid"));
}

bool policy_tells_strangers(const struct backend_call *c)
{
    return json_is_false(option(c, "resetPasswordSuccessOnInvalidEmail"));
}

/* --- lockout --- */
struct lock {
    int64_t failures, until_ms;
};
struct lock_rule {
    const char *space;
    int64_t threshold, minutes; /* threshold 0: off */
};

static int64_t lock_option(const struct backend_call *c, const char *name, int64_t max)
{
    int64_t v = member_int(ask_json(c, SETTING_ACCOUNT_LOCKOUT), name, 0);
    return v < 0 ? 0 : v > max ? max : v;
}

static struct lock_rule rule_of(const struct backend_call *c, enum lockout what)
{
    struct lock_rule r = {.space = what == LOCKOUT_MFA ? "lockout_mfa" : "lockout",
                          .threshold = lock_option(c, "threshold", LOCK_THRESHOLD_MAX),
                          .minutes = lock_option(c, "duration", LOCK_MINUTES_MAX)};
    if (r.minutes == 0)
        r.threshold = 0;
    if (what == LOCKOUT_MFA && r.threshold == 0)
        r = (struct lock_rule){r.space, MFA_FAILURES_MAX, MFA_LOCK_MINUTES};
    return r;
}

bool lockout_is_on(const struct backend_call *c)
{
    return rule_of(c, LOCKOUT_PASSWORD).threshold > 0;
}

static enum hob_code take_lock(void *ctx, const struct kv_row *row, struct hob_err *err)
{
    struct lock *l = ctx;
    json_t *j hob_auto_json = hob_json_parse(row->value, "a lock", err);
    l->failures = member_int(j, "failures", 0);
    l->until_ms = member_int(j, "until", 0);
    return j ? HOB_OK : err->code;
}

static enum hob_code read_lock(struct backend_call *c, struct data_tx *tx, const char *space,
                               struct hob_str account, struct lock *l, struct hob_err *err)
{
    return kv_maybe(tx, space, account, c->now_ms, take_lock, l, err);
}

enum hob_code lockout_judge(struct backend_call *c, struct data_tx *tx, enum lockout what,
                            struct hob_str account, struct hob_err *err)
{
    struct lock l = {0};
    struct lock_rule r = rule_of(c, what);
    if (r.threshold == 0)
        return HOB_OK;
    enum hob_code rc = read_lock(c, tx, r.space, account, &l, err);
    if (rc == HOB_OK && l.until_ms > c->now_ms)
        return parse_fail(err, PARSE_OBJECT_NOT_FOUND,
                          "Your account is locked due to multiple failed login attempts. Please try again "
                          "after %lld minute(s)",
                          (long long)r.minutes);
    return rc;
}

enum hob_code lockout_failed(struct backend_call *c, struct data_tx *tx, enum lockout what,
                             struct hob_str account, struct hob_err *err)
{
    struct lock l = {0};
    char value[96];
    struct lock_rule r = rule_of(c, what);
    if (r.threshold == 0)
        return HOB_OK;
    enum hob_code rc = read_lock(c, tx, r.space, account, &l, err);
    if (rc != HOB_OK)
        return rc;
    int64_t until_ms = c->now_ms + r.minutes * MINUTE_MS;
    l.failures++;
    if (l.failures >= r.threshold) {
        l.until_ms = until_ms;
        l.failures = 0;
    }
    int n = snprintf(value, sizeof value, "{\"failures\":%lld,\"until\":%lld}", (long long)l.failures,
                     (long long)l.until_ms);
    struct kv_row row = {.key = account, .value = hob_str_n(value, (size_t)n), .expires_ms = until_ms};
    return kv_put(tx, r.space, &row, err);
}

enum hob_code lockout_clear(struct data_tx *tx, enum lockout what, struct hob_str account,
                            struct hob_err *err)
{
    return kv_drop(tx, what == LOCKOUT_MFA ? "lockout_mfa" : "lockout", account, NULL, err);
}
