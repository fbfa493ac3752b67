#include "base/rules/syscalls.h"

#include "base/compiler.h"

#include "base/banned.h"

static const char *const names[] = {HOB_SYSCALLS_PLAIN, HOB_SYSCALLS_JUDGED};
static const char *const always[] = {HOB_SYSCALLS_ALWAYS};
_Static_assert(HOB_COUNT(names) <= HOB_SYSCALLS_MAX, "a set holds them all");

size_t hob_syscalls_count(void)
{
    return HOB_COUNT(names);
}

const char *const *hob_syscall_names(void)
{
    return names;
}

const char *hob_syscall_name(size_t index)
{
    return index < HOB_COUNT(names) ? names[index] : NULL;
}

int hob_syscall_find(struct hob_str name)
{
    for (size_t i = 0; i < HOB_COUNT(names); i++)
        if (hob_str_is(name, names[i]))
            return (int)i;
    return -1;
}

void hob_syscalls_add(struct hob_syscalls *set, size_t index)
{
    HOB_ASSERT(index < HOB_COUNT(names));
    set->bits[index / 64] |= 1ULL << index % 64;
}

bool hob_syscalls_has(const struct hob_syscalls *set, size_t index)
{
    return index < HOB_COUNT(names) && (set->bits[index / 64] >> index % 64 & 1);
}

size_t hob_syscalls_size(const struct hob_syscalls *set)
{
    size_t n = 0;
    for (size_t i = 0; i < HOB_COUNT(names); i++)
        n += hob_syscalls_has(set, i);
    return n;
}

struct hob_syscalls hob_syscalls_always(void)
{
    struct hob_syscalls set = {{0}};
    for (size_t i = 0; i < HOB_COUNT(always); i++) {
        int index = hob_syscall_find(hob_str(always[i]));
        HOB_ASSERT(index >= 0);
        hob_syscalls_add(&set, (size_t)index);
    }
    return set;
}
