/* The shapes themselves: a table for each body and answer, and the list of all. */
#include <string.h>

#include "api/control/schema.h"

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
static const struct schema_member gc_image[] = {
    {"image", "string", "its ID", true},
    {"kind", "string", "built, pulled or runtime", true},
    {"name", "string", "of the runtime, or one that it has in Docker", true},
    {"bytes", "integer", "as Docker tells its size; layers that others share are not freed", true},
    {"state", "string", "removed; unneeded (a dry run); released (others gave it names: it stays); in use", true},
};
static const struct schema_member image_gc[] = {
    {"images", "GcImage[]", "", true},
    {"dry_run", "boolean", "", true},
    {"removed", "integer", "", true},
    {"failed", "integer", "what Docker would not give", true},
    {"left", "integer", "not looked at: a hundred were removed, or a deploy began", true},
    {"bytes", "integer", "of those removed", true},
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
    {"files", "integer", "names of files", true},
    {"cached", "integer", "pairs of env.cache", true},
    {"pieces", "integer", "of files and of the SQL database", true},
    {"sql", "boolean", "the SQL database came to its end and is in place", true},
};
static const struct schema_member restore_body[] = {
    {"sequence", "integer", "of the last change that shall stand", false},
    {"at", "string", "instead: a time (ISO 8601, UTC)", false},
};
static const struct schema_member restored[] = {
    {"sequence", "integer", "of the last change that stands", true}};

static const struct schema_member advice[] = {
    {"class", "string", "", true},
    {"keys", "object", "of the index that would have helped: 1 up, -1 down, \"2dsphere\" places", true},
    {"name", "string", "which it would get", true},
    {"queries", "integer", "slow ones that it would have served (setting slowQueryMs)", true},
    {"total_ms", "integer", "that they took", true},
    {"average_ms", "integer", "", true},
    {"worst_ms", "integer", "", true},
    {"objects", "integer", "of the class now", true},
};
static const struct schema_member advised[] = {{"advice", "Advice[]", "what cost most first", true}};
static const struct schema_member index_view[] = {
    {"class", "string", "", true},   {"name", "string", "", true},           {"keys", "object", "", true},
    {"unique", "boolean", "", true}, {"bytes", "integer", "on disk", false},
};
static const struct schema_member indexes[] = {{"indexes", "Index[]", "by class and name", true}};
static const struct schema_member index_body[] = {
    {"class", "string", "whose objects it is of", true},
    {"keys", "object", "like {\"total\":1,\"at\":-1}; also \"ci\", \"text\", \"2dsphere\" (docs/data.md)",
     true},
    {"name", "string", "made of the keys when absent", false},
    {"unique", "boolean", "", false},
};
static const struct schema_member index_made[] = {
    {"class", "string", "", true},
    {"name", "string", "", true},
    {"keys", "object", "", true},
    {"unique", "boolean", "", true},
    {"took_ms", "integer", "with the time that it waited for other writes", true},
};

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
    SCHEMA("GcImage", gc_image),
    SCHEMA("ImageGc", image_gc),
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
    SCHEMA("Advice", advice),
    SCHEMA("Advised", advised),
    SCHEMA("Index", index_view),
    SCHEMA("Indexes", indexes),
    SCHEMA("IndexBody", index_body),
    SCHEMA("IndexMade", index_made),
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
