#include "cli/project.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/limits.h"
#include "base/mem.h"

#include "base/banned.h"

enum { FOLDERS_UP_MAX = 32 };

char *project_find(void)
{
    hob_auto_free char *dir = getcwd(NULL, 0);
    for (int up = 0; dir && up < FOLDERS_UP_MAX; up++) {
        hob_auto_free char *path = hob_asprintf("%s/hob.json", dir);
        if (access(path, R_OK) == 0)
            return hob_steal(&dir);
        char *slash = strrchr(dir, '/');
        if (!slash || slash == dir)
            return NULL;
        *slash = 0;
    }
    return NULL;
}

enum hob_code project_read(const char *dir, struct hob_buf *out, struct hob_err *err)
{
    hob_auto_free char *path = hob_asprintf("%s/hob.json", dir);
    hob_buf_init(out, HOB_MAX_MANIFEST_BYTES);
    enum hob_code code = hob_read_file(path, out, err);
    if (code != HOB_OK && err->errnum == ENOTDIR)
        return hob_fail_reason(err, HOB_E_INVALID, "missing_manifest",
                               "'%.100s' is not a folder; give the one that hob.json is in", dir);
    if (code != HOB_E_NOT_FOUND)
        return code;
    hob_auto_free char *above = strcmp(dir, ".") == 0 ? project_find() : NULL;
    if (above)
        return hob_fail_reason(
            err, HOB_E_NOT_FOUND, "missing_manifest",
            "there is no hob.json in this folder; did you mean the one above: hob deploy '%.100s'?", above);
    return hob_fail_reason(err, HOB_E_NOT_FOUND, "missing_manifest",
                           "there is no hob.json in '%.100s'; `hob init` makes one", dir);
}
