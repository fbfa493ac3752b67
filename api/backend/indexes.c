/* Indexes of an app's data over the control API: what there are, what the advisor proposes, made and dropped. */
#include <stdlib.h>
#include <string.h>

#include "api/control/control_priv.h"
#include "base/clock.h"
#include "base/mem.h"
#include "bindings/apps.h"
#include "store/data.h"

enum { LIST_BYTES_MAX = 4 << 20 };

struct ask {
    struct call *call;
    struct hob_buf list;
    struct hob_jw w;
    /* of one index */
    char *class_name, *name, *keys;
    bool is_unique;
    uint64_t since_us;
    /* how many objects the class asked for last has */
    struct data_tx *tx;
    char counted[129];
    uint64_t objects;
};

static struct ask *ask_new(struct call *c)
{
    struct ask *a = hob_new(struct ask);
    a->call = c;
    a->since_us = hob_now_us();
    hob_buf_init(&a->list, LIST_BYTES_MAX);
    call_hold(c);
    return a;
}

static void ask_free(struct ask *a)
{
    struct call *c = a->call;
    hob_buf_done(&a->list);
    free(a->class_name);
    free(a->name);
    free(a->keys);
    free(a);
    call_release(c);
}

static char *copy(struct hob_str s)
{
    return hob_strndup(s.at ? s.at : "", s.n);
}

/* --- lists -------------------------------------------------------------------------------------------------------- */

static void list_begin(struct ask *a, const char *name)
{
    hob_buf_clear(&a->list);
    hob_jw_init(&a->w, &a->list);
    hob_jw_object(&a->w);
    hob_jw_key(&a->w, name);
    hob_jw_array(&a->w);
}

static enum hob_code list_end(struct ask *a, struct hob_err *err)
{
    hob_jw_array_end(&a->w);
    hob_jw_object_end(&a->w);
    return hob_jw_end(&a->w, err);
}

static void on_list(void *ctx, const struct hob_err *err)
{
    struct ask *a = ctx;
    if (err) {
        call_fail(a->call, err);
    } else {
        hob_jw_raw(call_start(a->call), hob_buf_str(&a->list));
        call_finish(a->call);
    }
    ask_free(a);
}

static enum hob_code count(struct ask *a, const char *class_name, struct hob_err *err)
{
    struct data_query all = {.class_name = class_name, .limit = -1};
    if (strcmp(a->counted, class_name) == 0)
        return HOB_OK;
    (void)snprintf(a->counted, sizeof a->counted, "%s", class_name);
    return data_count(a->tx, &all, &a->objects, err);
}

static enum hob_code write_advice(void *ctx, const struct data_advice *advice, struct hob_err *err)
{
    struct ask *a = ctx;
    char name[DATA_INDEX_NAME_BYTES];
    if (!data_index_name(advice->keys_json, name) || count(a, advice->class_name, err) != HOB_OK)
        return err->code;
    hob_jw_object(&a->w);
    hob_jw_kcstr(&a->w, "class", advice->class_name);
    hob_jw_key(&a->w, "keys");
    hob_jw_raw(&a->w, hob_str(advice->keys_json));
    hob_jw_kcstr(&a->w, "name", name);
    hob_jw_kint(&a->w, "queries", (int64_t)advice->queries);
    hob_jw_kint(&a->w, "total_ms", (int64_t)advice->total_ms);
    hob_jw_kint(&a->w, "average_ms", (int64_t)(advice->queries ? advice->total_ms / advice->queries : 0));
    hob_jw_kint(&a->w, "worst_ms", (int64_t)advice->worst_ms);
    hob_jw_kint(&a->w, "objects", (int64_t)a->objects);
    hob_jw_object_end(&a->w);
    return HOB_OK;
}

static enum hob_code advice_work(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct ask *a = ctx;
    a->tx = tx;
    a->counted[0] = '\0';
    list_begin(a, "advice");
    return data_advise(tx, write_advice, a, err) == HOB_OK ? list_end(a, err) : err->code;
}

void handle_data_advice(struct call *c)
{
    if (call_backend(c))
        appdb_read(c->control->o.dbs, c->copies[0], advice_work, on_list, ask_new(c));
}

static enum hob_code write_index(void *ctx, const struct data_index_found *i, struct hob_err *err)
{
    struct hob_jw *w = &((struct ask *)ctx)->w;
    (void)err;
    hob_jw_object(w);
    hob_jw_kcstr(w, "class", i->class_name);
    hob_jw_kcstr(w, "name", i->name);
    hob_jw_key(w, "keys");
    hob_jw_raw(w, hob_str(i->keys_json));
    hob_jw_kbool(w, "unique", i->is_unique);
    if (i->bytes >= 0)
        hob_jw_kint(w, "bytes", i->bytes);
    hob_jw_object_end(w);
    return HOB_OK;
}

static enum hob_code indexes_work(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct ask *a = ctx;
    list_begin(a, "indexes");
    return data_index_each(tx, write_index, a, err) == HOB_OK ? list_end(a, err) : err->code;
}

void handle_data_indexes(struct call *c)
{
    if (call_backend(c))
        appdb_read(c->control->o.dbs, c->copies[0], indexes_work, on_list, ask_new(c));
}

/* --- one index ---------------------------------------------------------------------------------------------------- */

static enum hob_code make_work(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    const struct ask *a = ctx;
    struct data_index index = {a->name, a->keys};
    return data_index_add(tx, a->class_name, &index, a->is_unique, err);
}

static void on_made(void *ctx, const struct hob_err *err)
{
    struct ask *a = ctx;
    struct call *c = a->call;
    if (err) {
        call_fail(c, err);
    } else {
        struct hob_jw *w = call_start(c);
        hob_jw_object(w);
        hob_jw_kcstr(w, "class", a->class_name);
        hob_jw_kcstr(w, "name", a->name);
        hob_jw_key(w, "keys");
        hob_jw_raw(w, hob_str(a->keys));
        hob_jw_kbool(w, "unique", a->is_unique);
        hob_jw_kint(w, "took_ms", (int64_t)((hob_now_us() - a->since_us) / 1000));
        hob_jw_object_end(w);
        call_finish(c);
    }
    ask_free(a);
}

void handle_data_index_make(struct call *c)
{
    struct hob_err err;
    char by_keys[DATA_INDEX_NAME_BYTES];
    if (!call_backend(c))
        return;
    const char *name = json_string_value(json_object_get(c->json, "name"));
    hob_auto_free char *keys = json_dumps(json_object_get(c->json, "keys"), JSON_COMPACT);
    if (!keys || !data_index_name(keys, by_keys)) {
        (void)hob_fail(&err, HOB_E_INVALID, "the body: 'keys' is like {\"total\":1,\"at\":-1}");
        call_fail(c, &err);
        return;
    }
    struct ask *a = ask_new(c);
    a->class_name = hob_strdup(json_string_value(json_object_get(c->json, "class")));
    a->name = hob_strdup(name ? name : by_keys);
    a->keys = hob_steal(&keys);
    a->is_unique = json_is_true(json_object_get(c->json, "unique"));
    appdb_write(c->control->o.dbs, c->copies[0], make_work, on_made, a);
}

static enum hob_code drop_work(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    const struct ask *a = ctx;
    return data_index_drop(tx, a->class_name, a->name, err);
}

static void on_dropped(void *ctx, const struct hob_err *err)
{
    struct ask *a = ctx;
    if (err)
        call_fail(a->call, err);
    else
        call_finish_empty(a->call);
    ask_free(a);
}

void handle_data_index_drop(struct call *c)
{
    struct hob_err err;
    struct hob_str class_name = call_query(c, "class"), name = call_query(c, "name");
    if (!call_backend(c))
        return;
    if (!class_name.n || !name.n) {
        (void)hob_fail(&err, HOB_E_INVALID, "the query: name the index by class and name");
        call_fail(c, &err);
        return;
    }
    struct ask *a = ask_new(c);
    a->class_name = copy(class_name);
    a->name = copy(name);
    appdb_write(c->control->o.dbs, c->copies[0], drop_work, on_dropped, a);
}
