/* Pages for people who follow the link of a mail, and what other services fetch of an app without a key:
 *
 *   GET  /apps/ID/verify_email?token            the address is verified
 *   GET  /apps/ID/request_password_reset?token  a form for a new password
 *   POST /apps/ID/request_password_reset        token, new_password: as a form, or by script (answered in JSON)
 *   POST /apps/ID/resend_verification_email     email: another mail
 *   GET  /apps/ID/jwks.json                     the public keys of the app's tokens
 *
 * Plain HTML without scripts; the token in the address is told to nobody else (no referrer, no cache, no frames). */
#include <stdlib.h>
#include <string.h>

#include "api/parse/parse_priv.h"
#include "base/mem.h"
#include "bindings/query_params.h"

#include "base/banned.h"

enum { BODY_BYTES_MAX = 16 * 1024, PAGE_BYTES_MAX = 64 * 1024, APP_ID_BYTES_MAX = 128 };
enum page_kind { PAGE_VERIFY, PAGE_RESET_FORM, PAGE_RESET, PAGE_RESEND, PAGE_JWKS, PAGES_ };

static const struct page_row {
    const char *method, *name, *path; /* path: of the backend */
    const char *backend_method;
} rows[PAGES_] = {
    [PAGE_VERIFY] = {"GET", "verify_email", "/pages/verify_email", "POST"},
    [PAGE_RESET_FORM] = {"GET", "request_password_reset", "/pages/check_reset", "POST"},
    [PAGE_RESET] = {"POST", "request_password_reset", "/pages/reset_password", "POST"},
    [PAGE_RESEND] = {"POST", "resend_verification_email", "/verificationEmailRequest", "POST"},
    [PAGE_JWKS] = {"GET", "jwks.json", "/auth/jwks", "GET"},
};

struct page { /* in the exchange's arena */
    struct parse_call *c;
    enum page_kind kind;
    struct hob_buf body;
    char *app; /* name; owned */
    struct backend_call *asked;
    bool is_script, is_answered;
    char *token; /* owned; NULL: none */
};

/* --- answers --- */
static void respond(struct page *p, int status, const char *type, struct hob_str body)
{
    const struct http_field fields[] = {
        {HOB_STR("Content-Type"), hob_str(type)},
        {HOB_STR("Cache-Control"),
         p->kind == PAGE_JWKS ? HOB_STR("public, max-age=300") : HOB_STR("no-store")},
        {HOB_STR("Referrer-Policy"), HOB_STR("no-referrer")},
        {HOB_STR("X-Content-Type-Options"), HOB_STR("nosniff")},
        {HOB_STR("X-Frame-Options"), HOB_STR("DENY")},
        {HOB_STR("Content-Security-Policy"),
         HOB_STR(
             "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'")},
    };
    if (!p->is_answered)
        http_respond(p->c->x, status, fields, HOB_COUNT(fields), body);
    p->is_answered = true;
}

static void add_escaped(struct hob_buf *out, const char *text)
{
    static const char special[] = "&<>\"'";
    static const char *const as[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
    for (; text && *text; text++) {
        const char *found = strchr(special, *text);
        (void)!(found ? hob_buf_add_str(out, hob_str(as[found - special])) : hob_buf_add(out, text, 1));
    }
}

static void add(struct hob_buf *out, const char *html)
{
    (void)!hob_buf_add_str(out, hob_str(html)); /* a page is far smaller than its limit */
}

static void add_form(struct hob_buf *out, const char *token)
{
    add(out, "<form method=\"post\"><input type=\"hidden\" name=\"token\" value=\"");
    add_escaped(out, token);
    add(out,
        "\"><label>New password<br><input type=\"password\" name=\"new_password\" required "
        "autocomplete=\"new-password\" maxlength=\"4096\" autofocus></label><br><button>Set it</button></form>");
}

static void show(struct page *p, int status, const char *title, const char *words, bool has_form)
{
    struct hob_buf out hob_auto_buf;
    hob_buf_init(&out, PAGE_BYTES_MAX);
    add(&out, "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" "
              "content=\"width=device-width\"><title>");
    add_escaped(&out, title);
    add(&out,
        "</title><style>body{font:1rem/1.5 system-ui,sans-serif;max-width:26rem;margin:4rem auto;padding:0 1rem;"
        "color:#222;background:#fff}input{font:inherit;width:100%;padding:.4rem;box-sizing:border-box}"
        "button{font:inherit;margin-top:1rem;padding:.4rem 1.2rem}</style><h1>");
    add_escaped(&out, title);
    add(&out, "</h1><p>");
    add_escaped(&out, words);
    add(&out, "</p>");
    if (has_form)
        add_form(&out, p->token);
    add(&out, "</html>\n");
    respond(p, status, "text/html; charset=utf-8", hob_buf_str(&out));
}

static void show_refusal(struct page *p, const json_t *json)
{
    const char *words = json_string_value(json_object_get(json, "error"));
    bool is_link = json_integer_value(json_object_get(json, "code")) == 101;
    words = words ? words : "Something went wrong. Please try again later.";
    if (is_link || p->kind == PAGE_VERIFY || p->kind == PAGE_RESET_FORM)
        show(p, 400, "This link does not work", words, false);
    else /* a password that the app's policy refuses: another may be tried */
        show(p, 400, "Please try again", words, p->kind == PAGE_RESET);
}

static void show_success(struct page *p, const json_t *json)
{
    const char *name = json_string_value(json_object_get(json, "username"));
    switch (p->kind) {
    case PAGE_VERIFY:
        show(p, 200, "E-mail verified", "Your e-mail address has been verified.", false);
        return;
    case PAGE_RESET_FORM:
        show(p, 200, "Set a new password", name ? name : "", true);
        return;
    case PAGE_RESET:
        show(p, 200, "Password set", "Your new password has been set. You may log in with it now.", false);
        return;
    case PAGE_RESEND:
        show(p, 200, "Mail sent", "If the address is waiting to be verified, a mail is on its way.", false);
        return;
    case PAGE_JWKS:
    case PAGES_:
    default:
        HOB_ASSERT(!"answered before");
    }
}

/* --- the backend --- */
static void on_answer(void *ctx, const struct backend_answer *a)
{
    struct page *p = ctx;
    struct hob_err unused;
    p->asked = NULL;
    if (p->kind == PAGE_JWKS || p->is_script) {
        respond(p, a->status, "application/json; charset=utf-8", a->json);
        return;
    }
    json_t *json hob_auto_json = hob_json_parse(a->json, "the answer", &unused);
    if (a->status >= 400)
        show_refusal(p, json);
    else
        show_success(p, json);
}

static void ask(struct page *p, json_t *params)
{
    const struct http_request *rq = http_request(p->c->x);
    const char *token = json_string_value(json_object_get(params, "token"));
    p->token = hob_strdup(token ? token : "");
    struct backend_request r = {.app = p->app,
                                .method = hob_str(rows[p->kind].backend_method),
                                .path = hob_str(rows[p->kind].path),
                                .params = params,
                                .role = BACKEND_CLIENT,
                                .remote = hob_str(rq->remote),
                                .request_id = hob_str(rq->request_id)};
    p->asked = backend_ask(p->c->face->o.backend, &r, on_answer, p);
}

/* Members of a form or a query: texts, whatever they look like. */
static json_t *read_form(struct hob_str text)
{
    json_t *params = json_object();
    struct hob_str rest = text;
    while (rest.at && rest.n && json_object_size(params) < 16) {
        struct hob_str value, name = hob_str_cut(hob_str_cut(rest, '&', &rest), '=', &value);
        size_t name_n = 0, value_n = 0;
        hob_auto_free char *plain_name = url_decode(name, true, &name_n);
        hob_auto_free char *plain = value.at ? url_decode(value, true, &value_n) : hob_strdup("");
        json_t *j = json_stringn(plain, value_n);
        if (j)
            (void)json_object_set_new(params, plain_name, j);
    }
    return params;
}

/* --- the exchange --- */
static void on_body(void *ctx, struct hob_str data)
{
    struct page *p = ctx;
    (void)!hob_buf_add_str(&p->body, data); /* the server refuses a longer one first */
    http_consumed(p->c->x, data.n);
}

static void on_body_end(void *ctx, const struct http_field *trailers, size_t n)
{
    struct page *p = ctx;
    struct hob_err unused;
    struct hob_str text = hob_buf_str(&p->body), type = http_field(p->c->x, "content-type");
    (void)trailers;
    (void)n;
    if (p->is_answered)
        return;
    bool is_json = hob_str_starts(type, HOB_STR("application/json"));
    p->is_script = is_json || hob_str_ieq(http_field(p->c->x, "x-requested-with"), HOB_STR("XMLHttpRequest"));
    json_t *params hob_auto_json = is_json ? hob_json_parse(text, "the body", &unused) : read_form(text);
    if (json_is_object(params))
        ask(p, params);
    else
        respond(p, 400, "application/json; charset=utf-8",
                HOB_STR("{\"error\":\"the body must be a JSON object\"}"));
}

static void on_abort(void *ctx, const struct hob_err *err)
{
    struct page *p = ctx;
    (void)err;
    p->is_answered = true;
    if (p->asked)
        backend_forget(p->asked);
    p->asked = NULL;
}

static void on_close(void *ctx)
{
    struct page *p = ctx;
    on_abort(p, NULL);
    hob_buf_done(&p->body);
    free(p->app);
    free(p->token);
}

/* "/apps/ID/NAME": false when it is none of ours. */
static bool find_page(const struct parse_call *c, struct hob_str *ret_id, enum page_kind *ret_kind)
{
    struct hob_str name;
    if (!hob_str_starts(c->path, HOB_STR("/apps/")))
        return false;
    *ret_id = hob_str_cut(hob_str_n(c->path.at + 6, c->path.n - 6), '/', &name);
    for (unsigned k = 0; name.at && k < PAGES_; k++) {
        *ret_kind = (enum page_kind)k;
        if (hob_str_is(name, rows[k].name) && hob_str_is(c->method, rows[k].method))
            return true;
    }
    return false;
}

bool parse_pages_handle(struct parse_call *c)
{
    static const struct http_events events = {
        .on_body = on_body, .on_body_end = on_body_end, .on_abort = on_abort, .on_close = on_close};
    struct hob_str id;
    enum page_kind kind = PAGES_;
    if (!find_page(c, &id, &kind) || id.n > APP_ID_BYTES_MAX)
        return false;
    size_t id_n = 0;
    hob_auto_free char *plain = url_decode(id, false, &id_n);
    const struct backend_app *app = backend_app_by_id(c->face->o.apps, hob_str_n(plain, id_n));
    struct page *p = hob_arena_alloc(http_arena(c->x), sizeof *p);
    if (!app || !p)
        return false;
    *p = (struct page){.c = c, .kind = kind, .app = hob_strdup(backend_app_name(app))};
    hob_buf_init(&p->body, BODY_BYTES_MAX);
    http_listen(c->x, &events, p);
    if (hob_str_is(c->method, "POST")) {
        http_body_read(c->x, BODY_BYTES_MAX);
        return true;
    }
    json_t *params hob_auto_json = read_form(http_request(c->x)->query);
    ask(p, params);
    return true;
}
