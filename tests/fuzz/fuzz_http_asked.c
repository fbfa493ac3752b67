/* Requests as a hostile server makes them at its gate. Oracles:
 *  - the outcome of one delivery equals that of any cut, and of any body window;
 *  - what is taken as a request, llhttp takes too, with the same method, target, body and keep-alive;
 *  - method and target are plain ASCII without spaces, fields are lower-case names and values without control characters. */
#include <llhttp.h>
#include <stdlib.h>

#include "runner/init/http_answer.h"

enum { INPUT_MAX = 20000 };

struct outcome {
    enum answer_state state;
    size_t used;
    struct hob_buf body;
};

static struct outcome run(struct answer *a, struct hob_str text, unsigned seed, bool is_cut)
{
    struct outcome o = {0};
    struct hob_buf in;
    hob_buf_init(&o.body, (size_t)1 << 20);
    hob_buf_init(&in, (size_t)1 << 20);
    answer_begin_request(a);
    for (size_t at = 0; at < text.n && a->state != ANSWER_DONE && a->state != ANSWER_BAD;) {
        seed = seed * 1103515245u + 12345u;
        size_t n = is_cut ? 1 + (seed >> 16) % 37 : text.n;
        n = n < text.n - at ? n : text.n - at;
        HOB_ASSERT(hob_buf_add(&in, text.at + at, n) == HOB_OK);
        at += n;
        size_t used;
        do {
            size_t window = is_cut ? 1 + (seed >> 8) % 5 : (size_t)1 << 19;
            used = answer_take(a, hob_buf_str(&in), &o.body, o.body.n + window);
            hob_buf_consume(&in, used);
            o.used += used;
        } while (used);
    }
    o.state = a->state;
    hob_buf_done(&in);
    return o;
}

struct seen {
    struct hob_buf body, target;
    bool is_kept;
};

static int on_body(llhttp_t *p, const char *at, size_t n)
{
    struct seen *s = p->data;
    HOB_ASSERT(hob_buf_add(&s->body, at, n) == HOB_OK);
    return 0;
}

static int on_url(llhttp_t *p, const char *at, size_t n)
{
    struct seen *s = p->data;
    HOB_ASSERT(hob_buf_add(&s->target, at, n) == HOB_OK);
    return 0;
}

static int on_end(llhttp_t *p)
{
    struct seen *s = p->data;
    s->is_kept = llhttp_should_keep_alive(p);
    return HPE_PAUSED;
}

/* It knows a list of methods, and pauses behind a CONNECT or an upgrade: those it is not asked about. */
static void compare_with_llhttp(struct hob_str text, const struct answer *a, const struct outcome *o)
{
    llhttp_settings_t settings;
    llhttp_t p;
    struct seen s;
    llhttp_settings_init(&settings);
    settings.on_body = on_body;
    settings.on_url = on_url;
    settings.on_message_complete = on_end;
    llhttp_init(&p, HTTP_REQUEST, &settings);
    hob_buf_init(&s.body, (size_t)1 << 20);
    hob_buf_init(&s.target, (size_t)1 << 20);
    p.data = &s;
    llhttp_errno_t code = llhttp_execute(&p, text.at, o->used);
    bool is_asked = code != HPE_INVALID_METHOD && code != HPE_PAUSED_UPGRADE &&
                    code != HPE_INVALID_CONSTANT && !p.upgrade;
    if (is_asked) {
        HOB_ASSERT(code == HPE_PAUSED);
        HOB_ASSERT(hob_str_eq(hob_buf_str(&s.body), hob_buf_str(&o->body)));
        HOB_ASSERT(hob_str_eq(hob_buf_str(&s.target), answer_target(a)));
        HOB_ASSERT(s.is_kept == a->is_keep_alive);
    }
    hob_buf_done(&s.body);
    hob_buf_done(&s.target);
}

static void check_plain(struct hob_str s)
{
    HOB_ASSERT(s.n > 0);
    for (size_t i = 0; i < s.n; i++)
        HOB_ASSERT(s.at[i] > 0x20 && s.at[i] < 0x7f);
}

static void check_fields(const struct hob_buf *block)
{
    struct hob_pairs p;
    struct hob_str name, value;
    HOB_ASSERT(hob_pairs_open(hob_buf_str(block), ANSWER_FIELDS_MAX, &p));
    for (struct hob_pairs_iter it = hob_pairs_walk(&p); hob_pairs_next(&it, &name, &value);) {
        check_plain(name);
        for (size_t i = 0; i < value.n; i++)
            HOB_ASSERT((unsigned char)value.at[i] >= 0x20 || value.at[i] == '\t');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 1 || n > INPUT_MAX)
        return 0;
    struct hob_str text = hob_str_n(data + 1, n - 1);
    struct answer a;
    answer_init(&a);
    struct outcome whole = run(&a, text, data[0], false);
    if (whole.state == ANSWER_DONE) {
        check_fields(&a.fields);
        check_plain(answer_method(&a));
        check_plain(answer_target(&a));
        HOB_ASSERT(answer_target(&a).at[0] == '/' && a.hosts_n <= 1);
        if (a.extension_bytes == 0)
            compare_with_llhttp(text, &a, &whole);
    }
    struct outcome cut = run(&a, text, data[0], true);
    HOB_ASSERT(whole.state == cut.state);
    HOB_ASSERT(whole.state == ANSWER_BAD ||
               (whole.used == cut.used && hob_str_eq(hob_buf_str(&whole.body), hob_buf_str(&cut.body))));
    hob_buf_done(&whole.body);
    hob_buf_done(&cut.body);
    answer_done(&a);
    return 0;
}
