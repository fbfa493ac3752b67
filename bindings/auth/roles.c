#include "bindings/auth/roles.h"

#include <stdlib.h>

#include "base/mem.h"

#include "base/banned.h"

struct walk {
    char *ids[ROLES_MAX]; /* visited or to be visited */
    size_t n;
    json_t *names;
};

static enum hob_code add_role(void *ctx, struct hob_str id, struct hob_err *err)
{
    struct walk *w = ctx;
    for (size_t i = 0; i < w->n; i++) {
        if (hob_str_is(id, w->ids[i]))
            return HOB_OK; /* met before: cycles end here */
    }
    if (w->n == ROLES_MAX)
        return hob_fail(err, HOB_E_TOO_LARGE, "a user may stand in at most %d roles", ROLES_MAX);
    w->ids[w->n++] = hob_strndup(id.at, id.n);
    return HOB_OK;
}

static enum hob_code add_name(void *ctx, const struct data_row *row, struct hob_err *err)
{
    struct walk *w = ctx;
    json_t *doc hob_auto_json = hob_json_parse(row->doc, "a role", err);
    if (!doc)
        return err->code;
    json_t *name = json_object_get(doc, "name");
    if (json_is_string(name))
        (void)json_array_append(w->names, name);
    return HOB_OK;
}

static enum hob_code visit(struct data_tx *tx, struct walk *w, struct hob_err *err)
{
    enum hob_code rc = HOB_OK;
    for (size_t i = 0; i < w->n && rc == HOB_OK; i++) { /* grows meanwhile */
        bool is_found = false;
        struct hob_str id = hob_str(w->ids[i]);
        rc = data_get(tx, "_Role", id, NULL, add_name, w, &is_found, err);
        if (rc == HOB_OK && is_found)
            rc = data_join_owners(tx, "_Role", "roles", id, add_role, w, err);
    }
    return rc;
}

enum hob_code roles_of_user(struct data_tx *tx, struct hob_str user_id, json_t *ret_names,
                            struct hob_err *err)
{
    if (!data_class_find(tx, "_Role"))
        return HOB_OK;
    struct walk *w = hob_new(struct walk);
    w->names = ret_names;
    enum hob_code rc = data_join_owners(tx, "_Role", "users", user_id, add_role, w, err);
    if (rc == HOB_OK)
        rc = visit(tx, w, err);
    for (size_t i = 0; i < w->n; i++)
        free(w->ids[i]);
    free(w);
    return rc;
}
