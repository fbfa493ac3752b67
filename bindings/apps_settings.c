/* The settings of an app's backend: one table of names (those of Parse Server's options), types, bounds and defaults. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "bindings/apps_priv.h"

enum shape { SHAPE_BOOL, SHAPE_INT, SHAPE_TEXT, SHAPE_OBJECT, SHAPE_ARRAY, SHAPE_TEXT_OR_ARRAY };
static const char *const shape_names[] = {"true or false", "a whole number", "a text",
                                          "an object",     "an array",       "a text or an array of texts"};

struct setting {
    const char *name;
    enum shape shape;
    const char *text;    /* the default, as JSON */
    const char *members; /* of an object with a closed list: "name:b name:i name:s name:o name:a " */
    int64_t min, max;    /* of a whole number */
};

enum { DAY_S = 86400, YEAR_S = 31536000 };
/* clang-format off */
static const struct setting table[SETTINGS_] = {
    [SETTING_ALLOW_CLIENT_CLASS_CREATION] = {"allowClientClassCreation", SHAPE_BOOL, "true", NULL, 0, 0},
    [SETTING_ALLOW_CUSTOM_OBJECT_ID] = {"allowCustomObjectId", SHAPE_BOOL, "false", NULL, 0, 0},
    [SETTING_ENFORCE_PRIVATE_USERS] = {"enforcePrivateUsers", SHAPE_BOOL, "true", NULL, 0, 0},
    [SETTING_DEFAULT_LIMIT] = {"defaultLimit", SHAPE_INT, "100", NULL, 1, 100000},
    [SETTING_MAX_LIMIT] = {"maxLimit", SHAPE_INT, "1000", NULL, 0, 100000},
    [SETTING_SESSION_LENGTH_S] = {"sessionLength", SHAPE_INT, "31536000", NULL, 60, 10LL * YEAR_S},
    [SETTING_EXPIRE_INACTIVE_SESSIONS] = {"expireInactiveSessions", SHAPE_BOOL, "true", NULL, 0, 0},
    [SETTING_EXTEND_SESSION_ON_USE] = {"extendSessionOnUse", SHAPE_BOOL, "false", NULL, 0, 0},
    [SETTING_REVOKE_SESSION_ON_PASSWORD_RESET] = {"revokeSessionOnPasswordReset", SHAPE_BOOL, "true", NULL, 0, 0},
    [SETTING_VERIFY_USER_EMAILS] = {"verifyUserEmails", SHAPE_BOOL, "false", NULL, 0, 0},
    [SETTING_PREVENT_LOGIN_WITH_UNVERIFIED_EMAIL] = {"preventLoginWithUnverifiedEmail", SHAPE_BOOL, "false", NULL, 0, 0},
    [SETTING_EMAIL_VERIFY_TOKEN_VALIDITY_S] = {"emailVerifyTokenValidityDuration", SHAPE_INT, "86400", NULL, 60, YEAR_S},
    [SETTING_EMAIL_VERIFY_TOKEN_REUSE] = {"emailVerifyTokenReuseIfValid", SHAPE_BOOL, "false", NULL, 0, 0},
    [SETTING_EMAIL_VERIFY_SUCCESS_ON_INVALID] = {"emailVerifySuccessOnInvalidEmail", SHAPE_BOOL, "true", NULL, 0, 0},
    [SETTING_PUBLIC_SERVER_URL] = {"publicServerURL", SHAPE_TEXT, "\"\"", NULL, 0, 0},
    [SETTING_APP_DISPLAY_NAME] = {"appName", SHAPE_TEXT, "\"\"", NULL, 0, 0},
    [SETTING_PASSWORD_POLICY] = {"passwordPolicy", SHAPE_OBJECT, "{}",
        "validatorPattern:s validationError:s doNotAllowUsername:b maxPasswordAge:i maxPasswordHistory:i "
        "resetTokenValidityDuration:i resetTokenReuseIfValid:b resetPasswordSuccessOnInvalidEmail:b ", 0, 0},
    [SETTING_ACCOUNT_LOCKOUT] = {"accountLockout", SHAPE_OBJECT, "{}", "threshold:i duration:i unlockOnPasswordReset:b ", 0, 0},
    [SETTING_AUTH] = {"auth", SHAPE_OBJECT, "{}", NULL, 0, 0},
    [SETTING_ENABLE_ANONYMOUS_USERS] = {"enableAnonymousUsers", SHAPE_BOOL, "true", NULL, 0, 0},
    [SETTING_MAIL] = {"mail", SHAPE_OBJECT, "{}", "server:s from:s user:s passwordSecret:s caFile:s requireTLS:b templates:o ", 0, 0},
    [SETTING_FILE_UPLOAD] = {"fileUpload", SHAPE_OBJECT, "{}",
        "enableForPublic:b enableForAnonymousUser:b enableForAuthenticatedUser:b fileExtensions:a ", 0, 0},
    [SETTING_MAX_UPLOAD_BYTES] = {"maxUploadSize", SHAPE_INT, "20971520", NULL, 1024, 1LL << 32},
    [SETTING_FILES] = {"files", SHAPE_OBJECT, "{}",
        "store:s endpoint:s region:s bucket:s prefix:s accessKeyId:s secretAccessKeySecret:s pathStyle:b ", 0, 0},
    [SETTING_IDEMPOTENCY] = {"idempotencyOptions", SHAPE_OBJECT, "{}", "paths:a ttl:i ", 0, 0},
    [SETTING_LIVE_QUERY] = {"liveQuery", SHAPE_OBJECT, "{}", "classNames:a ", 0, 0},
    [SETTING_MASTER_KEY_IPS] = {"masterKeyIps", SHAPE_ARRAY, "[\"127.0.0.1\",\"::1\"]", NULL, 0, 0},
    [SETTING_READ_ONLY_MASTER_KEY_IPS] = {"readOnlyMasterKeyIps", SHAPE_ARRAY, "[\"127.0.0.1\",\"::1\"]", NULL, 0, 0},
    [SETTING_MAINTENANCE_KEY_IPS] = {"maintenanceKeyIps", SHAPE_ARRAY, "[\"127.0.0.1\",\"::1\"]", NULL, 0, 0},
    [SETTING_ALLOW_ORIGIN] = {"allowOrigin", SHAPE_TEXT_OR_ARRAY, "\"*\"", NULL, 0, 0},
    [SETTING_ALLOW_HEADERS] = {"allowHeaders", SHAPE_ARRAY, "[]", NULL, 0, 0},
    [SETTING_PROTECTED_FIELDS] = {"protectedFields", SHAPE_OBJECT, "{\"_User\":{\"*\":[\"email\"]}}", NULL, 0, 0},
    [SETTING_SANITIZE_ERRORS] = {"enableSanitizedErrorResponse", SHAPE_BOOL, "false", NULL, 0, 0},
    [SETTING_REQUEST_COMPLEXITY] = {"requestComplexity", SHAPE_OBJECT, "{}",
        "includeDepth:i includeCount:i subqueryDepth:i conditionDepth:i batchSize:i regex:b ", 0, 0},
    [SETTING_RATE_LIMIT] = {"rateLimit", SHAPE_ARRAY, "[]", NULL, 0, 0},
    [SETTING_AUTO_INDEX] = {"autoIndex", SHAPE_BOOL, "false", NULL, 0, 0},
    [SETTING_QUERY_TIME_MS] = {"queryTimeMs", SHAPE_INT, "5000", NULL, 10, 60000},
    [SETTING_SLOW_QUERY_MS] = {"slowQueryMs", SHAPE_INT, "100", NULL, 1, 60000},
    [SETTING_TRIGGER_TIME_MS] = {"triggerTimeMs", SHAPE_INT, "10000", NULL, 10, 900000},
    [SETTING_CHANGE_LOG_DAYS] = {"changeLogDays", SHAPE_INT, "7", NULL, 1, 3650},
};
/* clang-format on */

static json_t *defaults[SETTINGS_]; /* parsed once, by the first who asks on the loop */

const char *backend_setting_name(enum backend_setting which)
{
    return table[which].name;
}

const json_t *setting_default(enum backend_setting which)
{
    if (!defaults[which]) {
        defaults[which] = json_loads(table[which].text, JSON_DECODE_ANY, NULL);
        HOB_ASSERT(defaults[which]);
    }
    return defaults[which];
}

enum backend_setting setting_find(const char *name, struct hob_err *err)
{
    const char *names[SETTINGS_];
    for (unsigned i = 0; i < SETTINGS_; i++) {
        names[i] = table[i].name;
        if (strcmp(name, names[i]) == 0)
            return (enum backend_setting)i;
    }
    const char *near = hob_nearest(name, names, SETTINGS_);
    (void)hob_fail(err, HOB_E_INVALID, "there is no setting '%.64s'%s%s%s", name,
                   near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    return SETTINGS_;
}

static bool is_texts(const json_t *value)
{
    for (size_t i = 0; i < json_array_size(value); i++)
        if (!json_is_string(json_array_get(value, i)))
            return false;
    return json_is_array(value);
}

/* Numbers are doubles here: a whole one within 2^53. */
static bool is_whole(const json_t *value)
{
    double d = json_number_value(value);
    return json_is_number(value) && d >= -9007199254740992.0 && d <= 9007199254740992.0 &&
           d == (double)(int64_t)d;
}

static bool has_shape(const struct setting *s, const json_t *value)
{
    switch (s->shape) {
    case SHAPE_BOOL:
        return json_is_boolean(value);
    case SHAPE_INT:
        return is_whole(value);
    case SHAPE_TEXT:
        return json_is_string(value);
    case SHAPE_OBJECT:
        return json_is_object(value);
    case SHAPE_ARRAY:
        return json_is_array(value);
    case SHAPE_TEXT_OR_ARRAY:
        return json_is_string(value) || is_texts(value);
    }
    return false;
}

static bool member_fits(char shape, const json_t *value)
{
    switch (shape) {
    case 'b':
        return json_is_boolean(value);
    case 'i':
        return is_whole(value) && json_number_value(value) >= 0;
    case 's':
        return json_is_string(value);
    case 'a':
        return is_texts(value);
    default:
        return json_is_object(value);
    }
}

static const char *member_words(char shape)
{
    return shape == 'b'   ? "true or false"
           : shape == 'i' ? "a whole number, 0 or more"
           : shape == 's' ? "a text"
           : shape == 'a' ? "an array of texts"
                          : "an object";
}

/* `members` is "name:shape name:shape ". */
static enum hob_code check_members(const struct setting *s, const json_t *value, struct hob_err *err)
{
    const char *name;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)value, name, member)
    {
        char want[72];
        int n = snprintf(want, sizeof want, "%.64s:", name);
        const char *at = strstr(s->members, want);
        while (at && at != s->members && at[-1] != ' ')
            at = strstr(at + 1, want);
        if (!at || n < 2)
            return hob_fail(err, HOB_E_INVALID, "setting '%s' has no member '%.64s'; it takes %s", s->name,
                            name, s->members);
        if (!member_fits(at[n], member))
            return hob_fail(err, HOB_E_INVALID, "setting '%s.%s' must be %s", s->name, name,
                            member_words(at[n]));
    }
    return HOB_OK;
}

enum hob_code setting_check(enum backend_setting which, const json_t *value, struct hob_err *err)
{
    const struct setting *s = &table[which];
    if (!has_shape(s, value))
        return hob_fail(err, HOB_E_INVALID, "setting '%s' must be %s", s->name, shape_names[s->shape]);
    double d = json_number_value(value);
    if (s->shape == SHAPE_INT && (d < (double)s->min || d > (double)s->max))
        return hob_fail(err, HOB_E_INVALID, "setting '%s' is %.0f; %lld to %lld is allowed", s->name, d,
                        (long long)s->min, (long long)s->max);
    return s->members ? check_members(s, value, err) : HOB_OK;
}
