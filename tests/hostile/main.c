/* The function: /NAME?ARGUMENT runs the attack of that name. */
#include "hob.h"

#include "attack.h"

static const struct attack *find(const struct attack *list, hob_str name)
{
    for (; list->name; list++)
        if (strlen(list->name) == name.n && !memcmp(list->name, name.p, name.n))
            return list;
    return NULL;
}

static int attack(hob_call *call, void *arg)
{
    (void)arg;
    hob_str path = hob_path(call), query = hob_query(call), name = {path.p + 1, path.n - 1};
    const struct attack *a = find(escapes, name);
    a = a ? a : find(abuses, name);
    a = a ? a : find(thefts, name);
    if (!a)
        return hob_status(call, 404);
    char argument[256] = "", *text = NULL;
    size_t n = 0;
    snprintf(argument, sizeof argument, "%.*s", query.p ? (int)query.n : 0, query.p ? query.p : "");
    FILE *out = open_memstream(&text, &n);
    a->run(out, argument);
    fprintf(out, "done\n");
    fclose(out);
    int r = hob_write(call, text, n);
    free(text);
    return r;
}

int main(void)
{
    return hob_run(attack, NULL, NULL);
}
