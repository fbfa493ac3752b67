/* Names of classes and fields, and the classes that the system knows: their columns stand here, the catalogue gets them
 * when the first row is written. */
#include <string.h>

#include "bindings/object/object_priv.h"

#include "base/banned.h"

enum { NAME_BYTES_MAX = 128 };

#define STRING(n)                                                                                            \
    {                                                                                                        \
        .name = (n), .type = DATA_STRING                                                                     \
    }
#define TYPED(n, t)                                                                                          \
    {                                                                                                        \
        .name = (n), .type = (t)                                                                             \
    }
#define RELATED(n, t)                                                                                        \
    {                                                                                                        \
        .name = (n), .type = DATA_RELATION, .target = (t)                                                    \
    }

static const struct system_class classes[] = {
    {"_User",
     false,
     {STRING("username"), STRING("password"), STRING("email"), TYPED("emailVerified", DATA_BOOLEAN),
      TYPED("authData", DATA_OBJECT)}},
    {"_Role", false, {STRING("name"), RELATED("users", "_User"), RELATED("roles", "_Role")}},
    {"_Session",
     false,
     {{.name = "user", .type = DATA_POINTER, .target = "_User"},
      STRING("installationId"),
      STRING("sessionToken"),
      TYPED("expiresAt", DATA_DATE),
      TYPED("createdWith", DATA_OBJECT)}},
    {"_Installation",
     false,
     {STRING("installationId"), STRING("deviceToken"), TYPED("channels", DATA_ARRAY), STRING("deviceType"),
      STRING("pushType"), STRING("GCMSenderId"), STRING("timeZone"), STRING("localeIdentifier"),
      STRING("appVersion"), STRING("appName"), STRING("appIdentifier"), STRING("parseVersion"),
      TYPED("badge", DATA_NUMBER)}},
    {"_Product",
     false,
     {STRING("productIdentifier"), TYPED("download", DATA_FILE), STRING("downloadName"),
      TYPED("icon", DATA_FILE), TYPED("order", DATA_NUMBER), STRING("title"), STRING("subtitle")}},
    {"_PushStatus",
     true,
     {STRING("pushTime"), STRING("source"), STRING("query"), STRING("payload"), STRING("title"),
      TYPED("expiry", DATA_NUMBER), STRING("status"), TYPED("numSent", DATA_NUMBER),
      TYPED("numFailed", DATA_NUMBER), STRING("pushHash"), TYPED("errorMessage", DATA_OBJECT),
      TYPED("sentPerType", DATA_OBJECT), TYPED("failedPerType", DATA_OBJECT), TYPED("count", DATA_NUMBER)}},
    {"_JobStatus",
     true,
     {STRING("jobName"), STRING("source"), STRING("status"), STRING("message"), TYPED("params", DATA_OBJECT),
      TYPED("finishedAt", DATA_DATE)}},
    {"_JobSchedule",
     true,
     {STRING("jobName"), STRING("description"), STRING("params"), STRING("startAfter"),
      TYPED("daysOfWeek", DATA_ARRAY), STRING("timeOfDay"), TYPED("lastRun", DATA_NUMBER),
      TYPED("repeatMinutes", DATA_NUMBER)}},
    {"_Hooks", true, {STRING("functionName"), STRING("className"), STRING("triggerName"), STRING("url")}},
    {"_GlobalConfig", true, {TYPED("params", DATA_OBJECT), TYPED("masterKeyOnly", DATA_OBJECT)}},
    {"_GraphQLConfig", true, {TYPED("config", DATA_OBJECT)}},
    {"_Audience",
     true,
     {STRING("name"), STRING("query"), TYPED("lastUsed", DATA_DATE), TYPED("timesUsed", DATA_NUMBER)}},
    {"_Idempotency", true, {STRING("reqId"), TYPED("expire", DATA_DATE)}},
};

static bool is_letter(char ch)
{
    return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z');
}

static bool is_word(struct hob_str s)
{
    if (!s.n || s.n > NAME_BYTES_MAX || !is_letter(s.at[0]))
        return false;
    for (size_t i = 1; i < s.n; i++)
        if (!is_letter(s.at[i]) && !(s.at[i] >= '0' && s.at[i] <= '9') && s.at[i] != '_')
            return false;
    return true;
}

const struct system_class *system_class_find(const char *name)
{
    for (size_t i = 0; name[0] == '_' && i < HOB_COUNT(classes); i++)
        if (strcmp(classes[i].name, name) == 0)
            return &classes[i];
    return NULL;
}

size_t system_classes(const struct system_class **ret_list)
{
    *ret_list = classes;
    return HOB_COUNT(classes);
}

const struct data_field *system_field(const char *class_name, const char *field)
{
    const struct system_class *s = system_class_find(class_name);
    for (size_t i = 0; s && i < HOB_COUNT(s->fields) && s->fields[i].name; i++)
        if (strcmp(s->fields[i].name, field) == 0)
            return &s->fields[i];
    return NULL;
}

bool class_name_is_valid(struct hob_str name)
{
    char text[NAME_BYTES_MAX + 1];
    if (is_word(name))
        return true;
    if (!name.n || name.at[0] != '_' || name.n >= sizeof text)
        return false;
    memcpy(text, name.at, name.n);
    text[name.n] = '\0';
    return strlen(text) == name.n && system_class_find(text);
}

bool field_name_is_valid(struct hob_str name)
{
    return is_word(name) && !hob_str_is(name, "length") && !hob_str_is(name, "className");
}

enum hob_code class_judge(const struct backend_call *c, const char *name, const char *doing, unsigned flags,
                          struct hob_err *err)
{
    bool is_join = strncmp(name, "_Join:", 6) == 0;
    const struct system_class *s = system_class_find(name);
    if (((s && s->is_master_only) || is_join) && !permit_is_master(c, flags))
        return parse_fail(err, PARSE_OPERATION_FORBIDDEN,
                          "Clients aren't allowed to perform the %s operation on the %s collection.", doing,
                          name);
    if (s && strcmp(name, "_Installation") == 0 && !permit_is_master(c, flags) &&
        (strcmp(doing, "find") == 0 || strcmp(doing, "delete") == 0))
        return parse_fail(
            err, PARSE_OPERATION_FORBIDDEN,
            "Clients aren't allowed to perform the %s operation on the installation collection.", doing);
    if (!class_name_is_valid(hob_str(name)))
        return parse_fail(err, PARSE_INVALID_CLASS_NAME, "invalid className: %.80s", name);
    return HOB_OK;
}

/* What is looked up on every save or log-in. */
static enum hob_code add_indexes(struct data_tx *tx, const char *class_name, struct hob_err *err)
{
    static const struct {
        const char *class_name;
        struct data_index index;
        bool is_unique;
    } indexes[] = {
        {"_Role", {"name_1", "{\"name\":1}"}, true},
        {"_User", {"username_1", "{\"username\":1}"}, false},
        {"_User", {"email_1", "{\"email\":1}"}, false},
        {"_Session", {"user_1", "{\"user\":1}"}, false},
        {"_Installation", {"installationId_1", "{\"installationId\":1}"}, false},
        {"_Installation", {"deviceToken_1", "{\"deviceToken\":1}"}, false},
    };
    enum hob_code rc = HOB_OK;
    for (size_t i = 0; i < HOB_COUNT(indexes) && rc == HOB_OK; i++)
        if (strcmp(indexes[i].class_name, class_name) == 0)
            rc = data_index_add(tx, class_name, &indexes[i].index, indexes[i].is_unique, err);
    return rc;
}

enum hob_code object_class_need(struct data_tx *tx, const char *class_name, struct hob_err *err)
{
    const struct system_class *s = system_class_find(class_name);
    if (data_class_find(tx, class_name))
        return HOB_OK;
    enum hob_code rc = data_class_add(tx, class_name, err);
    for (size_t i = 0; rc == HOB_OK && s && i < HOB_COUNT(s->fields) && s->fields[i].name; i++)
        rc = data_field_add(tx, class_name, &s->fields[i], err);
    return rc == HOB_OK ? add_indexes(tx, class_name, err) : rc;
}
