#include "bindings/parse.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"

#include "base/banned.h"

/* Ours that fits a number of theirs; what is not named here is HOB_E_INVALID. */
static const struct {
    enum parse_code parse;
    enum hob_code code;
} kinds[] = {
    {PARSE_INTERNAL, HOB_E_INTERNAL},
    {PARSE_OBJECT_NOT_FOUND, HOB_E_NOT_FOUND},
    {PARSE_COMMAND_UNAVAILABLE, HOB_E_UNSUPPORTED},
    {PARSE_OBJECT_TOO_LARGE, HOB_E_TOO_LARGE},
    {PARSE_FILE_TOO_LARGE, HOB_E_TOO_LARGE},
    {PARSE_OPERATION_FORBIDDEN, HOB_E_FORBIDDEN},
    {PARSE_TIMEOUT, HOB_E_TIMEOUT},
    {PARSE_DUPLICATE_VALUE, HOB_E_CONFLICT},
    {PARSE_DUPLICATE_REQUEST, HOB_E_CONFLICT},
    {PARSE_USERNAME_TAKEN, HOB_E_CONFLICT},
    {PARSE_EMAIL_TAKEN, HOB_E_CONFLICT},
    {PARSE_ACCOUNT_ALREADY_LINKED, HOB_E_CONFLICT},
    {PARSE_SCRIPT_FAILED, HOB_E_FUNCTION},
    {PARSE_REQUEST_LIMIT_EXCEEDED, HOB_E_BUSY},
    {PARSE_SESSION_MISSING, HOB_E_UNAUTHORIZED},
    {PARSE_INVALID_SESSION_TOKEN, HOB_E_UNAUTHORIZED},
};

enum hob_code parse_fail(struct hob_err *err, enum parse_code code, const char *fmt, ...)
{
    enum hob_code ours = HOB_E_INVALID;
    for (size_t i = 0; i < HOB_COUNT(kinds); i++)
        if (kinds[i].parse == code)
            ours = kinds[i].code;
    char msg[sizeof((struct hob_err *)0)->msg];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    return hob_fail_parse(err, ours, code, "%s", msg);
}

/* Refusals that the protocol answers as plain HTTP errors, without a number of its own. */
static bool is_plain(const struct hob_err *err)
{
    return err->detail == 0 && (err->code == HOB_E_FORBIDDEN || err->code == HOB_E_UNAUTHORIZED ||
                                (err->reason && strcmp(err->reason, "no_route") == 0));
}

int parse_error_status(const struct hob_err *err)
{
    if (is_plain(err))
        return err->code == HOB_E_NOT_FOUND ? 404 : 403;
    if (err->code == HOB_E_UNAVAILABLE || err->code == HOB_E_NO_SPACE || err->code == HOB_E_CANCELLED)
        return 503;
    switch (hob_err_parse_code(err)) {
    case PARSE_OBJECT_NOT_FOUND:
        return 404;
    case PARSE_INTERNAL:
        return 500;
    case PARSE_REQUEST_LIMIT_EXCEEDED:
        return 429;
    default:
        return 400;
    }
}

enum hob_code parse_error_body(const struct hob_err *err, struct hob_buf *out)
{
    struct hob_jw w;
    int code = hob_err_parse_code(err);
    hob_jw_init(&w, out);
    hob_jw_object(&w);
    if (!is_plain(err))
        hob_jw_kint(&w, "code", code);
    if (code == PARSE_INTERNAL) {
        hob_jw_kcstr(&w, "error", "Internal server error.");
        hob_jw_kcstr(&w, "message", "Internal server error.");
    } else {
        hob_jw_kcstr(&w, "error", err->msg);
    }
    hob_jw_object_end(&w);
    return hob_jw_end(&w, NULL);
}
