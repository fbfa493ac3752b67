/* The meaning of a condition on one document. SQL calls it for whatever no index can serve (hob_test), and data_matches
 * for everything: so both mean the same. */
#include <stdlib.h>
#include <string.h>

#include "store/data/data_priv.h"

struct look {
    const struct cond *c;
    struct hob_buf scratch;
    struct hob_err *err;
};

static bool has_key(const struct cond *c, const struct key *k)
{
    size_t low = 0, high = c->keys_n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = key_cmp(k, &c->keys[mid]);
        if (order == 0)
            return true;
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return false;
}

/* Of one type? Numbers whole and broken are; blobs when their letter is the same. */
static bool is_comparable(const struct key *a, const struct key *b)
{
    bool is_number = a->kind == KEY_INT || a->kind == KEY_REAL;
    if (is_number)
        return b->kind == KEY_INT || b->kind == KEY_REAL;
    if (a->kind != b->kind || a->kind == KEY_NULL)
        return false;
    return a->kind == KEY_TEXT || (a->s.n && b->s.n && a->s.at[0] == b->s.at[0]);
}

static bool is_in_bound(const struct cond *c, const struct key *k)
{
    if (c->keys_n == 0 || !is_comparable(k, &c->keys[0]))
        return false;
    int order = key_cmp(k, &c->keys[0]);
    if (c->op == COND_LESS)
        return order < 0;
    if (c->op == COND_LESS_EQ)
        return order <= 0;
    return c->op == COND_MORE ? order > 0 : order >= 0;
}

static enum hob_code test_regex(struct look *l, struct regex *r, const struct key *k, bool *ret_is)
{
    *ret_is = false;
    return k->kind == KEY_TEXT ? regex_matches(r, k->s, ret_is, l->err) : HOB_OK;
}

/* One value, not looking into arrays. */
static enum hob_code test_value(struct look *l, struct hob_str json, bool *ret_is)
{
    const struct cond *c = l->c;
    struct key k = key_of(json, &l->scratch);
    if (c->op == COND_REGEX)
        return test_regex(l, c->regexes[0], &k, ret_is);
    if (c->op == COND_IN)
        *ret_is = k.kind == KEY_NULL ? c->has_null : has_key(c, &k);
    else
        *ret_is = is_in_bound(c, &k);
    return HOB_OK;
}

/* The value itself or, when it is an array, one of its elements. */
static enum hob_code test_any(struct look *l, struct hob_str json, bool *ret_is)
{
    struct hob_str element;
    if (test_value(l, json, ret_is) != HOB_OK)
        return l->err->code;
    if (*ret_is || json.at[0] != '[')
        return HOB_OK;
    struct scan_iter it = scan_inside(json);
    while (!*ret_is && scan_next(&it, &element))
        if (test_value(l, element, ret_is) != HOB_OK)
            return l->err->code;
    return HOB_OK;
}

/* Marks which of the keys the array holds. */
static bool holds_all(struct look *l, struct hob_str array)
{
    const struct cond *c = l->c;
    struct hob_str element;
    bool has_null = false;
    size_t found = 0;
    hob_auto_free bool *seen = hob_new_n(bool, c->keys_n + 1);
    struct scan_iter it = scan_inside(array);
    while (scan_next(&it, &element)) {
        struct key k = key_of(element, &l->scratch);
        has_null |= k.kind == KEY_NULL;
        const struct key *at = c->keys_n
                                   ? bsearch(&k, c->keys, c->keys_n, sizeof k,
                                             (int (*)(const void *, const void *))(void (*)(void))key_cmp)
                                   : NULL;
        if (at && !seen[at - c->keys]) {
            seen[at - c->keys] = true;
            found++;
        }
    }
    return found == c->keys_n && (c->keys_n || c->has_null) && (!c->has_null || has_null);
}

static bool is_contained(struct look *l, struct hob_str array)
{
    struct hob_str element;
    struct scan_iter it = scan_inside(array);
    while (scan_next(&it, &element)) {
        struct key k = key_of(element, &l->scratch);
        if (k.kind == KEY_NULL ? !l->c->has_null : !has_key(l->c, &k))
            return false;
    }
    return true;
}

static enum hob_code test_all_regex(struct look *l, struct hob_str array, bool *ret_is)
{
    *ret_is = l->c->regexes_n > 0;
    for (size_t i = 0; *ret_is && i < l->c->regexes_n; i++) {
        struct hob_str element;
        bool is = false;
        struct scan_iter it = scan_inside(array);
        while (!is && scan_next(&it, &element)) {
            struct key k = key_of(element, &l->scratch);
            if (test_regex(l, l->c->regexes[i], &k, &is) != HOB_OK)
                return l->err->code;
        }
        *ret_is = is;
    }
    return HOB_OK;
}

static bool test_place(const struct cond *c, struct hob_str json)
{
    struct geo g;
    if (!geo_of(json, &g))
        return false;
    if (c->op == COND_NEAR)
        return geo_distance(g, c->at) <= c->radius;
    if (c->op == COND_POLYGON)
        return polygon_holds(&c->polygon, g);
    return g.lat >= c->at.lat && g.lat <= c->to.lat && g.lon >= c->at.lon && g.lon <= c->to.lon;
}

static bool test_polygon(const struct cond *c, struct hob_str json)
{
    struct polygon p;
    if (!polygon_of(json, &p))
        return false;
    bool is = polygon_holds(&p, c->at);
    free(p.points);
    return is;
}

/* --- full text in which capitals or diacritics count: the index knows neither, so the words are looked for again --- */

static bool holds_word(const struct cond *c, struct hob_str text, struct hob_str word)
{
    struct hob_buf a, b;
    hob_buf_init(&a, KEY_BYTES_MAX);
    hob_buf_init(&b, KEY_BYTES_MAX);
    if (!c->by_case) {
        text = data_fold(text, &a);
        word = data_fold(word, &b);
    }
    bool is = word.n && memmem(text.at, text.n, word.at, word.n);
    hob_buf_done(&a);
    hob_buf_done(&b);
    return is;
}

/* The value of a text, or of an array of them. */
static bool holds_words(struct look *l, struct hob_str json)
{
    struct hob_str element;
    if (json.at[0] == '[') {
        struct scan_iter it = scan_inside(json);
        while (scan_next(&it, &element))
            if (element.at[0] != '[' && holds_words(l, element))
                return true;
        return false;
    }
    struct key k = key_of(json, &l->scratch);
    for (struct hob_str rest = l->c->text; k.kind == KEY_TEXT && rest.at;) {
        struct hob_str word = hob_str_trim(hob_str_cut(rest, ' ', &rest));
        while (word.n && word.at[0] == '"')
            word = hob_str_n(word.at + 1, word.n - 1);
        while (word.n && word.at[word.n - 1] == '"')
            word.n--;
        if (word.n && word.at[0] != '-' && holds_word(l->c, k.s, word))
            return true;
    }
    return false;
}

static enum hob_code test_present(struct look *l, struct hob_str json, bool *ret_is)
{
    bool is_array = json.at[0] == '[';
    switch (l->c->op) {
    case COND_IN:
    case COND_LESS:
    case COND_LESS_EQ:
    case COND_MORE:
    case COND_MORE_EQ:
    case COND_REGEX:
        return test_any(l, json, ret_is);
    case COND_EXISTS:
        *ret_is = true;
        return HOB_OK;
    case COND_ALL:
        *ret_is = is_array && holds_all(l, json);
        return HOB_OK;
    case COND_ALL_REGEX:
        *ret_is = false;
        return is_array ? test_all_regex(l, json, ret_is) : HOB_OK;
    case COND_CONTAINED:
        *ret_is = is_array && is_contained(l, json);
        return HOB_OK;
    case COND_NEAR:
    case COND_BOX:
    case COND_POLYGON:
        *ret_is = test_place(l->c, json);
        return HOB_OK;
    case COND_INTERSECTS:
        *ret_is = test_polygon(l->c, json);
        return HOB_OK;
    case COND_TEXT:
        *ret_is = holds_words(l, json);
        return HOB_OK;
    case COND_AND:
    case COND_OR:
    case COND_NOR:
    case COND_QUERY:
    case COND_SELECT:
    case COND_RELATED:
        break;
    }
    *ret_is = false; /* known to the database only */
    return HOB_OK;
}

enum hob_code cond_test_value(const struct cond *c, struct hob_str json, bool *ret_is, struct hob_err *err)
{
    bool is = false;
    enum hob_code rc = HOB_OK;
    if (!json.at) {
        is = c->op == COND_IN && c->has_null;
    } else {
        struct look l = {.c = c, .err = err};
        hob_buf_init(&l.scratch, KEY_BYTES_MAX);
        rc = test_present(&l, json, &is);
        hob_buf_done(&l.scratch);
    }
    if (rc == HOB_OK)
        *ret_is = is != c->is_not;
    return rc;
}

enum hob_code cond_test(const struct cond *c, struct hob_str doc, bool *ret_is, struct hob_err *err)
{
    return cond_test_value(c, scan_path(doc, c->path), ret_is, err);
}

/* --- a whole where on a whole document --- */

/* createdAt and updatedAt are plain strings on the wire and dates in a query. */
static struct hob_str as_date(struct hob_str json, char *mem, size_t mem_n)
{
    if (!json.at || json.n < 2 || json.n > 60 || json.at[0] != '"')
        return json;
    int n = snprintf(mem, mem_n, "{\"__type\":\"Date\",\"iso\":%.*s}", (int)json.n, json.at);
    return hob_str_n(mem, (size_t)n);
}

static enum hob_code test_leaf(const struct cond *c, struct hob_str doc, bool *ret_is, struct hob_err *err)
{
    char mem[128];
    struct hob_str json = scan_path(doc, c->path);
    if (hob_str_is(c->path, "createdAt") || hob_str_is(c->path, "updatedAt"))
        json = as_date(json, mem, sizeof mem);
    return cond_test_value(c, json, ret_is, err);
}

static enum hob_code test_tree(const struct cond *c, struct hob_str doc, bool *ret_is, struct hob_err *err)
{
    bool is_any = false, is_all = true;
    if (c->op != COND_AND && c->op != COND_OR && c->op != COND_NOR) {
        if (c->op == COND_TEXT || c->op == COND_QUERY || c->op == COND_SELECT || c->op == COND_RELATED) {
            *ret_is = false; /* judged on one document these never match, negated or not */
            return HOB_OK;
        }
        return test_leaf(c, doc, ret_is, err);
    }
    for (const struct cond *child = c->first; child; child = child->next) {
        bool is = false;
        if (test_tree(child, doc, &is, err) != HOB_OK)
            return err->code;
        is_any |= is;
        is_all &= is;
    }
    *ret_is = c->op == COND_AND ? is_all : c->op == COND_OR ? is_any : !is_any;
    return HOB_OK;
}

enum hob_code data_matches(const json_t *where, const json_t *doc, bool *ret_matches, struct hob_err *err)
{
    struct where w;
    struct hob_buf text;
    struct hob_jw jw;
    bool is = true;
    hob_buf_init(&text, KEY_BYTES_MAX);
    hob_jw_init(&jw, &text);
    hob_jw_json(&jw, doc);
    enum hob_code rc = where_init(&w, where, err);
    if (rc == HOB_OK)
        rc = hob_jw_end(&jw, err);
    if (rc == HOB_OK && w.root)
        rc = test_tree(w.root, hob_buf_str(&text), &is, err);
    if (rc == HOB_OK)
        *ret_matches = is;
    where_done(&w);
    hob_buf_done(&text);
    return rc;
}
