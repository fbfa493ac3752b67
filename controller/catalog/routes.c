#include "controller/catalog/routes.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

enum { HOST_BYTES_MAX = 256 };

struct leaf { /* one route that ends at a node */
    struct version *version;
    const struct route_config *route;
    struct leaf *next; /* by function id: the older function wins a tie */
};

struct segment { /* one node of the tree */
    char *text;
    struct segment *literals, *param; /* children */
    struct leaf *ends, *rests;        /* routes that end here; that take the rest of the path from here */
    UT_hash_handle hh;
};

struct host {
    char *name; /* "shop.example"; ".shop.example" for "*.shop.example" */
    struct segment root;
    UT_hash_handle hh;
};

struct routes {
    struct host *hosts;
    struct segment any;
};

/* --- the tree --- */

enum segment_kind { SEGMENT_LITERAL, SEGMENT_PARAM, SEGMENT_REST };

static enum segment_kind kind_of(struct hob_str s)
{
    if (s.n < 2 || s.at[0] != ':')
        return SEGMENT_LITERAL;
    return s.at[s.n - 1] == '*' ? SEGMENT_REST : SEGMENT_PARAM;
}

static struct segment *find_literal(struct segment *node, struct hob_str text)
{
    struct segment *child;
    HASH_FIND(hh, node->literals, text.at, text.n, child);
    return child;
}

static struct segment *need_child(struct segment *node, struct hob_str text)
{
    bool is_param = kind_of(text) == SEGMENT_PARAM;
    struct segment *child = is_param ? node->param : find_literal(node, text);
    if (child)
        return child;
    child = hob_new(struct segment);
    if (is_param) {
        node->param = child;
    } else {
        child->text = hob_strndup(text.at, text.n);
        HASH_ADD_KEYPTR(hh, node->literals, child->text, text.n, child);
    }
    return child;
}

static bool is_empty(const struct segment *node)
{
    return !node->literals && !node->param && !node->ends && !node->rests;
}

static void drop_child(struct segment *node, struct segment *child)
{
    if (child == node->param)
        node->param = NULL;
    else
        HASH_DEL(node->literals, child);
    free(child->text);
    free(child);
}

static void leaf_add(struct leaf **list, struct version *v, const struct route_config *route)
{
    while (*list && (*list)->version->function->id <= v->function->id)
        list = &(*list)->next;
    struct leaf *leaf = hob_new(struct leaf);
    *leaf = (struct leaf){v, route, *list};
    *list = leaf;
}

static void leaf_remove(struct leaf **list, const struct version *v, const struct route_config *route)
{
    while (*list && ((*list)->version != v || (*list)->route != route))
        list = &(*list)->next;
    struct leaf *leaf = *list;
    if (!leaf)
        return;
    *list = leaf->next;
    free(leaf);
}

/* `rest` is what follows the '/' that led to this node; at == NULL at the end of the pattern. */
static void insert(struct segment *node, struct hob_str rest, struct version *v,
                   const struct route_config *route)
{
    while (rest.at) {
        struct hob_str text = hob_str_cut(rest, '/', &rest);
        if (kind_of(text) == SEGMENT_REST) {
            leaf_add(&node->rests, v, route);
            return;
        }
        node = need_child(node, text);
    }
    leaf_add(&node->ends, v, route);
}

/* Depth is that of a pattern: as many segments as its length allows; manifest/ bounds it. */
static void withdraw(struct segment *node, struct hob_str rest, const struct version *v,
                     const struct route_config *route)
{
    if (!rest.at) {
        leaf_remove(&node->ends, v, route);
        return;
    }
    struct hob_str text = hob_str_cut(rest, '/', &rest);
    if (kind_of(text) == SEGMENT_REST) {
        leaf_remove(&node->rests, v, route);
        return;
    }
    struct segment *child = kind_of(text) == SEGMENT_PARAM ? node->param : find_literal(node, text);
    if (!child)
        return;
    withdraw(child, rest, v, route);
    if (is_empty(child))
        drop_child(node, child);
}

static void free_leaves(struct leaf *leaf)
{
    while (leaf) {
        struct leaf *next = leaf->next;
        free(leaf);
        leaf = next;
    }
}

static void free_below(struct segment *node)
{
    struct segment *child = NULL, *tmp = NULL;
    HASH_ITER(hh, node->literals, child, tmp)
    {
        free_below(child);
        drop_child(node, child);
    }
    if (node->param) {
        free_below(node->param);
        drop_child(node, node->param);
    }
    free_leaves(node->ends);
    free_leaves(node->rests);
}

/* --- hosts --- */

static const char *host_key(const struct route_config *route)
{
    return route->host[0] == '*' ? route->host + 1 : route->host;
}

static struct segment *find_root(struct routes *r, const struct route_config *route)
{
    if (!route->host)
        return &r->any;
    struct host *h;
    const char *key = host_key(route);
    HASH_FIND_STR(r->hosts, key, h);
    return h ? &h->root : NULL;
}

static struct segment *need_root(struct routes *r, const struct route_config *route)
{
    struct segment *root = find_root(r, route);
    if (root)
        return root;
    struct host *h = hob_new(struct host);
    h->name = hob_strdup(host_key(route));
    HASH_ADD_KEYPTR(hh, r->hosts, h->name, strlen(h->name), h);
    return &h->root;
}

static void drop_host(struct routes *r, struct host *h)
{
    HASH_DEL(r->hosts, h); /* NOLINT(clang-analyzer-core.NullDereference): lost in uthash's macro */
    free(h->name);
    free(h);
}

static struct hob_str behind_slash(const char *path)
{
    return hob_str(path[0] == '/' ? path + 1 : path);
}

void routes_add(struct routes *r, struct version *v)
{
    const struct function_config *config = version_config(v);
    for (size_t i = 0; i < config->routes_n; i++)
        insert(need_root(r, &config->routes[i]), behind_slash(config->routes[i].path), v, &config->routes[i]);
}

void routes_remove(struct routes *r, struct version *v)
{
    const struct function_config *config = version_config(v);
    for (size_t i = 0; i < config->routes_n; i++) {
        const struct route_config *route = &config->routes[i];
        struct segment *root = find_root(r, route);
        if (!root)
            continue;
        withdraw(root, behind_slash(route->path), v, route);
        if (root != &r->any && is_empty(root))
            drop_host(r, HOB_CONTAINER_OF(root, struct host, root));
    }
}

struct routes *routes_new(void)
{
    return hob_new(struct routes);
}

void routes_free(struct routes *r)
{
    struct host *h = NULL, *tmp = NULL;
    if (!r)
        return;
    HASH_ITER(hh, r->hosts, h, tmp)
    {
        free_below(&h->root);
        drop_host(r, h);
    }
    free_below(&r->any);
    free(r);
}

/* --- matching --- */

struct search {
    struct hob_str method;
    const struct leaf *found;
    const struct leaf *any_method_missing; /* the path matched, the method did not */
    struct route_match *match;
};

static bool has_method(const struct route_config *route, struct hob_str method)
{
    for (size_t i = 0; i < route->methods_n; i++) {
        if (hob_str_is(method, route->methods[i]))
            return true;
    }
    return false;
}

static void allow_add(struct route_match *m, const char *method)
{
    size_t n = strlen(m->allow);
    const char *at = strstr(m->allow, method);
    size_t method_n = strlen(method);
    if (at && (at == m->allow || at[-1] == ' ') && (at[method_n] == ',' || at[method_n] == '\0'))
        return;
    if (n + method_n + 3 <= sizeof m->allow)
        (void)snprintf(m->allow + n, sizeof m->allow - n, "%s%s", n ? ", " : "", method);
}

/* A route that lists the method goes before one that takes all; HEAD is served by what serves GET (RFC 9110, 9.3.2). */
static bool pick(struct search *s, const struct leaf *list)
{
    const struct leaf *all = NULL, *get = NULL;
    for (const struct leaf *l = list; l; l = l->next) {
        if (has_method(l->route, s->method)) {
            s->found = l;
            return true;
        }
        if (!all && l->route->methods_n == 0)
            all = l;
        if (!get && hob_str_is(s->method, "HEAD") && has_method(l->route, HOB_STR("GET")))
            get = l;
    }
    s->found = get ? get : all;
    if (s->found || !list)
        return s->found != NULL;
    if (!s->any_method_missing)
        s->any_method_missing = list;
    for (const struct leaf *l = list; l; l = l->next) {
        for (size_t i = 0; i < l->route->methods_n; i++)
            allow_add(s->match, l->route->methods[i]);
    }
    return false;
}

/* Literal before parameter before rest. Visits every node at most once: the tree bounds the work. */
static bool descend(struct search *s, struct segment *node, struct hob_str rest)
{
    if (!rest.at)
        return pick(s, node->ends);
    struct hob_str tail, text = hob_str_cut(rest, '/', &tail);
    struct segment *child = node->literals ? find_literal(node, text) : NULL;
    if (child && descend(s, child, tail))
        return true;
    if (node->param && text.n && descend(s, node->param, tail))
        return true;
    return pick(s, node->rests);
}

/* Walks pattern and path side by side, now that they are known to match. */
static void fill_params(struct route_match *m, struct hob_str path)
{
    struct hob_str pattern = behind_slash(m->route->path), rest = hob_str_n(path.at + 1, path.n - 1);
    while (pattern.at && rest.at && m->params_n < HOB_COUNT(m->param_names)) {
        struct hob_str whole = rest;
        struct hob_str text = hob_str_cut(pattern, '/', &pattern), value = hob_str_cut(rest, '/', &rest);
        enum segment_kind kind = kind_of(text);
        if (kind == SEGMENT_LITERAL)
            continue;
        m->param_names[m->params_n] = hob_str_n(text.at + 1, text.n - (kind == SEGMENT_REST ? 2 : 1));
        m->param_values[m->params_n++] = kind == SEGMENT_REST ? whole : value;
        if (kind == SEGMENT_REST)
            return;
    }
}

/* Lower-case, without port and without the dot of a fully qualified name. */
static struct hob_str normal_host(struct hob_str host, char out[HOST_BYTES_MAX])
{
    if (host.n == 0 || host.n >= HOST_BYTES_MAX || host.at[0] == '[')
        return hob_str_n(out, 0);
    struct hob_str port, name = hob_str_cut(host, ':', &port);
    for (size_t i = 0; i < name.n; i++)
        out[i] = name.at[i] >= 'A' && name.at[i] <= 'Z' ? (char)(name.at[i] + ('a' - 'A')) : name.at[i];
    if (name.n && out[name.n - 1] == '.')
        name.n--;
    return hob_str_n(out, name.n);
}

static bool search_host(struct search *s, struct routes *r, struct hob_str key, struct hob_str rest)
{
    struct host *h;
    HASH_FIND(hh, r->hosts, key.at, key.n, h);
    return h && descend(s, &h->root, rest);
}

static bool search_hosts(struct search *s, struct routes *r, struct hob_str host, struct hob_str rest)
{
    if (search_host(s, r, host, rest))
        return true;
    for (size_t i = 1; i < host.n; i++) { /* the longest suffix first */
        if (host.at[i] == '.' && search_host(s, r, hob_str_n(host.at + i, host.n - i), rest))
            return true;
    }
    return false;
}

bool routes_match(struct routes *r, struct hob_str host, struct hob_str method, struct hob_str path,
                  struct route_match *m)
{
    struct search s = {.method = method, .match = m};
    char lower[HOST_BYTES_MAX];
    *m = (struct route_match){0};
    if (path.n == 0 || path.at[0] != '/')
        return false;
    struct hob_str rest = hob_str_n(path.at + 1, path.n - 1);
    bool is_found = r->hosts && host.n && search_hosts(&s, r, normal_host(host, lower), rest);
    if (!is_found)
        is_found = descend(&s, &r->any, rest);
    const struct leaf *leaf = is_found ? s.found : s.any_method_missing;
    if (!leaf)
        return false;
    m->version = leaf->version;
    m->route = leaf->route;
    m->is_method_missing = !is_found;
    if (is_found)
        m->allow[0] = '\0';
    fill_params(m, path);
    return true;
}

/* --- clashes --- */

/* Within an app, a route for listed methods and one for all live side by side: the listed one wins. Between apps that
 * would take requests away from the other. */
static bool share_method(const struct route_config *a, const struct route_config *b, bool is_same_app)
{
    if (a->methods_n == 0 || b->methods_n == 0)
        return !is_same_app || a->methods_n == b->methods_n;
    for (size_t i = 0; i < a->methods_n; i++) {
        if (has_method(b, hob_str(a->methods[i])))
            return true;
    }
    return false;
}

static const struct leaf *leaves_at(struct segment *node, struct hob_str rest)
{
    while (node && rest.at) {
        struct hob_str text = hob_str_cut(rest, '/', &rest);
        enum segment_kind kind = kind_of(text);
        if (kind == SEGMENT_REST)
            return node->rests;
        node = kind == SEGMENT_PARAM ? node->param : find_literal(node, text);
    }
    return node ? node->ends : NULL;
}

const struct version *routes_clash(struct routes *r, const char *app, const char *function,
                                   const struct route_config *route)
{
    struct segment *root = find_root(r, route);
    for (const struct leaf *l = leaves_at(root, behind_slash(route->path)); l; l = l->next) {
        bool is_same_app = strcmp(l->version->app_name, app) == 0;
        bool is_own = is_same_app && strcmp(l->version->function_name, function) == 0;
        if (!is_own && share_method(l->route, route, is_same_app))
            return l->version;
    }
    return NULL;
}
