/* Speaking HTTP with a Hob server: one libcurl handle whose connection is used again. Blocking, one thread. */
#pragma once

#include "cli/cli.h"

enum { RESPONSE_BYTES_MAX = 64 << 20 };

struct request {
    const char *method;
    const char *path; /* begins with '/', already encoded (url_path) */
    struct hob_str body;
    int body_fd; /* > 0: sent instead of `body`, body_bytes from its start */
    uint64_t body_bytes;
    const char *content_type;
    const char *const *headers; /* "Name: value", NULL-ended, or NULL */
    uint64_t timeout_ms;        /* 0: none */
    bool is_raw;                /* every status is an answer, not an error */
    bool is_anonymous;          /* without the token */
    /* Takes the body of a 2xx answer (of any when is_raw) instead of response.body; false ends the transfer. */
    bool (*on_data)(void *ctx, struct hob_str data);
    void (*on_upload)(void *ctx, uint64_t sent, uint64_t total);
    void *ctx;
};
struct response {
    int status;
    struct hob_buf body;
    struct hob_buf head; /* "Name: value\n" lines */
};
void response_init(struct response *r);
void response_done(struct response *r);
/* First field of that name, trimmed; at == NULL when there is none. */
struct hob_str response_field(const struct response *r, const char *name);

void client_free(struct client *cl);
/* Sends and receives. Errors: what the server's problem document says (its reason and request id are kept, see below),
 * HOB_E_UNAVAILABLE with what to do when none answers, HOB_E_CANCELLED after SIGINT. */
HOB_MUST_USE enum hob_code client_send(struct cli *c, const struct request *q, struct response *ret,
                                       struct hob_err *err);
/* The same for JSON: `body` may be NULL. Returns owned. */
HOB_MUST_USE json_t *client_call(struct cli *c, const char *method, const char *path, const json_t *body,
                                 struct hob_err *err);
/* Of the last failed call: the server's reason slug and request id, or "". */
const char *client_reason(const struct client *cl);
const char *client_request_id(const struct client *cl);
/* The problem document of the last failed call, or NULL. Borrowed until the next call. */
const json_t *client_problem(const struct client *cl);
/* The server's address without a '/' at its end. Borrowed. */
HOB_MUST_USE enum hob_code client_open(struct cli *c, struct hob_err *err);
const char *client_url(const struct client *cl);

/* A path with each %s of `fmt` percent-encoded as one segment. Returns owned. */
HOB_MUST_USE char *url_path(const char *fmt, ...);

/* home.c: where the server is and what opens it. */
enum { TOKENS_MAX = 8 };
struct access {
    char *url;                 /* owned */
    char *tokens[TOKENS_MAX];  /* owned; those to try, best first */
    char *sources[TOKENS_MAX]; /* owned; where each comes from */
    size_t tokens_n;
    bool is_loopback;
};
HOB_MUST_USE enum hob_code access_find(const struct cli *c, struct access *ret_access, struct hob_err *err);
void access_done(struct access *a);
bool url_is_loopback(const char *url);
