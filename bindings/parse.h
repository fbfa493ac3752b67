/* The numbers of the Parse protocol's errors, and how one of ours becomes such an answer. The words are those of
 * parse-server where an SDK looks at them. Not thread-bound. */
#pragma once

#include "base/buf.h"

enum parse_code {
    PARSE_OTHER_CAUSE = -1,
    PARSE_INTERNAL = 1,
    PARSE_OBJECT_NOT_FOUND = 101,
    PARSE_INVALID_QUERY = 102,
    PARSE_INVALID_CLASS_NAME = 103,
    PARSE_MISSING_OBJECT_ID = 104,
    PARSE_INVALID_KEY_NAME = 105,
    PARSE_INVALID_POINTER = 106,
    PARSE_INVALID_JSON = 107,
    PARSE_COMMAND_UNAVAILABLE = 108,
    PARSE_INCORRECT_TYPE = 111,
    PARSE_INVALID_CHANNEL_NAME = 112,
    PARSE_PUSH_MISCONFIGURED = 115,
    PARSE_OBJECT_TOO_LARGE = 116,
    PARSE_OPERATION_FORBIDDEN = 119,
    PARSE_INVALID_NESTED_KEY = 121,
    PARSE_INVALID_FILE_NAME = 122,
    PARSE_INVALID_ACL = 123,
    PARSE_TIMEOUT = 124,
    PARSE_INVALID_EMAIL_ADDRESS = 125,
    PARSE_FILE_TOO_LARGE = 129,
    PARSE_FILE_SAVE_ERROR = 130,
    PARSE_INSTALLATION_AMBIGUOUS = 132,
    PARSE_MISSING_REQUIRED = 135,
    PARSE_FIELD_FIXED = 136,
    PARSE_DUPLICATE_VALUE = 137,
    PARSE_INVALID_ROLE_NAME = 139,
    PARSE_EXCEEDED_QUOTA = 140,
    PARSE_SCRIPT_FAILED = 141,
    PARSE_VALIDATION_ERROR = 142,
    PARSE_HOOK_ERROR = 143,
    PARSE_FILE_DELETE_ERROR = 153,
    PARSE_REQUEST_LIMIT_EXCEEDED = 155,
    PARSE_DUPLICATE_REQUEST = 159,
    PARSE_INVALID_VALUE = 162,
    PARSE_USERNAME_MISSING = 200,
    PARSE_PASSWORD_MISSING = 201,
    PARSE_USERNAME_TAKEN = 202,
    PARSE_EMAIL_TAKEN = 203,
    PARSE_EMAIL_MISSING = 204,
    PARSE_EMAIL_NOT_FOUND = 205,
    PARSE_SESSION_MISSING = 206,
    PARSE_ACCOUNT_ALREADY_LINKED = 208,
    PARSE_INVALID_SESSION_TOKEN = 209,
    PARSE_MFA_ERROR = 210,
    PARSE_MFA_TOKEN_REQUIRED = 211,
    PARSE_LINKED_ID_MISSING = 250,
    PARSE_INVALID_LINKED_SESSION = 251,
    PARSE_UNSUPPORTED_SERVICE = 252,
    PARSE_INVALID_SCHEMA_OPERATION = 255,
};

/* Fills *err with that number and a fitting code of ours; returns the code. */
HOB_COLD HOB_PRINTF(3, 4) enum hob_code
    parse_fail(struct hob_err *err, enum parse_code code, const char *fmt, ...);
/* HTTP status of an error: 101 gives 404, errors of our own (1) 500, 155 429, every other one 400. A full disk or a
 * missing part gives 503 with code 100 or 140, since the request may be repeated. */
int parse_error_status(const struct hob_err *err);
/* Appends {"code":n,"error":"..."}. What is our own fault says "Internal server error." and no more. */
HOB_MUST_USE enum hob_code parse_error_body(const struct hob_err *err, struct hob_buf *out);
