/* Which images are Hob's, and which of these are needed. */
#include "runner/docker/marks.h"

#include "base/mem.h"
#include "check.h"

#define ID64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define HOME "aaaaaaaaaaaa"

static json_t *listed; /* marked_read borrows from it */

static struct marked read_names(const char *names)
{
    struct marked i;
    hob_auto_free char *text = hob_asprintf("{\"Id\":\"sha256:" ID64 "\",\"Size\":7,\"RepoTags\":%s}", names);
    json_decref(listed);
    listed = json_loads(text, 0, NULL);
    assert_non_null(listed);
    assert_true(marked_read(HOME, listed, &i));
    return i;
}

static struct marked read_name(const char *name)
{
    hob_auto_free char *names = hob_asprintf("[\"%s\"]", name);
    return read_names(names);
}

static void a_mark_is_known_again_and_nobody_elses_is(void **state)
{
    static const enum mark_kind kinds[] = {MARK_BUILT, MARK_PULLED, MARK_RUNTIME};
    static const char *const strangers[] = {"hob-bbbbbbbbbbbb:built-0123456789abcdef",
                                            "x/hob-" HOME ":built-0123456789abcdef",
                                            "hob-" HOME "x:built-1",
                                            "hob-" HOME ":other",
                                            "hob-" HOME ":runtime-short",
                                            "hob/c:1",
                                            "<none>:<none>"};
    (void)state;
    for (size_t k = 0; k < HOB_COUNT(kinds); k++) {
        char tag[MARK_TAG_BYTES];
        mark_tag(kinds[k], "node", "sha256:" ID64, tag);
        hob_auto_free char *name = hob_asprintf("hob-" HOME ":%s", tag),
                           *podmans = hob_asprintf("localhost/%s", name);
        struct marked i = read_name(name);
        assert_int_equal(i.kind, kinds[k]);
        assert_int_equal(i.others_n, 0);
        assert_string_equal(i.runtime, kinds[k] == MARK_RUNTIME ? "node" : "");
        assert_int_equal(read_name(podmans).kind, kinds[k]);
    }
    for (size_t k = 0; k < HOB_COUNT(strangers); k++)
        assert_int_equal(read_name(strangers[k]).kind, MARK_NONE);
}

static void names_that_came_with_an_image_are_told_from_those_that_others_gave(void **state)
{
    char tag[MARK_TAG_BYTES];
    (void)state;
    mark_tag(MARK_PULLED, "registry.example/shop:3", "sha256:" ID64, tag);
    hob_auto_free char *names =
        hob_asprintf("[\"registry.example/shop:3\",\"hob-" HOME ":%s\",\"registry.example/shop:4\"]", tag);
    struct marked i = read_names(names);
    assert_int_equal(i.kind, MARK_PULLED);
    assert_true(i.is_pulled[0] && i.is_mark[1] && !i.is_pulled[2]);
    assert_int_equal(i.others_n, 1);
    i = read_names("[\"hob/py:1\",\"hob-" HOME ":runtime-py-0123456789abcdef\"]");
    assert_int_equal(i.others_n, 0);
    i = read_names("[\"hob/node:1\",\"hob-" HOME ":runtime-py-0123456789abcdef\"]");
    assert_int_equal(i.others_n, 1);
    i = read_names("[\"hob-" HOME ":built-0123456789abcdef\",\"a?b\"]"); /* could not be asked to go */
    assert_int_equal(i.others_n, 1);
}

static void what_a_version_names_is_needed(void **state)
{
    (void)state;
    struct marked i = read_names("[\"shop/site:3\",\"hob-" HOME ":built-0123456789abcdef\"]");
    assert_false(marked_is_needed(&i, HOB_STR(""), ""));
    assert_true(marked_is_needed(&i, HOB_STR("ffff 0123456789abcdef"), ""));
    assert_false(marked_is_needed(&i, HOB_STR("0123456789abcde 0123456789abcdef0"), ""));
    assert_true(marked_is_needed(&i, HOB_STR("=shop/site:3"), ""));
    assert_false(marked_is_needed(&i, HOB_STR("=shop/site @shop/site:3 shop/site:3"), ""));
}

static void a_runtimes_image_is_needed_when_it_is_the_one_that_is_used(void **state)
{
    (void)state;
    struct marked i = read_names("[\"hob-" HOME ":runtime-py-0123456789abcdef\"]");
    assert_true(marked_is_needed(&i, HOB_STR("@py"), ""));                /* not known which: any */
    assert_false(marked_is_needed(&i, HOB_STR("@py"), "sha256:another")); /* an older one */
    assert_true(marked_is_needed(&i, HOB_STR(""), "sha256:" ID64));       /* asked for lately */
    assert_false(marked_is_needed(&i, HOB_STR("@p @pyt"), ""));
}

static void only_what_a_pull_brought_is_marked(void **state)
{
    (void)state;
    json_t *none hob_auto_json = json_array(), *theirs hob_auto_json = NULL, *ours hob_auto_json = NULL;
    theirs = json_loads("[{\"Id\":\"sha256:" ID64 "\",\"RepoTags\":[\"mine:1\"]}]", 0, NULL);
    ours = json_loads("[{\"Id\":\"sha256:" ID64 "\",\"RepoTags\":[\"a:1\",\"hob-" HOME ":pulled-1\"]}]", 0,
                      NULL);
    assert_true(mark_is_due(HOME, none, "sha256:" ID64, "a:1"));
    assert_true(mark_is_due(HOME, NULL, "sha256:" ID64, "a:1"));
    assert_false(mark_is_due(HOME, theirs, "sha256:" ID64, "a:1"));
    assert_false(mark_is_due(HOME, ours, "sha256:" ID64, "a:1")); /* it had that name already */
    assert_true(mark_is_due(HOME, ours, "sha256:" ID64, "a:2"));
    assert_false(mark_is_due("bbbbbbbbbbbb", ours, "sha256:" ID64, "a:2"));
}

static void what_is_no_image_is_refused(void **state)
{
    static const char *const texts[] = {"{}", "[]", "{\"Id\":\"" ID64 "\"}", "{\"Id\":7}"};
    struct marked i;
    (void)state;
    for (size_t k = 0; k < HOB_COUNT(texts); k++) {
        json_t *j hob_auto_json = json_loads(texts[k], 0, NULL);
        assert_false(marked_read(HOME, j, &i));
    }
    json_t *many hob_auto_json = json_pack("{s:s,s:[]}", "Id", "sha256:" ID64, "RepoTags");
    json_t *names = json_object_get(many, "RepoTags");
    for (size_t k = 0; k < MARK_NAMES_MAX; k++)
        assert_int_equal(json_array_append_new(names, json_string("a:1")), 0);
    assert_true(marked_read(HOME, many, &i));
    assert_int_equal(json_array_append_new(names, json_string("a:1")), 0);
    assert_false(marked_read(HOME, many, &i));
}

static int forget(void **state)
{
    (void)state;
    json_decref(listed);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mark_is_known_again_and_nobody_elses_is),
        cmocka_unit_test(names_that_came_with_an_image_are_told_from_those_that_others_gave),
        cmocka_unit_test(what_a_version_names_is_needed),
        cmocka_unit_test(a_runtimes_image_is_needed_when_it_is_the_one_that_is_used),
        cmocka_unit_test(only_what_a_pull_brought_is_marked),
        cmocka_unit_test(what_is_no_image_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, forget);
}
