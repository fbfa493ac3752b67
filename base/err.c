#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static const struct hob_code_info table[HOB_E_COUNT_] = {
    /*                      reason            title                    HTTP Parse Lambda type                     exit */
    [HOB_OK] = {"ok", "OK", 200, 0, "", 0},
    [HOB_E_INVALID] = {"invalid", "Bad Request", 400, 107, "InvalidParameterValueException", 2},
    [HOB_E_UNAUTHORIZED] = {"unauthorized", "Unauthorized", 401, 209, "UnrecognizedClientException", 4},
    [HOB_E_FORBIDDEN] = {"forbidden", "Forbidden", 403, 119, "AccessDeniedException", 4},
    [HOB_E_NOT_FOUND] = {"not_found", "Not Found", 404, 101, "ResourceNotFoundException", 3},
    [HOB_E_CONFLICT] = {"conflict", "Conflict", 409, 137, "ResourceConflictException", 5},
    [HOB_E_TOO_LARGE] = {"too_large", "Content Too Large", 413, 116, "RequestTooLargeException", 6},
    [HOB_E_UNSUPPORTED] = {"not_supported", "Not Implemented", 501, 108, "InvalidParameterValueException", 7},
    [HOB_E_BUSY] = {"busy", "Too Many Requests", 429, 155, "TooManyRequestsException", 8},
    [HOB_E_UNAVAILABLE] = {"unavailable", "Service Unavailable", 503, 100, "ServiceException", 8},
    [HOB_E_TIMEOUT] = {"timeout", "Gateway Timeout", 504, 124, "Sandbox.Timedout", 9},
    [HOB_E_CANCELLED] = {"cancelled", "Client Closed Request", 499, 100, "ServiceException", 130},
    [HOB_E_FUNCTION] = {"function_failed", "Bad Gateway", 502, 141, "Unhandled", 10},
    [HOB_E_NO_SPACE] = {"no_space", "Insufficient Storage", 507, 140, "ServiceException", 11},
    [HOB_E_INTERNAL] = {"internal", "Internal Server Error", 500, 1, "ServiceException", 1},
};

const struct hob_code_info *hob_code_info(enum hob_code code)
{
    if ((unsigned)code >= HOB_E_COUNT_)
        code = HOB_E_INTERNAL;
    return &table[code];
}

const char *hob_err_reason(const struct hob_err *err)
{
    return err->reason ? err->reason : hob_code_info(err->code)->reason;
}

const char *hob_errno_text(int errnum)
{
    static _Thread_local char buf[96];
#ifdef __GLIBC__
    /* GNU strerror_r may return a static string instead of filling the buffer. */
    return strerror_r(errnum, buf, sizeof buf);
#else
    if (strerror_r(errnum, buf, sizeof buf) != 0)
        (void)snprintf(buf, sizeof buf, "error %d", errnum);
    return buf;
#endif
}

static void fill(struct hob_err *err, enum hob_code code, const char *reason, const char *fmt, va_list ap)
{
    if (!err)
        return;
    err->code = code;
    err->errnum = 0;
    err->detail = 0;
    err->reason = reason;
    (void)vsnprintf(err->msg, sizeof err->msg, fmt, ap);
}

enum hob_code hob_fail(struct hob_err *err, enum hob_code code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fill(err, code, NULL, fmt, ap);
    va_end(ap);
    return code;
}

enum hob_code hob_fail_reason(struct hob_err *err, enum hob_code code, const char *reason, const char *fmt,
                              ...)
{
    va_list ap;
    va_start(ap, fmt);
    fill(err, code, reason, fmt, ap);
    va_end(ap);
    return code;
}

enum hob_code hob_fail_parse(struct hob_err *err, enum hob_code code, int parse_code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fill(err, code, NULL, fmt, ap);
    va_end(ap);
    if (err)
        err->detail = parse_code;
    return code;
}

int hob_err_parse_code(const struct hob_err *err)
{
    return err->detail ? err->detail : hob_code_info(err->code)->parse_code;
}

static enum hob_code code_of_errno(int errnum)
{
    switch (errnum) {
    case ENOSPC:
    case EDQUOT:
        return HOB_E_NO_SPACE;
    case ENOENT:
        return HOB_E_NOT_FOUND;
    case EEXIST:
        return HOB_E_CONFLICT;
    case ETIMEDOUT:
        return HOB_E_TIMEOUT;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ECONNREFUSED:
        return HOB_E_UNAVAILABLE;
    default:
        return HOB_E_INTERNAL;
    }
}

enum hob_code hob_fail_errno(struct hob_err *err, int errnum, const char *fmt, ...)
{
    enum hob_code code = code_of_errno(errnum);
    if (!err)
        return code;
    va_list ap;
    va_start(ap, fmt);
    fill(err, code, NULL, fmt, ap);
    va_end(ap);
    err->errnum = errnum;
    size_t n = strlen(err->msg);
    (void)snprintf(err->msg + n, sizeof err->msg - n, ": %s", hob_errno_text(errnum));
    return code;
}

enum hob_code hob_err_wrap(struct hob_err *err, const char *fmt, ...)
{
    char old[sizeof err->msg];
    memcpy(old, err->msg, sizeof old);
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(err->msg, sizeof err->msg, fmt, ap);
    va_end(ap);
    size_t n = strlen(err->msg);
    (void)snprintf(err->msg + n, sizeof err->msg - n, ": %.*s", (int)sizeof old, old);
    return err->code;
}

void hob_assert_failed(const char *cond, const char *file, int line, const char *func)
{
    hob_log(HOB_LOG_ERROR, "assert.failed", "cond=\"%s\" at=%s:%d func=%s", cond, file, line, func);
    abort();
}
