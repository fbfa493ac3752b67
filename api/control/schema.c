#include "api/control/schema.h"

#include <string.h>

#include "base/str.h"

static const struct schema_member problem[] = {
    {"type", "string", "about:blank, or a page that says more", true},
    {"title", "string", "the status in words", true},
    {"status", "integer", "the HTTP status", true},
    {"detail", "string", "what, which value, and what would be right", true},
    {"reason", "string", "a stable slug for programs", true},
    {"request_id", "string", "to be found in the logs", true},
};
static const struct schema_member none[] = {{NULL, NULL, NULL, false}};
static const struct schema_member version[] = {
    {"version", "string", "of hobd", true},
    {"api", "integer", "of this interface", true},
};
static const struct schema_member limit[] = {
    {"name", "string", "", true},
    {"value", "integer", "", true},
    {"unit", "string", "", true},
    {"why", "string", "what it bounds", true},
    {"error", "string", "the reason slug beyond it", true},
};
static const struct schema_member limits[] = {{"limits", "Limit[]", "", true}};
static const struct schema_member check[] = {
    {"status", "string", "ok, warn or fail", true},
    {"name", "string", "", true},
    {"text", "string", "what was found and, when not ok, what to do", true},
};
static const struct schema_member doctor[] = {
    {"ok", "boolean", "no check failed", true},
    {"checks", "Check[]", "", true},
};
static const struct schema_member runtime[] = {
    {"name", "string", "as in hob.json", true},
    {"title", "string", "", true},
    {"available", "boolean", "everything it needs is on this machine", true},
    {"version", "string?", "as the runtime itself says", true},
    {"install", "string", "the command that makes it available", true},
};
static const struct schema_member runtimes[] = {{"runtimes", "Runtime[]", "", true}};
static const struct schema_member runtime_image[] = {
    {"runtime", "string", "", true},
    {"image", "string", "its ID", true},
    {"built", "boolean", "made now; false: it was there", true},
    {"took_ms", "integer", "", true},
};
static const struct schema_member engine[] = {
    {"name", "string", "as in hob.json", true},
    {"state", "string", "up, down or asking", true},
    {"reason", "string", "when it is not up: why, and what to do", false},
    {"host", "string", "docker: where it listens", false},
    {"version", "string", "docker: of the engine", false},
    {"api", "string", "docker: the API version spoken", false},
    {"runtime", "string", "docker: crun or runc", false},
    {"storage", "string", "docker: its storage driver", false},
    {"instances", "integer", "that run in it", false},
};
static const struct schema_member engines[] = {{"engines", "Engine[]", "", true}};
static const struct schema_member engine_test[] = {
    {"name", "string", "", true},
    {"ok", "boolean", "", true},
    {"start_ms", "integer", "docker: from the order to the first process's word", false},
    {"image", "string", "docker: what was started", false},
};
static const struct schema_member app[] = {
    {"name", "string", "", true},
    {"functions", "integer", "how many", true},
    {"created_at", "string", "", true},
};
static const struct schema_member apps[] = {{"apps", "App[]", "", true}};
static const struct schema_member route[] = {
    {"host", "string?", "null: any", true},
    {"path", "string", "", true},
    {"methods", "string[]", "none: all", true},
};
static const struct schema_member function[] = {
    {"app", "string", "", true},
    {"name", "string", "", true},
    {"runtime", "string", "", true},
    {"version", "integer", "the live one", true},
    {"url", "string", "where it can be called", true},
    {"created_at", "string", "", true},
    {"state", "string", "idle, warm, starting or failing", true},
    {"instances", "integer", "of the live version", true},
    {"routes", "Route[]", "", true},
};
static const struct schema_member functions[] = {{"functions", "Function[]", "", true}};
static const struct schema_member crash[] = {
    {"message", "string", "why the last start failed", true},
    {"retry_ms", "integer", "until the next start is tried", true},
};
static const struct schema_member description[] = {
    {"app", "string", "", true},
    {"name", "string", "", true},
    {"runtime", "string", "", true},
    {"version", "integer", "the live one", true},
    {"url", "string", "", true},
    {"created_at", "string", "", true},
    {"state", "string", "idle, warm, starting or failing", true},
    {"instances", "integer", "of the live version", true},
    {"routes", "Route[]", "", true},
    {"config", "object", "as in hob.json, complete", true},
    {"env", "map", "names and values", true},
    {"secrets", "string[]", "names", true},
    {"instance_list", "Instance[]", "of every version", true},
    {"aliases", "Alias[]", "", true},
    {"crash", "Crash?", "while starts fail", true},
};
static const struct schema_member deployed[] = {
    {"name", "string", "", true},
    {"version", "integer", "", true},
    {"is_new", "boolean", "false: code and configuration unchanged, the version kept", true},
    {"image_id", "string", "what its image or dockerfile came to", false},
    {"url", "string", "", true},
    {"routes", "Route[]", "", true},
};
static const struct schema_member deployment[] = {
    {"app", "string", "", true},
    {"digest", "string", "SHA-256 of the code", true},
    {"files", "integer", "", true},
    {"bytes", "integer", "unpacked", true},
    {"functions", "Deployed[]", "in hob.json's order", true},
};
static const struct schema_member version_row[] = {
    {"version", "integer", "", true},
    {"digest", "string", "of its code", true},
    {"created_at", "string", "", true},
    {"is_live", "boolean", "", true},
    {"aliases", "string[]", "that name it", true},
    {"why", "string", "what made it: deploy, env set", true},
};
static const struct schema_member versions[] = {{"versions", "VersionRow[]", "newest first", true}};
static const struct schema_member rollback_body[] = {
    {"version", "integer", "to make live; without it the one that was live before", false},
};
static const struct schema_member rollback[] = {
    {"version", "integer", "now live", true},
    {"previous", "integer", "was live", true},
};
static const struct schema_member alias_body[] = {{"version", "integer", "that the alias shall name", true}};
static const struct schema_member alias[] = {
    {"alias", "string", "", true},
    {"version", "integer", "", true},
};
static const struct schema_member aliases[] = {{"aliases", "Alias[]", "", true}};
static const struct schema_member env_body[] = {
    {"set", "map", "variables to set", false},
    {"unset", "string[]", "variables to take away; one of hob.json gets its value there back", false},
};
static const struct schema_member env[] = {
    {"env", "map", "names and values", true},
    {"version", "integer", "that has it", true},
};
static const struct schema_member secret_body[] = {{"value", "string", "never comes back", true}};
static const struct schema_member secret[] = {
    {"name", "string", "", true},
    {"updated_at", "string", "", true},
};
static const struct schema_member secrets[] = {{"secrets", "Secret[]", "", true}};
static const struct schema_member log_line[] = {
    {"time", "string", "", true},
    {"level", "string", "debug, info, warn or error", true},
    {"stream", "string", "stdout, stderr, log or platform", true},
    {"version", "integer", "", true},
    {"instance", "string", "", true},
    {"request_id", "string", "empty: not of one request", true},
    {"text", "string", "", true},
};
static const struct schema_member instance[] = {
    {"id", "string", "16 hexadecimal digits", true},
    {"app", "string", "", true},
    {"function", "string", "", true},
    {"version", "integer", "", true},
    {"state", "string", "", true},
    {"in_flight", "integer", "invocations under way", true},
    {"age_ms", "integer", "", true},
    {"idle_ms", "integer", "", true},
    {"invocations", "integer", "since it started", true},
};
static const struct schema_member instances[] = {{"instances", "Instance[]", "", true}};
static const struct schema_member wall[] = {
    {"name", "string", "namespaces, ids, capabilities, seccomp, ...", true},
    {"what", "string", "", true},
};
static const struct schema_member walled[] = {
    {"id", "string", "", true},
    {"version", "integer", "", true},
    {"state", "string", "", true},
    {"walls", "Wall[]", "", true},
};
static const struct schema_member learn_body[] = {
    {"seconds", "integer", "it ends by itself after so long; 1 to 3600, 600 when absent", false}};
static const struct schema_member denied_call[] = {
    {"call", "string", "", true},
    {"n", "integer", "how often, up to 64 an instance", true},
};
static const struct schema_member learning[] = {
    {"version", "integer", "", true},
    {"left_ms", "integer", "0: it is over", true},
    {"instances", "integer", "that were learnt from", true},
    {"syscalls", "string[]", "for hob.json", true},
    {"denied", "DeniedCall[]", "calls that no sandbox allows", true},
};
static const struct schema_member isolation[] = {{"instances", "Walled[]", "those that run", true}};
static const struct schema_member decision[] = {
    {"ago_ms", "integer", "", true},
    {"started", "integer", "instances", true},
    {"stopped", "integer", "instances", true},
    {"why", "string", "rate, backlog, floor, schedule, habit, hold or idle", true},
    {"want", "integer", "by rate", true},
    {"backlog", "integer", "by backlog, beside those that start", true},
    {"floor", "integer", "", true},
    {"ready", "integer", "", true},
    {"starting", "integer", "", true},
    {"queued", "integer", "requests", true},
    {"rate", "number", "requests a second", true},
    {"service_us", "integer", "mean run", true},
    {"cold_us", "integer", "p95 of a start", true},
};
static const struct schema_member scale[] = {
    {"app", "string", "", true},
    {"function", "string", "", true},
    {"version", "integer", "the live one", true},
    {"mode", "string", "cost, balanced or latency", true},
    {"ready", "integer", "instances that are up, busy or not", true},
    {"starting", "integer", "", true},
    {"queued", "integer", "requests that wait", true},
    {"in_flight", "integer", "requests in work", true},
    {"want", "integer", "instances by rate", true},
    {"backlog", "integer", "more instances by backlog", true},
    {"floor", "integer", "least instances now", true},
    {"max", "integer", "", true},
    {"rate", "number", "requests a second", true},
    {"service_us", "integer", "mean run", true},
    {"cold_us", "integer", "p95 of a start", true},
    {"idle_ms", "integer", "a surplus instance goes after so long", true},
    {"keep_ms", "integer", "the last one goes after so long", true},
    {"because", "string[]", "the same in sentences", true},
    {"decisions", "Decision[]", "the last ones that changed something, newest first", true},
};
static const struct schema_member top_row[] = {
    {"app", "string", "", true},
    {"function", "string", "", true},
    {"version", "integer", "", true},
    {"rate", "number", "requests a second, over ten seconds", true},
    {"in_flight", "integer", "requests in work", true},
    {"queued", "integer", "requests that wait", true},
    {"instances", "object", "by state", true},
    {"run_p50_ms", "number", "time in the function", true},
    {"run_p99_ms", "number", "", true},
    {"wait_p99_ms", "number", "from arrival to dispatch", true},
    {"ended", "integer", "requests since the start", true},
    {"failed", "integer", "by the function or its instance", true},
    {"refused", "integer", "never dispatched", true},
    {"cold", "integer", "that waited for an instance built from nothing", true},
    {"pooled", "integer", "that waited for one out of a pool", true},
    {"thawed", "integer", "that woke a frozen one", true},
};
static const struct schema_member node[] = {
    {"instances", "integer", "", true},
    {"starting", "integer", "", true},
    {"starts_waiting", "integer", "for their turn", true},
    {"memory_promised_mb", "integer", "memory_mb of all instances", true},
    {"memory_limit_mb", "integer", "0: no bound", true},
    {"is_full", "boolean", "a start waits for memory", true},
};
static const struct schema_member top[] = {
    {"functions", "TopRow[]", "", true},
    {"node", "Node", "", true},
};
static const struct schema_member simulated[] = {
    {"mode", "string", "", true},
    {"instance_seconds", "number", "cost", true},
    {"busy_seconds", "number", "of work in them", true},
    {"wait_p50_ms", "number", "", true},
    {"wait_p99_ms", "number", "", true},
    {"wait_max_ms", "number", "", true},
    {"cold_waits", "integer", "requests that waited for a start", true},
    {"starts", "integer", "", true},
    {"refused", "integer", "requests that waited too long", true},
    {"peak", "integer", "most instances at once", true},
};
static const struct schema_member simulation[] = {
    {"requests", "integer", "in the trace", true},
    {"functions", "integer", "", true},
    {"dropped", "integer", "that the recording lost", true},
    {"span_ms", "number", "from the first to the last", true},
    {"cold_ms", "number", "what a start took", true},
    {"modes", "Simulated[]", "", true},
};
static const struct schema_member backend[] = {
    {"app", "string", "", true},
    {"application_id", "string", "what clients send as X-Parse-Application-Id", true},
    {"created_at", "string", "", true},
    {"keys", "string[]", "kinds of keys that are set; their values are told once, when they are set", true},
    {"settings", "object", "all of them, by Parse Server's names (docs/backend.md)", false},
};
static const struct schema_member backends[] = {{"backends", "Backend[]", "by name, without settings", true}};
static const struct schema_member backend_body[] = {
    {"application_id", "string", "the app's name when absent", false},
    {"keys", "map", "by kind; a master key is made when absent", false},
    {"settings", "object", "", false},
};
static const struct schema_member backend_made[] = {
    {"app", "string", "", true},
    {"application_id", "string", "", true},
    {"master_key", "string", "not told again", true},
};
static const struct schema_member backend_settings[] = {
    {"settings", "object", "to be merged; null: the default", true}};
static const struct schema_member backend_key_body[] = {{"value", "string", "made when absent", false}};
static const struct schema_member backend_key[] = {
    {"key", "string", "its kind", true},
    {"value", "string", "not told again", true},
};
static const struct schema_member imported[] = {
    {"lines", "integer", "", true},
    {"objects", "integer", "", true},
    {"related", "integer", "pairs of relations", true},
    {"classes", "integer", "", true},
};
static const struct schema_member restore_body[] = {
    {"sequence", "integer", "of the last change that shall stand", false},
    {"at", "string", "instead: a time (ISO 8601, UTC)", false},
};
static const struct schema_member restored[] = {
    {"sequence", "integer", "of the last change that stands", true}};

#define SCHEMA(name, members)                                                                                \
    {                                                                                                        \
        name, members, HOB_COUNT(members)                                                                    \
    }
static const struct schema schemas[] = {
    SCHEMA("Problem", problem),
    {"Nothing", none, 0},
    SCHEMA("Version", version),
    SCHEMA("Limit", limit),
    SCHEMA("Limits", limits),
    SCHEMA("Check", check),
    SCHEMA("Doctor", doctor),
    SCHEMA("Runtime", runtime),
    SCHEMA("Runtimes", runtimes),
    SCHEMA("RuntimeImage", runtime_image),
    SCHEMA("Engine", engine),
    SCHEMA("Engines", engines),
    SCHEMA("EngineTest", engine_test),
    SCHEMA("App", app),
    SCHEMA("Apps", apps),
    SCHEMA("Route", route),
    SCHEMA("Function", function),
    SCHEMA("Functions", functions),
    SCHEMA("Crash", crash),
    SCHEMA("Description", description),
    SCHEMA("Deployed", deployed),
    SCHEMA("Deployment", deployment),
    SCHEMA("VersionRow", version_row),
    SCHEMA("Versions", versions),
    SCHEMA("RollbackBody", rollback_body),
    SCHEMA("Rollback", rollback),
    SCHEMA("AliasBody", alias_body),
    SCHEMA("Alias", alias),
    SCHEMA("Aliases", aliases),
    SCHEMA("EnvBody", env_body),
    SCHEMA("Env", env),
    SCHEMA("SecretBody", secret_body),
    SCHEMA("Secret", secret),
    SCHEMA("Secrets", secrets),
    SCHEMA("LogLine", log_line),
    SCHEMA("Instance", instance),
    SCHEMA("Instances", instances),
    SCHEMA("Decision", decision),
    SCHEMA("Scale", scale),
    SCHEMA("TopRow", top_row),
    SCHEMA("Node", node),
    SCHEMA("Top", top),
    SCHEMA("Backend", backend),
    SCHEMA("Backends", backends),
    SCHEMA("BackendBody", backend_body),
    SCHEMA("BackendMade", backend_made),
    SCHEMA("BackendSettings", backend_settings),
    SCHEMA("BackendKeyBody", backend_key_body),
    SCHEMA("BackendKey", backend_key),
    SCHEMA("Imported", imported),
    SCHEMA("RestoreBody", restore_body),
    SCHEMA("Restored", restored),
    SCHEMA("Simulated", simulated),
    SCHEMA("Simulation", simulation),
    SCHEMA("Wall", wall),
    SCHEMA("Walled", walled),
    SCHEMA("Isolation", isolation),
    SCHEMA("LearnBody", learn_body),
    SCHEMA("DeniedCall", denied_call),
    SCHEMA("Learning", learning),
};

size_t schemas_count(void)
{
    return HOB_COUNT(schemas);
}

const struct schema *schemas_at(size_t i)
{
    HOB_ASSERT(i < HOB_COUNT(schemas));
    return &schemas[i];
}

const struct schema *schema_need(const char *name)
{
    for (size_t i = 0; i < HOB_COUNT(schemas); i++)
        if (strcmp(schemas[i].name, name) == 0)
            return &schemas[i];
    HOB_ASSERT(!"no such schema");
    return NULL;
}

/* --- judging a body ---------------------------------------------------------------------------------------------- */

static bool is_string(const json_t *j)
{
    /* a NUL inside would cut it short wherever C reads it */
    return json_is_string(j) && strlen(json_string_value(j)) == json_string_length(j);
}

static bool is_list_of_strings(const json_t *j)
{
    for (size_t i = 0; i < json_array_size(j); i++)
        if (!is_string(json_array_get(j, i)))
            return false;
    return json_is_array(j);
}

static bool is_map_of_strings(const json_t *j)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)j, key, value)
    {
        if (!is_string(value))
            return false;
    }
    return json_is_object(j);
}

static bool has_type(const json_t *j, const char *type)
{
    if (strcmp(type, "string") == 0)
        return is_string(j);
    if (strcmp(type, "integer") == 0)
        return json_is_integer(j) && json_integer_value(j) >= 0;
    if (strcmp(type, "boolean") == 0)
        return json_is_boolean(j);
    if (strcmp(type, "string[]") == 0)
        return is_list_of_strings(j);
    if (strcmp(type, "object") == 0)
        return json_is_object(j);
    HOB_ASSERT(strcmp(type, "map") == 0);
    return is_map_of_strings(j);
}

static const char *type_in_words(const char *type)
{
    static const char *const words[][2] = {{"string", "a string"},
                                           {"integer", "a whole number that is not negative"},
                                           {"boolean", "true or false"},
                                           {"string[]", "a list of strings"},
                                           {"object", "an object"},
                                           {"map", "an object whose values are strings"}};
    for (size_t i = 0; i < HOB_COUNT(words); i++)
        if (strcmp(words[i][0], type) == 0)
            return words[i][1];
    return type;
}

static const struct schema_member *member_find(const struct schema *s, const char *name)
{
    for (size_t i = 0; i < s->members_n; i++)
        if (strcmp(s->members[i].name, name) == 0)
            return &s->members[i];
    return NULL;
}

static enum hob_code fail_unknown(const struct schema *s, const char *name, struct hob_err *err)
{
    const char *names[16];
    HOB_ASSERT(s->members_n <= HOB_COUNT(names));
    for (size_t i = 0; i < s->members_n; i++)
        names[i] = s->members[i].name;
    const char *near = hob_nearest(name, names, s->members_n);
    if (near)
        return hob_fail_reason(err, HOB_E_INVALID, "unknown_member",
                               "the body: unknown member '%.60s'; did you mean '%s'?", name, near);
    return hob_fail_reason(err, HOB_E_INVALID, "unknown_member", "the body: unknown member '%.60s'", name);
}

enum hob_code schema_judge(const struct schema *s, const json_t *body, struct hob_err *err)
{
    const char *key;
    json_t *value;
    if (!json_is_object(body))
        return hob_fail(err, HOB_E_INVALID, "the body must be a JSON object");
    json_object_foreach((json_t *)(uintptr_t)body, key, value)
    {
        const struct schema_member *m = member_find(s, key);
        if (!m)
            return fail_unknown(s, key, err);
        if (!has_type(value, m->type))
            return hob_fail(err, HOB_E_INVALID, "the body: '%s' must be %s", key, type_in_words(m->type));
    }
    for (size_t i = 0; i < s->members_n; i++)
        if (s->members[i].is_needed && !json_object_get(body, s->members[i].name))
            return hob_fail(err, HOB_E_INVALID, "the body: '%s' is missing (%s)", s->members[i].name,
                            s->members[i].help);
    return HOB_OK;
}

/* --- writing JSON Schema ----------------------------------------------------------------------------------------- */

static void base_type_write(struct hob_jw *w, struct hob_str type)
{
    hob_jw_object(w);
    if (hob_str_is(type, "map")) {
        hob_jw_kcstr(w, "type", "object");
        hob_jw_key(w, "additionalProperties");
        hob_jw_raw(w, HOB_STR("{\"type\":\"string\"}"));
    } else if (hob_str_is(type, "string") || hob_str_is(type, "integer") || hob_str_is(type, "boolean") ||
               hob_str_is(type, "number") || hob_str_is(type, "object")) {
        hob_jw_kstr(w, "type", type);
    } else {
        char ref[80];
        (void)snprintf(ref, sizeof ref, "#/components/schemas/%.*s", HOB_STR_ARG(type));
        hob_jw_kcstr(w, "$ref", ref);
    }
    hob_jw_object_end(w);
}

void schema_type_write(struct hob_jw *w, const char *type)
{
    struct hob_str t = hob_str(type);
    if (t.n > 2 && strcmp(type + t.n - 2, "[]") == 0) {
        hob_jw_object(w);
        hob_jw_kcstr(w, "type", "array");
        hob_jw_key(w, "items");
        base_type_write(w, hob_str_n(type, t.n - 2));
        hob_jw_object_end(w);
    } else if (t.n > 1 && type[t.n - 1] == '?') {
        hob_jw_object(w);
        hob_jw_key(w, "anyOf");
        hob_jw_array(w);
        base_type_write(w, hob_str_n(type, t.n - 1));
        hob_jw_raw(w, HOB_STR("{\"type\":\"null\"}"));
        hob_jw_array_end(w);
        hob_jw_object_end(w);
    } else {
        base_type_write(w, t);
    }
}

void schema_write(struct hob_jw *w, const struct schema *s)
{
    hob_jw_object(w);
    hob_jw_kcstr(w, "type", "object");
    hob_jw_key(w, "properties");
    hob_jw_object(w);
    for (size_t i = 0; i < s->members_n; i++) {
        hob_jw_key(w, s->members[i].name);
        schema_type_write(w, s->members[i].type);
    }
    hob_jw_object_end(w);
    hob_jw_key(w, "required");
    hob_jw_array(w);
    for (size_t i = 0; i < s->members_n; i++)
        if (s->members[i].is_needed)
            hob_jw_cstr(w, s->members[i].name);
    hob_jw_array_end(w);
    hob_jw_object_end(w);
}
