/* Common to all unit tests: cmocka with its includes in order, and a watchdog that ends a hanging test. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/str.h"

#define assert_ok(call) assert_int_equal((call), HOB_OK)
#define assert_contains(text, part) assert_non_null(strstr((text), (part)))
#define assert_str_equal(slice, text)                                                                        \
    do {                                                                                                     \
        assert_int_equal((slice).n, strlen(text));                                                           \
        assert_memory_equal((slice).at, (text), (slice).n);                                                  \
    } while (0)
