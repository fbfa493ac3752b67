/* Inside of bindings/schema/: the schemas API. Inside jobs. */
#pragma once

#include "bindings/object/object_priv.h"

/* schema.c */
void class_write(struct hob_jw *w, const char *name, const struct data_class *class);
/* "name":{"type":...}, a member of an object that is open. */
void field_write(struct hob_jw *w, const struct data_field *f);
/* schema_edit.c */
HOB_MUST_USE enum hob_code schema_create_work(struct backend_call *c, struct data_tx *tx,
                                              struct hob_err *err);
HOB_MUST_USE enum hob_code schema_update_work(struct backend_call *c, struct data_tx *tx,
                                              struct hob_err *err);
/* schema_judge.c: class-level permissions as they are sent. `class`: with the new fields. */
HOB_MUST_USE enum hob_code permissions_judge(const json_t *permissions, const struct data_class *class,
                                             struct hob_err *err);
/* "Number" -> DATA_NUMBER; DATA_TYPES_ when there is none. */
enum data_type type_find(const char *name);
