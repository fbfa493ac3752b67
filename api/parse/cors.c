/* Cross-origin requests: browsers with Parse SDKs call from anywhere that the app allows (allowOrigin). */
#include <string.h>

#include "api/parse/parse_priv.h"

#include "base/banned.h"

#define REQUEST_FIELDS                                                                                       \
    "X-Parse-Master-Key, X-Parse-REST-API-Key, X-Parse-Javascript-Key, X-Parse-Application-Id, "             \
    "X-Parse-Client-Version, X-Parse-Session-Token, X-Requested-With, X-Parse-Revocable-Session, "           \
    "X-Parse-Request-Id, Content-Type, Pragma, Cache-Control, X-Parse-Installation-Id, X-Parse-Client-Key, " \
    "X-Parse-Windows-Key, X-Parse-Maintenance-Key, X-Parse-Cloud-Context, X-Parse-Upload-Mode, "             \
    "X-Parse-File-Metadata, X-Parse-File-Tags, X-Parse-File-Directory, X-Parse-File-Max-Upload-Size"

/* Of a list the one that asks, else the first, as browsers compare for equality. */
static struct hob_str origin_of(const struct parse_call *c)
{
    struct hob_str asked = http_field(c->x, "origin");
    const json_t *allowed = c->app ? backend_app_json(c->app, SETTING_ALLOW_ORIGIN) : NULL;
    if (json_is_string(allowed))
        return hob_str(json_string_value(allowed));
    for (size_t i = 0; asked.at && i < json_array_size(allowed); i++) {
        const char *one = json_string_value(json_array_get(allowed, i));
        if (one && (strcmp(one, "*") == 0 || hob_str_is(asked, one)))
            return hob_str(one);
    }
    const char *first = json_string_value(json_array_get(allowed, 0));
    return hob_str(first ? first : "*");
}

static struct hob_str request_fields(const struct parse_call *c)
{
    struct hob_buf all hob_auto_buf;
    const json_t *more = c->app ? backend_app_json(c->app, SETTING_ALLOW_HEADERS) : NULL;
    hob_buf_init(&all, 8192);
    if (!json_array_size(more))
        return HOB_STR(REQUEST_FIELDS);
    bool is_ok = hob_buf_addf(&all, "%s", REQUEST_FIELDS) == HOB_OK;
    for (size_t i = 0; is_ok && i < json_array_size(more); i++) {
        const char *name = json_string_value(json_array_get(more, i));
        is_ok = !name || hob_buf_addf(&all, ", %s", name) == HOB_OK;
    }
    char *copy = is_ok ? hob_arena_strndup(http_arena(c->x), hob_buf_data(&all), all.n) : NULL;
    return copy ? hob_str(copy) : HOB_STR(REQUEST_FIELDS);
}

size_t parse_cors(const struct parse_call *c, struct http_field *out)
{
    size_t n = 0;
    struct hob_str origin = origin_of(c);
    out[n++] = (struct http_field){HOB_STR("Access-Control-Allow-Origin"), origin};
    /* The JavaScript SDK believes only fields that stand here, also outside of browsers. */
    out[n++] = (struct http_field){HOB_STR("Access-Control-Expose-Headers"),
                                   HOB_STR("X-Parse-Job-Status-Id, X-Parse-Push-Status-Id")};
    if (http_field(c->x, "origin").at || hob_str_is(http_request(c->x)->method, "OPTIONS")) {
        out[n++] = (struct http_field){HOB_STR("Access-Control-Allow-Methods"),
                                       HOB_STR("GET,PUT,POST,DELETE,OPTIONS")};
        out[n++] = (struct http_field){HOB_STR("Access-Control-Allow-Headers"), request_fields(c)};
    }
    if (!hob_str_is(origin, "*"))
        out[n++] = (struct http_field){HOB_STR("Vary"), HOB_STR("Origin")};
    return n;
}
