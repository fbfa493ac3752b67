#include "base/bundle.h"

#include <stdio.h>

#include "base/bytes.h"
#include "base/limits.h"

enum { SHOWN_BYTES = 120 };

void hob_bundle_encode(const struct hob_bundle_record *r, unsigned char out[HOB_BUNDLE_HEADER_BYTES])
{
    hob_put_u32(out, HOB_BUNDLE_MAGIC);
    out[4] = r->kind;
    out[5] = r->is_executable ? 1 : 0;
    hob_put_u16(out + 6, r->path_n);
    hob_put_u64(out + 8, r->size);
}

/* The largest `size` that a record of this kind may have. */
static uint64_t size_max(uint8_t kind)
{
    switch (kind) {
    case HOB_BUNDLE_FILE:
        return HOB_MAX_UNPACKED_BYTES;
    case HOB_BUNDLE_END:
        return HOB_MAX_ENTRIES;
    case HOB_BUNDLE_ERROR:
        return HOB_E_COUNT_ - 1;
    default:
        return 0;
    }
}

enum hob_code hob_bundle_decode(const unsigned char in[HOB_BUNDLE_HEADER_BYTES],
                                struct hob_bundle_record *ret_record, struct hob_err *err)
{
    struct hob_bundle_record r = {.kind = in[4],
                                  .is_executable = in[5] == 1,
                                  .path_n = hob_get_u16(in + 6),
                                  .size = hob_get_u64(in + 8)};
    if (hob_get_u32(in) != HOB_BUNDLE_MAGIC)
        return hob_fail(err, HOB_E_INVALID, "unpacked stream: no record where one must begin (magic %08x)",
                        hob_get_u32(in));
    if (r.kind < HOB_BUNDLE_DIRECTORY || r.kind > HOB_BUNDLE_ERROR)
        return hob_fail(err, HOB_E_INVALID, "unpacked stream: unknown record kind %u", r.kind);
    if (in[5] > 1 || (r.is_executable && r.kind != HOB_BUNDLE_FILE))
        return hob_fail(err, HOB_E_INVALID, "unpacked stream: executable flag %u on a record of kind %u",
                        in[5], r.kind);
    bool has_path = r.kind != HOB_BUNDLE_END;
    if (has_path != (r.path_n > 0) || r.path_n > HOB_MAX_PATH_BYTES)
        return hob_fail(err, HOB_E_INVALID,
                        "unpacked stream: %u bytes of path on a record of kind %u; at most %d", r.path_n,
                        r.kind, HOB_MAX_PATH_BYTES);
    if (r.size > size_max(r.kind))
        return hob_fail(err, r.kind == HOB_BUNDLE_FILE ? HOB_E_TOO_LARGE : HOB_E_INVALID,
                        "unpacked stream: size %llu on a record of kind %u; at most %llu",
                        (unsigned long long)r.size, r.kind, (unsigned long long)size_max(r.kind));
    if (r.kind == HOB_BUNDLE_ERROR && r.size == HOB_OK)
        return hob_fail(err, HOB_E_INVALID, "unpacked stream: an error without a code");
    *ret_record = r;
    return HOB_OK;
}

const char *hob_bundle_show(struct hob_str path, char *out, size_t out_bytes)
{
    HOB_ASSERT(out_bytes > 8);
    size_t n = 0;
    for (size_t i = 0; i < path.n; i++) {
        unsigned char c = (unsigned char)path.at[i];
        bool is_plain = c >= 0x20 && c < 0x7f;
        if (n + 8 > out_bytes) { /* the longest escape and "..." and NUL still fit */
            memcpy(out + n, "...", 3);
            n += 3;
            break;
        }
        if (is_plain)
            out[n++] = (char)c;
        else
            n += (size_t)snprintf(out + n, out_bytes - n, "\\x%02x", c);
    }
    out[n] = '\0';
    return out;
}

static const char *part_problem(struct hob_str part)
{
    if (part.n == 0)
        return "has an empty part (two slashes, or a slash first or last)";
    if (hob_str_is(part, "."))
        return "has a '.' part";
    if (hob_str_is(part, ".."))
        return "leads out of its folder ('..')";
    if (part.n > HOB_BUNDLE_NAME_BYTES_MAX)
        return "has a name of more than 255 bytes";
    return NULL;
}

static const char *char_problem(struct hob_str path)
{
    for (size_t i = 0; i < path.n; i++) {
        unsigned char c = (unsigned char)path.at[i];
        if (c < 0x20 || c == 0x7f)
            return "has a control character";
        if (c == '\\')
            return "has a backslash; use '/'";
    }
    return hob_utf8_is_valid(path) ? NULL : "is not valid UTF-8";
}

static const char *path_problem(struct hob_str path)
{
    if (path.n == 0)
        return "is empty";
    if (path.at[0] == '/')
        return "is absolute; paths are relative to the project's folder";
    if (path.n > HOB_MAX_PATH_BYTES)
        return "is longer than 512 bytes (deploy.path_bytes)";
    const char *problem = char_problem(path);
    unsigned parts = 0;
    for (struct hob_str rest = path; rest.at && !problem; parts++)
        problem = part_problem(hob_str_cut(rest, '/', &rest));
    if (!problem && parts > HOB_MAX_PATH_DEPTH + 1)
        return "is more than 32 folders deep (deploy.path_depth)";
    return problem;
}
_Static_assert(HOB_MAX_PATH_BYTES == 512 && HOB_MAX_PATH_DEPTH == 32, "the messages above name these limits");

enum hob_code hob_bundle_path_check(struct hob_str path, struct hob_err *err)
{
    const char *problem = path_problem(path);
    if (!problem)
        return HOB_OK;
    char shown[SHOWN_BYTES];
    return hob_fail_reason(err, HOB_E_INVALID, "bad_path", "path '%s' %s",
                           hob_bundle_show(path, shown, sizeof shown), problem);
}
