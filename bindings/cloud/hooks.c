/* The hooks API: webhooks that stand for functions and triggers, /hooks/functions and /hooks/triggers. */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "bindings/cloud/cloud_priv.h"
#include "bindings/cloud/webhook.h"

#include "base/banned.h"

enum { NAME_BYTES = 256 };

/* What a request is about: a function by name, or a trigger by class and kind. */
struct subject {
    enum cloud_kind kind;
    char name[NAME_BYTES]; /* as the registry has it */
    char class_name[128], trigger[64];
};

HOB_PRINTF(2, 3) static void fail(struct backend_call *c, const char *fmt, ...)
{
    char text[200];
    va_list list;
    va_start(list, fmt);
    (void)vsnprintf(text, sizeof text, fmt, list);
    va_end(list);
    (void)parse_fail(&c->err, PARSE_HOOK_ERROR, "%s", text);
    ask_fail(c);
}

static bool is_identifier(const char *s, const char *also)
{
    bool is_first = true;
    for (; *s; s++, is_first = false) {
        bool is_letter = isalpha((unsigned char)*s) || *s == '_' || (is_first && *s == '@');
        if (!is_letter && (is_first || (!isdigit((unsigned char)*s) && !strchr(also, *s))))
            return false;
    }
    return !is_first;
}

static bool is_trigger_name(const char *name)
{
    for (int i = 0; i < TRIGGERS_; i++) {
        if (strcmp(trigger_names[i], name) == 0)
            return true;
    }
    return false;
}

static bool set_function(struct subject *s, const char *name)
{
    s->kind = CLOUD_FUNCTION;
    int n = snprintf(s->name, sizeof s->name, "%s", name ? name : "");
    return n > 0 && (size_t)n < sizeof s->name && is_identifier(s->name, ".-");
}

static bool set_trigger(struct subject *s, const char *class_name, const char *trigger)
{
    s->kind = CLOUD_TRIGGER;
    if (!class_name || !trigger || !is_trigger_name(trigger) || !is_identifier(class_name, ""))
        return false;
    int n = snprintf(s->class_name, sizeof s->class_name, "%s", class_name);
    (void)snprintf(s->trigger, sizeof s->trigger, "%s", trigger);
    (void)snprintf(s->name, sizeof s->name, "%s %s", trigger, s->class_name);
    return n > 0 && (size_t)n < sizeof s->class_name;
}

static const char *text_param(const struct backend_call *c, const char *name)
{
    return json_string_value(ask_param(c, name));
}

/* Of the path when it names one, else of the body. */
static bool subject_of(const struct backend_call *c, struct subject *s)
{
    bool is_function = hob_str_starts(c->request.path, HOB_STR("/hooks/functions"));
    char first[NAME_BYTES], second[NAME_BYTES];
    (void)snprintf(first, sizeof first, "%.*s", HOB_STR_ARG(c->params[0]));
    (void)snprintf(second, sizeof second, "%.*s", HOB_STR_ARG(c->params[1]));
    if (is_function)
        return set_function(s, c->params[0].n ? first : text_param(c, "functionName"));
    if (c->params[0].n)
        return set_trigger(s, first, second);
    return set_trigger(s, text_param(c, "className"), text_param(c, "triggerName"));
}

/* --- reading --- */

static void write_one(struct hob_jw *w, enum cloud_kind kind, struct hob_str name, const char *url)
{
    struct hob_str class_name, trigger = hob_str_cut(name, ' ', &class_name);
    hob_jw_object(w);
    if (kind == CLOUD_FUNCTION) {
        hob_jw_kstr(w, "functionName", name);
    } else {
        hob_jw_kstr(w, "className", class_name);
        hob_jw_kstr(w, "triggerName", trigger);
    }
    hob_jw_kcstr(w, "url", url);
    hob_jw_object_end(w);
}

static void end_json(struct backend_call *c, struct hob_jw *w)
{
    if (hob_jw_end(w, &c->err) == HOB_OK)
        ask_finish(c);
    else
        ask_fail(c);
}

struct listing {
    struct hob_jw w;
    enum cloud_kind kind;
};

static void list_one(void *ctx, struct hob_str name, const struct cloud_target *target)
{
    struct listing *l = ctx;
    if (target->url)
        write_one(&l->w, l->kind, name, target->url);
}

static void start_list(struct backend_call *c)
{
    bool is_function = hob_str_starts(c->request.path, HOB_STR("/hooks/functions"));
    struct listing l = {.kind = is_function ? CLOUD_FUNCTION : CLOUD_TRIGGER};
    hob_jw_init(&l.w, &c->out);
    hob_jw_array(&l.w);
    cloud_each(backend_cloud(c->backend), c->request.app, l.kind, list_one, &l);
    hob_jw_array_end(&l.w);
    end_json(c, &l.w);
}

static void answer_one(struct backend_call *c, const struct subject *s, const char *url)
{
    struct hob_jw w;
    hob_jw_init(&w, &c->out);
    write_one(&w, s->kind, hob_str(s->name), url);
    end_json(c, &w);
}

static void fail_missing(struct backend_call *c, const struct subject *s)
{
    if (s->kind == CLOUD_FUNCTION)
        fail(c, "no function named: %s is defined", s->name);
    else
        fail(c, "class %s does not exist", s->class_name);
}

static void start_get(struct backend_call *c)
{
    struct subject s;
    bool is_named = subject_of(c, &s);
    const char *url =
        is_named ? cloud_hook(backend_cloud(c->backend), c->request.app, s.kind, hob_str(s.name)) : NULL;
    if (!is_named)
        fail(c, "invalid hook declaration");
    else if (!url)
        fail_missing(c, &s);
    else
        answer_one(c, &s, url);
}

/* --- changing --- */

struct change {
    struct subject subject;
    char *url; /* owned; NULL: deleted */
};

static void change_free(void *p)
{
    struct change *h = p;
    free(h->url);
    free(h);
}

static void on_changed(void *ctx, const struct hob_err *err)
{
    struct backend_call *c = ctx;
    const struct change *h = c->state;
    if (err) {
        c->err = *err;
        ask_fail(c);
    } else if (h->url) {
        answer_one(c, &h->subject, h->url);
    } else {
        ask_finish(c);
    }
}

static void change(struct backend_call *c, const struct subject *s, const char *url)
{
    struct change *h = hob_new(struct change);
    h->subject = *s;
    h->url = url ? hob_strdup(url) : NULL;
    c->state = h;
    ask_defer(c, change_free, h);
    cloud_set_hook(backend_cloud(c->backend), c->request.app, s->kind, hob_str(s->name), url, on_changed, c);
}

/* "fn:NAME" runs a function of the app, in any language, without a way over HTTP. */
static bool is_url(const char *url)
{
    return url && (hob_str_starts(hob_str(url), HOB_STR("fn:")) ? hob_name_is_valid(hob_str(url + 3))
                                                                : webhook_url_is_valid(url));
}

static void start_post(struct backend_call *c)
{
    struct subject s;
    const char *url = text_param(c, "url");
    if (!subject_of(c, &s) || !is_url(url))
        fail(c, "invalid hook declaration");
    else if (!cloud_hook(backend_cloud(c->backend), c->request.app, s.kind, hob_str(s.name)))
        change(c, &s, url);
    else if (s.kind == CLOUD_FUNCTION)
        fail(c, "function name: %s already exists", s.name);
    else
        fail(c, "class %s already has trigger %s", s.class_name, s.trigger);
}

static void start_put(struct backend_call *c)
{
    struct subject s;
    const char *op = text_param(c, "__op"), *url = text_param(c, "url");
    bool is_delete = op && strcmp(op, "Delete") == 0;
    if (!subject_of(c, &s) || (!is_delete && !is_url(url)))
        fail(c, "invalid hook declaration");
    else if (!cloud_hook(backend_cloud(c->backend), c->request.app, s.kind, hob_str(s.name)))
        fail_missing(c, &s);
    else
        change(c, &s, is_delete ? NULL : url);
}

const struct backend_route hook_routes[] = {
    {"GET", "/hooks/functions", ROUTE_FLOW, NEED_MASTER_READ, NULL, start_list},
    {"GET", "/hooks/triggers", ROUTE_FLOW, NEED_MASTER_READ, NULL, start_list},
    {"GET", "/hooks/functions/:name", ROUTE_FLOW, NEED_MASTER_READ, NULL, start_get},
    {"GET", "/hooks/triggers/:class/:trigger", ROUTE_FLOW, NEED_MASTER_READ, NULL, start_get},
    {"POST", "/hooks/functions", ROUTE_FLOW, NEED_MASTER, NULL, start_post},
    {"POST", "/hooks/triggers", ROUTE_FLOW, NEED_MASTER, NULL, start_post},
    {"PUT", "/hooks/functions/:name", ROUTE_FLOW, NEED_MASTER, NULL, start_put},
    {"PUT", "/hooks/triggers/:class/:trigger", ROUTE_FLOW, NEED_MASTER, NULL, start_put},
    {0},
};
