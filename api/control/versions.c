#include <stdlib.h>
#include <string.h>

#include "api/control/control_priv.h"
#include "base/mem.h"
#include "store/rows.h"

/* --- the list: the catalogue knows numbers and aliases, the store why each was made --------------------------------- */

enum { ALIASES_BYTES_MAX = 1024 * 1024 };
struct listed {
    uint32_t number;
    bool is_live;
    int64_t created_ms;
    char digest[65], why[64];
    char *aliases; /* JSON strings, comma-separated; owned */
};
struct listing {
    struct call *call;
    int64_t function_id;
    struct listed *at;
    size_t n, reading;
};

static char *aliases_of(const struct function *f, const struct version *v)
{
    struct hob_buf out;
    struct hob_jw w;
    hob_buf_init(&out, ALIASES_BYTES_MAX);
    hob_jw_init(&w, &out);
    hob_jw_array(&w);
    for (const struct alias *a = f->aliases; a; a = a->next)
        if (a->version == v)
            hob_jw_cstr(&w, a->name);
    hob_jw_array_end(&w);
    return hob_buf_take(&out);
}

static void listing_free(struct listing *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->at[i].aliases);
    free(l->at);
    free(l);
}

/* On a thread of the store: reads into the listing, which nobody else touches meanwhile. */
static enum hob_code on_row(void *ctx, const struct version_row *row, struct hob_err *err)
{
    struct listing *l = ctx;
    struct listed *v = &l->at[l->reading];
    (void)err;
    (void)snprintf(v->why, sizeof v->why, "%s", row->why ? row->why : "");
    return HOB_OK;
}

static enum hob_code read_why(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    struct listing *l = ctx;
    for (l->reading = 0; l->reading < l->n; l->reading++) {
        enum hob_code rc = store_version_get(tx, l->function_id, l->at[l->reading].number, on_row, l, err);
        if (rc != HOB_OK &&
            rc != HOB_E_NOT_FOUND) /* removed meanwhile: what the catalogue said stays true enough */
            return rc;
    }
    return HOB_OK;
}

static void listing_write(struct listing *l)
{
    struct hob_jw *w = call_start(l->call);
    hob_jw_object(w);
    hob_jw_key(w, "versions");
    hob_jw_array(w);
    for (size_t i = 0; i < l->n; i++) {
        hob_jw_object(w);
        hob_jw_kint(w, "version", l->at[i].number);
        hob_jw_kcstr(w, "digest", l->at[i].digest);
        view_time(w, "created_at", l->at[i].created_ms);
        hob_jw_kbool(w, "is_live", l->at[i].is_live);
        hob_jw_key(w, "aliases");
        hob_jw_raw(w, hob_str(l->at[i].aliases));
        hob_jw_kcstr(w, "why", l->at[i].why);
        hob_jw_object_end(w);
    }
    hob_jw_array_end(w);
    hob_jw_object_end(w);
    call_finish(l->call);
}

static void on_listed(void *ctx, const struct hob_err *err)
{
    struct listing *l = ctx;
    struct call *c = l->call;
    if (err)
        call_fail(c, err);
    else
        listing_write(l);
    listing_free(l);
    call_release(c);
}

void handle_versions(struct call *c)
{
    const struct function *f = call_function(c);
    if (!f)
        return;
    struct listing *l = hob_new(struct listing);
    size_t n = 0;
    for (const struct version *v = f->versions; v; v = v->older)
        n++;
    l->call = c;
    l->function_id = f->id;
    l->at = hob_new_n(struct listed, n);
    for (const struct version *v = f->versions; v; v = v->older) {
        struct listed *row = &l->at[l->n++];
        row->number = v->number;
        row->is_live = v == f->live;
        row->created_ms = v->created_ms;
        memcpy(row->digest, v->digest, sizeof row->digest);
        row->aliases = aliases_of(f, v);
    }
    call_hold(c);
    store_read(c->control->o.store, read_why, on_listed, l);
}

/* --- verbs ---------------------------------------------------------------------------------------------------------- */

/* A version number of a body: 1 to 2^32 - 1. False after the problem was answered. */
static bool body_version(struct call *c, uint32_t *ret_number)
{
    struct hob_err err = {0};
    json_int_t v = json_integer_value(json_object_get(c->json, "version"));
    if (v >= 1 && v <= UINT32_MAX) {
        *ret_number = (uint32_t)v;
        return true;
    }
    (void)hob_fail(&err, HOB_E_INVALID, "the body: 'version' must be a version's number, from 1");
    call_fail(c, &err);
    return false;
}

static void on_rolled_back(void *ctx, const struct admin_result *r, const struct hob_err *err)
{
    struct call *c = ctx;
    if (err) {
        call_fail(c, err);
    } else {
        struct hob_jw *w = call_start(c);
        hob_jw_object(w);
        hob_jw_kint(w, "version", r->version);
        hob_jw_kint(w, "previous", r->previous);
        hob_jw_object_end(w);
        call_finish(c);
    }
    call_release(c);
}

void handle_rollback(struct call *c)
{
    uint32_t number = 0;
    if (json_object_get(c->json, "version") && !body_version(c, &number))
        return;
    if (!call_function(c))
        return;
    call_hold(c);
    admin_rollback(c->control->o.admin, (struct admin_target){c->params[0], c->params[1]}, number,
                   on_rolled_back, c);
}

void handle_aliases(struct call *c)
{
    const struct function *f = call_function(c);
    if (!f)
        return;
    struct hob_jw *w = call_start(c);
    hob_jw_object(w);
    view_aliases(w, f);
    hob_jw_object_end(w);
    call_finish(c);
}

static void on_alias_set(void *ctx, const struct admin_result *r, const struct hob_err *err)
{
    struct call *c = ctx;
    if (err) {
        call_fail(c, err);
    } else {
        struct hob_jw *w = call_start(c);
        hob_jw_object(w);
        hob_jw_kstr(w, "alias", c->params[2]);
        hob_jw_kint(w, "version", r->version);
        hob_jw_object_end(w);
        call_finish(c);
    }
    call_release(c);
}

void handle_alias_set(struct call *c)
{
    uint32_t number;
    if (!body_version(c, &number) || !call_function(c))
        return;
    call_hold(c);
    admin_alias_set(c->control->o.admin, (struct admin_target){c->params[0], c->params[1]}, c->params[2],
                    number, on_alias_set, c);
}

void handle_alias_remove(struct call *c)
{
    if (!call_function(c))
        return;
    call_hold(c);
    admin_alias_remove(c->control->o.admin, (struct admin_target){c->params[0], c->params[1]}, c->params[2],
                       call_on_removed, c);
}
