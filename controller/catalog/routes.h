/* The route table: a tree of path segments for every host, and one for any host. Holds borrowed versions: whoever adds
 * one removes it before it goes. Loop's thread. */
#pragma once

#include "controller/catalog.h"

struct routes;
HOB_MUST_USE struct routes *routes_new(void);
void routes_free(struct routes *r);
/* All routes of that version's configuration. Adding parses the configuration. */
void routes_add(struct routes *r, struct version *v);
void routes_remove(struct routes *r, struct version *v);
bool routes_match(struct routes *r, struct hob_str host, struct hob_str method, struct hob_str path,
                  struct route_match *ret_match);
/* A version of another function that has the same host, path pattern and an overlapping method; or NULL. Patterns are
 * the same when only the names of their parameters differ. */
const struct version *routes_clash(struct routes *r, const char *app, const char *function,
                                   const struct route_config *route);
