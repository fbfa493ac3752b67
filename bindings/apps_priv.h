/* Inside of the registry of apps: the table of settings. Included in bindings/apps*.c and their tests only. */
#pragma once

#include "bindings/apps.h"

/* Judges one setting that shall be `value`: its type, bounds and, of objects with a closed list, the members. */
HOB_MUST_USE enum hob_code setting_check(enum backend_setting which, const json_t *value,
                                         struct hob_err *err);
/* SETTINGS_ with "did you mean" in *err when there is none of that name. */
enum backend_setting setting_find(const char *name, struct hob_err *err);
/* The parsed default; borrowed for ever. */
const json_t *setting_default(enum backend_setting which);
