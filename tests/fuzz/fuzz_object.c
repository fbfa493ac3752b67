/* What clients send as objects: values, operations, access lists, permissions, parameters. Oracles: the stored form of a
 * value is JSON, and storing it again changes nothing; walking a stored document gives what parsing it gives; an access
 * list survives being two sets; what is refused carries a number and a message. */
#include <stdlib.h>

#include "bindings/object/object_priv.h"
#include "bindings/query_params.h"
#include "bindings/schema/schema_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void judge_refusal(const struct hob_err *err)
{
    int code = hob_err_parse_code(err);
    HOB_ASSERT(code == PARSE_OTHER_CAUSE || (code > 100 && code < 300));
    HOB_ASSERT(err->msg[0] && parse_error_status(err) < 500);
}

static bool stored(const json_t *v, struct hob_buf *out)
{
    struct hob_err err = {0};
    struct hob_jw w;
    hob_jw_init(&w, out);
    if (value_write(v, &w, &err) == HOB_OK && hob_jw_end(&w, &err) == HOB_OK)
        return true;
    judge_refusal(&err);
    return false;
}

static void judge_value(const json_t *v)
{
    struct hob_buf first hob_auto_buf, second hob_auto_buf;
    hob_buf_init(&first, 1 << 22);
    hob_buf_init(&second, 1 << 22);
    if (!stored(v, &first))
        return;
    json_t *back hob_auto_json = json_loadb(hob_buf_data(&first), first.n, JSON_DECODE_ANY, NULL);
    HOB_ASSERT(back);
    HOB_ASSERT(stored(back, &second) && hob_str_eq(hob_buf_str(&first), hob_buf_str(&second)));
    if (!json_is_object(back))
        return;
    struct doc_walk walk = doc_walk(hob_buf_str(&first));
    struct hob_str key, value;
    size_t n = 0;
    while (doc_next(&walk, &key, &value)) {
        json_t *one hob_auto_json = json_loadb(value.at, value.n, JSON_DECODE_ANY, NULL);
        json_t *wanted = json_object_getn(back, key.at, key.n);
        HOB_ASSERT(one && (memchr(key.at, '\\', key.n) || json_equal(one, wanted)));
        n++;
    }
    HOB_ASSERT(n == json_object_size(back));
}

static void judge_changes(const json_t *data, struct hob_str original)
{
    struct hob_err err = {0};
    struct changes ch;
    if (changes_resolve(data, original, &ch, &err) != HOB_OK)
        judge_refusal(&err);
    changes_done(&ch);
}

static void judge_acl(const json_t *acl)
{
    struct hob_err err = {0};
    struct hob_arena arena;
    struct data_row row = {.created_ms = 0};
    struct hob_buf text hob_auto_buf;
    struct hob_jw w;
    hob_arena_init(&arena, 1 << 22);
    hob_buf_init(&text, 1 << 22);
    if (acl_split(&arena, acl, &row.readers, &row.writers, &err) != HOB_OK) {
        judge_refusal(&err);
    } else if (acl_is_some(&row)) {
        struct data_row again = {.created_ms = 0};
        hob_jw_init(&w, &text);
        acl_write(&row, &w);
        HOB_ASSERT(hob_jw_end(&w, NULL) == HOB_OK);
        json_t *back hob_auto_json = json_loadb(hob_buf_data(&text), text.n, 0, NULL);
        HOB_ASSERT(back && acl_split(&arena, back, &again.readers, &again.writers, &err) == HOB_OK);
    }
    hob_arena_done(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char original[] =
        "{\"n\":1,\"l\":[1,{\"a\":2}],\"m\":{\"a\":{\"b\":1}},\"s\":\"x\",\"d\":{\"__type\":\"Date\","
        "\"iso\":\"2020-01-01T00:00:00.000Z\"}}";
    struct hob_err err = {0};
    struct hob_str text = hob_str_n(data, size);
    json_t *params hob_auto_json = json_object();
    query_params_add(HOB_STR("/login"), text, params);
    json_t *j hob_auto_json = hob_json_parse(text, "input", &err);
    if (!j)
        return 0;
    judge_value(j);
    if (!json_is_object(j))
        return 0;
    judge_changes(j, hob_str_n(NULL, 0));
    judge_changes(j, hob_str(original));
    judge_acl(j);
    if (permissions_judge(j, NULL, &err) != HOB_OK)
        judge_refusal(&err);
    return 0;
}
