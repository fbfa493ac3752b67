/* Libraries that a daemon needs seldom are opened when they are first called, not when it starts: libcurl alone brings
 * twenty-five others along, some 8 MiB of an idle process. Include base/lazy/curl.h or base/lazy/jose.h instead of the
 * library's own header: every function in its list goes through a table that is filled by dlopen, once, by whichever
 * thread comes first. A library that is not there ends the program with its name: it is a package Hob is installed with. */
#pragma once

#include "base/compiler.h"

struct lazy_symbol {
    const char *name;
    void **place; /* of the function pointer */
};
/* Opens `library` and fills the places; ends the program when either fails. */
void lazy_open(const char *library, const struct lazy_symbol *symbols, size_t n);
