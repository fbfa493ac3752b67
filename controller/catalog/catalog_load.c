/* The daemon's start: rows come ordered by function, so that one pass over three lists side by side is enough. */
#include <stdlib.h>

#include "base/mem.h"
#include "controller/catalog_change.h"

struct loading {
    struct catalog *catalog;
    struct app **apps; /* by id */
    struct loading_function {
        struct function *function;
        uint32_t live, previous_live;
    } * functions; /* by id */
    size_t apps_n, apps_cap, functions_n, functions_cap, at;
};

static enum hob_code on_app(void *ctx, const struct app_row *row, struct hob_err *err)
{
    struct loading *l = ctx;
    (void)err;
    if (l->apps_n == l->apps_cap) {
        l->apps_cap = l->apps_cap ? l->apps_cap * 2 : 64;
        l->apps = hob_realloc(l->apps, l->apps_cap, sizeof(struct app *));
    }
    l->apps[l->apps_n++] = catalog_app_ensure(l->catalog, row);
    return HOB_OK;
}

static struct app *app_by_id(const struct loading *l, int64_t id)
{
    size_t low = 0, high = l->apps_n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (l->apps[mid]->id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low < l->apps_n && l->apps[low]->id == id ? l->apps[low] : NULL;
}

static enum hob_code on_function(void *ctx, const struct function_row *row, struct hob_err *err)
{
    struct loading *l = ctx;
    struct app *app = app_by_id(l, row->app_id);
    if (!app)
        return hob_fail(err, HOB_E_INTERNAL, "the store's function '%s' belongs to no app", row->name);
    if (l->functions_n == l->functions_cap) {
        l->functions_cap = l->functions_cap ? l->functions_cap * 2 : 64;
        l->functions = hob_realloc(l->functions, l->functions_cap, sizeof *l->functions);
    }
    l->functions[l->functions_n++] = (struct loading_function){catalog_function_ensure(l->catalog, app, row),
                                                               row->live, row->previous_live};
    return HOB_OK;
}

/* The function of the current row; rows are in the functions' order. */
static struct loading_function *seek(struct loading *l, int64_t function_id)
{
    while (l->at < l->functions_n && l->functions[l->at].function->id < function_id)
        l->at++;
    bool is_there = l->at < l->functions_n && l->functions[l->at].function->id == function_id;
    return is_there ? &l->functions[l->at] : NULL;
}

static enum hob_code on_version(void *ctx, const struct version_row *row, struct hob_err *err)
{
    struct loading *l = ctx;
    struct loading_function *lf = seek(l, row->function_id);
    if (!lf)
        return hob_fail(err, HOB_E_INTERNAL, "a version in the store belongs to no function");
    struct version *v = catalog_version_add(l->catalog, lf->function, row);
    if (row->number == lf->live)
        catalog_set_live(l->catalog, lf->function, v, lf->previous_live);
    return HOB_OK;
}

static enum hob_code on_alias(void *ctx, const struct alias_row *row, struct hob_err *err)
{
    struct loading *l = ctx;
    struct loading_function *lf = seek(l, row->function_id);
    struct version *v = lf ? function_version_find(lf->function, row->version) : NULL;
    if (!v)
        return hob_fail(err, HOB_E_INTERNAL, "the store's alias '%s' names no version", row->name);
    catalog_alias_put(l->catalog, lf->function, row->name, v);
    return HOB_OK;
}

static enum hob_code check_live(const struct loading *l, struct hob_err *err)
{
    for (size_t i = 0; i < l->functions_n; i++) {
        const struct function *f = l->functions[i].function;
        if (!f->live)
            return hob_fail(err, HOB_E_INTERNAL, "the store's function '%s/%s' has no live version",
                            f->app->name, f->name);
    }
    return HOB_OK;
}

static enum hob_code load(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    struct loading *l = ctx;
    if (store_app_each(tx, on_app, l, err) != HOB_OK ||
        store_function_each(tx, on_function, l, err) != HOB_OK ||
        store_version_each(tx, on_version, l, err) != HOB_OK)
        return err->code;
    l->at = 0;
    if (store_alias_each(tx, on_alias, l, err) != HOB_OK)
        return err->code;
    return check_live(l, err);
}

enum hob_code catalog_load(struct catalog *c, struct store *s, struct code_store *code, struct hob_err *err)
{
    struct loading l = {.catalog = c};
    catalog_use_code(c, code);
    enum hob_code rc = store_read_now(s, load, &l, err);
    free(l.apps);
    free(l.functions);
    if (rc != HOB_OK)
        return hob_err_wrap(err, "loading the catalogue");
    return HOB_OK;
}
