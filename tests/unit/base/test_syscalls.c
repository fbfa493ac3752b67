/* The list of system calls and sets of it. */
#include "check.h"

#include <string.h>

#include "base/rules/syscalls.h"

static void every_name_is_found_at_its_index_and_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < hob_syscalls_count(); i++)
        assert_int_equal(hob_syscall_find(hob_str(hob_syscall_name(i))), i);
    assert_null(hob_syscall_name(hob_syscalls_count()));
    static const char *const never[] = {"mount", "ptrace", "bpf", "", "OPENAT", "openat "};
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++)
        assert_int_equal(hob_syscall_find(hob_str(never[i])), -1);
}

static void a_set_has_what_was_added(void **state)
{
    (void)state;
    struct hob_syscalls set = {{0}};
    size_t n = hob_syscalls_count();
    for (size_t i = 0; i < n; i += 3)
        hob_syscalls_add(&set, i);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(hob_syscalls_has(&set, i), i % 3 == 0);
    assert_int_equal(hob_syscalls_size(&set), (n + 2) / 3);
    set.bits[HOB_SYSCALLS_MAX / 64 - 1] = ~0ULL; /* bits that no name has do not count */
    assert_false(hob_syscalls_has(&set, HOB_SYSCALLS_MAX - 1));
    assert_false(hob_syscalls_has(&set, HOB_SYSCALLS_MAX));
}

static void what_is_always_there_is_of_the_list(void **state)
{
    (void)state;
    struct hob_syscalls set = hob_syscalls_always();
    assert_true(hob_syscalls_has(&set, (size_t)hob_syscall_find(HOB_STR("execve"))));
    assert_true(hob_syscalls_has(&set, (size_t)hob_syscall_find(HOB_STR("sendmsg"))));
    assert_false(hob_syscalls_has(&set, (size_t)hob_syscall_find(HOB_STR("socket"))));
    assert_false(hob_syscalls_has(&set, (size_t)hob_syscall_find(HOB_STR("openat"))));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_is_found_at_its_index_and_once),
        cmocka_unit_test(a_set_has_what_was_added),
        cmocka_unit_test(what_is_always_there_is_of_the_list),
    };
    (void)alarm(280);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
