/* Arenas: zeroed, capped, reusable. */
#include "check.h"

#include "base/mem.h"

static void memory_is_zeroed_also_after_a_reset(void **state)
{
    (void)state;
    struct hob_arena a;
    hob_arena_init(&a, 1 << 20);
    for (int round = 0; round < 5; round++) {
        for (size_t n = 1; n < 9000; n = n * 3 + 1) {
            char *p = hob_arena_alloc(&a, n);
            assert_non_null(p);
            assert_int_equal((uintptr_t)p % 16, 0);
            for (size_t i = 0; i < n; i++)
                assert_int_equal(p[i], 0);
            memset(p, 0xff, n);
        }
        hob_arena_reset(&a);
        assert_int_equal(a.used, 0);
    }
    hob_arena_done(&a);
}

static void a_reset_keeps_one_chunk_and_uses_it_again(void **state)
{
    (void)state;
    struct hob_arena a;
    hob_arena_init(&a, 1 << 20);
    void *first = hob_arena_alloc(&a, 100);
    for (int i = 0; i < 40; i++)
        assert_non_null(hob_arena_alloc(&a, 1000 * (size_t)i));
    hob_arena_reset(&a);
    assert_non_null(a.chunks);
    void *again = hob_arena_alloc(&a, 100);
    hob_arena_reset(&a);
    assert_ptr_equal(hob_arena_alloc(&a, 100), again);
    assert_non_null(first);
    hob_arena_done(&a);
    assert_null(a.chunks);
}

static void the_cap_holds_at_plus_and_minus_one_and_after_a_reset(void **state)
{
    (void)state;
    struct hob_arena a;
    hob_arena_init(&a, 4096);
    for (int round = 0; round < 3; round++) {
        assert_null(hob_arena_alloc(&a, 4097));
        assert_non_null(hob_arena_alloc(&a, 4096));
        assert_null(hob_arena_alloc(&a, 1));
        hob_arena_reset(&a);
    }
    hob_arena_done(&a);
}

int main(void)
{
    alarm(280);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_also_after_a_reset),
        cmocka_unit_test(a_reset_keeps_one_chunk_and_uses_it_again),
        cmocka_unit_test(the_cap_holds_at_plus_and_minus_one_and_after_a_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
