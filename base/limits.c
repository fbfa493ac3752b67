#include "base/limits.h"

const struct hob_limit hob_limits[HOB_LIMIT_COUNT_] = {
#define X(symbol, name_, value_, unit_, error, why_)                                                         \
    {.name = (name_), .unit = (unit_), .why = (why_), .value = (value_), .code = (error)},
    HOB_LIMITS(X)
#undef X
};
