/* What of this machine goes into a runtime's image: the files that the runtime's `rootfs` and `needs` name, with
 * everything below them, the links on the way, and every shared library that they need (read from their ELF heads, as
 * the loader would find it). Paths are the machine's own.
 *
 * Blocking: worker threads only. Plain data; single owner. */
#pragma once

#include <sys/stat.h>

#include "base/err.h"
#include "base/map.h"

enum { TREE_ENTRIES_MAX = 100000 };
#define TREE_BYTES_MAX (2ULL << 30)

struct tree_entry {
    UT_hash_handle hh;
    char *path;   /* absolute, without a link in its folders */
    char *target; /* a link's; else NULL */
    mode_t mode;
    uint64_t bytes;
    int64_t mtime_s;
};
struct tree {
    struct tree_entry *entries; /* by path */
    uint64_t bytes;
};
/* A path that is not there is left out. Fails only when the tree passes its limits or cannot be read. */
HOB_MUST_USE enum hob_code tree_add(struct tree *t, const char *path, struct hob_err *err);
/* The shared libraries of all that is in it so far, and theirs. */
HOB_MUST_USE enum hob_code tree_add_libraries(struct tree *t, struct hob_err *err);
/* By path, folders before what is in them. */
void tree_sort(struct tree *t);
void tree_done(struct tree *t);

/* elf.c: calls `need` with each library name (or the loader's absolute path) that the file asks for; 0 for what is no
 * ELF file of this machine. `rpath` is where it wants them looked for, or NULL. */
typedef void (*elf_need_cb)(void *ctx, const char *name, const char *rpath);
unsigned elf_needs(const char *path, elf_need_cb need, void *ctx);
