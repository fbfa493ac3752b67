/* Sending one mail by SMTP (libcurl), on threads of its own: libcurl waits for a mail server's last words, and a slow or
 * malicious one must not hold the loop, nor the threads that others need. A few mails at a time, the others wait.
 * Owner: the mailer. Loop's thread. */
#pragma once

#include <uv.h>

#include "base/buf.h"

struct sender;
HOB_MUST_USE struct sender *sender_new(uv_loop_t *loop, bool may_reach_private);
/* What is under way is broken off within about a second (HOB_E_CANCELLED); then `closed` once. */
void sender_close(struct sender *s, void (*closed)(void *ctx), void *ctx);

struct sender_mail {                       /* everything is copied */
    const char *server;                    /* smtp://HOST[:PORT] or smtps://HOST[:PORT] */
    const char *user, *password, *ca_file; /* NULL: none */
    bool needs_tls;                        /* nothing is said without; a password needs it anyway */
    const char *from, *to;                 /* addresses alone */
    struct hob_str text;                   /* the message, lines ended by CR LF */
};
/* Exactly once, never from inside: NULL when the server has taken it; else HOB_E_UNAVAILABLE, HOB_E_TIMEOUT,
 * HOB_E_FORBIDDEN (no address of the internet, no smtp), HOB_E_INVALID (the server refuses it for good), HOB_E_CANCELLED. */
typedef void (*sender_cb)(void *ctx, const struct hob_err *err);
void sender_start(struct sender *s, const struct sender_mail *m, sender_cb done, void *ctx);
