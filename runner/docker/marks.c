#include "runner/docker/marks.h"

#include <stdio.h>

#include "base/id.h"
#include "base/mem.h"

#include "base/banned.h"

enum { SHORT_CHARS = 16, PULLED_CHARS = 32, ID_PREFIX = 7 /* "sha256:" */ };

static const struct hob_str built = {"built-", 6}, pulled = {"pulled-", 7}, runtime = {"runtime-", 8};

static void hash_of(const char *name, char ret_hex[PULLED_CHARS + 1])
{
    char digest[HOB_DIGEST_CHARS + 1];
    hob_sha256_hex(name, strlen(name), digest);
    (void)snprintf(ret_hex, PULLED_CHARS + 1, "%.*s", PULLED_CHARS, digest);
}

void mark_tag(enum mark_kind kind, const char *what, const char *id, char ret_tag[MARK_TAG_BYTES])
{
    char hex[PULLED_CHARS + 1];
    HOB_ASSERT(kind != MARK_NONE && docker_image_id_is_valid(id));
    hash_of(what, hex);
    if (kind == MARK_PULLED)
        (void)snprintf(ret_tag, MARK_TAG_BYTES, "pulled-%s", hex);
    else
        (void)snprintf(ret_tag, MARK_TAG_BYTES, "%s%s%s%.*s", kind == MARK_BUILT ? built.at : runtime.at,
                       kind == MARK_RUNTIME ? what : "", kind == MARK_RUNTIME ? "-" : "", SHORT_CHARS,
                       id + ID_PREFIX);
}

/* Podman, and Docker with its newer store, write a host in front. */
static struct hob_str short_name(const char *name)
{
    static const struct hob_str hosts[] = {
        {"localhost/", 10}, {"docker.io/library/", 18}, {"docker.io/", 10}};
    struct hob_str s = hob_str(name);
    for (size_t i = 0; i < HOB_COUNT(hosts); i++)
        if (hob_str_starts(s, hosts[i]))
            return hob_str_n(s.at + hosts[i].n, s.n - hosts[i].n);
    return s;
}

static struct hob_str behind(struct hob_str s, const char *start)
{
    size_t n = strlen(start);
    return hob_str_starts(s, hob_str(start)) ? hob_str_n(s.at + n, s.n - n) : (struct hob_str){0};
}

/* Behind "hob-HOME:"; .at NULL: it is another name. */
static struct hob_str tag_of(const char *home, const char *name)
{
    char repo[MARK_HOME_CHARS + 8];
    (void)snprintf(repo, sizeof repo, "hob-%.*s:", MARK_HOME_CHARS, home);
    return behind(short_name(name), repo);
}

/* The one that stands in the archive of a runtime's image, whoever loads it. */
static bool is_runtimes_own(const struct marked *i, const char *name)
{
    char start[MARK_RUNTIME_BYTES + 8];
    (void)snprintf(start, sizeof start, "hob/%s:", i->runtime);
    return i->runtime[0] && behind(short_name(name), start).at;
}

enum mark_kind mark_of(const char *home, const char *name, char ret_runtime[MARK_RUNTIME_BYTES])
{
    struct hob_str tag = tag_of(home, name);
    if (!tag.at)
        return MARK_NONE;
    if (hob_str_starts(tag, built))
        return MARK_BUILT;
    if (hob_str_starts(tag, pulled))
        return MARK_PULLED;
    bool is_runtime = hob_str_starts(tag, runtime) && tag.n > runtime.n + 1 + SHORT_CHARS &&
                      tag.n - runtime.n - 1 - SHORT_CHARS < MARK_RUNTIME_BYTES;
    if (is_runtime && ret_runtime)
        (void)snprintf(ret_runtime, MARK_RUNTIME_BYTES, "%.*s", (int)(tag.n - runtime.n - 1 - SHORT_CHARS),
                       tag.at + runtime.n);
    return is_runtime ? MARK_RUNTIME : MARK_NONE;
}

static bool has_pulled_mark(const char *home, const struct marked *i, const char *name)
{
    char hex[PULLED_CHARS + 1];
    hash_of(name, hex);
    for (size_t k = 0; k < i->names_n; k++) {
        struct hob_str tag = tag_of(home, i->names[k]);
        if (tag.at && hob_str_starts(tag, pulled) &&
            hob_str_is(hob_str_n(tag.at + pulled.n, tag.n - pulled.n), hex))
            return true;
    }
    return false;
}

bool marked_read(const char *home, const json_t *image, struct marked *ret_image)
{
    const json_t *names = json_object_get(image, "RepoTags"), *size = json_object_get(image, "Size");
    struct marked i = {.id = docker_created_id(image)};
    if (!i.id || !docker_image_id_is_valid(i.id) || json_array_size(names) > MARK_NAMES_MAX)
        return false;
    i.bytes = json_is_integer(size) && json_integer_value(size) > 0 ? (uint64_t)json_integer_value(size) : 0;
    for (size_t k = 0; k < json_array_size(names); k++) {
        const char *name = json_string_value(json_array_get(names, k));
        if (!name || strcmp(name, "<none>:<none>") == 0)
            continue;
        if (!docker_image_name_is_valid(name)) { /* it could not be asked to go */
            i.others_n++;
            continue;
        }
        enum mark_kind kind = mark_of(home, name, i.runtime);
        i.kind = kind ? kind : i.kind;
        i.is_mark[i.names_n] = kind != MARK_NONE;
        i.names[i.names_n++] = name;
    }
    for (size_t k = 0; k < i.names_n; k++) {
        i.is_pulled[k] =
            !i.is_mark[k] && (has_pulled_mark(home, &i, i.names[k]) || is_runtimes_own(&i, i.names[k]));
        i.others_n += !i.is_mark[k] && !i.is_pulled[k];
    }
    *ret_image = i;
    return true;
}

bool mark_is_due(const char *home, const json_t *before, const char *id, const char *name)
{
    for (size_t i = 0; i < json_array_size(before); i++) {
        const json_t *one = json_array_get(before, i);
        const char *other = docker_created_id(one);
        struct marked m;
        if (!other || strcmp(other, id) != 0)
            continue;
        if (!marked_read(home, one, &m) || m.kind == MARK_NONE)
            return false; /* it is somebody else's */
        for (size_t k = 0; k < m.names_n; k++)
            if (strcmp(m.names[k], name) == 0)
                return false;
    }
    return true;
}

static bool has_word(struct hob_str list, char sign, const char *text)
{
    size_t n = strlen(text), skip = sign ? 1 : 0;
    while (list.at) {
        struct hob_str word = hob_str_cut(list, ' ', &list);
        if (word.n == n + skip && (!sign || word.at[0] == sign) && memcmp(word.at + skip, text, n) == 0)
            return true;
    }
    return false;
}

bool marked_is_needed(const struct marked *i, struct hob_str keep, const char *current)
{
    char id[SHORT_CHARS + 1];
    (void)snprintf(id, sizeof id, "%.*s", SHORT_CHARS, i->id + ID_PREFIX);
    if (has_word(keep, 0, id))
        return true;
    for (size_t k = 0; k < i->names_n; k++)
        if (has_word(keep, '=', i->names[k]))
            return true;
    if (!i->runtime[0])
        return false;
    bool is_current = strcmp(current, i->id) == 0, is_wanted = has_word(keep, '@', i->runtime);
    return is_current || (is_wanted && !*current);
}
