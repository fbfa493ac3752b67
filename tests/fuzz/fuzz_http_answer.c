/* Answers as a hostile server sends them. Oracles:
 *  - the outcome of one delivery equals that of any cut (the first byte chooses the cuts), and of any body window;
 *  - what is taken as an answer, llhttp takes too, with the same status, body and end (but for chunk extensions, in
 *    which it is choosier about characters that mean nothing here, the answers that never have a body, and tabs behind
 *    a length, which it refuses and RFC 9110 (5.6.3) allows: both are compared with spaces in the place of tabs);
 *  - every field that travels on is a lower-case name and a value without control characters. */
#include <llhttp.h>
#include <stdlib.h>

#include "runner/init/http_answer.h"

enum { INPUT_MAX = 20000 };

struct outcome {
    enum answer_state state;
    unsigned status;
    size_t used;
    struct hob_buf body;
};

static struct outcome run(struct answer *a, struct hob_str text, unsigned seed, bool is_cut)
{
    struct outcome o = {0};
    struct hob_buf in;
    hob_buf_init(&o.body, (size_t)1 << 20);
    hob_buf_init(&in, (size_t)1 << 20);
    answer_begin(a, (seed & 1) != 0, (seed & 16) != 0);
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
    answer_end_of_input(a);
    o.state = a->state;
    o.status = a->status;
    hob_buf_done(&in);
    return o;
}

static int on_body(llhttp_t *p, const char *at, size_t n)
{
    HOB_ASSERT(hob_buf_add(p->data, at, n) == HOB_OK);
    return 0;
}

static int on_end(llhttp_t *p)
{
    return p->status_code < 200 ? 0 : HPE_PAUSED;
}

static void without_tabs(struct hob_str s, struct hob_buf *out)
{
    hob_buf_init(out, (size_t)1 << 20);
    HOB_ASSERT(hob_buf_add_str(out, s) == HOB_OK);
    for (size_t i = 0; i < out->n; i++)
        if (hob_buf_data(out)[i] == '\t')
            hob_buf_data(out)[i] = ' ';
}

static void compare_with_llhttp(struct hob_str text, const struct outcome *o)
{
    hob_auto_buf struct hob_buf in, expected;
    without_tabs(hob_str_n(text.at, o->used), &in);
    without_tabs(hob_buf_str(&o->body), &expected);
    llhttp_settings_t settings;
    llhttp_t p;
    struct hob_buf body;
    llhttp_settings_init(&settings);
    settings.on_body = on_body;
    settings.on_message_complete = on_end;
    llhttp_init(&p, HTTP_RESPONSE, &settings);
    hob_buf_init(&body, (size_t)1 << 20);
    p.data = &body;
    llhttp_errno_t code = llhttp_execute(&p, hob_buf_data(&in), in.n);
    if (code == HPE_OK)
        code = llhttp_finish(&p);
    HOB_ASSERT(code == HPE_PAUSED || code == HPE_OK);
    HOB_ASSERT(p.status_code == o->status);
    HOB_ASSERT(hob_str_eq(hob_buf_str(&body), hob_buf_str(&expected)));
    hob_buf_done(&body);
}

static void check_fields(const struct hob_buf *block)
{
    struct hob_pairs p;
    struct hob_str name, value;
    HOB_ASSERT(hob_pairs_open(hob_buf_str(block), ANSWER_FIELDS_MAX, &p));
    for (struct hob_pairs_iter it = hob_pairs_walk(&p); hob_pairs_next(&it, &name, &value);) {
        HOB_ASSERT(name.n > 0);
        for (size_t i = 0; i < name.n; i++)
            HOB_ASSERT(name.at[i] > 0x20 && name.at[i] < 0x7f && !(name.at[i] >= 'A' && name.at[i] <= 'Z'));
        for (size_t i = 0; i < value.n; i++)
            HOB_ASSERT((unsigned char)value.at[i] >= 0x20 || value.at[i] == '\t');
        HOB_ASSERT(!hob_str_is(name, "connection") && !hob_str_is(name, "transfer-encoding"));
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
        if (a.trailers.n)
            check_fields(&a.trailers);
        bool has_body =
            (data[0] & 1) == 0 && whole.status != 101 && whole.status != 204 && whole.status != 304;
        if (has_body && a.extension_bytes == 0)
            compare_with_llhttp(text, &whole);
    }
    struct outcome cut = run(&a, text, data[0], true);
    HOB_ASSERT(whole.state == cut.state);
    HOB_ASSERT(whole.state == ANSWER_BAD || (whole.status == cut.status && whole.used == cut.used &&
                                             hob_str_eq(hob_buf_str(&whole.body), hob_buf_str(&cut.body))));
    hob_buf_done(&whole.body);
    hob_buf_done(&cut.body);
    answer_done(&a);
    return 0;
}
