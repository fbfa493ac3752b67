/* The roles of a user, with the roles that stand in roles (if role A holds role B, B's members are A's, too), cycles cut.
 * Blocking, inside a job. */
#pragma once

#include "store/data.h"

enum { ROLES_MAX = 1000 };
/* Appends the names, each as a JSON string of the array. */
HOB_MUST_USE enum hob_code roles_of_user(struct data_tx *tx, struct hob_str user_id, json_t *ret_names,
                                         struct hob_err *err);
