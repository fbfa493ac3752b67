#include <elf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "runner/docker/tree.h"

#include "base/banned.h"

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#endif

enum { NAME_BYTES_MAX = 256, DYNAMIC_MAX = 4096 };

struct elf { /* a mapped file; nothing in it is believed */
    const char *at;
    size_t n;
};

static const void *range(const struct elf *e, uint64_t offset, uint64_t n)
{
    return offset <= e->n && n <= e->n - offset ? e->at + offset : NULL;
}

/* A NUL-ended string of a sane length at `offset`. */
static const char *text_at(const struct elf *e, uint64_t offset)
{
    if (offset >= e->n)
        return NULL;
    size_t most = e->n - offset < NAME_BYTES_MAX * 8 ? e->n - offset : (size_t)NAME_BYTES_MAX * 8;
    return memchr(e->at + offset, '\0', most) ? e->at + offset : NULL;
}

static bool head_is_good(const struct elf *e, Elf64_Ehdr *ret_head)
{
    if (e->n < sizeof *ret_head)
        return false;
    memcpy(ret_head, e->at, sizeof *ret_head);
    return memcmp(ret_head->e_ident, ELFMAG, SELFMAG) == 0 && ret_head->e_ident[EI_CLASS] == ELFCLASS64 &&
           ret_head->e_machine == MACHINE && ret_head->e_phentsize == sizeof(Elf64_Phdr);
}

static bool program_at(const struct elf *e, const Elf64_Ehdr *head, unsigned i, Elf64_Phdr *ret_program)
{
    const void *at = range(e, head->e_phoff + (uint64_t)i * sizeof *ret_program, sizeof *ret_program);
    if (at)
        memcpy(ret_program, at, sizeof *ret_program);
    return at != NULL;
}

/* Where in the file a virtual address lies. */
static bool offset_of(const struct elf *e, const Elf64_Ehdr *head, uint64_t address, uint64_t *ret_offset)
{
    Elf64_Phdr p;
    for (unsigned i = 0; i < head->e_phnum && program_at(e, head, i, &p); i++)
        if (p.p_type == PT_LOAD && address >= p.p_vaddr && address - p.p_vaddr < p.p_filesz) {
            *ret_offset = p.p_offset + (address - p.p_vaddr);
            return true;
        }
    return false;
}

static bool entry_at(const struct elf *e, const Elf64_Phdr *dynamic, unsigned i, Elf64_Dyn *ret_entry)
{
    uint64_t at = (uint64_t)i * sizeof *ret_entry;
    const void *from = at + sizeof *ret_entry <= dynamic->p_filesz && i < DYNAMIC_MAX
                           ? range(e, dynamic->p_offset + at, sizeof *ret_entry)
                           : NULL;
    if (from)
        memcpy(ret_entry, from, sizeof *ret_entry);
    return from && ret_entry->d_tag != DT_NULL;
}

static unsigned read_dynamic(const struct elf *e, const Elf64_Ehdr *head, const Elf64_Phdr *dynamic,
                             elf_need_cb need, void *ctx)
{
    Elf64_Dyn d;
    uint64_t strings = 0, rpath_at = 0;
    bool has_strings = false, has_rpath = false;
    unsigned n = 0;
    for (unsigned i = 0; entry_at(e, dynamic, i, &d); i++) {
        if (d.d_tag == DT_STRTAB)
            has_strings = offset_of(e, head, d.d_un.d_ptr, &strings);
        if (d.d_tag == DT_RPATH || d.d_tag == DT_RUNPATH) {
            rpath_at = d.d_un.d_val;
            has_rpath = true;
        }
    }
    if (!has_strings)
        return 0;
    const char *rpath = has_rpath ? text_at(e, strings + rpath_at) : NULL;
    for (unsigned i = 0; entry_at(e, dynamic, i, &d); i++) {
        const char *name = d.d_tag == DT_NEEDED ? text_at(e, strings + d.d_un.d_val) : NULL;
        if (!name || !*name || strlen(name) >= NAME_BYTES_MAX)
            continue;
        need(ctx, name, rpath);
        n++;
    }
    return n;
}

static unsigned read_programs(const struct elf *e, elf_need_cb need, void *ctx)
{
    Elf64_Ehdr head;
    Elf64_Phdr p;
    unsigned n = 0;
    if (!head_is_good(e, &head))
        return 0;
    for (unsigned i = 0; i < head.e_phnum && program_at(e, &head, i, &p); i++) {
        const char *loader = p.p_type == PT_INTERP ? text_at(e, p.p_offset) : NULL;
        if (loader && loader[0] == '/') {
            need(ctx, loader, NULL);
            n++;
        }
        if (p.p_type == PT_DYNAMIC)
            n += read_dynamic(e, &head, &p, need, ctx);
    }
    return n;
}

unsigned elf_needs(const char *path, elf_need_cb need, void *ctx)
{
    struct stat st;
    char magic[SELFMAG];
    hob_auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size < (off_t)sizeof(Elf64_Ehdr) ||
        pread(fd, magic, sizeof magic, 0) != (ssize_t)sizeof magic ||
        memcmp(magic, ELFMAG, sizeof magic) != 0)
        return 0;
    struct elf e = {.n = (size_t)st.st_size};
    void *map = mmap(NULL, e.n, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED)
        return 0;
    e.at = map;
    unsigned n = read_programs(&e, need, ctx);
    (void)munmap(map, e.n);
    return n;
}
