/* Intrusive doubly linked list with a head; owns nothing. A zeroed hob_node is "in no list". */
#pragma once

#include "base/compiler.h"

struct hob_node {
    struct hob_node *next, *prev;
};
struct hob_list {
    struct hob_node head;
};

static inline void hob_list_init(struct hob_list *l)
{
    l->head.next = l->head.prev = &l->head;
}
static inline bool hob_list_is_empty(const struct hob_list *l)
{
    return l->head.next == &l->head;
}
static inline void hob_list_insert_(struct hob_node *n, struct hob_node *before, struct hob_node *after)
{
    n->prev = before;
    n->next = after;
    before->next = n;
    after->prev = n;
}
static inline void hob_list_push_back(struct hob_list *l, struct hob_node *n)
{
    hob_list_insert_(n, l->head.prev, &l->head);
}
static inline void hob_list_push_front(struct hob_list *l, struct hob_node *n)
{
    hob_list_insert_(n, &l->head, l->head.next);
}
static inline bool hob_node_is_linked(const struct hob_node *n)
{
    return n->next != NULL;
}
static inline void hob_list_remove(struct hob_node *n)
{
    if (!n->next)
        return;
    n->prev->next = n->next;
    n->next->prev = n->prev;
    n->next = n->prev = NULL;
}
/* First node, or NULL. */
static inline struct hob_node *hob_list_first(const struct hob_list *l)
{
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the analyzer does not see that who is freed has left the list */
    return hob_list_is_empty(l) ? NULL : l->head.next;
}
/* Safe against removal of the current node. */
#define HOB_LIST_EACH(list, node, tmp)                                                                       \
    for (struct hob_node *node = (list)->head.next, *tmp = node->next; node != &(list)->head;                \
         node = tmp, tmp = node->next)
