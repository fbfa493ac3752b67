/* What hob.json lets a function reach. */
#include "../check.h"

#include "base/rules/grant.h"

static bool allows(const char *const *lines, size_t n, enum hob_grant_kind kind, const char *name,
                   unsigned rights)
{
    struct hob_grant want = {.kind = kind, .name = hob_str(name), .rights = rights};
    return hob_grants_allow(lines, n, &want);
}

static void what_is_not_named_is_not_allowed(void **state)
{
    (void)state;
    static const char *const lines[] = {"data:Order:r", "data:Note:rw", "cache", "secrets:PAY_KEY",
                                        "fn:price"};
    size_t n = HOB_COUNT(lines);
    assert_true(allows(lines, n, HOB_GRANT_DATA, "Order", HOB_GRANT_READ));
    assert_false(allows(lines, n, HOB_GRANT_DATA, "Order", HOB_GRANT_WRITE));
    assert_false(allows(lines, n, HOB_GRANT_DATA, "Order", HOB_GRANT_READ | HOB_GRANT_WRITE));
    assert_true(allows(lines, n, HOB_GRANT_DATA, "Note", HOB_GRANT_READ | HOB_GRANT_WRITE));
    assert_false(allows(lines, n, HOB_GRANT_DATA, "Orders", HOB_GRANT_READ));
    assert_false(allows(lines, n, HOB_GRANT_DATA, "*", HOB_GRANT_READ));
    assert_true(allows(lines, n, HOB_GRANT_CACHE, NULL, 0));
    assert_false(allows(lines, n, HOB_GRANT_SQL, NULL, 0));
    assert_false(allows(lines, n, HOB_GRANT_MASTER, NULL, 0));
    assert_true(allows(lines, n, HOB_GRANT_SECRET, "PAY_KEY", 0));
    assert_false(allows(lines, n, HOB_GRANT_SECRET, "PAY_KEYS", 0));
    assert_true(allows(lines, n, HOB_GRANT_FUNCTION, "price", 0));
    assert_false(allows(lines, n, HOB_GRANT_FUNCTION, "pric", 0));
    assert_false(allows(NULL, 0, HOB_GRANT_CACHE, NULL, 0));
}

static void a_star_stands_for_every_class_and_adds_to_the_others(void **state)
{
    (void)state;
    static const char *const lines[] = {"data:*:r", "data:Order:w"};
    assert_true(allows(lines, 2, HOB_GRANT_DATA, "Anything", HOB_GRANT_READ));
    assert_false(allows(lines, 2, HOB_GRANT_DATA, "Anything", HOB_GRANT_WRITE));
    assert_true(allows(lines, 2, HOB_GRANT_DATA, "Order", HOB_GRANT_READ | HOB_GRANT_WRITE));
    assert_false(allows(lines, 2, HOB_GRANT_DATA, "Order", 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_named_is_not_allowed),
        cmocka_unit_test(a_star_stands_for_every_class_and_adds_to_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
