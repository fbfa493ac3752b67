/* Inside of api/parse/: one request of a Parse client, and what the files of the face give one another. */
#pragma once

#include "api/parse/parse.h"
#include "api/server/http.h"
#include "base/json.h"

#define PARSE_MOUNT "/parse"

struct parse_face {
    struct parse_face_options o;
    struct rates *rates;
    struct parse_face_stats stats;
};

struct parse_call { /* in the exchange's arena; ends with on_close */
    struct parse_face *face;
    struct http_exchange *x;
    struct hob_buf body;
    struct hob_str path; /* below the mount */
    json_t *params;      /* owned */
    struct backend_call *asked;
    struct spool *spool;      /* owned; of an upload */
    struct download *waiting; /* for what the backend says of a file */
    bool is_answered, is_upload, is_gone;
    /* what was said about the caller */
    struct hob_str method, application_id, master_key, maintenance_key, session_token, installation_id,
        context_text, idempotency_key;
    struct hob_str client_keys[4]; /* by enum parse_client_key */
    json_t *context, *headers;     /* owned */
    const struct backend_app *app; /* of this turn of the loop only */
    enum backend_role role;
};

/* face.c */
void parse_answer(struct parse_call *c, int status, struct hob_str json);
void parse_refuse(struct parse_call *c, const struct hob_err *err);
/* 403 {"error":"unauthorized"}: nothing more is told. */
void parse_unauthorized(struct parse_call *c);
void parse_ask(struct parse_call *c);
void parse_call_done(struct parse_call *c); /* frees what it holds */

/* keys.c */
enum parse_client_key { KEY_CLIENT, KEY_JAVASCRIPT, KEY_REST, KEY_DOTNET };
void keys_from_headers(struct parse_call *c);
/* Takes the underscore members out of the body; they speak when no header named an app. False: one is no text. */
bool keys_from_body(struct parse_call *c);
/* Finds the app and the role; false: unauthorized. */
bool keys_judge(struct parse_call *c);

/* address.c */
/* Is a numeric address in a list of addresses and networks ("10.0.0.0/8", "::1")? */
bool address_is_listed(const char *address, const json_t *list);

/* cors.c */
enum { PARSE_CORS_FIELDS = 5 };
size_t parse_cors(const struct parse_call *c, struct http_field *out);

/* rate.c */
struct rates;
HOB_MUST_USE struct rates *rates_new(void);
void rates_free(struct rates *r);
/* Counts the request; false: one rule has had enough. *ret_message is borrowed for the turn. */
bool rates_take(struct rates *r, const struct parse_call *c, const char **ret_message);

/* pages.c */
/* What people and services ask for without keys, below /apps/ID/. False: it is none of it. */
bool parse_pages_handle(struct parse_call *c);

/* files.c */
/* GET of a file or its metadata, and uploads of bytes. False: it is neither. */
bool parse_files_handle(struct parse_call *c);
void parse_download_forget(struct download *d);
void parse_upload_body(struct parse_call *c, struct hob_str data);
void parse_upload_end(struct parse_call *c);
