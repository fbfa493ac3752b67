/* Names and types of files. */
#include <ctype.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "bindings/files/files.h"

enum {
    NAME_BYTES_MAX = 128,
    DIRECTORY_BYTES_MAX = 256,
    PREFIX_BYTES = 33,    /* of a stored name: 32 digits and '_' (save.c) */
    EXTENSION_BYTES = 17, /* and behind it: '.' and what file_extension_of gives, with room for more */
    MATCH_LIMIT = 10000
};
_Static_assert(DIRECTORY_BYTES_MAX + 1 + PREFIX_BYTES + NAME_BYTES_MAX + EXTENSION_BYTES <=
                   FILE_STORED_NAME_BYTES_MAX,
               "the longest name of an upload is one that may be stored");

static const struct {
    const char *extension, *type;
} types[] = {
    {"png", "image/png"},
    {"jpg", "image/jpeg"},
    {"jpeg", "image/jpeg"},
    {"gif", "image/gif"},
    {"webp", "image/webp"},
    {"avif", "image/avif"},
    {"heic", "image/heic"},
    {"bmp", "image/bmp"},
    {"ico", "image/x-icon"},
    {"svg", "image/svg+xml"},
    {"txt", "text/plain"},
    {"csv", "text/csv"},
    {"md", "text/markdown"},
    {"html", "text/html"},
    {"htm", "text/html"},
    {"xml", "application/xml"},
    {"css", "text/css"},
    {"js", "text/javascript"},
    {"mjs", "text/javascript"},
    {"json", "application/json"},
    {"pdf", "application/pdf"},
    {"zip", "application/zip"},
    {"gz", "application/gzip"},
    {"mp3", "audio/mpeg"},
    {"m4a", "audio/mp4"},
    {"wav", "audio/wav"},
    {"ogg", "audio/ogg"},
    {"mp4", "video/mp4"},
    {"mov", "video/quicktime"},
    {"webm", "video/webm"},
    {"bin", "application/octet-stream"},
};
/* What a browser would run or render as a page of this origin. */
static const char *const refused[] = {"htm", "html", "shtm", "shtml", "xhtm",  "xhtml", "svg", "svgz",
                                      "xml", "xsl",  "xslt", "xsd",   "rng",   "rdf",   "owl", "mathml",
                                      "mml", "swf",  "hta",  "mht",   "mhtml", "xbl",   "htc", "php"};
static const char *const refused_types[] = {"text/html", "application/xhtml", "svg", "xml", "mathml"};

/* Without a directory. */
static bool is_name(struct hob_str name, size_t bytes_max)
{
    bool is_good =
        name.n >= 1 && name.n <= bytes_max && (isalnum((unsigned char)name.at[0]) || name.at[0] == '_');
    for (size_t i = 0; i < name.n && is_good; i++)
        is_good = name.at[i] > 0 && (isalnum((unsigned char)name.at[i]) || strchr("@. ~_-", name.at[i]));
    return is_good;
}

enum hob_code file_name_check(struct hob_str name, struct hob_err *err)
{
    if (is_name(name, NAME_BYTES_MAX))
        return HOB_OK;
    return parse_fail(
        err, PARSE_INVALID_FILE_NAME,
        "%s Use a-z, A-Z, 0-9, '@', '.', ' ', '~', '_' and '-', a letter, digit or '_' first, at most %d.",
        name.n > NAME_BYTES_MAX ? "Filename too long." : "Filename contains invalid characters.",
        NAME_BYTES_MAX);
}

static const char *judge_directory(struct hob_str d)
{
    char before = '/';
    if (!d.n)
        return "Directory must not be empty.";
    if (d.n > DIRECTORY_BYTES_MAX)
        return "Directory path is too long.";
    if (d.at[0] == '/' || d.at[d.n - 1] == '/')
        return "Directory must not start or end with \"/\".";
    if (hob_str_is(d, "metadata") || hob_str_starts(d, HOB_STR("metadata/")))
        return "Directory must not start with reserved segment \"metadata\".";
    for (size_t i = 0; i < d.n; i++) {
        char ch = d.at[i];
        if (ch == '/' && before == '/')
            return "Directory must not contain consecutive slashes.";
        if (ch == '.' && before == '.')
            return "Directory must not contain \"..\".";
        if (ch <= 0 || (!isalnum((unsigned char)ch) && !strchr("/@. ~_-", ch)))
            return "Directory contains invalid characters.";
        before = ch;
    }
    return NULL;
}

enum hob_code file_directory_check(const json_t *directory, struct hob_err *err)
{
    const char *why = "Directory must be a string.";
    if (json_is_string(directory))
        why = judge_directory(hob_str_n(json_string_value(directory), json_string_length(directory)));
    return why ? parse_fail(err, PARSE_INVALID_FILE_NAME, "%s", why) : HOB_OK;
}

bool file_stored_name_is_valid(struct hob_str stored)
{
    const char *slash = stored.n ? memrchr(stored.at, '/', stored.n) : NULL;
    size_t before = slash ? (size_t)(slash - stored.at) + 1 : 0; /* the directory and its '/' */
    if (slash && judge_directory(hob_str_n(stored.at, before - 1)))
        return false;
    return is_name(hob_str_n(stored.at + before, stored.n - before),
                   PREFIX_BYTES + NAME_BYTES_MAX + EXTENSION_BYTES);
}

/* Behind the last '.', or empty. */
static struct hob_str extension_of(struct hob_str name)
{
    const char *dot = memrchr(name.at, '.', name.n);
    return dot ? hob_str_n(dot + 1, name.n - (size_t)(dot + 1 - name.at)) : HOB_STR("");
}

const char *file_type_of(struct hob_str name)
{
    struct hob_str extension = extension_of(name);
    for (size_t i = 0; i < HOB_COUNT(types); i++)
        if (hob_str_ieq(extension, hob_str(types[i].extension)))
            return types[i].type;
    return "application/octet-stream";
}

const char *file_extension_of(struct hob_str type)
{
    struct hob_str rest, plain = hob_str_trim(hob_str_cut(type, ';', &rest));
    for (size_t i = 0; i < HOB_COUNT(types); i++)
        if (hob_str_ieq(plain, hob_str(types[i].type)))
            return types[i].extension;
    return NULL;
}

static bool pattern_matches(const char *pattern, struct hob_str text)
{
    int code;
    PCRE2_SIZE at;
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_CASELESS | PCRE2_UTF,
                                   &code, &at, NULL);
    if (!re)
        return false;
    pcre2_match_data *data = pcre2_match_data_create_from_pattern(re, NULL);
    pcre2_match_context *context = pcre2_match_context_create(NULL);
    (void)pcre2_set_match_limit(context, MATCH_LIMIT);
    int rc = pcre2_match(re, (PCRE2_SPTR)text.at, text.n, 0, 0, data, context);
    pcre2_match_context_free(context);
    pcre2_match_data_free(data);
    pcre2_code_free(re);
    return rc >= 0;
}

static bool is_refused(struct hob_str extension)
{
    for (size_t i = 0; i < HOB_COUNT(refused); i++)
        if (hob_str_ieq(extension, hob_str(refused[i])))
            return true;
    return false;
}

static bool is_refused_type(struct hob_str type)
{
    for (size_t i = 0; i < HOB_COUNT(refused_types); i++)
        if (type.n && memmem(type.at, type.n, refused_types[i], strlen(refused_types[i])))
            return true;
    return false;
}

enum hob_code file_extension_check(const json_t *setting, struct hob_str name, struct hob_str type,
                                   struct hob_err *err)
{
    const json_t *patterns = json_object_get(setting, "fileExtensions");
    struct hob_str extension = extension_of(name);
    bool is_allowed = !patterns && !is_refused(extension) && !is_refused_type(type);
    for (size_t i = 0; i < json_array_size(patterns) && !is_allowed; i++) {
        const char *pattern = json_string_value(json_array_get(patterns, i));
        is_allowed = strcmp(pattern, "*") == 0 || pattern_matches(pattern, extension);
    }
    if (is_allowed)
        return HOB_OK;
    return parse_fail(err, PARSE_FILE_SAVE_ERROR, "File upload of extension %.*s is disabled.",
                      (int)(extension.n < 40 ? extension.n : 40), extension.at);
}
