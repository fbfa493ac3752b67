/* The Docker Engine API over HTTP: libcurl's multi interface on the libuv loop, over a Unix socket or TCP with TLS. Never
 * the docker command. Knows nothing of containers; whoever asks knows the paths.
 *
 * Lives on the loop's thread. Every call ends exactly once, from the loop and never from inside docker_call_start, unless
 * it is cancelled: then it ends without a word. Answers are strangers' words: bounded (DOCKER_ANSWER_BYTES_MAX, a stream's
 * line DOCKER_LINE_BYTES_MAX), parsed behind the depth guard of base/json.h, and late ones are cut off by a deadline. */
#pragma once

#include <uv.h>

#include "base/json.h"

enum {
    DOCKER_ANSWER_BYTES_MAX = 4 * 1024 * 1024,
    DOCKER_LINE_BYTES_MAX = 64 * 1024,
    DOCKER_HEAD_BYTES_MAX = 32 * 1024,
};

struct docker_api;
struct docker_call;

/* Where an engine listens: unix:///path, or tcp://host:port with ca.pem, cert.pem and key.pem below `cert_dir`. */
struct docker_target {
    char *socket_path; /* NULL: TCP */
    char *base_url;    /* "http://docker", "https://host:port" */
    char *cert_dir;    /* NULL: no TLS */
};
/* HOB_E_INVALID with what would be right. TCP without TLS is refused unless it is the loopback. */
HOB_MUST_USE enum hob_code docker_target_parse(struct docker_target *ret_target, const char *host,
                                               const char *cert_dir, struct hob_err *err);
void docker_target_done(struct docker_target *t);

struct docker_request {
    const char *method, *path; /* path behind the version, "/containers/json?all=1"; copied */
    struct hob_str body;       /* JSON, copied; at == NULL: none */
    int body_fd;         /* > 0: this file's bytes instead, as application/x-tar; borrowed until the end */
    uint32_t timeout_ms; /* 0: none, for streams */
    bool is_unversioned; /* without "/v1.41" in front */
    const char *registry_auth; /* X-Registry-Auth, or NULL; copied */
    /* A stream: each line as it comes, borrowed; then the answer has no body. */
    void (*line)(void *ctx, const json_t *line);
};
struct docker_answer {
    int status;         /* 0: there was none */
    const json_t *json; /* NULL: no JSON object or list; borrowed */
    struct hob_str body;
    char api_version[16]; /* the Api-Version field, or "" */
};
/* `err` is NULL for 1xx to 3xx. Else: HOB_E_UNAVAILABLE (nobody there: errnum says why), HOB_E_TIMEOUT, HOB_E_INVALID
 * (malformed, too large), or what the status means, with the engine's own message. */
typedef void (*docker_done_cb)(void *ctx, const struct docker_answer *a, const struct hob_err *err);

/* Takes nothing; `t` is borrowed for the life. */
struct docker_api *docker_api_new(uv_loop_t *loop, const struct docker_target *t);
/* "1.41": put in front of paths from now on. */
void docker_api_set_version(struct docker_api *a, const char *version);
struct docker_call *docker_call_start(struct docker_api *a, const struct docker_request *r,
                                      docker_done_cb done, void *ctx);
void docker_call_cancel(struct docker_call *c); /* NULL is fine */
/* Its end is told to somebody else: for what must be put right although nobody waits for it any more. */
void docker_call_redirect(struct docker_call *c, docker_done_cb done, void *ctx);
unsigned docker_api_calls(const struct docker_api *a);
/* Cancels what runs; frees itself when libuv is done, then `closed` (may be NULL). */
void docker_api_close(struct docker_api *a, void (*closed)(void *ctx), void *ctx);
