/* A project folder as a deterministic tar.gz: sorted, without times and owners, so that the
 * same files give the same bytes. Links to what is inside the folder are followed; links that lead out, and what
 * the server's limits would refuse, are refused here with the path's name. Blocking. */
#pragma once

#include "base/buf.h"
#include "base/id.h"

struct pack_entry {
    char *path; /* relative, UTF-8 */
    uint64_t bytes;
    bool is_folder; /* an empty one: others follow from their files */
    bool is_executable;
};
struct pack {
    struct pack_entry *entries; /* by path */
    size_t entries_n, entries_cap;
    uint64_t bytes;
    size_t skipped_n; /* sockets, devices, pipes */
    int fd;           /* the archive, a file without name; -1 before pack_write */
    uint64_t packed_bytes;
};
/* Reads the folder's tree. */
HOB_MUST_USE enum hob_code pack_collect(struct pack *p, const char *dir, struct hob_err *err);
/* Writes the archive. `manifest` replaces hob.json's text when `at` is not NULL. */
HOB_MUST_USE enum hob_code pack_write(struct pack *p, const char *dir, struct hob_str manifest,
                                      struct hob_err *err);
/* A file of that path is among the entries. */
bool pack_has_file(const struct pack *p, const char *path);
void pack_done(struct pack *p);
