/* hob.json: what is accepted and what it becomes. */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "manifest/manifest.h"

#define hob_auto_manifest __attribute__((cleanup(manifest_free_p)))

static struct manifest *parse(const char *text, const char *env)
{
    struct hob_err err = {0};
    struct manifest *m = manifest_parse(hob_str(text), env, &err);
    if (!m)
        fail_msg("%s", err.msg);
    return m;
}

static void refuse(const char *text, const char *env, enum hob_code code, const char *part)
{
    struct hob_err err = {0};
    struct manifest *m = manifest_parse(hob_str(text), env, &err);
    if (m) {
        manifest_free(m);
        fail_msg("was accepted: %s", text);
    }
    if (!strstr(err.msg, part))
        fail_msg("'%s' does not say '%s'", err.msg, part);
    assert_int_equal(err.code, code);
}

static void refuse_function(const char *keys, enum hob_code code, const char *part)
{
    hob_auto_free char *text =
        hob_asprintf("{\"app\":\"shop\",\"functions\":{\"checkout\":{\"entry\":\"index.mjs\"%s%s}}}",
                     *keys ? "," : "", keys);
    refuse(text, NULL, code, part);
}

static void a_name_and_an_entry_are_enough(void **state)
{
    (void)state;
    hob_auto_manifest struct manifest *m =
        parse("{\"app\":\"shop\",\"functions\":{\"hello\":{\"entry\":\"index.mjs\"}}}", NULL);
    assert_string_equal(m->app, "shop");
    assert_null(m->compat);
    assert_int_equal(m->functions_n, 1);
    const struct function_config *f = &m->functions[0];
    assert_string_equal(f->name, "hello");
    assert_string_equal(f->runtime, "node");
    assert_string_equal(f->entry, "index.mjs");
    assert_null(f->handler);
    assert_null(f->build);
    assert_int_equal(f->memory_mb, 128);
    assert_int_equal(f->timeout_ms, 10000);
    assert_int_equal(f->queue_timeout_ms, 5000);
    assert_int_equal(f->init_timeout_ms, 10000);
    assert_int_equal(f->concurrency, 1);
    assert_int_equal(f->cpu_percent, 0);
    assert_int_equal(f->queue_max, 1000);
    assert_int_equal(f->scale_min, 0);
    assert_int_equal(f->scale_max, 100);
    assert_int_equal(f->scale_mode, SCALE_BALANCED);
    assert_int_equal(f->routes_n, 0);
    assert_false(f->secrets_in_env);
}

static void every_key_reaches_its_field(void **state)
{
    (void)state;
    hob_auto_manifest struct manifest *m = parse(
        "{ // a comment\n\"$schema\":\"x\",\"app\":\"shop\",\"compat\":\"2026-12-01\",\"functions\":{\"a\":{"
        "\"runtime\":\"python\",\"entry\":\"./jobs/a.py\",\"handler\":\"main\",\"build\":\"make\",\"engine\":\"sandbox\","
        "\"kind\":\"http\",\"port\":1024,\"memory_mb\":16,\"timeout_ms\":1,\"queue_timeout_ms\":2,\"init_timeout_ms\":3,"
        "\"concurrency\":4,\"cpu_percent\":50,\"queue_max\":6,\"vars\":{\"B\":\"2\",\"A\":\"1\"},\"secrets\":[\"S1\",\"S2\"],"
        "\"secrets_in_env\":true,\"scale\":{\"min\":1,\"max\":9,\"mode\":\"latency\"},/* and another */"
        "\"routes\":[{\"path\":\"/a/:id/:rest*\",\"methods\":[\"GET\",\"POST\"],\"host\":\"*.Shop.Example\","
        "\"cors\":[\"https://shop.example:8443\"],\"cors_credentials\":true,},],}}}",
        NULL);
    const struct function_config *f = &m->functions[0];
    assert_string_equal(m->compat, "2026-12-01");
    assert_string_equal(f->runtime, "python");
    assert_string_equal(f->entry, "jobs/a.py");
    assert_string_equal(f->handler, "main");
    assert_string_equal(f->build, "make");
    assert_int_equal(f->kind, FUNCTION_HTTP);
    assert_int_equal(f->port, 1024);
    assert_int_equal(f->memory_mb, 16);
    assert_int_equal(f->timeout_ms, 1);
    assert_int_equal(f->queue_timeout_ms, 2);
    assert_int_equal(f->init_timeout_ms, 3);
    assert_int_equal(f->concurrency, 4);
    assert_int_equal(f->cpu_percent, 50);
    assert_int_equal(f->queue_max, 6);
    assert_int_equal(f->scale_min, 1);
    assert_int_equal(f->scale_max, 9);
    assert_int_equal(f->scale_mode, SCALE_LATENCY);
    assert_true(f->secrets_in_env);
    assert_int_equal(f->vars_n, 2);
    assert_string_equal(f->vars[0].name, "A");
    assert_string_equal(f->vars[1].value, "2");
    assert_int_equal(f->secrets_n, 2);
    assert_string_equal(f->secrets[1], "S2");
    assert_int_equal(f->routes_n, 1);
    const struct route_config *r = &f->routes[0];
    assert_string_equal(r->path, "/a/:id/:rest*");
    assert_string_equal(r->host, "*.shop.example");
    assert_int_equal(r->methods_n, 2);
    assert_string_equal(r->methods[1], "POST");
    assert_int_equal(r->cors_n, 1);
    assert_true(r->has_credentials);
}

static void the_runtime_is_told_from_the_entry(void **state)
{
    (void)state;
    static const struct {
        const char *entry, *runtime;
    } cases[] = {{"a.mjs", "node"},  {"a.js", "node"}, {"a.cjs", "node"}, {"a.ts", "node"}, {"a.mts", "node"},
                 {"a.py", "python"}, {"a.php", "php"}, {"bin/a", "c"},    {"dir.js/a", "c"}};
    for (size_t i = 0; i < HOB_COUNT(cases); i++) {
        hob_auto_free char *text =
            hob_asprintf("{\"app\":\"s\",\"functions\":{\"a\":{\"entry\":\"%s\"}}}", cases[i].entry);
        hob_auto_manifest struct manifest *m = parse(text, NULL);
        assert_string_equal(m->functions[0].runtime, cases[i].runtime);
    }
    refuse("{\"app\":\"s\",\"functions\":{\"a\":{\"entry\":\"a.rb\"}}}", NULL, HOB_E_INVALID,
           "functions.a.runtime is missing");
}

static void overlays_are_laid_over_before_judging(void **state)
{
    (void)state;
    static const char text[] =
        "{\"app\":\"shop\",\"defaults\":{\"memory_mb\":64,\"timeout_ms\":100,\"concurrency\":2},"
        "\"functions\":{\"a\":{\"entry\":\"a.py\",\"timeout_ms\":200,\"vars\":{\"X\":\"1\",\"Y\":\"1\"},"
        "\"scale\":{\"min\":2,\"max\":50},\"secrets\":[\"A\",\"B\"]},\"b\":{\"entry\":\"b.py\"}},"
        "\"env\":{\"staging\":{\"defaults\":{\"memory_mb\":32,\"timeout_ms\":300},"
        "\"functions\":{\"a\":{\"scale\":{\"max\":4},\"vars\":{\"Y\":\"2\"},\"secrets\":[\"C\"]}}},"
        "\"bad\":{\"functions\":{\"a\":{\"scale\":{\"max\":1}}}}}}";
    hob_auto_manifest struct manifest *plain = parse(text, NULL);
    assert_int_equal(plain->functions[0].scale_max, 50);
    assert_int_equal(plain->functions[0].memory_mb, 64);
    hob_auto_manifest struct manifest *m = parse(text, "staging");
    const struct function_config *a = &m->functions[0], *b = &m->functions[1];
    assert_int_equal(a->memory_mb, 32);
    assert_int_equal(a->timeout_ms, 200);
    assert_int_equal(a->concurrency, 2);
    assert_int_equal(a->scale_min, 2);
    assert_int_equal(a->scale_max, 4);
    assert_string_equal(a->vars[0].value, "1");
    assert_string_equal(a->vars[1].value, "2");
    assert_int_equal(a->secrets_n, 1);
    assert_int_equal(b->timeout_ms, 300);
    refuse(text, "bad", HOB_E_INVALID, "functions.a.scale.min: 2 is more than scale.max, 1");
    refuse(text, "stagin", HOB_E_NOT_FOUND, "did you mean 'staging'?");
}

static void overlays_are_judged_even_when_not_chosen(void **state)
{
    (void)state;
    refuse("{\"app\":\"s\",\"functions\":{\"checkout\":{\"entry\":\"a.py\"}},"
           "\"env\":{\"x\":{\"functions\":{\"chekout\":{}}}}}",
           NULL, HOB_E_INVALID,
           "env.x.functions.chekout: there is no such function in \"functions\"; did you mean 'checkout'?");
    refuse(
        "{\"app\":\"s\",\"functions\":{\"a\":{\"entry\":\"a.py\"}},\"env\":{\"x\":{\"functions\":{\"a\":{\"scale\":{\"mx\":1}}}}}}",
        NULL, HOB_E_INVALID, "env.x.functions.a.scale.mx: unknown key; did you mean 'max'?");
    refuse("{\"app\":\"s\",\"functions\":{\"a\":{\"entry\":\"a.py\"}},\"env\":{\"x\":{\"app\":\"t\"}}}", NULL,
           HOB_E_INVALID, "env.x.app: unknown key");
}

static void unknown_keys_are_refused_with_a_suggestion(void **state)
{
    (void)state;
    refuse_function("\"memory\":1", HOB_E_INVALID, "functions.checkout.memory: unknown key");
    refuse_function("\"memroy_mb\":1", HOB_E_INVALID,
                    "functions.checkout.memroy_mb: unknown key; did you mean 'memory_mb'?");
    refuse_function("\"routes\":[{\"path\":\"/a\",\"method\":[]}]", HOB_E_INVALID,
                    "functions.checkout.routes[0].method: unknown key; did you mean 'methods'?");
    refuse("{\"ap\":\"x\"}", NULL, HOB_E_INVALID, "ap: unknown key; did you mean 'app'?");
}

static void a_port_is_1024_to_65535_and_of_a_server(void **state)
{
    (void)state;
    refuse_function("\"kind\":\"http\",\"port\":1023", HOB_E_INVALID, "functions.checkout.port");
    refuse_function("\"kind\":\"http\",\"port\":65536", HOB_E_INVALID, "functions.checkout.port");
    refuse_function("\"port\":3000", HOB_E_INVALID,
                    "functions.checkout.port: only a server has one; say \"kind\": \"http\"");
    hob_auto_manifest struct manifest *m =
        parse("{\"app\":\"s\",\"functions\":{\"a\":{\"entry\":\"a.mjs\",\"kind\":\"http\",\"port\":65535},"
              "\"b\":{\"entry\":\"b.mjs\",\"kind\":\"http\"}}}",
              NULL);
    assert_int_equal(m->functions[0].port, 65535);
    assert_int_equal(m->functions[1].port, 8080);
}

static void egress_is_judged_entry_by_entry(void **state)
{
    (void)state;
    hob_auto_manifest struct manifest *m = parse(
        "{\"app\":\"shop\",\"functions\":{\"f\":{\"entry\":\"a.mjs\",\"egress\":[\"api.pay.example:443\","
        "\"10.1.2.0/24:5432\",\"*.svc.example:443\",\"203.0.113.7:80\",\"[2001:db8::/32]:443\"]},"
        "\"g\":{\"entry\":\"a.mjs\"}}}",
        NULL);
    assert_int_equal(m->functions[0].egress_n, 5);
    assert_string_equal(m->functions[0].egress[2], "*.svc.example:443");
    assert_int_equal(m->functions[1].egress_n, 0);
    refuse_function("\"egress\":\"api.example:443\"", HOB_E_INVALID, "functions.checkout.egress: ");
    refuse_function("\"egress\":[\"a.example:1\",\"api.example\"]", HOB_E_INVALID,
                    "functions.checkout.egress[1]: 'api.example': give HOST:PORT");
    refuse_function("\"engine\":\"docker\",\"egress\":[\"a.example:1\"]", HOB_E_UNSUPPORTED,
                    "functions.checkout.egress: is not supported with engine docker");
    refuse_function("\"egress\":[\"127.0.0.1:80\"]", HOB_E_INVALID,
                    "functions.checkout.egress[0]: '127.0.0.1:80': a loopback address");
    refuse_function("\"egress\":[\"a.example:1\",\"a.example:1\"]", HOB_E_INVALID, "is there twice");
}

static void a_profile_names_only_what_a_sandbox_allows(void **state)
{
    (void)state;
    hob_auto_manifest struct manifest *m = parse(
        "{\"app\":\"shop\",\"functions\":{\"f\":{\"entry\":\"a.mjs\",\"syscalls\":[\"socket\",\"openat\"]},"
        "\"g\":{\"entry\":\"a.mjs\"}}}",
        NULL);
    assert_int_equal(m->functions[0].syscalls_n, 2);
    assert_string_equal(m->functions[0].syscalls[0], "openat"); /* sorted: equal profiles are equal texts */
    assert_int_equal(m->functions[1].syscalls_n, 0);
    refuse_function("\"syscalls\":[\"openat\",\"mount\"]", HOB_E_INVALID,
                    "functions.checkout.syscalls[1]: 'mount' is no system call that a sandbox allows");
    refuse_function("\"syscalls\":[\"opennat\"]", HOB_E_INVALID, "did you mean 'openat'?");
    refuse_function("\"syscalls\":[\"openat\",\"openat\"]", HOB_E_INVALID, "is there twice");
    refuse_function("\"syscalls\":\"openat\"", HOB_E_INVALID, "functions.checkout.syscalls: ");
    refuse_function("\"engine\":\"docker\",\"syscalls\":[\"openat\"]", HOB_E_UNSUPPORTED,
                    "functions.checkout.syscalls: is not supported with engine docker");
}

static void bindings_are_judged_by_their_words(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "data",    "data:Order", "data:Order:x",   "data:*:",  "data:9:r",   "auth:root",
        "secrets", "secrets:",   "secrets:a:b",    "fn:Price", "fn:price:1", "data:Or der:r",
        "cache:x", "",           "data:Order:rw:x"};
    for (size_t i = 0; i < HOB_COUNT(bad); i++) {
        hob_auto_free char *text = hob_asprintf("\"bindings\":[\"cache\",\"%s\"]", bad[i]);
        refuse_function(text, HOB_E_INVALID, "functions.checkout.bindings[1]");
    }
    refuse_function("\"bindings\":[\"cahce\"]", HOB_E_INVALID, "did you mean cache?");
    struct hob_err err;
    struct manifest *m = manifest_parse(
        HOB_STR(
            "{\"app\":\"s\",\"functions\":{\"a\":{\"entry\":\"a.mjs\",\"kind\":\"parse\",\"bindings\":"
            "[\"data:Order:rw\",\"data:*:r\",\"data:master\",\"auth\",\"auth:admin\",\"files\",\"cache\",\"sql\","
            "\"secrets:PAY_KEY\",\"fn:price\"]}}}"),
        NULL, &err);
    assert_non_null(m);
    assert_int_equal(m->functions[0].kind, FUNCTION_PARSE);
    assert_int_equal(m->functions[0].bindings_n, 10);
    manifest_free(m);
    refuse("{\"app\":\"s\",\"functions\":{\"a\":{\"entry\":\"a.py\",\"kind\":\"parse\"}}}", NULL,
           HOB_E_INVALID, "is cloud code in JavaScript");
}

static void keys_of_later_are_not_supported_yet(void **state)
{
    (void)state;
    static const char *const keys[] = {"async", "on", "cron", "gpu"};
    for (size_t i = 0; i < HOB_COUNT(keys); i++) {
        hob_auto_free char *key = hob_asprintf("\"%s\":1", keys[i]);
        hob_auto_free char *message = hob_asprintf("functions.checkout.%s is not supported yet", keys[i]);
        refuse_function(key, HOB_E_UNSUPPORTED, message);
    }
    refuse_function("\"kind\":\"lambda\"", HOB_E_UNSUPPORTED,
                    "functions.checkout.kind \"lambda\" is not supported yet");
    refuse_function("\"routes\":[{\"path\":\"/a\",\"auth\":\"user\"}]", HOB_E_UNSUPPORTED,
                    "functions.checkout.routes[0].auth is not supported yet");
    refuse_function("\"scale\":{\"target\":1}", HOB_E_UNSUPPORTED,
                    "functions.checkout.scale.target is not supported yet");
    refuse("{\"app\":\"s\",\"public\":\"p\",\"functions\":{\"a\":{\"entry\":\"a.py\"}}}", NULL,
           HOB_E_UNSUPPORTED, "public is not supported yet");
}

static void an_image_needs_docker_and_stands_for_runtime_and_entry(void **state)
{
    (void)state;
#define IMAGE(text) "{\"app\":\"s\",\"functions\":{\"a\":{\"image\":\"shop/a:3\"" text "}}}"
    hob_auto_manifest struct manifest *m = parse(IMAGE(",\"engine\":\"docker\""), NULL);
    assert_string_equal(m->functions[0].image, "shop/a:3");
    assert_string_equal(m->functions[0].runtime, "image");
    refuse(IMAGE(""), NULL, HOB_E_INVALID, "functions.a.image: needs \"engine\": \"docker\"");
    refuse(IMAGE(",\"engine\":\"docker\",\"entry\":\"a.py\""), NULL, HOB_E_INVALID,
           "an image brings its own program; leave it out");
    refuse(IMAGE(",\"engine\":\"docker\",\"runtime\":\"python\""), NULL, HOB_E_INVALID, "leave it out");
    refuse_function("\"engine\":\"docker\",\"image\":\"-x y\"", HOB_E_INVALID, "is no image");
#undef IMAGE
}

static void windows_are_judged_kept_and_copied(void **state)
{
    (void)state;
#define WINDOW(text) "\"scale\":{\"max\":5,\"windows\":[" text "]}"
    refuse_function(WINDOW("{\"cron\":\"0 25 * * *\",\"for\":\"1h\",\"min\":1}"), HOB_E_INVALID,
                    "functions.checkout.scale.windows[0].cron: cron: '25' is no hour");
    refuse_function(WINDOW("{\"cron\":\"0 8 * * *\",\"for\":\"8\",\"min\":1}"), HOB_E_INVALID,
                    "functions.checkout.scale.windows[0].for:");
    refuse_function(WINDOW("{\"cron\":\"0 8 * * *\",\"for\":\"8h\"}"), HOB_E_INVALID, "min");
    refuse_function(WINDOW("{\"cron\":\"0 8 * * *\",\"for\":\"8h\",\"min\":6}"), HOB_E_INVALID,
                    "functions.checkout.scale.windows[0].min: 6 is more than scale.max, 5");
    refuse_function("\"single_use\":true,\"concurrency\":2", HOB_E_INVALID, "single_use");
    refuse_function("\"priority\":\"hihg\"", HOB_E_INVALID, "did you mean \"high\"?");
    struct hob_err err;
    struct manifest *m = manifest_parse(
        HOB_STR(
            "{\"app\":\"shop\",\"functions\":{\"f\":{\"entry\":\"a.py\",\"priority\":\"low\",\"single_use\":true,"
            "\"recycle\":{\"invocations\":7,\"age_s\":60}," WINDOW(
                "{\"cron\":\"0 8 * * 1-5\",\"for\":\"8h\",\"min\":5},"
                "{\"cron\":\"0 0 * * *\",\"for\":\"5m\",\"min\":0}") "}}}"),
        NULL, &err);
    assert_non_null(m);
    hob_auto_buf struct hob_buf text;
    struct hob_jw w;
    hob_buf_init(&text, 1 << 16);
    hob_jw_init(&w, &text);
    function_config_write(&m->functions[0], &w);
    struct function_config *read = function_config_read(hob_buf_str(&text), &err);
    assert_non_null(read);
    struct function_config *copy = function_config_copy(read);
    function_config_free(read);
    manifest_free(m);
    assert_int_equal(copy->windows_n, 2);
    assert_string_equal(copy->windows[0].cron, "0 8 * * 1-5");
    assert_string_equal(copy->windows[0].span, "8h");
    assert_int_equal(copy->windows[0].min, 5);
    assert_string_equal(copy->windows[1].span, "5m");
    assert_int_equal(copy->windows[1].min, 0);
    assert_int_equal(copy->priority, PRIORITY_LOW);
    assert_int_equal(copy->recycle_invocations, 7);
    assert_int_equal(copy->recycle_age_s, 60);
    assert_true(copy->single_use);
    function_config_free(copy);
}

static void numbers_are_bounded_at_plus_and_minus_one(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        unsigned min, max;
    } cases[] = {{"memory_mb", 16, HOB_MAX_MEMORY_MB},
                 {"timeout_ms", 1, HOB_MAX_TIMEOUT_MS},
                 {"queue_timeout_ms", 1, HOB_MAX_QUEUE_TIMEOUT_MS},
                 {"init_timeout_ms", 1, HOB_MAX_INIT_MS},
                 {"concurrency", 1, HOB_MAX_CONCURRENCY},
                 {"cpu_percent", 0, 6400},
                 {"queue_max", 1, HOB_MAX_QUEUE}};
    for (size_t i = 0; i < HOB_COUNT(cases); i++) {
        for (long long d = -1; d <= 1; d++) {
            long long low = (long long)cases[i].min + d, high = (long long)cases[i].max + d;
            hob_auto_free char *text_low = hob_asprintf("\"%s\":%lld", cases[i].key, low);
            hob_auto_free char *text_high = hob_asprintf("\"%s\":%lld", cases[i].key, high);
            hob_auto_free char *range =
                hob_asprintf("give a whole number from %u to %u", cases[i].min, cases[i].max);
            hob_auto_free char *ok =
                hob_asprintf("{\"app\":\"s\",\"functions\":{\"a\":{\"entry\":\"a.py\",%s}}}",
                             d < 0 ? text_high : text_low);
            hob_auto_manifest struct manifest *m = parse(ok, NULL);
            assert_non_null(m);
            if (d < 0)
                refuse_function(text_low, HOB_E_INVALID, range);
            if (d > 0)
                refuse_function(text_high, HOB_E_INVALID, range);
        }
    }
}

static void wrong_types_say_path_value_and_what_is_right(void **state)
{
    (void)state;
    refuse_function(
        "\"memory_mb\":\"128\"", HOB_E_INVALID,
        "functions.checkout.memory_mb: \"128\" is not right here; give a whole number from 16 to 10240");
    refuse_function("\"memory_mb\":128.5", HOB_E_INVALID, "128.5 is not right here");
    refuse_function("\"memory_mb\":99999999999999999999", HOB_E_INVALID, "hob.json: not JSON");
    refuse_function("\"memory_mb\":4294967424", HOB_E_INVALID, "give a whole number");
    refuse_function("\"secrets_in_env\":1", HOB_E_INVALID,
                    "functions.checkout.secrets_in_env: 1 is not right here; give true or false");
    refuse_function("\"handler\":null", HOB_E_INVALID,
                    "functions.checkout.handler: null is not right here; give a string");
    refuse_function("\"secrets\":\"A\"", HOB_E_INVALID,
                    "functions.checkout.secrets: \"A\" is not right here; give a list of strings");
    refuse_function("\"secrets\":[1]", HOB_E_INVALID,
                    "functions.checkout.secrets[0]: 1 is not right here; give a string");
    refuse_function("\"scale\":[]", HOB_E_INVALID,
                    "functions.checkout.scale: a list is not right here; give an object");
    refuse_function("\"vars\":{\"A\":1}", HOB_E_INVALID,
                    "functions.checkout.vars.A: 1 is not right here; give a string");
    refuse_function("\"scale\":{\"mode\":\"latncy\"}", HOB_E_INVALID, "did you mean \"latency\"?");
    refuse_function("\"secrets\":[\"A\",\"A\"]", HOB_E_INVALID,
                    "functions.checkout.secrets[1]: \"A\" is there twice");
    refuse("[]", NULL, HOB_E_INVALID, "give an object");
    refuse("", NULL, HOB_E_INVALID, "not JSON");
    refuse("{\"app\":\"s\"}", NULL, HOB_E_INVALID, "functions is missing");
    refuse("{\"app\":\"s\",\"functions\":{}}", NULL, HOB_E_INVALID, "functions: name at least 1");
    refuse("{\"functions\":{\"a\":{\"entry\":\"a\"}}}", NULL, HOB_E_INVALID, "app is missing");
    refuse("{\"app\":\"s\",\"functions\":{\"a\":{}}}", NULL, HOB_E_INVALID, "functions.a.entry is missing");
    refuse("{\"app\":\"s\",\"functions\":{\"A b\":{\"entry\":\"a\"}}}", NULL, HOB_E_INVALID,
           "name 'A b': use a-z");
    refuse("{\"app\":\"s\",\"defaults\":{\"routes\":[]},\"functions\":{\"a\":{\"entry\":\"a\"}}}", NULL,
           HOB_E_INVALID, "defaults.routes: only single values can be a default");
    refuse("{\"app\":\"s\",\"app\":\"s\"}", NULL, HOB_E_INVALID, "duplicate");
    refuse("{\"app\":\"s\",\"compat\":\"2026-13-01\",\"functions\":{\"a\":{\"entry\":\"a\"}}}", NULL,
           HOB_E_INVALID, "compat: '2026-13-01' is not a day");
}

static void entries_stay_below_the_project(void **state)
{
    (void)state;
    static const char *const bad[] = {"/etc/passwd", "../a.py", "a/../b.py", "a//b.py",  "a/",
                                      ".",           "..",      "./",        "a/./b.py", "a\\\\b.py",
                                      "a\\nb.py",    "\\u0001", "a/.."};
    for (size_t i = 0; i < HOB_COUNT(bad); i++) {
        hob_auto_free char *text =
            hob_asprintf("{\"app\":\"s\",\"functions\":{\"a\":{\"entry\":\"%s\"}}}", bad[i]);
        refuse(text, NULL, HOB_E_INVALID, "functions.a.entry: '");
    }
    for (int d = -1; d <= 1; d++) {
        size_t n = (size_t)(HOB_MAX_PATH_BYTES + d);
        hob_auto_free char *name = hob_new_n(char, n + 1);
        memset(name, 'a', n);
        hob_auto_free char *text =
            hob_asprintf("{\"app\":\"s\",\"functions\":{\"a\":{\"entry\":\"%s\"}}}", name);
        if (d > 0) {
            refuse(text, NULL, HOB_E_INVALID, "bytes are too many");
        } else {
            hob_auto_manifest struct manifest *m = parse(text, NULL);
            assert_int_equal(strlen(m->functions[0].entry), n);
        }
    }
}

static void route_paths_follow_the_grammar(void **state)
{
    (void)state;
    static const char *const good[] = {"/",           "/a",       "/a/:id",  "/:rest*",
                                       "/a/:x/b/:y*", "/a.b-c_~", "/%C3%A9", "/fn-x"};
    static const char *const bad[] = {"a",         "",
                                      "/a/",       "//",
                                      "/a//b",     "/:",
                                      "/:1a",      "/:a-b",
                                      "/:rest*/a", "/a b",
                                      "/a?b",      "/a#b",
                                      "/%c3",      "/%4",
                                      "/*",        "/:id/:id",
                                      "/a/../b",   "/.",
                                      "/fn/a",     "/v1",
                                      "/healthz",  "/2015-03-31/x",
                                      "/a\\u00e9"};
    for (size_t i = 0; i < HOB_COUNT(good); i++) {
        hob_auto_free char *text = hob_asprintf(
            "{\"app\":\"s\",\"functions\":{\"a\":{\"entry\":\"a\",\"routes\":[{\"path\":\"%s\"}]}}}",
            good[i]);
        hob_auto_manifest struct manifest *m = parse(text, NULL);
        assert_string_equal(m->functions[0].routes[0].path, good[i]);
    }
    for (size_t i = 0; i < HOB_COUNT(bad); i++) {
        hob_auto_free char *key = hob_asprintf("\"routes\":[{\"path\":\"%s\"}]", bad[i]);
        refuse_function(key, HOB_E_INVALID, "functions.checkout.routes[0].path");
    }
    refuse_function("\"routes\":[{}]", HOB_E_INVALID, "functions.checkout.routes[0].path is missing");
    refuse_function("\"routes\":[{\"path\":\"/:a/:b/:c/:d/:e/:f/:g/:h/:i/:j/:k/:l/:m/:n/:o/:p/:q\"}]",
                    HOB_E_INVALID, "at most 16 parameters");
}

static void two_routes_never_take_the_same_requests(void **state)
{
    (void)state;
#define TWO(a, b)                                                                                            \
    "{\"app\":\"s\",\"functions\":{\"a\":{\"entry\":\"a\",\"routes\":[{" a                                   \
    "}]},\"b\":{\"entry\":\"b\",\"routes\":[{" b "}]}}}"
    static const char *const bad[] = {
        TWO("\"path\":\"/x\"", "\"path\":\"/x\""),
        TWO("\"path\":\"/x/:a\"", "\"path\":\"/x/:b\""),
        TWO("\"path\":\"/:a*\"", "\"path\":\"/:b*\""),
        TWO("\"path\":\"/x\",\"methods\":[\"GET\",\"POST\"]", "\"path\":\"/x\",\"methods\":[\"POST\"]"),
        TWO("\"path\":\"/x\",\"host\":\"A.example\"", "\"path\":\"/x\",\"host\":\"a.example\""),
    };
    static const char *const good[] = {
        TWO("\"path\":\"/x\"", "\"path\":\"/y\""),
        TWO("\"path\":\"/x/:a\"", "\"path\":\"/x/:a*\""),
        TWO("\"path\":\"/x\",\"methods\":[\"GET\"]", "\"path\":\"/x\",\"methods\":[\"POST\"]"),
        TWO("\"path\":\"/x\",\"methods\":[\"GET\"]", "\"path\":\"/x\""),
        TWO("\"path\":\"/x\",\"host\":\"a.example\"", "\"path\":\"/x\""),
        TWO("\"path\":\"/x/a\"", "\"path\":\"/x/:a\""),
    };
    for (size_t i = 0; i < HOB_COUNT(bad); i++)
        refuse(bad[i], NULL, HOB_E_INVALID, "takes the same requests as functions.a.routes[0]");
    for (size_t i = 0; i < HOB_COUNT(good); i++) {
        hob_auto_manifest struct manifest *m = parse(good[i], NULL);
        assert_int_equal(m->functions_n, 2);
    }
}

static void hosts_and_origins_are_judged(void **state)
{
    (void)state;
    static const char *const hosts[] = {"",     "a b",  "shop.example:80", "*.", "*", "a.*.b",
                                        "-a.b", "a..b", "http://a"};
    static const char *const origins[] = {
        "",     "shop.example", "https://",        "https://a/",  "https://A.b", "ftp://a",
        "null", "https://a:0",  "https://a:65536", "https://a?b", "https://*.a"};
    for (size_t i = 0; i < HOB_COUNT(hosts); i++) {
        hob_auto_free char *key = hob_asprintf("\"routes\":[{\"path\":\"/a\",\"host\":\"%s\"}]", hosts[i]);
        refuse_function(key, HOB_E_INVALID, "functions.checkout.routes[0].host: ");
    }
    for (size_t i = 0; i < HOB_COUNT(origins); i++) {
        hob_auto_free char *key =
            hob_asprintf("\"routes\":[{\"path\":\"/a\",\"cors\":[\"%s\"]}]", origins[i]);
        refuse_function(key, HOB_E_INVALID, "functions.checkout.routes[0].cors[0]: ");
    }
    refuse_function("\"routes\":[{\"path\":\"/a\",\"cors\":[\"*\"],\"cors_credentials\":true}]",
                    HOB_E_INVALID, "never with cors_credentials");
    refuse_function("\"routes\":[{\"path\":\"/a\",\"cors_credentials\":true}]", HOB_E_INVALID,
                    "needs origins");
    refuse_function("\"routes\":[{\"path\":\"/a\",\"methods\":[\"get\"]}]", HOB_E_INVALID,
                    "did you mean \"GET\"?");
}

static void reserved_variables_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"_X",
                                      "_HANDLER",
                                      "HOB_URL",
                                      "LD_PRELOAD",
                                      "LD_LIBRARY_PATH",
                                      "NODE_OPTIONS",
                                      "AWS_REGION",
                                      "AWS_SECRET_ACCESS_KEY",
                                      "LAMBDA_TASK_ROOT"};
    static const char *const good[] = {"TZ", "PATH", "AWS_LAMBDA_LOG_LEVEL", "a", "X1_", "HOBBY", "LDX"};
    static const char *const shapes[] = {"", "1A", "A-B", "A B", "A=B", "Ä"};
    struct hob_err err;
    for (size_t i = 0; i < HOB_COUNT(bad); i++) {
        assert_int_equal(env_var_check(bad[i], "x", &err), HOB_E_INVALID);
        assert_non_null(strstr(err.msg, "reserved"));
    }
    for (size_t i = 0; i < HOB_COUNT(good); i++)
        assert_int_equal(env_var_check(good[i], "x", &err), HOB_OK);
    for (size_t i = 0; i < HOB_COUNT(shapes); i++)
        assert_int_equal(env_var_check(shapes[i], "x", &err), HOB_E_INVALID);
    assert_int_equal(env_var_check("A", "\xff", &err), HOB_E_INVALID);
    refuse_function("\"vars\":{\"LD_PRELOAD\":\"/tmp/x.so\"}", HOB_E_INVALID,
                    "functions.checkout.vars.LD_PRELOAD: ");
    refuse_function("\"secrets\":[\"HOB_X\"],\"secrets_in_env\":true", HOB_E_INVALID,
                    "cannot be an environment variable");
    refuse_function("\"secrets\":[\"K\"],\"secrets_in_env\":true,\"vars\":{\"K\":\"\"}", HOB_E_INVALID,
                    "is a secret of the same function");
}

static void the_environment_has_a_size(void **state)
{
    (void)state;
    for (int d = -1; d <= 1; d++) {
        size_t n = (size_t)(HOB_MAX_ENV_BYTES - 2 - 3 + d);
        hob_auto_free char *value = hob_new_n(char, n + 1);
        memset(value, 'v', n);
        hob_auto_free char *text = hob_asprintf(
            "{\"app\":\"s\",\"functions\":{\"a\":{\"entry\":\"a\",\"vars\":{\"A\":\"%s\",\"B\":\"xyz\"}}}}",
            value);
        struct hob_err err;
        struct manifest *m = manifest_parse(hob_str(text), NULL, &err);
        assert_int_equal(m == NULL, d > 0);
        if (!m)
            assert_int_equal(err.code, HOB_E_TOO_LARGE);
        manifest_free(m);
    }
}

static void counts_are_bounded_at_plus_and_minus_one(void **state)
{
    (void)state;
    for (int d = 0; d <= 1; d++) {
        struct hob_buf b;
        hob_buf_init(&b, HOB_MAX_MANIFEST_BYTES);
        assert_int_equal(hob_buf_addf(&b, "{\"app\":\"s\",\"functions\":{"), HOB_OK);
        for (int i = 0; i < HOB_MAX_FUNCTIONS_PER_APP + d; i++)
            assert_int_equal(hob_buf_addf(&b, "%s\"f%d\":{\"entry\":\"a\"}", i ? "," : "", i), HOB_OK);
        assert_int_equal(hob_buf_addf(&b, "}}"), HOB_OK);
        struct hob_err err;
        struct manifest *m = manifest_parse(hob_buf_str(&b), NULL, &err);
        assert_int_equal(m == NULL, d);
        manifest_free(m);
        hob_buf_done(&b);
    }
    hob_auto_free char *big = hob_new_n(char, HOB_MAX_MANIFEST_BYTES + 2);
    memset(big, ' ', HOB_MAX_MANIFEST_BYTES + 1);
    struct hob_err err;
    assert_null(manifest_parse(hob_str_n(big, HOB_MAX_MANIFEST_BYTES + 1), NULL, &err));
    assert_int_equal(err.code, HOB_E_TOO_LARGE);
    assert_null(manifest_parse(hob_str_n(big, HOB_MAX_MANIFEST_BYTES), NULL, &err));
    assert_int_equal(err.code, HOB_E_INVALID);
}

static void messages_never_carry_control_characters(void **state)
{
    (void)state;
    struct hob_err err;
    static const char *const texts[] = {
        "{\"\\u001b[31m\":1}", "{\"app\":\"\\u001b]0;x\\u0007\",\"functions\":{}}",
        "{\"app\":\"s\",\"functions\":{\"a\":{\"entry\":\"a\",\"scale\":{\"mode\":\"\\u001b\"}}}}"};
    for (size_t i = 0; i < HOB_COUNT(texts); i++) {
        assert_null(manifest_parse(hob_str(texts[i]), NULL, &err));
        assert_null(strchr(err.msg, 0x1b));
        assert_null(strchr(err.msg, 0x07));
    }
}

static char *config_text(const struct function_config *f)
{
    struct hob_buf b;
    hob_buf_init(&b, 1 << 20);
    struct hob_jw w;
    hob_jw_init(&w, &b);
    function_config_write(f, &w);
    assert_int_equal(hob_jw_end(&w, NULL), HOB_OK);
    char *text = hob_buf_take(&b);
    hob_buf_done(&b);
    return text;
}

static void a_configuration_survives_write_read_and_copy(void **state)
{
    (void)state;
    hob_auto_manifest struct manifest *m = parse(
        "{\"app\":\"s\",\"functions\":{\"a\":{\"entry\":\"a.py\",\"handler\":\"main\",\"vars\":{\"Z\":\"\\u00e9\\n\",\"A\":\"\"},"
        "\"secrets\":[\"S\"],\"secrets_in_env\":true,\"egress\":[\"*.svc.example:443\",\"10.1.2.0/24:5432\"],\"scale\":{\"min\":1,\"max\":1,\"mode\":\"cost\"},"
        "\"routes\":[{\"path\":\"/\",\"methods\":[\"GET\"]},{\"path\":\"/b\",\"host\":\"x.example\",\"cors\":[\"*\"]}]},"
        "\"b\":{\"entry\":\"b\"}}}",
        NULL);
    for (size_t i = 0; i < m->functions_n; i++) {
        hob_auto_free char *first = config_text(&m->functions[i]);
        struct hob_err err;
        struct function_config *read = function_config_read(hob_str(first), &err);
        if (!read)
            fail_msg("%s", err.msg);
        struct function_config *copy = function_config_copy(read);
        function_config_free(read);
        hob_auto_free char *second = config_text(copy);
        function_config_free(copy);
        assert_string_equal(first, second);
    }
    hob_auto_free char *b = config_text(&m->functions[1]);
    assert_string_equal(
        b,
        "{\"name\":\"b\",\"runtime\":\"c\",\"entry\":\"b\",\"engine\":\"sandbox\",\"kind\":\"auto\",\"port\":8080,\"memory_mb\":128,\"timeout_ms\":10000,"
        "\"queue_timeout_ms\":5000,\"init_timeout_ms\":10000,\"concurrency\":1,\"cpu_percent\":0,\"queue_max\":1000,"
        "\"vars\":{},\"secrets\":[],\"secrets_in_env\":false,\"scale\":{\"min\":0,\"max\":100,\"mode\":\"balanced\",\"keep_s\":0,\"windows\":[]},"
        "\"priority\":\"normal\",\"recycle\":{\"invocations\":0,\"age_s\":0},\"single_use\":false,\"isolation\":\"instance\",\"egress\":[],\"syscalls\":[],"
        "\"routes\":[],\"bindings\":[]}");
}

static void a_stored_configuration_is_judged_when_read(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "[]",
                                      "{}",
                                      "{\"name\":1}",
                                      "{\"name\":\"A\",\"entry\":\"a\"}",
                                      "{\"name\":\"a\"}",
                                      "{\"name\":\"a\",\"entry\":\"a\",\"x\":1}",
                                      "{\"name\":\"a\",\"entry\":\"../a\"}"};
    struct hob_err err;
    for (size_t i = 0; i < HOB_COUNT(bad); i++)
        assert_null(function_config_read(hob_str(bad[i]), &err));
}

static void the_schema_is_json_and_knows_the_keys(void **state)
{
    (void)state;
    struct hob_buf b;
    hob_buf_init(&b, 1 << 20);
    struct hob_jw w;
    hob_jw_init(&w, &b);
    manifest_schema_write(&w);
    struct hob_err err;
    assert_int_equal(hob_jw_end(&w, &err), HOB_OK);
    hob_auto_json json_t *schema = hob_json_parse(hob_buf_str(&b), "the schema", &err);
    assert_non_null(schema);
    const json_t *functions = json_object_get(json_object_get(schema, "properties"), "functions");
    const json_t *keys = json_object_get(json_object_get(functions, "additionalProperties"), "properties");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(keys, "memory_mb"), "maximum")),
                     HOB_MAX_MEMORY_MB);
    assert_null(json_object_get(keys, "cron"));
    assert_true(json_is_false(json_object_get(schema, "additionalProperties")));
    hob_buf_done(&b);
}

static void the_reference_page_is_up_to_date(void **state)
{
    (void)state;
    struct hob_buf now, page;
    hob_buf_init(&now, 1 << 20);
    hob_buf_init(&page, 1 << 20);
    assert_int_equal(manifest_reference_write(&now), HOB_OK);
    FILE *f = fopen("docs/manifest.md", "re");
    assert_non_null(f);
    char *room = hob_buf_room(&page, 1 << 19);
    hob_buf_grew(&page, fread(room, 1, 1 << 19, f));
    (void)fclose(f);
    if (!hob_str_eq(hob_buf_str(&now), hob_buf_str(&page)))
        fail_msg("docs/manifest.md is not what the table gives: run `make docs`");
    hob_buf_done(&now);
    hob_buf_done(&page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_and_an_entry_are_enough),
        cmocka_unit_test(every_key_reaches_its_field),
        cmocka_unit_test(the_runtime_is_told_from_the_entry),
        cmocka_unit_test(overlays_are_laid_over_before_judging),
        cmocka_unit_test(overlays_are_judged_even_when_not_chosen),
        cmocka_unit_test(unknown_keys_are_refused_with_a_suggestion),
        cmocka_unit_test(a_port_is_1024_to_65535_and_of_a_server),
        cmocka_unit_test(egress_is_judged_entry_by_entry),
        cmocka_unit_test(a_profile_names_only_what_a_sandbox_allows),
        cmocka_unit_test(bindings_are_judged_by_their_words),
        cmocka_unit_test(keys_of_later_are_not_supported_yet),
        cmocka_unit_test(an_image_needs_docker_and_stands_for_runtime_and_entry),
        cmocka_unit_test(windows_are_judged_kept_and_copied),
        cmocka_unit_test(numbers_are_bounded_at_plus_and_minus_one),
        cmocka_unit_test(wrong_types_say_path_value_and_what_is_right),
        cmocka_unit_test(entries_stay_below_the_project),
        cmocka_unit_test(route_paths_follow_the_grammar),
        cmocka_unit_test(two_routes_never_take_the_same_requests),
        cmocka_unit_test(hosts_and_origins_are_judged),
        cmocka_unit_test(reserved_variables_are_refused),
        cmocka_unit_test(the_environment_has_a_size),
        cmocka_unit_test(counts_are_bounded_at_plus_and_minus_one),
        cmocka_unit_test(messages_never_carry_control_characters),
        cmocka_unit_test(a_configuration_survives_write_read_and_copy),
        cmocka_unit_test(a_stored_configuration_is_judged_when_read),
        cmocka_unit_test(the_schema_is_json_and_knows_the_keys),
        cmocka_unit_test(the_reference_page_is_up_to_date),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
