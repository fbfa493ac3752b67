#include <stdio.h>
#include <string.h>

#include "api/control/control_priv.h"

#define APP "/v1/apps/{app}"
#define FN APP "/functions/{fn}"

static const struct control_query deploy_queries[] = {{"env", "an overlay of hob.json's \"env\""},
                                                      {"dry_run", "1: judge everything, change nothing"},
                                                      {NULL, NULL}};
static const struct control_query gc_queries[] = {{"dry_run", "1: only say which"}, {NULL, NULL}};
static const struct control_query log_queries[] = {
    {"tail", "newest matching lines first of all; 100 when absent"},
    {"follow", "1: then every line as it comes"},
    {"since", "no line before this time (ISO 8601, UTC)"},
    {"level", "no line below it: debug, info, warn, error"},
    {"request", "only lines of this request id"},
    {NULL, NULL}};
static const struct control_query invoke_queries[] = {
    {"qualifier", "an alias or a version; the live one when absent"}, {NULL, NULL}};
static const struct control_query trace_queries[] = {
    {"seconds", "ends after so long; else when the client leaves"},
    {"app", "only of this app"},
    {"function", "only of functions with this name"},
    {NULL, NULL}};
static const struct control_query simulate_queries[] = {
    {"mode", "cost, balanced or latency; all three when absent"},
    {"cold_ms", "what a start takes; as the trace measured it (25 when it did not) when absent"},
    {"concurrency", "invocations in one instance at a time; 1 when absent"},
    {"max", "most instances; 100 when absent"},
    {"keep_s", "scale.keep_s; by the rule when absent"},
    {"cores", "that starts share, a whole one each while alone; none slows another down when absent"},
    {"prepared", "with cores: how many of the first starts find a prepared sandbox; 0 when absent"},
    {NULL, NULL}};
static const struct control_query export_queries[] = {
    {"after", "what X-Hob-Next said; from the start when absent"},
    {"without", "what is left out: cache, sql, files, with commas between; nothing when absent"},
    {NULL, NULL}};
static const struct control_query import_queries[] = {
    {"without", "lines that are passed over: cache, sql, files, with commas between"},
    {"settings", "1: set the app's settings that the first line has, too"},
    {NULL, NULL}};
static const struct control_query change_queries[] = {
    {"after", "only behind this sequence number"},
    {"limit", "at most so many, up to 1000; 100 when absent"},
    {NULL, NULL}};
static const struct control_query index_queries[] = {
    {"class", "of the index to be dropped"}, {"name", "its name"}, {NULL, NULL}};
static const struct control_query instance_queries[] = {
    {"app", "only of this app"}, {"function", "only of this function; needs app"}, {NULL, NULL}};

/* clang-format off */
const struct control_route control_routes[] = {
    {"GET", "/v1/version", handle_version, CALL_BODY_NONE, true, 200, NULL, "Version", NULL,
     "getVersion", "Which hobd this is"},
    {"GET", "/v1/limits", handle_limits, CALL_BODY_NONE, false, 200, NULL, "Limits", NULL,
     "getLimits", "Every limit that a client can meet"},
    {"GET", "/v1/doctor", handle_doctor, CALL_BODY_NONE, false, 200, NULL, "Doctor", NULL,
     "getDoctor", "Checks of the server and its node"},
    {"GET", "/v1/runtimes", handle_runtimes, CALL_BODY_NONE, false, 200, NULL, "Runtimes", NULL,
     "listRuntimes", "The languages of this machine"},
    {"POST", "/v1/runtimes/{runtime}/image", handle_runtime_build, CALL_BODY_NONE, false, 200, NULL, "RuntimeImage", NULL,
     "buildRuntimeImage", "The docker engine's image of a runtime, made from this machine's files when it is not there"},
    {"GET", "/v1/engines", handle_engines, CALL_BODY_NONE, false, 200, NULL, "Engines", NULL,
     "listEngines", "What isolates functions here, and what is missing"},
    {"POST", "/v1/engines/{engine}/test", handle_engine_test, CALL_BODY_NONE, false, 200, NULL, "EngineTest", NULL,
     "testEngine", "Start something in it and remove it again"},
    {"POST", "/v1/engines/{engine}/gc", handle_engine_gc, CALL_BODY_NONE, false, 200, NULL, "ImageGc", gc_queries,
     "collectImages", "Remove the images that it made or pulled and that no version needs any more, a hundred at most"},
    {"GET", "/v1/manifest.schema.json", handle_manifest_schema, CALL_BODY_NONE, false, 200, NULL, "application/schema+json", NULL,
     "getManifestSchema", "The JSON Schema of hob.json"},
    {"GET", "/v1/openapi.json", handle_openapi, CALL_BODY_NONE, false, 200, NULL, "application/json", NULL,
     "getOpenapi", "This interface as an OpenAPI 3.1 document"},
    {"GET", "/v1/apps", handle_apps, CALL_BODY_NONE, false, 200, NULL, "Apps", NULL,
     "listApps", "All apps"},
    {"DELETE", APP, handle_app_remove, CALL_BODY_NONE, false, 200, NULL, "Nothing", NULL,
     "removeApp", "Drain and remove an app with all its functions, secrets and logs"},
    {"GET", "/v1/backends", handle_backends, CALL_BODY_NONE, false, 200, NULL, "Backends", NULL,
     "listBackends", "The apps that have a backend"},
    {"GET", APP "/backend", handle_backend, CALL_BODY_NONE, false, 200, NULL, "Backend", NULL,
     "describeBackend", "An app's backend: application id, kinds of keys, settings"},
    {"POST", APP "/backend", handle_backend_create, CALL_BODY_JSON, false, 201, "BackendBody", "BackendMade", NULL,
     "createBackend", "Give an app a backend; the master key is told this once"},
    {"PATCH", APP "/backend", handle_backend_set, CALL_BODY_JSON, false, 200, "BackendSettings", "Backend", NULL,
     "setBackend", "Change settings; null takes one back to its default"},
    {"DELETE", APP "/backend", handle_backend_remove, CALL_BODY_NONE, false, 200, NULL, "Nothing", NULL,
     "removeBackend", "Remove an app's backend with all its data"},
    {"PUT", APP "/backend/keys/{key}", handle_backend_key_set, CALL_BODY_JSON, false, 200, "BackendKeyBody", "BackendKey", NULL,
     "setBackendKey", "Set or make a key; the value is told this once"},
    {"DELETE", APP "/backend/keys/{key}", handle_backend_key_remove, CALL_BODY_NONE, false, 200, NULL, "Nothing", NULL,
     "removeBackendKey", "Forget a key; clients that send it are refused from now on"},
    {"GET", APP "/data/export", handle_data_export, CALL_BODY_NONE, false, 200, NULL, "application/x-ndjson", export_queries,
     "exportData", "One page of an app's data, files and SQL database as JSON lines; X-Hob-Next says where the next one begins"},
    {"POST", APP "/data/import", handle_data_import, CALL_BODY_RAW, false, 200, "application/x-ndjson", "Imported", import_queries,
     "importData", "Take in lines of an export: all of them or none; pieces of bytes stay, to be gone on with"},
    {"GET", APP "/data/changes", handle_data_changes, CALL_BODY_NONE, false, 200, NULL, "application/x-ndjson", change_queries,
     "listChanges", "The log of changes: sequence, at, op, class, id"},
    {"POST", APP "/data/restore", handle_data_restore, CALL_BODY_JSON, false, 200, "RestoreBody", "Restored", NULL,
     "restoreData", "Take the objects back to where they were; itself logged as changes"},
    {"POST", APP "/data/backup", handle_data_backup, CALL_BODY_NONE, false, 200, NULL, "application/vnd.sqlite3", NULL,
     "backupData", "A consistent snapshot of an app's database"},
    {"GET", APP "/data/advice", handle_data_advice, CALL_BODY_NONE, false, 200, NULL, "Advised", NULL,
     "adviseIndexes", "The indexes that would have helped slow queries, what cost most first"},
    {"GET", APP "/data/indexes", handle_data_indexes, CALL_BODY_NONE, false, 200, NULL, "Indexes", NULL,
     "listIndexes", "The indexes of all classes, with their size"},
    {"POST", APP "/data/indexes", handle_data_index_make, CALL_BODY_JSON, false, 201, "IndexBody", "IndexMade", NULL,
     "makeIndex", "Make an index; the app's writes wait until it is there (1 to 2 s a million objects)"},
    {"DELETE", APP "/data/indexes", handle_data_index_drop, CALL_BODY_NONE, false, 200, NULL, "Nothing", index_queries,
     "dropIndex", "Drop an index"},
    {"POST", APP "/deploy", handle_deploy, CALL_BODY_RAW, false, 201, "application/octet-stream", "Deployment", deploy_queries,
     "deploy", "Make new versions from a tar, tar.gz or zip with hob.json at its root, and make them live"},
    {"GET", "/v1/functions", handle_functions, CALL_BODY_NONE, false, 200, NULL, "Functions", NULL,
     "listAllFunctions", "The functions of all apps"},
    {"GET", APP "/functions", handle_functions, CALL_BODY_NONE, false, 200, NULL, "Functions", NULL,
     "listFunctions", "The functions of one app"},
    {"GET", FN, handle_function, CALL_BODY_NONE, false, 200, NULL, "Description", NULL,
     "describeFunction", "Everything about one function"},
    {"GET", FN "/isolation", handle_isolation, CALL_BODY_NONE, false, 200, NULL, "Isolation", NULL,
     "describeIsolation", "The walls that are in force around each of its instances, as the launcher accounts for them"},
    {"POST", FN "/isolation/learn", handle_learn, CALL_BODY_JSON, false, 200, "LearnBody", "Learning", NULL,
     "learnIsolation", "Begin to note which system calls the live version makes; its instances are replaced"},
    {"GET", FN "/isolation/learn", handle_learnt, CALL_BODY_NONE, false, 200, NULL, "Learning", NULL,
     "getLearning", "What was noted so far"},
    {"DELETE", FN "/isolation/learn", handle_learn_end, CALL_BODY_NONE, false, 200, NULL, "Learning", NULL,
     "endLearning", "End it; the answer is all that was noted"},
    {"DELETE", FN, handle_function_remove, CALL_BODY_NONE, false, 200, NULL, "Nothing", NULL,
     "removeFunction", "Drain and remove one function"},
    {"GET", FN "/versions", handle_versions, CALL_BODY_NONE, false, 200, NULL, "Versions", NULL,
     "listVersions", "Its versions, newest first"},
    {"POST", FN "/rollback", handle_rollback, CALL_BODY_JSON, false, 200, "RollbackBody", "Rollback", NULL,
     "rollback", "Make an older version live again"},
    {"GET", FN "/aliases", handle_aliases, CALL_BODY_NONE, false, 200, NULL, "Aliases", NULL,
     "listAliases", "Its aliases"},
    {"PUT", FN "/aliases/{alias}", handle_alias_set, CALL_BODY_JSON, false, 200, "AliasBody", "Alias", NULL,
     "setAlias", "Let an alias name a version"},
    {"DELETE", FN "/aliases/{alias}", handle_alias_remove, CALL_BODY_NONE, false, 200, NULL, "Nothing", NULL,
     "removeAlias", "Forget an alias"},
    {"GET", FN "/env", handle_env, CALL_BODY_NONE, false, 200, NULL, "Env", NULL,
     "getEnv", "The live version's variables"},
    {"PATCH", FN "/env", handle_env_patch, CALL_BODY_JSON, false, 200, "EnvBody", "Env", NULL,
     "changeEnv", "A new version with the same code and other variables"},
    {"GET", APP "/secrets", handle_secrets, CALL_BODY_NONE, false, 200, NULL, "Secrets", NULL,
     "listSecrets", "The names of an app's secrets"},
    {"PUT", APP "/secrets/{NAME}", handle_secret_set, CALL_BODY_JSON, false, 200, "SecretBody", "Secret", NULL,
     "setSecret", "Seal a secret; instances that use it are replaced"},
    {"DELETE", APP "/secrets/{NAME}", handle_secret_remove, CALL_BODY_NONE, false, 200, NULL, "Nothing", NULL,
     "removeSecret", "Forget a secret"},
    {"GET", FN "/logs", handle_logs, CALL_BODY_NONE, false, 200, NULL, "application/x-ndjson", log_queries,
     "readLogs", "Log lines, one LogLine a line"},
    {"POST", FN "/invoke", handle_invoke, CALL_BODY_RAW, false, 200, "application/octet-stream", "application/octet-stream", invoke_queries,
     "invoke", "Call it with an event"},
    {"GET", "/v1/instances", handle_instances, CALL_BODY_NONE, false, 200, NULL, "Instances", instance_queries,
     "listInstances", "What runs now"},
    {"GET", FN "/scale", handle_scale, CALL_BODY_NONE, false, 200, NULL, "Scale", NULL,
     "explainScale", "Why the live version has the instances it has, in numbers and words"},
    {"GET", "/v1/top", handle_top, CALL_BODY_NONE, false, 200, NULL, "Top", NULL,
     "top", "What happens now, for every version that was called since the start"},
    {"GET", "/v1/scale/trace", handle_trace, CALL_BODY_NONE, false, 200, NULL, "application/x-ndjson", trace_queries,
     "recordTrace", "A line for every invocation that ends, as it ends: t_ms, fn, service_ms, wait_ms, cold_ms"},
    {"POST", "/v1/scale/simulate", handle_simulate, CALL_BODY_RAW, false, 200, "application/x-ndjson", "Simulation", simulate_queries,
     "simulateScale", "Replay a recorded trace through the scaler: cost against waiting, for each mode"},
    {"POST", "/v1/backup", handle_backup, CALL_BODY_NONE, false, 200, NULL, "application/vnd.sqlite3", NULL,
     "backup", "A consistent snapshot of the store"},
};
/* clang-format on */
const size_t control_routes_n = HOB_COUNT(control_routes);

/* Segment by segment; a {param} takes one that is not empty. */
static bool pattern_matches(const char *pattern, struct hob_str path, struct hob_str *ret_params)
{
    struct hob_str left = path, want = hob_str(pattern), segment, wanted;
    size_t n = 0;
    while (left.at && want.at) {
        segment = hob_str_cut(left, '/', &left);
        wanted = hob_str_cut(want, '/', &want);
        if (wanted.n && wanted.at[0] == '{') {
            HOB_ASSERT(n < CALL_PARAMS_MAX);
            if (!segment.n)
                return false;
            ret_params[n++] = segment;
        } else if (!hob_str_eq(segment, wanted)) {
            return false;
        }
    }
    return !left.at && !want.at;
}

static void allow_add(struct call_match *m, const char *method)
{
    size_t n = strlen(m->allow);
    (void)snprintf(m->allow + n, sizeof m->allow - n, "%s%s%s", n ? ", " : "", method,
                   strcmp(method, "GET") == 0 ? ", HEAD" : "");
}

void control_match(struct hob_str method, struct hob_str path, struct call_match *ret_match)
{
    *ret_match = (struct call_match){0};
    for (size_t i = 0; i < control_routes_n; i++) {
        const struct control_route *r = &control_routes[i];
        struct hob_str params[CALL_PARAMS_MAX] = {{NULL, 0}};
        if (!pattern_matches(r->pattern, path, params))
            continue;
        if (hob_str_is(method, r->method) || (hob_str_is(method, "HEAD") && strcmp(r->method, "GET") == 0)) {
            ret_match->route = r;
            memcpy(ret_match->params, params, sizeof params);
            return;
        }
        allow_add(ret_match, r->method);
    }
}
