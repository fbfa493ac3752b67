/* The registry of cloud code, and what an answer of cloud code means. */
#include "../home.h"

#include "bindings/cloud/cloud_priv.h"
#include "bindings/cloud/webhook.h"
#include "store/rows.h"

struct world {
    struct home *h;
    struct store *store;
    struct cloud *cloud;
    struct backend_options o;
    bool is_done;
    struct hob_err err;
};

static enum hob_code make_app(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    struct app_row row;
    (void)ctx;
    return store_app_ensure(tx, "shop", 1, &row, err);
}

static void open_world(struct world *w, void **state)
{
    struct hob_err err;
    *w = (struct world){.h = *state};
    w->store = store_open(&w->h->loop, home_path(w->h, "hob.db"), &err);
    assert_non_null(w->store);
    assert_int_equal(store_write_now(w->store, make_app, NULL, &err), HOB_OK);
    w->o = (struct backend_options){.loop = &w->h->loop, .store = w->store};
    w->cloud = cloud_new(&w->o, NULL, &err);
    assert_non_null(w->cloud);
}

static void on_closed(void *ctx)
{
    *(bool *)ctx = true;
}

static void close_cloud(struct world *w)
{
    bool is_closed = false;
    cloud_close(w->cloud, on_closed, &is_closed);
    while (!is_closed)
        (void)uv_run(&w->h->loop, UV_RUN_ONCE);
}

static void close_world(struct world *w)
{
    bool is_closed = false;
    close_cloud(w);
    store_close(w->store, on_closed, &is_closed);
    (void)uv_run(&w->h->loop, UV_RUN_DEFAULT);
    assert_true(is_closed);
}

static void on_hook(void *ctx, const struct hob_err *err)
{
    struct world *w = ctx;
    w->is_done = true;
    w->err = err ? *err : (struct hob_err){0};
}

static void set_hook(struct world *w, const char *app, enum cloud_kind kind, const char *name,
                     const char *url)
{
    w->is_done = false;
    cloud_set_hook(w->cloud, app, kind, hob_str(name), url, on_hook, w);
    assert_false(w->is_done);
    while (!w->is_done)
        (void)uv_run(&w->h->loop, UV_RUN_ONCE);
}

static void deploy(struct world *w, const char *function, int64_t order, const char *text)
{
    struct hob_err err;
    json_t *json = text ? hob_json_parse(hob_str(text), "registrations", &err) : NULL;
    cloud_set_function(w->cloud, "shop", function, json, order);
    json_decref(json);
}

/* "function", "url" or "" for none. */
static const char *where(struct world *w, enum cloud_kind kind, const char *name)
{
    struct cloud_target t;
    if (!cloud_find(w->cloud, "shop", kind, hob_str(name), &t))
        return "";
    return t.url ? t.url : t.function;
}

static void the_one_deployed_last_counts_and_a_webhook_over_all(void **state)
{
    struct world w;
    open_world(&w, state);
    deploy(&w, "b", 20,
           "{\"functions\":[\"hello\",\"only\"],\"jobs\":[\"j\"],\"triggers\":[\"beforeSave Order\"]}");
    deploy(&w, "a", 10, "{\"functions\":[\"hello\"],\"jobs\":[],\"triggers\":[]}");
    assert_string_equal(where(&w, CLOUD_FUNCTION, "hello"), "b");
    assert_string_equal(where(&w, CLOUD_TRIGGER, "beforeSave Order"), "b");
    assert_string_equal(where(&w, CLOUD_JOB, "j"), "b");
    assert_string_equal(where(&w, CLOUD_FUNCTION, "j"), "");
    deploy(&w, "a", 30, "{\"functions\":[\"hello\"]}");
    assert_string_equal(where(&w, CLOUD_FUNCTION, "hello"), "a");
    set_hook(&w, "shop", CLOUD_FUNCTION, "hello", "https://h.example/");
    assert_string_equal(where(&w, CLOUD_FUNCTION, "hello"), "https://h.example/");
    deploy(&w, "a", 40, NULL);
    set_hook(&w, "shop", CLOUD_FUNCTION, "hello", NULL);
    assert_string_equal(where(&w, CLOUD_FUNCTION, "hello"), "b");
    deploy(&w, "b", 50, "{\"functions\":[\"hello\"]}");
    assert_string_equal(where(&w, CLOUD_FUNCTION, "only"), "");
    assert_string_equal(where(&w, CLOUD_TRIGGER, "beforeSave Order"), "");
    deploy(&w, "b", 60, NULL);
    assert_string_equal(where(&w, CLOUD_FUNCTION, "hello"), "");
    close_world(&w);
}

static void webhooks_outlive_the_registry_and_go_with_the_backend(void **state)
{
    struct world w;
    struct hob_err err;
    open_world(&w, state);
    set_hook(&w, "shop", CLOUD_FUNCTION, "f", "https://h.example/f");
    set_hook(&w, "shop", CLOUD_TRIGGER, "beforeSave Order", "fn:check");
    set_hook(&w, "nobody", CLOUD_FUNCTION, "f", "https://h.example/f");
    assert_int_equal(w.err.code, HOB_E_NOT_FOUND);
    close_cloud(&w);
    w.cloud = cloud_new(&w.o, NULL, &err);
    assert_non_null(w.cloud);
    assert_string_equal(where(&w, CLOUD_FUNCTION, "f"), "https://h.example/f");
    assert_string_equal(where(&w, CLOUD_TRIGGER, "beforeSave Order"), "fn:check");
    w.is_done = false;
    cloud_drop_hooks(w.cloud, "shop", on_hook, &w);
    while (!w.is_done)
        (void)uv_run(&w.h->loop, UV_RUN_ONCE);
    assert_string_equal(where(&w, CLOUD_FUNCTION, "f"), "");
    close_cloud(&w);
    w.cloud = cloud_new(&w.o, NULL, &err);
    assert_non_null(w.cloud);
    assert_string_equal(where(&w, CLOUD_FUNCTION, "f"), "");
    close_world(&w);
}

static void answers_mean_what_the_protocol_says(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int code; /* 0: success */
        const char *message;
    } table[] = {
        {"{\"success\":1}", 0, NULL},
        {"{}", 0, NULL},
        {"{\"success\":null,\"error\":null}", 0, NULL},
        {"{\"error\":\"no\"}", 141, "no"},
        {"{\"error\":{\"code\":101,\"error\":\"gone\"}}", 101, "gone"},
        {"{\"error\":{\"code\":142,\"message\":\"bad\"}}", 142, "bad"},
        {"{\"error\":{\"code\":\"x\"}}", 141, "cloud code failed"},
        {"{\"error\":7}", 141, "cloud code failed"},
        {"", -1, "Malformed response"},
        {"[]", -1, "Malformed response"},
        {"1", -1, "Malformed response"},
        {"{\"success\":", -1, "Malformed response"},
    };
    for (size_t i = 0; i < HOB_COUNT(table); i++) {
        struct hob_err err = {0};
        json_t *success = NULL, *context = NULL;
        enum hob_code rc = cloud_judge_answer(hob_str(table[i].text), &success, &context, &err);
        assert_int_equal(rc == HOB_OK, table[i].code == 0);
        if (rc != HOB_OK) {
            assert_int_equal(hob_err_parse_code(&err), table[i].code);
            assert_string_equal(err.msg, table[i].message);
        }
        json_decref(success);
        json_decref(context);
    }
}

static void urls_of_webhooks_are_judged(void **state)
{
    (void)state;
    static const char *const good[] = {"http://a", "https://a.example:8443/x?y=1", "http://[::1]/"};
    static const char *const bad[] = {
        "", "a", "ftp://a/", "http://", "http://a b/", "http://a\n/", "file:///etc/passwd"};
    for (size_t i = 0; i < HOB_COUNT(good); i++)
        assert_true(webhook_url_is_valid(good[i]));
    for (size_t i = 0; i < HOB_COUNT(bad); i++)
        assert_false(webhook_url_is_valid(bad[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_one_deployed_last_counts_and_a_webhook_over_all, home_make,
                                        home_drop),
        cmocka_unit_test_setup_teardown(webhooks_outlive_the_registry_and_go_with_the_backend, home_make,
                                        home_drop),
        cmocka_unit_test(answers_mean_what_the_protocol_says),
        cmocka_unit_test(urls_of_webhooks_are_judged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
