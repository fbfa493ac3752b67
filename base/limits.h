/* Every limit that a client can meet, in one table: name, value, unit, why, and the error it gives.
 * `hob limits` and docs/limits.md are printed from it; a test hits each at plus and minus one. */
#pragma once

#include "base/err.h"

/*      symbol                 name                        value            unit     error            why */
/* clang-format off */
#define HOB_LIMITS(X)                                                                                                       \
    X(HTTP_HEAD_BYTES,       "http.head_bytes",            65536,           "bytes", HOB_E_TOO_LARGE, "request line and fields; 431 beyond")             \
    X(HTTP_TARGET_BYTES,     "http.target_bytes",          16384,           "bytes", HOB_E_TOO_LARGE, "the request target; 414 beyond")                  \
    X(HTTP_FIELDS,           "http.fields",                200,             "fields", HOB_E_TOO_LARGE, "header fields of one request; 431 beyond")        \
    X(HTTP_PIPELINE_BYTES,   "http.pipeline_bytes",        65536,           "bytes", HOB_E_BUSY,      "requests read ahead on one connection; then reading waits") \
    X(HTTP_CHUNK_EXT_BYTES,  "http.chunk_extension_bytes", 16384,           "bytes", HOB_E_TOO_LARGE, "chunk extensions of one body")                     \
    X(HTTP_TRAILER_BYTES,    "http.trailer_bytes",         16384,           "bytes", HOB_E_TOO_LARGE, "trailer fields of one body")                       \
    X(HTTP_HEAD_MS,          "http.head_ms",               15000,           "ms",    HOB_E_TIMEOUT,   "from the first byte to the end of a head; 408 beyond") \
    X(HTTP_IDLE_MS,          "http.idle_ms",               75000,           "ms",    HOB_E_TIMEOUT,   "keep-alive without a request")                     \
    X(HTTP_BODY_STALL_MS,    "http.body_stall_ms",         30000,           "ms",    HOB_E_TIMEOUT,   "an expected body without a byte; 408 beyond")      \
    X(HTTP_BODY_BYTES_MIN,   "http.body_bytes_min",        64,              "bytes", HOB_E_TIMEOUT,   "of an expected body in http.body_stall_ms; 408 when fewer") \
    X(HTTP_BODY_WINDOW_BYTES, "http.body_window_bytes",    131072,          "bytes", HOB_E_BUSY,      "of a body handed on and not yet used; then reading waits") \
    X(HTTP_DISCARD_BYTES,    "http.discard_bytes",         65536,           "bytes", HOB_E_TOO_LARGE, "of a body nobody reads, before the connection is closed instead") \
    X(HTTP_WRITE_STALL_MS,   "http.write_stall_ms",        60000,           "ms",    HOB_E_TIMEOUT,   "a client that takes no byte of its answer")        \
    X(HTTP_CONN_BUFFER_BYTES, "http.connection_buffer_bytes", 262144,       "bytes", HOB_E_BUSY,      "bytes buffered towards one client before the sender waits") \
    X(HTTP_CONNECTIONS,      "http.connections",           8192,            "connections", HOB_E_UNAVAILABLE, "open connections of the daemon; 503 beyond") \
    X(HTTP_CONNECTIONS_PER_IP, "http.connections_per_address", 4096,        "connections", HOB_E_UNAVAILABLE, "open connections from one address")       \
    X(UPGRADE_IDLE_MS,       "upgrade.idle_ms",            600000,          "ms",    HOB_E_TIMEOUT,   "an upgraded connection without a byte either way; then it is closed") \
    X(UPGRADE_HALF_MS,       "upgrade.half_closed_ms",     30000,           "ms",    HOB_E_TIMEOUT,   "the same, once one side has ended")                \
    X(UPGRADE_TOTAL_MS,      "upgrade.total_ms",           86400000,        "ms",    HOB_E_TIMEOUT,   "longest life of an upgraded connection")           \
    X(EVENT_BYTES,           "invoke.event_bytes",         6291456,         "bytes", HOB_E_TOO_LARGE, "an event, and the body given to a handler that takes events (AWS: 6 MiB)") \
    X(ANSWER_BYTES,          "invoke.answer_bytes",        6291456,         "bytes", HOB_E_TOO_LARGE, "a handler's buffered answer (AWS: 6 MiB)")        \
    X(TIMEOUT_MS,            "function.timeout_ms",        900000,          "ms",    HOB_E_INVALID,   "longest run that can be asked for")                \
    X(QUEUE_TIMEOUT_MS,      "function.queue_timeout_ms",  900000,          "ms",    HOB_E_INVALID,   "longest wait for a slot that can be asked for")    \
    X(MEMORY_MB,             "function.memory_mb",         10240,           "MiB",   HOB_E_INVALID,   "largest memory of an instance")                    \
    X(CONCURRENCY,           "function.concurrency",       1000,            "invocations", HOB_E_INVALID, "invocations in one instance at a time")       \
    X(INSTANCES,             "function.instances",         1000,            "instances", HOB_E_INVALID, "instances of one version")                      \
    X(QUEUE,                 "function.queue",             10000,           "requests", HOB_E_BUSY,   "requests waiting for one version; 503 queue_full beyond") \
    X(INIT_MS,               "function.init_ms",           10000,           "ms",    HOB_E_TIMEOUT,   "from start to READY")                              \
    X(CANCEL_MS,             "function.cancel_ms",         1000,            "ms",    HOB_E_TIMEOUT,   "from CANCEL to DONE, then the instance is killed") \
    X(DRAIN_MS,              "function.drain_ms",          30000,           "ms",    HOB_E_TIMEOUT,   "a drained instance may finish its invocations")    \
    X(STOP_GRACE_MS,         "function.stop_grace_ms",     2000,            "ms",    HOB_E_TIMEOUT,   "from SIGTERM to SIGKILL")                          \
    X(SERVER_GRACE_MS,       "server.stop_grace_ms",       10000,           "ms",    HOB_E_TIMEOUT,   "the same, of a server (kind http)")                 \
    X(PROCESSES,             "function.processes",         256,             "tasks", HOB_E_INVALID,   "processes and threads of one instance")            \
    X(TMP_BYTES,             "function.tmp_bytes",         67108864,        "bytes", HOB_E_NO_SPACE,  "/tmp and /dev/shm of one instance together")       \
    X(TMP_INODES,            "function.tmp_inodes",        16384,           "inodes", HOB_E_NO_SPACE, "files and folders in /tmp of one instance")        \
    X(NOFILE,                "function.open_files",        1024,            "descriptors", HOB_E_INVALID, "open descriptors of one process")              \
    X(LOG_BYTES_PER_S,       "log.bytes_per_second",       262144,          "bytes/s", HOB_E_BUSY,    "log of one instance, burst log.burst_bytes; beyond is dropped and counted") \
    X(LOG_BURST_BYTES,       "log.burst_bytes",            1048576,         "bytes", HOB_E_BUSY,      "burst of the log rate")                            \
    X(LOG_LINE_BYTES,        "log.line_bytes",             16384,           "bytes", HOB_E_TOO_LARGE, "one log line; longer ones are cut and marked")     \
    X(LOG_FILE_BYTES,        "log.file_bytes",             8388608,         "bytes", HOB_E_TOO_LARGE, "one log file of a function; two are kept")         \
    X(LOG_PENDING_BYTES,     "log.pending_bytes",          262144,          "bytes", HOB_E_BUSY,      "log of one function that waits for the disk; beyond is dropped and counted") \
    X(LOG_FOLLOW_BYTES,      "log.follow_bytes",           262144,          "bytes", HOB_E_BUSY,      "log that waits for a slow follower; beyond is dropped and counted") \
    X(LOG_TAIL_LINES,        "log.tail_lines",             10000,           "lines", HOB_E_INVALID,   "lines that one reading of a log can ask for")      \
    X(LOG_TAIL_BYTES,        "log.tail_bytes",             4194304,         "bytes", HOB_E_TOO_LARGE, "bytes that one reading of a log gives; older lines are left out") \
    X(LOG_READERS,           "log.readers",                256,             "readers", HOB_E_BUSY,    "readings and followings of logs at a time")        \
    X(DATA_QUERY_MS,         "data.query_ms",              10000,           "ms",    HOB_E_TIMEOUT,   "a query of objects; cancelled beyond")             \
    X(DATA_QUERY_ROWS,       "data.query_rows",            5000000,         "rows",  HOB_E_TIMEOUT,   "objects that one query looks at without an index; cancelled beyond") \
    X(DATA_SLOW_MS,          "data.slow_ms",               100,             "ms",    HOB_E_TIMEOUT,   "a query from which on it is remembered for the index advisor") \
    X(DATA_WHERE_DEPTH,      "data.where_depth",           16,              "levels", HOB_E_INVALID,  "nesting of a query's conditions")                  \
    X(DATA_WHERE_CONDITIONS, "data.where_conditions",      500,             "conditions", HOB_E_INVALID, "conditions of one query, those of sub-queries too") \
    X(DATA_WHERE_VALUES,     "data.where_values",          20000,           "values", HOB_E_INVALID,  "values in the lists of one query")                 \
    X(DATA_SUBQUERIES,       "data.subqueries",            16,              "queries", HOB_E_INVALID, "sub-queries of one query")                         \
    X(DATA_REGEX_BYTES,      "data.regex_bytes",           2000,            "bytes", HOB_E_INVALID,   "a regular expression of a query")                  \
    X(DATA_REGEX_STEPS,      "data.regex_steps",           200000,          "steps", HOB_E_INVALID,   "steps of a regular expression on one value")       \
    X(DATA_OBJECT_BYTES,     "data.object_bytes",          8388608,         "bytes", HOB_E_TOO_LARGE, "one object of an app's data")                      \
    X(DATA_CLASSES,          "data.classes",               1000,            "classes", HOB_E_TOO_LARGE, "classes of one app")                             \
    X(DATA_FIELDS,           "data.fields",                1000,            "fields", HOB_E_TOO_LARGE, "fields of one class")                             \
    X(DATA_INDEXES,          "data.indexes",               64,              "indexes", HOB_E_TOO_LARGE, "indexes of one class")                           \
    X(DATA_QUEUE,            "data.queue",                 10000,           "jobs",  HOB_E_BUSY,      "reads and writes of one app that wait")            \
    X(BACKEND_ANSWER_BYTES,  "backend.answer_bytes",       67108864,        "bytes", HOB_E_TOO_LARGE, "an answer of an app's backend")                    \
    X(BACKEND_BATCH,         "backend.batch",              5000,            "requests", HOB_E_INVALID, "parts of one batch")                              \
    X(BACKEND_INCLUDED,      "backend.included",           10000,           "objects", HOB_E_INVALID, "objects that one answer includes")                 \
    X(BACKEND_INCLUDE_DEPTH, "backend.include_depth",      16,              "levels", HOB_E_INVALID,  "nesting of include, keys and excludeKeys")         \
    X(BACKEND_ARRAY,         "backend.array",              1000000,         "elements", HOB_E_TOO_LARGE, "elements that Add, AddUnique and Remove leave in an array") \
    X(ARCHIVE_BYTES,         "deploy.archive_bytes",       104857600,       "bytes", HOB_E_TOO_LARGE, "an uploaded archive, packed")                      \
    X(UNPACKED_BYTES,        "deploy.unpacked_bytes",      262144000,       "bytes", HOB_E_TOO_LARGE, "the same, unpacked (AWS: 250 MiB)")                \
    X(ENTRIES,               "deploy.entries",             20000,           "entries", HOB_E_TOO_LARGE, "files and folders in an archive")                \
    X(PATH_BYTES,            "deploy.path_bytes",          512,             "bytes", HOB_E_INVALID,   "a path in an archive")                             \
    X(PATH_DEPTH,            "deploy.path_depth",          32,              "levels", HOB_E_INVALID,  "folders in a path of an archive")                  \
    X(UNPACK_MS,             "deploy.unpack_ms",           60000,           "ms",    HOB_E_TIMEOUT,   "unpacking an archive")                             \
    X(MANIFEST_BYTES,        "manifest.bytes",             262144,          "bytes", HOB_E_TOO_LARGE, "hob.json")                                         \
    X(JSON_DEPTH,            "json.depth",                 32,              "levels", HOB_E_INVALID,  "nesting of any JSON document taken in")            \
    X(FUNCTIONS_PER_APP,     "app.functions",              200,             "functions", HOB_E_TOO_LARGE, "functions in one hob.json")                    \
    X(ROUTES_PER_FUNCTION,   "app.routes",                 50,              "routes", HOB_E_TOO_LARGE, "routes of one function")                          \
    X(ENV_BYTES,             "app.env_bytes",              32768,           "bytes", HOB_E_TOO_LARGE, "environment of one function, names and values")    \
    X(ENV_VARS,              "app.env_vars",               200,             "variables", HOB_E_TOO_LARGE, "environment variables of one function")        \
    X(SECRET_BYTES,          "app.secret_bytes",           8192,            "bytes", HOB_E_TOO_LARGE, "one secret")                                       \
    X(EGRESS_RULES,          "egress.rules",               64,              "rules", HOB_E_TOO_LARGE, "places one function may connect to")               \
    X(EGRESS_CONNECTS_PER_S, "egress.connects_per_second", 500,             "connections", HOB_E_BUSY, "of one instance; beyond they wait")              \
    X(EGRESS_CONNECTING,     "egress.connecting",          32,              "connections", HOB_E_BUSY, "of one instance on their way at a time; beyond they wait") \
    X(EGRESS_NAMES_PER_S,    "egress.names_per_second",    200,             "names", HOB_E_BUSY,      "names one instance may look up; beyond are lost")  \
    X(SECRETS_PER_APP,       "app.secrets",                100,             "secrets", HOB_E_TOO_LARGE, "secrets of one app")                             \
    X(IMPORT_BYTES,          "data.import_bytes",          16777216,        "bytes", HOB_E_TOO_LARGE, "one piece of an import; `hob data import` sends many") \
    X(API_BODY_BYTES,        "api.body_bytes",             1048576,         "bytes", HOB_E_TOO_LARGE, "a JSON body of the control API") \
    X(API_AUTH_FAILURES,     "api.auth_failures_per_minute", 20,            "failures", HOB_E_BUSY,   "wrong tokens from one address; 429 beyond")        \
    X(PASSWORD_BYTES,        "auth.password_bytes",        4096,            "bytes", HOB_E_TOO_LARGE, "a password of an app's user")                      \
    X(HASH_QUEUE,            "auth.hash_queue",            256,             "passwords", HOB_E_BUSY,  "waiting to be hashed; 429 hashing_busy beyond")    \
    X(HASH_QUEUE_PER_APP,    "auth.hash_queue_per_app",    128,             "passwords", HOB_E_BUSY,  "the same, of one app")                             \
    X(SESSIONS_KEPT,         "auth.sessions_kept",         20000,           "sessions", HOB_E_BUSY,   "judged sessions kept in memory; the longest unused are read again") \
    X(OUTBOUND_BYTES,        "auth.answer_bytes",          262144,          "bytes", HOB_E_TOO_LARGE, "an answer of a provider of identities (keys, tokens, profiles)") \
    X(OUTBOUND_MS,           "auth.answer_ms",             10000,           "ms",    HOB_E_TIMEOUT,   "from asking a provider of identities to its whole answer") \
    X(OUTBOUND_CALLS,        "auth.outbound_calls",        64,              "requests", HOB_E_BUSY,   "requests to providers of identities at a time")    \
    X(OUTBOUND_CALLS_PER_APP, "auth.outbound_calls_per_app", 16,           "requests", HOB_E_BUSY,   "the same, of one app")                             \
    X(MAILS_WAITING,         "auth.mails_waiting",         10000,           "mails", HOB_E_BUSY,      "mails of one app that wait to be sent")            \
    X(BINDINGS,              "function.bindings",          64,              "bindings", HOB_E_TOO_LARGE, "things one function may reach") \
    X(CALL_BYTES,            "call.bytes",                 1048576,         "bytes", HOB_E_TOO_LARGE, "one call of a binding, with its value") \
    X(CALL_ANSWER_BYTES,     "call.answer_bytes",          8388608,         "bytes", HOB_E_TOO_LARGE, "what one call of a binding gives back") \
    X(CALLS_OPEN,            "call.open",                  256,             "calls", HOB_E_BUSY,      "calls of one instance under way at a time; beyond they are refused") \
    X(CACHE_KEY_BYTES,       "cache.key_bytes",            512,             "bytes", HOB_E_INVALID,   "a key of env.cache") \
    X(CACHE_VALUE_BYTES,     "cache.value_bytes",          786432,          "bytes", HOB_E_TOO_LARGE, "a value of env.cache") \
    X(CACHE_META_BYTES,      "cache.metadata_bytes",       1024,            "bytes", HOB_E_TOO_LARGE, "the metadata of a pair of env.cache") \
    X(SQL_MS,                "sql.ms",                     5000,            "ms",    HOB_E_TIMEOUT,   "one call of env.sql with all its statements") \
    X(SQL_ROWS,              "sql.rows",                   10000,           "rows",  HOB_E_TOO_LARGE, "rows that one statement of env.sql gives back") \
    X(SQL_BYTES,             "sql.bytes",                  4194304,         "bytes", HOB_E_TOO_LARGE, "what one call of env.sql gives back") \
    X(SQL_FILE_BYTES,        "sql.file_bytes",             536870912,       "bytes", HOB_E_NO_SPACE,  "the database of env.sql of one app") \
    X(SQL_STATEMENTS,        "sql.statements",             256,             "statements", HOB_E_TOO_LARGE, "statements in one call of env.sql") \
    X(SQL_WAITING,           "sql.waiting",                64,              "calls", HOB_E_BUSY,      "calls of env.sql of one app that wait") \
    X(CLOUD_DEPTH,           "cloud.depth",                8,               "calls", HOB_E_INVALID,   "cloud code that is called by cloud code that is called ...") \
    X(DEPLOYS,               "deploy.concurrent",          8,               "uploads", HOB_E_BUSY,    "uploads and unpackings at a time")

/* clang-format on */
enum hob_limit_id {
#define X(symbol, name, value, unit, error, why) HOB_LIMIT_##symbol,
    HOB_LIMITS(X)
#undef X
        HOB_LIMIT_COUNT_
};
enum hob_limit_value {
#define X(symbol, name, value, unit, error, why) HOB_MAX_##symbol = (value),
    HOB_LIMITS(X)
#undef X
};

struct hob_limit {
    const char *name, *unit, *why;
    uint64_t value;
    enum hob_code code;
};
extern const struct hob_limit hob_limits[HOB_LIMIT_COUNT_];
