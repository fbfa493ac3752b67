/* The project that a command stands in: the folder with hob.json. */
#pragma once

#include "cli/cli.h"
#include "manifest/manifest.h"

/* DIR/hob.json as text. HOB_E_NOT_FOUND says how to make one. */
HOB_MUST_USE enum hob_code project_read(const char *dir, struct hob_buf *out, struct hob_err *err);
/* The folder of the nearest hob.json from here upwards; returns owned, or NULL without an error. */
HOB_MUST_USE char *project_find(void);
