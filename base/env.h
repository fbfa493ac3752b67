/* Environment variables, read while the process has one thread. */
#pragma once

/* Returns borrowed for the life of the process; NULL when unset or empty. */
const char *hob_env(const char *name);
