/* An export of Parse Server as lines of ours (docs/data.md): documents of its database as mongoexport writes them, one
 * file a collection (_User.json, _SCHEMA.json, _Join:users:_Role.json), or objects as its API gives them. Ids, dates,
 * ACLs, relations, password hashes and linked identities are kept; sessions, hooks and the status of jobs are left out. */
#pragma once

#include "base/json.h"

struct parse_export;
/* `schema`: the documents of _SCHEMA (an array), or NULL: then places are known by their shape only. Borrows it. */
struct parse_export *parse_export_new(const json_t *schema);
void parse_export_free(struct parse_export *p);
/* Is there anything to be taken from that collection? */
bool parse_export_wants(const char *collection);
/* Appends the document as none, one or more lines. `collection`: the file's name without ".json". */
HOB_MUST_USE enum hob_code parse_export_lines(struct parse_export *p, const char *collection,
                                              const json_t *doc, struct hob_buf *out, struct hob_err *err);
