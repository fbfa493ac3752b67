/* The unpacker. Oracle: whatever goes in, a whole bundle stream comes out, every record of which the reader's own
 * checks accept, ending with END exactly when it said so; no path twice, every folder before what is in it. */
#include <locale.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bundle.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"
#include "runner/unpack/tree.h"
#include "runner/unpack/unpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct judge {
    struct tree *tree;
    uint64_t records, bytes;
    bool has_end, has_error;
};

static void judge_path(struct judge *j, const struct hob_bundle_record *r, struct hob_str path)
{
    struct hob_err err;
    bool is_new;
    HOB_ASSERT(hob_bundle_path_check(path, &err) == HOB_OK);
    for (size_t i = 0; i < path.n; i++)
        if (path.at[i] == '/') {
            HOB_ASSERT(tree_claim(j->tree, hob_str_n(path.at, i), true, &is_new, &err) == HOB_OK);
            HOB_ASSERT(!is_new);
        }
    HOB_ASSERT(tree_claim(j->tree, path, r->kind == HOB_BUNDLE_DIRECTORY, &is_new, &err) == HOB_OK);
    HOB_ASSERT(is_new);
}

static size_t judge_record(struct judge *j, struct hob_str in)
{
    struct hob_bundle_record r;
    HOB_ASSERT(in.n >= HOB_BUNDLE_HEADER_BYTES && !j->has_end && !j->has_error);
    HOB_ASSERT(hob_bundle_decode((const unsigned char *)in.at, &r, NULL) == HOB_OK);
    size_t n = HOB_BUNDLE_HEADER_BYTES + (size_t)r.path_n + (r.kind == HOB_BUNDLE_FILE ? r.size : 0);
    HOB_ASSERT(in.n >= n);
    j->has_end = r.kind == HOB_BUNDLE_END;
    j->has_error = r.kind == HOB_BUNDLE_ERROR;
    if (j->has_end)
        HOB_ASSERT(r.size == j->records);
    if (j->has_end || j->has_error)
        return n;
    judge_path(j, &r, hob_str_n(in.at + HOB_BUNDLE_HEADER_BYTES, r.path_n));
    j->records++;
    j->bytes += r.size;
    HOB_ASSERT(j->bytes <= HOB_MAX_UNPACKED_BYTES);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *locale;
    if (!locale)
        locale = setlocale(LC_CTYPE, "C.UTF-8");
    hob_auto_close int in = memfd_create("in", MFD_CLOEXEC), out = memfd_create("out", MFD_CLOEXEC);
    HOB_ASSERT(in >= 0 && out >= 0);
    HOB_ASSERT(write(in, data, size) == (ssize_t)size && lseek(in, 0, SEEK_SET) == 0);
    struct hob_err err;
    enum hob_code code = unpack_archive(in, out, &err);
    struct stat st;
    HOB_ASSERT(fstat(out, &st) == 0 && st.st_size > 0);
    char *bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, out, 0);
    HOB_ASSERT(bytes != MAP_FAILED);
    struct judge j = {.tree = tree_new()};
    for (size_t at = 0; at < (size_t)st.st_size;)
        at += judge_record(&j, hob_str_n(bytes + at, (size_t)st.st_size - at));
    HOB_ASSERT(j.has_end != j.has_error && j.has_end == (code == HOB_OK));
    tree_free(j.tree);
    (void)munmap(bytes, (size_t)st.st_size);
    return 0;
}
