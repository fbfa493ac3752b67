/* Errors: one small struct on the caller's stack, always the last parameter.
 * A message says what, which value, and what would be right. Programmer errors never travel here: they assert.
 * Not thread-bound. */
#pragma once

#include "base/compiler.h"

/* Closed list; err.c holds one table that gives each its HTTP status, reason, Parse code, Lambda error type
 * and CLI exit code. */
enum hob_code {
    HOB_OK = 0,
    HOB_E_INVALID,      /* what was sent is not well-formed or not allowed here */
    HOB_E_UNAUTHORIZED, /* no or wrong credentials */
    HOB_E_FORBIDDEN,    /* right credentials, not allowed */
    HOB_E_NOT_FOUND,
    HOB_E_CONFLICT,    /* exists already, or changed meanwhile */
    HOB_E_TOO_LARGE,   /* over a limit of `hob limits` */
    HOB_E_UNSUPPORTED, /* known, but not supported (yet) */
    HOB_E_BUSY,        /* over a rate or a queue bound: try again later */
    HOB_E_UNAVAILABLE, /* a part that is needed is not there now */
    HOB_E_TIMEOUT,
    HOB_E_CANCELLED,
    HOB_E_FUNCTION, /* the function itself failed */
    HOB_E_NO_SPACE,
    HOB_E_INTERNAL,
    HOB_E_COUNT_
};

struct hob_err {
    enum hob_code code;
    int errnum;         /* the errno behind it, or 0 */
    int detail;         /* the number that Parse gives it, when the table's is too coarse; 0: the table's */
    const char *reason; /* static snake_case slug, finer than the code ("queue_full"); NULL: the code's own */
    char msg[240];
};

struct hob_code_info {
    const char *reason; /* "not_found": the slug people and programs see */
    const char *title;  /* "Not Found": short, for people */
    int http_status;
    int parse_code;
    const char *lambda_type;
    int exit_code; /* of the command line */
};

/* Fills *err and returns the code, so that failing is one line. `err` may be NULL. */
HOB_COLD HOB_PRINTF(3, 4) enum hob_code
    hob_fail(struct hob_err *err, enum hob_code code, const char *fmt, ...);
/* The same with a reason slug (a string literal). */
HOB_COLD HOB_PRINTF(4, 5) enum hob_code
    hob_fail_reason(struct hob_err *err, enum hob_code code, const char *reason, const char *fmt, ...);
/* The same with the number that a Parse client is told. */
HOB_COLD HOB_PRINTF(4, 5) enum hob_code
    hob_fail_parse(struct hob_err *err, enum hob_code code, int parse_code, const char *fmt, ...);
/* The number a Parse client is told. */
int hob_err_parse_code(const struct hob_err *err);
/* The same from an errno: appends its text. ENOSPC and EDQUOT become HOB_E_NO_SPACE. */
HOB_COLD HOB_PRINTF(3, 4) enum hob_code hob_fail_errno(struct hob_err *err, int errnum, const char *fmt, ...);
/* Puts "context: " before the message; returns err->code. */
HOB_COLD HOB_PRINTF(2, 3) enum hob_code hob_err_wrap(struct hob_err *err, const char *fmt, ...);
/* The row of the table; never NULL. */
const struct hob_code_info *hob_code_info(enum hob_code code);
/* err->reason, else the code's own slug. */
const char *hob_err_reason(const struct hob_err *err);
/* Thread-safe strerror: returns a pointer into a thread-local buffer. */
const char *hob_errno_text(int errnum);
