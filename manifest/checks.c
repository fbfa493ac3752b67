#include "manifest/manifest_priv.h"

#include <ctype.h>
#include <stdio.h>

#include "base/limits.h"
#include "base/rules/egress.h"
#include "base/rules/grant.h"
#include "base/rules/syscalls.h"
#include "manifest/cron.h"

#include "base/banned.h"

enum { ROUTE_PARAMS_MAX = 16, VAR_NAME_MAX = 128 };

enum hob_code check_name(struct judge *j, const char *value)
{
    if (hob_name_is_valid(hob_str(value)))
        return HOB_OK;
    return hob_fail(j->err, HOB_E_INVALID,
                    "%s: name '%s': use a-z, 0-9 and '-', 1 to 64 characters, a letter first, no '-' last",
                    j->path, show(value).text);
}

enum hob_code check_text(struct judge *j, const char *value)
{
    for (const char *c = value; *c; c++)
        if ((unsigned char)*c < 0x20 && *c != '\t' && *c != '\n')
            return hob_fail(j->err, HOB_E_INVALID, "%s: contains the control character 0x%02x", j->path,
                            (unsigned)(unsigned char)*c);
    return HOB_OK;
}

/* Names ---------------------------------------------------------------------------------------------------------- */

static bool is_var_shaped(const char *name)
{
    if (!isalpha((unsigned char)name[0]) && name[0] != '_')
        return false;
    size_t n = 0;
    for (; name[n]; n++)
        if (!isalnum((unsigned char)name[n]) && name[n] != '_')
            return false;
    return n <= VAR_NAME_MAX;
}

const char *var_name_reserved(const char *name)
{
    /* what the Lambda contract sets itself, and what would change the loader or the runtime under the platform */
    static const char *const names[] = {
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_MAX_CONCURRENCY",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "LAMBDA_TASK_ROOT",
        "LAMBDA_RUNTIME_DIR",
        "NODE_OPTIONS",
        "GLIBC_TUNABLES",
    };
    static const char *const prefixes[] = {"_", "HOB_", "LD_"};
    for (size_t i = 0; i < HOB_COUNT(names); i++)
        if (strcmp(names[i], name) == 0)
            return "the platform sets it";
    for (size_t i = 0; i < HOB_COUNT(prefixes); i++)
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
            return "names that start with '_', 'HOB_' or 'LD_' belong to the platform";
    return NULL;
}

static enum hob_code var_name_check(const char *name, struct hob_err *err)
{
    if (!is_var_shaped(name))
        return hob_fail(
            err, HOB_E_INVALID,
            "variable name '%s': use A-Z, a-z, 0-9 and '_', a letter first, at most %d characters",
            show(name).text, VAR_NAME_MAX);
    const char *why = var_name_reserved(name);
    if (why)
        return hob_fail_reason(err, HOB_E_INVALID, "reserved_name",
                               "variable name '%s' is reserved: %s; choose another", show(name).text, why);
    return HOB_OK;
}

enum hob_code env_var_check(const char *name, const char *value, struct hob_err *err)
{
    enum hob_code code = var_name_check(name, err);
    if (code != HOB_OK)
        return code;
    size_t n = strlen(value);
    if (n + strlen(name) > HOB_MAX_ENV_BYTES)
        return hob_fail(err, HOB_E_TOO_LARGE,
                        "value of '%s': %zu bytes are too many; a function's environment has %d", name, n,
                        HOB_MAX_ENV_BYTES);
    if (!hob_utf8_is_valid(hob_str_n(value, n)))
        return hob_fail(err, HOB_E_INVALID, "value of '%s' is not UTF-8; encode bytes as base64", name);
    return HOB_OK;
}

enum hob_code check_secret_name(struct judge *j, const char *value)
{
    if (is_var_shaped(value) && value[0] != '_')
        return HOB_OK;
    return hob_fail(j->err, HOB_E_INVALID,
                    "%s: secret name '%s': use A-Z, a-z, 0-9 and '_', a letter first, at most %d characters",
                    j->path, show(value).text, VAR_NAME_MAX);
}

/* Paths ---------------------------------------------------------------------------------------------------------- */

static bool is_dots(struct hob_str s)
{
    return hob_str_is(s, ".") || hob_str_is(s, "..");
}

enum hob_code check_entry(struct judge *j, const char *value)
{
    const char *wrong = NULL;
    struct hob_str rest = hob_str(value);
    if (rest.n > 2 && value[0] == '.' && value[1] == '/')
        rest = hob_str(value + 2);
    unsigned depth = 0;
    if (rest.n == 0 || rest.at[0] == '/')
        wrong = "a path below the folder of hob.json, without '/' in front";
    for (const char *c = value; *c && !wrong; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f || *c == '\\')
            wrong = "a path without control characters and '\\'";
    while (!wrong && rest.at) {
        struct hob_str part = hob_str_cut(rest, '/', &rest);
        if (part.n == 0 || is_dots(part))
            wrong = "a path of file names, without '.', '..' and empty parts";
        else if (++depth > HOB_MAX_PATH_DEPTH)
            wrong = "a path of at most 32 levels";
    }
    if (wrong)
        return hob_fail(j->err, HOB_E_INVALID, "%s: '%s': give %s, as in \"src/index.mjs\"", j->path,
                        show(value).text, wrong);
    return HOB_OK;
}

static bool is_hex_upper(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F');
}

/* RFC 3986 pchar but ':' and '*', which are the pattern's own; escapes only in the canonical, upper-case form. */
static bool is_literal_segment(struct hob_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.at[i];
        if (isalnum((unsigned char)c) || (c && strchr("-._~!$&'()+,;=@", c)))
            continue;
        if (c != '%' || i + 2 >= s.n || !is_hex_upper(s.at[i + 1]) || !is_hex_upper(s.at[i + 2]))
            return false;
        i += 2;
    }
    return s.n > 0 && !is_dots(s);
}

static bool is_param_name(struct hob_str s)
{
    if (s.n < 1 || s.n > 64 || isdigit((unsigned char)s.at[0]))
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!isalnum((unsigned char)s.at[i]) && s.at[i] != '_')
            return false;
    return true;
}

static enum hob_code fail_route(struct judge *j, const char *value, const char *wrong)
{
    return hob_fail(j->err, HOB_E_INVALID, "%s: route '%s': %s, as in \"/checkout/:id\" or \"/files/:rest*\"",
                    j->path, show(value).text, wrong);
}

/* What is wrong with one segment, or NULL. `names` gets the parameter's name. */
static const char *segment_wrong(struct hob_str part, bool is_last, struct hob_str *names, size_t *names_n)
{
    if (part.n == 0)
        return "empty segments and a '/' at the end are not allowed";
    if (part.at[0] != ':')
        return is_literal_segment(part)
                   ? NULL
                   : "use letters, digits and -._~!$&'()+,;=@ in a segment, others as %XX";
    struct hob_str name = hob_str_n(part.at + 1, part.n - 1);
    bool is_rest = name.n && name.at[name.n - 1] == '*';
    if (is_rest)
        name.n--;
    if (!is_param_name(name))
        return "a parameter is ':' and a name of letters, digits and '_'";
    if (is_rest && !is_last)
        return "':name*' may only be the last segment";
    if (*names_n == ROUTE_PARAMS_MAX)
        return "at most 16 parameters";
    for (size_t i = 0; i < *names_n; i++)
        if (hob_str_eq(names[i], name))
            return "each parameter needs a name of its own";
    names[(*names_n)++] = name;
    return NULL;
}

enum hob_code check_route_path(struct judge *j, const char *value)
{
    static const char *const own[] = {"fn",      "v1",      "2015-03-31", "parse",
                                      "metrics", "healthz", "readyz",     "dashboard"};
    if (value[0] != '/')
        return fail_route(j, value, "start with '/'");
    if (!value[1])
        return HOB_OK;
    struct hob_str names[ROUTE_PARAMS_MAX];
    size_t names_n = 0;
    struct hob_str rest = hob_str(value + 1);
    struct hob_str first = hob_str_cut(rest, '/', &rest);
    for (size_t i = 0; i < HOB_COUNT(own); i++)
        if (hob_str_is(first, own[i]))
            return hob_fail_reason(
                j->err, HOB_E_INVALID, "reserved_path",
                "%s: route '%s': '/%s' is the platform's own; choose another first segment", j->path,
                show(value).text, own[i]);
    for (struct hob_str part = first;; part = hob_str_cut(rest, '/', &rest)) {
        const char *wrong = segment_wrong(part, rest.at == NULL, names, &names_n);
        if (wrong)
            return fail_route(j, value, wrong);
        if (!rest.at)
            return HOB_OK;
    }
}

/* Hosts and origins ---------------------------------------------------------------------------------------------- */

/* LDH labels (RFC 1123), any case; a name, not an address with a port. */
static bool is_host(struct hob_str s)
{
    if (s.n < 1 || s.n > 253)
        return false;
    while (s.at) {
        struct hob_str label = hob_str_cut(s, '.', &s);
        if (label.n < 1 || label.n > 63 || label.at[0] == '-' || label.at[label.n - 1] == '-')
            return false;
        for (size_t i = 0; i < label.n; i++)
            if (!isalnum((unsigned char)label.at[i]) && label.at[i] != '-')
                return false;
    }
    return true;
}

enum hob_code check_host(struct judge *j, const char *value)
{
    struct hob_str s = hob_str(value);
    if (hob_str_starts(s, HOB_STR("*.")))
        s = hob_str(value + 2);
    if (is_host(s))
        return HOB_OK;
    return hob_fail(j->err, HOB_E_INVALID,
                    "%s: host '%s': give a name without port, as in \"shop.example\" or \"*.shop.example\"",
                    j->path, show(value).text);
}

enum hob_code check_origin(struct judge *j, const char *value)
{
    if (strcmp(value, "*") == 0)
        return HOB_OK;
    struct hob_str s = hob_str(value);
    bool is_http = hob_str_starts(s, HOB_STR("http://")) || hob_str_starts(s, HOB_STR("https://"));
    if (is_http) {
        struct hob_str port, host = hob_str_cut(hob_str(strchr(value, '/') + 2), ':', &port);
        uint64_t number = 1;
        bool is_lower = true;
        for (size_t i = 0; i < host.n; i++)
            is_lower = is_lower && !isupper((unsigned char)host.at[i]);
        if (is_host(host) && is_lower &&
            (!port.at || (hob_str_u64(port, &number) && number > 0 && number < 65536)))
            return HOB_OK;
    }
    return hob_fail(
        j->err, HOB_E_INVALID,
        "%s: origin '%s': give scheme and lower-case host without path, as in \"https://shop.example\", or \"*\"",
        j->path, show(value).text);
}

enum hob_code check_egress(struct judge *j, const char *value)
{
    struct hob_egress_rule rule;
    if (hob_egress_rule_parse(hob_str(value), &rule, j->err) == HOB_OK)
        return HOB_OK;
    return hob_err_wrap(j->err, "%s", j->path);
}

enum hob_code check_syscall(struct judge *j, const char *value)
{
    if (hob_syscall_find(hob_str(value)) >= 0)
        return HOB_OK;
    const char *like = hob_nearest(value, hob_syscall_names(), hob_syscalls_count());
    return hob_fail(j->err, HOB_E_INVALID, "%s: '%s' is no system call that a sandbox allows%s%s%s", j->path,
                    show(value).text, like ? "; did you mean '" : "", like ? like : "", like ? "'?" : "");
}

enum hob_code check_binding(struct judge *j, const char *value)
{
    struct hob_grant grant;
    if (hob_grant_parse(hob_str(value), &grant, j->err) == HOB_OK)
        return HOB_OK;
    return hob_err_wrap(j->err, "%s", j->path);
}

/* What a registry could be asked for: letters, digits and ._-/:@, without tricks of paths and queries. */
enum hob_code check_image(struct judge *j, const char *value)
{
    size_t n = strlen(value);
    bool is_good = isalnum((unsigned char)value[0]) && !strstr(value, "..") && !strstr(value, "//") &&
                   !strchr("/:@", value[n - 1]);
    for (size_t i = 0; i < n && is_good; i++)
        is_good = isalnum((unsigned char)value[i]) || strchr("._-/:@", value[i]);
    if (is_good)
        return HOB_OK;
    return hob_fail(j->err, HOB_E_INVALID,
                    "%s: '%s' is no image; give an ID (sha256: and 64 digits) or a name as in \"app:3\"",
                    j->path, show(value).text);
}

/* What may stand in a request line as it is. */
enum hob_code check_hook(struct judge *j, const char *value)
{
    bool is_good = value[0] == '/';
    for (const char *c = value; *c && is_good; c++)
        is_good = *c > ' ' && *c < 0x7f && *c != '#';
    if (is_good)
        return HOB_OK;
    return hob_fail(j->err, HOB_E_INVALID, "%s: '%s' is no path; give one as \"/healthz\"", j->path,
                    show(value).text);
}

enum hob_code check_pull(struct judge *j, const char *value)
{
    if (strcmp(value, "missing") == 0 || strcmp(value, "always") == 0 || strcmp(value, "never") == 0)
        return HOB_OK;
    return hob_fail(j->err, HOB_E_INVALID,
                    "%s: '%s' is no time to pull; say \"missing\", \"always\" or \"never\"", j->path,
                    show(value).text);
}

enum hob_code check_date(struct judge *j, const char *value)
{
    static const unsigned days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    uint64_t y, m, d;
    if (strlen(value) == 10 && value[4] == '-' && value[7] == '-' && hob_str_u64(hob_str_n(value, 4), &y) &&
        hob_str_u64(hob_str_n(value + 5, 2), &m) && hob_str_u64(hob_str_n(value + 8, 2), &d) && y >= 2000 &&
        m >= 1 && m <= 12 && d >= 1 && d <= days[m - 1])
        return HOB_OK;
    return hob_fail(j->err, HOB_E_INVALID, "%s: '%s' is not a day; give one as \"2026-12-01\"", j->path,
                    show(value).text);
}

/* Times ---------------------------------------------------------------------------------------------------------- */

enum hob_code check_cron(struct judge *j, const char *value)
{
    struct hob_cron cron;
    struct hob_err e;
    if (hob_cron_parse(value, &cron, &e) != HOB_OK)
        return hob_fail(j->err, HOB_E_INVALID, "%s: %s", j->path, e.msg);
    return HOB_OK;
}

enum hob_code check_span(struct judge *j, const char *value)
{
    uint32_t s;
    struct hob_err e;
    if (hob_span_parse(value, &s, &e) != HOB_OK)
        return hob_fail(j->err, HOB_E_INVALID, "%s: %s", j->path, e.msg);
    return HOB_OK;
}
