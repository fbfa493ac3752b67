/* Sending what waits in the apps' queues, one mail of an app at a time. Flow of an app's courier:
 *
 *   LOOKING (a read: the first mail that is due, and when the next will be) -> SENDING (SMTP) -> NOTING (a write: it is
 *   gone, or its next try) -> LOOKING ... -> nothing due: gone, or WAITING for the next one's time.
 *
 * A mail that was sent just when the daemon was killed is sent again: at least once. After a start the apps that have a
 * mail server are looked at one after another. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "bindings/mail/mail.h"
#include "bindings/mail/mail_row.h"
#include "bindings/mail/sender.h"
#include "store/kv.h"

#include "base/banned.h"

enum {
    LOOKED_AT = 64,        /* mails of a queue that are read at a time */
    FIRST_PAUSE_MS = 2000, /* doubles with each try */
    PAUSE_MS_MAX = 2 * 3600 * 1000,
    LIFE_MS = 48 * 3600 * 1000,
    ROUND_MS = 50, /* between two apps, after a start */
    PASSWORD_BYTES_MAX = 8192,
};

enum courier_state { COURIER_LOOKING, COURIER_SENDING, COURIER_NOTING, COURIER_WAITING };

struct courier {
    struct hob_node node;
    struct mailer *mailer;
    enum courier_state state;
    char *app;
    bool is_woken;  /* something came while it was busy */
    int64_t due_ms; /* WAITING: until then; LOOKING: of the earliest mail that is not due, or 0 */
    /* the mail in hand */
    char key[HOB_UUID_CHARS + 1], seen[HOB_UUID_CHARS + 1]; /* seen: the last one that a look has met */
    unsigned seen_n;
    struct hob_buf value;
    int64_t tries, now_ms, next_ms;
    bool is_sent;
};

struct mailer {
    struct auth *auth;
    struct sender *sender;
    uv_timer_t timer;
    struct hob_list couriers;
    struct mail_stats stats;
    json_t *round; /* names of the apps that are still to be looked at after the start */
    bool is_closing, is_timer_closed, is_sender_closed;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

static void look(struct courier *k);
static void arm(struct mailer *m);

/* --- life --- */
static void mailer_end(struct mailer *m)
{
    if (!m->is_closing || !m->is_timer_closed || !m->is_sender_closed || !hob_list_is_empty(&m->couriers))
        return;
    void (*closed)(void *ctx) = m->closed;
    void *ctx = m->closed_ctx;
    json_decref(m->round);
    free(m);
    closed(ctx);
}

static void courier_free(struct courier *k)
{
    struct mailer *m = k->mailer;
    hob_list_remove(&k->node);
    hob_buf_done(&k->value);
    free(k->app);
    free(k);
    mailer_end(m);
}

static void wait_until(struct courier *k, int64_t due_ms)
{
    k->state = COURIER_WAITING;
    k->due_ms = due_ms;
    arm(k->mailer);
}

/* --- looking --- */
static enum hob_code see_mail(void *ctx, const struct kv_row *row, struct hob_err *err)
{
    struct courier *k = ctx;
    k->seen_n++;
    (void)snprintf(k->seen, sizeof k->seen, "%.*s", HOB_STR_ARG(row->key));
    json_t *meta hob_auto_json = hob_json_parse(row->meta, "a mail", err);
    int64_t at_ms = member_int(meta, "at", 0);
    if (k->key[0])
        return HOB_OK;
    if (at_ms > k->now_ms) {
        k->due_ms = k->due_ms && k->due_ms < at_ms ? k->due_ms : at_ms;
        return HOB_OK;
    }
    k->tries = member_int(meta, "tries", 0);
    (void)snprintf(k->key, sizeof k->key, "%.*s", HOB_STR_ARG(row->key));
    hob_buf_clear(&k->value);
    return hob_buf_add_str(&k->value, row->value);
}

static enum hob_code read_queue(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct courier *k = ctx;
    enum hob_code rc = HOB_OK;
    k->key[0] = k->seen[0] = '\0';
    k->due_ms = 0;
    k->seen_n = LOOKED_AT;
    while (rc == HOB_OK && !k->key[0] &&
           k->seen_n == LOOKED_AT) { /* behind those that have to wait may be one */
        char after[HOB_UUID_CHARS + 1];
        memcpy(after, k->seen, sizeof after);
        k->seen_n = 0;
        rc = kv_each(tx, "mail", (struct hob_str){0}, hob_str(after), LOOKED_AT, k->now_ms, see_mail, k, err);
    }
    return rc;
}

/* --- noting --- */
static enum hob_code write_outcome(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    const struct courier *k = ctx;
    int64_t waiting = 0;
    char meta[64];
    if (k->is_sent) {
        bool was = false;
        enum hob_code rc = kv_drop(tx, "mail", hob_str(k->key), &was, err);
        if (rc == HOB_OK && was)
            rc = kv_add(tx, "mail_count", HOB_STR("waiting"), -1, k->now_ms, &waiting, err);
        return rc;
    }
    int n = snprintf(meta, sizeof meta, "{\"at\":%lld,\"tries\":%lld}", (long long)k->next_ms,
                     (long long)k->tries + 1);
    struct kv_row row = {
        .key = hob_str(k->key), .value = hob_buf_str(&k->value), .meta = hob_str_n(meta, (size_t)n)};
    return kv_put(tx, "mail", &row, err);
}

static void on_noted(void *ctx, const struct hob_err *err)
{
    struct courier *k = ctx;
    if (err && !k->mailer->is_closing)
        wait_until(k, hob_utc_ms() + FIRST_PAUSE_MS);
    else
        look(k);
}

static int64_t pause_of(int64_t tries)
{
    int64_t pause_ms = FIRST_PAUSE_MS;
    for (int64_t i = 0; i < tries && pause_ms < PAUSE_MS_MAX; i++)
        pause_ms *= 2;
    return pause_ms < PAUSE_MS_MAX ? pause_ms : PAUSE_MS_MAX;
}

/* When a mail was asked for stands in its key (UUID version 7). */
static int64_t born_ms(const char *key)
{
    char digits[13] = "";
    if (strlen(key) == HOB_UUID_CHARS)
        (void)snprintf(digits, sizeof digits, "%.8s%.4s", key, key + 9);
    return (int64_t)strtoull(digits, NULL, 16);
}

/* `err` NULL: it was sent. */
static void note(struct courier *k, const struct hob_err *err, bool is_hopeless)
{
    struct mailer *m = k->mailer;
    int64_t now_ms = hob_utc_ms();
    if (!backend_app_by_name(m->auth->wiring->apps, hob_str(k->app))) { /* removed, with its database */
        courier_free(k);
        return;
    }
    k->state = COURIER_NOTING;
    k->is_sent = !err;
    k->next_ms = now_ms + pause_of(k->tries);
    m->stats.sent += !err;
    m->stats.failed += err != NULL;
    if (err && (is_hopeless || now_ms - born_ms(k->key) > LIFE_MS)) {
        m->stats.given_up++;
        hob_log(HOB_LOG_WARN, "mail.given_up", "app=%s tries=%lld error=\"%s\"", k->app,
                (long long)k->tries + 1, err->msg);
        k->is_sent = true; /* goes from the queue */
    } else if (err) {
        hob_log(HOB_LOG_WARN, "mail.failed", "app=%s tries=%lld error=\"%s\"", k->app,
                (long long)k->tries + 1, err->msg);
    }
    appdb_write(m->auth->wiring->dbs, k->app, write_outcome, on_noted, k);
}

/* --- sending --- */
static void on_sent(void *ctx, const struct hob_err *err)
{
    struct courier *k = ctx;
    if (err && err->code == HOB_E_CANCELLED)
        courier_free(k); /* closing: it stays in the queue */
    else
        note(k, err, err && err->code == HOB_E_INVALID);
}

struct letter {
    struct hob_buf text, password;
    json_t *mail;
    char from[321], to[321];
};

static enum hob_code open_mail(const struct courier *k, struct letter *l, struct hob_err *err)
{
    hob_auto_buf struct hob_buf plain;
    hob_auto_free char *label = hob_asprintf("mail/%s", k->app);
    hob_buf_init(&plain, MAIL_ROW_BYTES_MAX);
    if (hob_seal_open(k->mailer->auth->seal, label, hob_buf_str(&k->value), &plain, err) != HOB_OK)
        return err->code;
    l->mail = hob_json_parse(hob_buf_str(&plain), "a mail", err);
    return l->mail ? HOB_OK : err->code;
}

static char *link_of(const struct backend_app *app, const json_t *mail)
{
    const char *url = backend_app_text(app, SETTING_PUBLIC_SERVER_URL);
    size_t n = strlen(url);
    while (n && url[n - 1] == '/')
        n--;
    bool is_verify = hob_str_is(member_str(mail, "kind"), "verify");
    return hob_asprintf("%.*s/apps/%s/%s?token=%.*s", (int)n, url, backend_app_application_id(app),
                        is_verify ? "verify_email" : "request_password_reset",
                        HOB_STR_ARG(member_str(mail, "token")));
}

static enum hob_code compose(const struct courier *k, const struct backend_app *app, struct letter *l,
                             struct hob_err *err)
{
    const json_t *options = backend_app_json(app, SETTING_MAIL);
    const char *name = backend_app_text(app, SETTING_APP_DISPLAY_NAME);
    const char *from = json_string_value(json_object_get(options, "from"));
    const char *secret = json_string_value(json_object_get(options, "passwordSecret"));
    const struct backend_wires *w = &k->mailer->auth->wiring->wires;
    enum hob_code rc = open_mail(k, l, err);
    if (rc != HOB_OK)
        return rc;
    hob_auto_free char *link = link_of(app, l->mail);
    struct mail_words words = {.app_name = *name ? name : backend_app_name(app),
                               .username = json_string_value(json_object_get(l->mail, "username")),
                               .email = json_string_value(json_object_get(l->mail, "to")),
                               .link = link};
    words.username = words.username ? words.username : "";
    words.email = words.email ? words.email : "";
    if (!from || !mail_address(hob_str(from), l->from) || !mail_address(hob_str(words.email), l->to))
        return hob_fail(err, HOB_E_INVALID,
                        "a mail needs an address in the app's setting mail.from, and one to go to");
    rc = mail_compose(json_object_get(options, "templates"),
                      json_string_value(json_object_get(l->mail, "kind")), from, &words, &l->text, err);
    if (rc == HOB_OK && secret)
        rc = w->secret(w->ctx, k->app, secret, &l->password, err);
    return rc == HOB_OK && secret ? hob_buf_add(&l->password, "", 1) : rc;
}

static void send_mail(struct courier *k, const struct backend_app *app)
{
    struct letter l = {0};
    struct hob_err err = {0};
    const json_t *options = backend_app_json(app, SETTING_MAIL);
    hob_buf_init(&l.text, MAIL_BYTES_MAX);
    hob_buf_init(&l.password, PASSWORD_BYTES_MAX);
    k->state = COURIER_SENDING;
    if (compose(k, app, &l, &err) == HOB_OK) {
        struct sender_mail m = {.server = json_string_value(json_object_get(options, "server")),
                                .user = json_string_value(json_object_get(options, "user")),
                                .password = l.password.n ? hob_buf_data(&l.password) : NULL,
                                .ca_file = json_string_value(json_object_get(options, "caFile")),
                                .needs_tls = json_is_true(json_object_get(options, "requireTLS")),
                                .from = l.from,
                                .to = l.to,
                                .text = hob_buf_str(&l.text)};
        sender_start(k->mailer->sender, &m, on_sent, k);
    } else {
        note(k, &err, err.code == HOB_E_INVALID || err.code == HOB_E_INTERNAL);
    }
    hob_buf_done(&l.text);
    hob_buf_done(&l.password);
    json_decref(l.mail);
}

static const struct backend_app *app_with_mail(const struct courier *k)
{
    const struct backend_app *app = backend_app_by_name(k->mailer->auth->wiring->apps, hob_str(k->app));
    return app && member_str(backend_app_json(app, SETTING_MAIL), "server").n ? app : NULL;
}

static void on_looked(void *ctx, const struct hob_err *err)
{
    struct courier *k = ctx;
    const struct backend_app *app = app_with_mail(k);
    bool is_idle = !err && !k->key[0] && !k->is_woken && !k->due_ms;
    if (k->mailer->is_closing || !app || is_idle)
        courier_free(k);
    else if (!err && k->key[0])
        send_mail(k, app);
    else if (!err && k->is_woken)
        look(k);
    else
        wait_until(k, err ? hob_utc_ms() + FIRST_PAUSE_MS : k->due_ms);
}

static void look(struct courier *k)
{
    if (k->mailer->is_closing) {
        courier_free(k);
        return;
    }
    k->state = COURIER_LOOKING;
    k->is_woken = false;
    k->now_ms = hob_utc_ms();
    appdb_read(k->mailer->auth->wiring->dbs, k->app, read_queue, on_looked, k);
}

/* --- time --- */
static void look_round(struct mailer *m)
{
    size_t n = json_array_size(m->round);
    if (n == 0)
        return;
    hob_auto_free char *app = hob_strdup(json_string_value(json_array_get(m->round, n - 1)));
    (void)json_array_remove(m->round, n - 1);
    mailer_wake(m, app);
}

static void on_timer(uv_timer_t *timer)
{
    struct mailer *m = timer->data;
    int64_t now_ms = hob_utc_ms();
    HOB_LIST_EACH(&m->couriers, node, tmp)
    {
        struct courier *k = HOB_CONTAINER_OF(node, struct courier, node);
        if (k->state == COURIER_WAITING && k->due_ms <= now_ms)
            look(k);
    }
    look_round(m);
    arm(m);
}

static void arm(struct mailer *m)
{
    int64_t now_ms = hob_utc_ms(), due_ms = json_array_size(m->round) ? now_ms + ROUND_MS : 0;
    HOB_LIST_EACH(&m->couriers, node, tmp)
    {
        const struct courier *k = HOB_CONTAINER_OF(node, struct courier, node);
        if (k->state == COURIER_WAITING && (due_ms == 0 || k->due_ms < due_ms))
            due_ms = k->due_ms;
    }
    if (m->is_closing || due_ms == 0)
        (void)uv_timer_stop(&m->timer);
    else
        (void)uv_timer_start(&m->timer, on_timer, due_ms > now_ms ? (uint64_t)(due_ms - now_ms) : 0, 0);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct mailer *m = handle->data;
    m->is_timer_closed = true;
    mailer_end(m);
}

static void on_sender_closed(void *ctx)
{
    struct mailer *m = ctx;
    m->is_sender_closed = true;
    mailer_end(m);
}

static void remember_app(void *ctx, const struct backend_app *app)
{
    struct mailer *m = ctx;
    if (member_str(backend_app_json(app, SETTING_MAIL), "server").n)
        (void)json_array_append_new(m->round, json_string(backend_app_name(app)));
}

/* --- door --- */
struct mailer *mailer_new(struct auth *a)
{
    struct mailer *m = hob_new(struct mailer);
    m->auth = a;
    m->sender = sender_new(a->wiring->loop, a->wiring->may_reach_private);
    HOB_ASSERT(uv_timer_init(a->wiring->loop, &m->timer) == 0);
    m->timer.data = m;
    hob_list_init(&m->couriers);
    m->round = json_array();
    backend_app_each(a->wiring->apps, remember_app, m);
    arm(m);
    return m;
}

void mailer_close(struct mailer *m, void (*closed)(void *ctx), void *ctx)
{
    m->closed = closed;
    m->closed_ctx = ctx;
    m->is_closing = true;
    HOB_LIST_EACH(&m->couriers, node, tmp)
    {
        struct courier *k = HOB_CONTAINER_OF(node, struct courier, node);
        if (k->state == COURIER_WAITING) {
            hob_list_remove(&k->node);
            hob_buf_done(&k->value);
            free(k->app);
            free(k);
        }
    }
    uv_close((uv_handle_t *)&m->timer, on_timer_closed);
    sender_close(m->sender, on_sender_closed, m);
}

void mailer_wake(struct mailer *m, const char *app)
{
    if (m->is_closing)
        return;
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the analyzer does not see that who is freed has left the list */
    HOB_LIST_EACH(&m->couriers, node, tmp)
    {
        struct courier *k = HOB_CONTAINER_OF(node, struct courier, node);
        if (strcmp(k->app, app) != 0)
            continue;
        k->is_woken = true;
        if (k->state == COURIER_WAITING)
            look(k);
        return;
    }
    struct courier *k = hob_new(struct courier);
    k->mailer = m;
    k->app = hob_strdup(app);
    hob_buf_init(&k->value, MAIL_ROW_BYTES_MAX);
    hob_list_push_back(&m->couriers, &k->node);
    look(k);
}

struct mail_stats mailer_stats(const struct mailer *m)
{
    return m->stats;
}
