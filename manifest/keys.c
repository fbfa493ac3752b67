#include "manifest/manifest_priv.h"

#include "base/limits.h"
#include "base/rules/syscalls.h"

#include "base/banned.h"

static const char *const modes[] = {"cost", "balanced", "latency", NULL};
static const char *const priorities[] = {"low", "normal", "high", NULL};
static const char *const isolations[] = {"instance", "version", NULL};
static const char *const engines[] = {"sandbox", "docker", NULL};
static const char *const kinds[] = {"auto", "http", "parse", NULL};
static const char *const kinds_later[] = {"fetch", "lambda", NULL};
static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", NULL};

#define NAME_SHAPE "^[a-z]([a-z0-9-]{0,62}[a-z0-9])?$"
#define FIELD(type, field) .has_field = true, .at = offsetof(struct type, field)
#define FIELDS(type, field)                                                                                  \
    .has_field = true, .at = offsetof(struct type, field), .at_n = offsetof(struct type, field##_n)
#define KEYS(array)                                                                                          \
    {                                                                                                        \
        array, HOB_COUNT(array)                                                                              \
    }

/* clang-format off */
static const struct key window_array[] = {
    {.name = "cron", .type = KEY_STRING, .min = 9, .max = 256, .check = check_cron, .is_required = true, FIELD(scale_window, cron),
     .example = "\"0 8 * * 1-5\"", .help = "When it begins, in UTC: minute, hour, day of the month, month, day of the week."},
    {.name = "for", .type = KEY_STRING, .min = 2, .max = 16, .check = check_span, .is_required = true, FIELD(scale_window, span),
     .shape = "^[0-9]+[smhd]$", .example = "\"10h\"", .help = "How long it lasts: a whole number with s, m, h or d."},
    {.name = "min", .type = KEY_INT, .min = 0, .max = HOB_MAX_INSTANCES, .fallback = 1, FIELD(scale_window, min), .is_required = true,
     .example = "4", .help = "Instances that are kept meanwhile; of windows that overlap, the most."},
};
const struct key_table window_keys = KEYS(window_array);

static const struct key recycle_array[] = {
    {.name = "invocations", .type = KEY_INT, .min = 0, .max = 1000000000, .fallback = 0, FIELD(function_config, recycle_invocations),
     .help = "Replaces an instance after so many; 0: never."},
    {.name = "age_s", .type = KEY_INT, .min = 0, .max = 31536000, .fallback = 0, FIELD(function_config, recycle_age_s),
     .help = "Replaces an instance that is that old, once it is idle; 0: never."},
};
static const struct key_table recycle_keys = KEYS(recycle_array);

static const struct key scale_array[] = {
    {.name = "min", .type = KEY_INT, .min = 0, .max = HOB_MAX_INSTANCES, .fallback = 0, FIELD(function_config, scale_min),
     .help = "Instances that are kept even without requests."},
    {.name = "max", .type = KEY_INT, .min = 1, .max = HOB_MAX_INSTANCES, .fallback = 100, FIELD(function_config, scale_max),
     .help = "Most instances at a time; requests beyond wait in the queue."},
    {.name = "mode", .type = KEY_CHOICE, .choices = modes, .fallback = SCALE_BALANCED, FIELD(function_config, scale_mode),
     .help = "What matters most: few instances (`cost`), short waits (`latency`), or both (`balanced`)."},
    {.name = "keep_s", .type = KEY_INT, .min = 0, .max = 86400, .fallback = 0, FIELD(function_config, scale_keep_s),
     .help = "How long an idle instance is kept, seconds; 0: by the rate, by what a start costs and by the rhythm of its requests."},
    {.name = "windows", .type = KEY_OBJECTS, .of = &window_keys, .of_bytes = sizeof(struct scale_window), .max = 16,
     FIELDS(function_config, windows), .example = "[{\"cron\": \"0 8 * * 1-5\", \"for\": \"10h\", \"min\": 4}]",
     .help = "Times at which more than `min` are kept."},
    {.name = "target", .type = KEY_LATER},
};
static const struct key_table scale_keys = KEYS(scale_array);

static const struct key route_array[] = {
    {.name = "path", .type = KEY_STRING, .min = 1, .max = 512, .check = check_route_path, .is_required = true, FIELD(route_config, path),
     .shape = "^/", .example = "\"/checkout/:id\"",
     .help = "Starts with `/`; a segment is literal, `:name` (one segment) or, last, `:name*` (the rest)."},
    {.name = "methods", .type = KEY_STRINGS, .max = 7, .choices = methods, FIELDS(route_config, methods),
     .example = "[\"POST\"]", .help = "Without it: every method."},
    {.name = "host", .type = KEY_STRING, .min = 1, .max = 253, .check = check_host, FIELD(route_config, host),
     .example = "\"*.shop.example\"", .help = "Only requests to this host; `*.` in front takes every name below. Without it: any host."},
    {.name = "cors", .type = KEY_STRINGS, .max = 50, .check = check_origin, FIELDS(route_config, cors),
     .example = "[\"https://shop.example\"]", .help = "Origins whose pages may call this route; `\"*\"`: every page."},
    {.name = "cors_credentials", .type = KEY_BOOL, FIELD(route_config, has_credentials),
     .help = "Pages may send cookies; needs origins by name."},
    {.name = "auth", .type = KEY_LATER},
    {.name = "rate", .type = KEY_LATER},
};
const struct key_table route_keys = KEYS(route_array);

static const struct key function_array[] = {
    {.name = "runtime", .type = KEY_STRING, .min = 1, .max = 64, .check = check_name, .shape = NAME_SHAPE, FIELD(function_config, runtime),
     .example = "\"node\"", .help = "What runs the code (`hob doctor` lists them). Without it: told from the entry's extension: "
     ".mjs .js .cjs .ts .mts node, .py python, .php php, none c."},
    {.name = "entry", .type = KEY_STRING, .min = 1, .max = HOB_MAX_PATH_BYTES, .check = check_entry, FIELD(function_config, entry),
     .example = "\"src/checkout.mjs\"", .help = "The file to load, below the folder of hob.json. Needed here or in `defaults`."},
    {.name = "handler", .type = KEY_STRING, .min = 1, .max = 256, .check = check_text, FIELD(function_config, handler),
     .example = "\"index.handler\"", .help = "What in the entry to call. Without it: found by the runtime."},
    {.name = "build", .type = KEY_STRING, .min = 1, .max = 4096, .check = check_text, FIELD(function_config, build),
     .example = "\"npm ci --omit=dev\"", .help = "Shell command that `hob deploy` runs in the project folder before packing."},
    {.name = "engine", .type = KEY_CHOICE, .choices = engines, .fallback = ENGINE_SANDBOX, FIELD(function_config, engine),
     .help = "What isolates it: Hob's own sandbox, or a container of this machine's Docker (docs/docker.md)."},
    {.name = "image", .type = KEY_STRING, .min = 1, .max = 255, .check = check_image, FIELD(function_config, image),
     .example = "\"registry.example/shop/checkout:3\"", .help = "With engine docker: a container image instead of runtime and entry: a name, or an ID "
     "(`sha256:...`). A name is resolved when it is deployed: the version keeps the ID."},
    {.name = "dockerfile", .type = KEY_STRING, .min = 1, .max = HOB_MAX_PATH_BYTES, .check = check_entry, FIELD(function_config, dockerfile),
     .example = "\"Dockerfile\"", .help = "With engine docker: builds the image at each deploy, with the deployed folder as its context."},
    {.name = "pull", .type = KEY_STRING, .min = 5, .max = 7, .check = check_pull, FIELD(function_config, pull), .example = "\"always\"",
     .help = "When a deploy asks the image's registry: `missing` (only when Docker does not have the name; so it is without this), `always`, `never`."},
    {.name = "registry_secret", .type = KEY_STRING, .min = 1, .max = 128, .check = check_secret_name, FIELD(function_config, registry_secret),
     .example = "\"REGISTRY\"", .help = "The app's secret that opens the registry: `USER:PASSWORD`. The function itself does not get it."},
    {.name = "image_id", .type = KEY_STRING, .min = 71, .max = 71, .check = check_image, FIELD(function_config, image_id),
     .help = "Written by the deploy: the ID of the image. Not for hob.json."},
    {.name = "kind", .type = KEY_CHOICE, .choices = kinds, .later = kinds_later,
     .fallback = FUNCTION_AUTO, FIELD(function_config, kind), .help = "The contract of the code; `auto`: the runtime sees it "
     "from what the entry exports; `http`: the entry is an HTTP server that listens on `port`; `parse`: cloud code "
     "(`Parse.Cloud.define` and triggers, docs/cloud-code.md)."},
    {.name = "port", .type = KEY_INT, .min = 1024, .max = 65535, .fallback = HTTP_PORT_DEFAULT, FIELD(function_config, port),
     .help = "Where a server of kind `http` listens, on the loopback of its instance; it is told by the variable PORT."},
    {.name = "config_hook", .type = KEY_STRING, .min = 1, .max = 256, .check = check_hook, FIELD(function_config, config_hook),
     .example = "\"/_hob/config\"", .help = "Of a server: a path that gets its configuration as JSON (POST) when it has begun to listen, before anything else, and when only that has changed."},
    {.name = "start_hook", .type = KEY_STRING, .min = 1, .max = 256, .check = check_hook, FIELD(function_config, start_hook),
     .example = "\"/_hob/start\"", .help = "Of a server: a path that is asked (POST) before the first request; anything but 2xx fails the start."},
    {.name = "stop_hook", .type = KEY_STRING, .min = 1, .max = 256, .check = check_hook, FIELD(function_config, stop_hook),
     .example = "\"/_hob/stop\"", .help = "Of a server: a path that is asked (POST) before SIGTERM, within its grace."},
    {.name = "health_hook", .type = KEY_STRING, .min = 1, .max = 256, .check = check_hook, FIELD(function_config, health_hook),
     .example = "\"/healthz\"", .help = "Of a server: a path that must answer 2xx (GET) before the first request and, while idle, every 5 s; three misses replace the instance."},
    {.name = "memory_mb", .type = KEY_INT, .min = 16, .max = HOB_MAX_MEMORY_MB, .fallback = 128, FIELD(function_config, memory_mb),
     .help = "Memory of one instance, MiB."},
    {.name = "timeout_ms", .type = KEY_INT, .min = 1, .max = HOB_MAX_TIMEOUT_MS, .fallback = 10000, FIELD(function_config, timeout_ms),
     .help = "Longest run of one invocation; waiting in the queue does not count."},
    {.name = "queue_timeout_ms", .type = KEY_INT, .min = 1, .max = HOB_MAX_QUEUE_TIMEOUT_MS, .fallback = 5000,
     FIELD(function_config, queue_timeout_ms), .help = "Longest wait for a free slot."},
    {.name = "init_timeout_ms", .type = KEY_INT, .min = 1, .max = HOB_MAX_INIT_MS, .fallback = 10000,
     FIELD(function_config, init_timeout_ms), .help = "Longest time for loading the code."},
    {.name = "concurrency", .type = KEY_INT, .min = 1, .max = HOB_MAX_CONCURRENCY, .fallback = 1, FIELD(function_config, concurrency),
     .help = "Invocations in one instance at a time."},
    {.name = "cpu_percent", .type = KEY_INT, .min = 0, .max = 6400, .fallback = 0, FIELD(function_config, cpu_percent),
     .help = "Ceiling of one instance; 100 is one core, 0 no ceiling."},
    {.name = "queue_max", .type = KEY_INT, .min = 1, .max = HOB_MAX_QUEUE, .fallback = 1000, FIELD(function_config, queue_max),
     .help = "Requests that may wait; beyond, 503 `queue_full`."},
    {.name = "vars", .type = KEY_VARS, .max = HOB_MAX_ENV_VARS, FIELDS(function_config, vars),
     .example = "{\"CURRENCY\": \"EUR\"}", .help = "Environment variables. Values are strings; what is secret belongs into `secrets`."},
    {.name = "secrets", .type = KEY_STRINGS, .max = HOB_MAX_SECRETS_PER_APP, .check = check_secret_name, FIELDS(function_config, secrets),
     .example = "[\"PAY_KEY\"]", .help = "Secrets of the app (`hob secret set`) that this function may read."},
    {.name = "secrets_in_env", .type = KEY_BOOL, FIELD(function_config, secrets_in_env),
     .help = "Gives the secrets as environment variables, too."},
    {.name = "scale", .type = KEY_OBJECT, .of = &scale_keys, .example = "{\"min\": 0, \"max\": 40}",
     .help = "How many instances."},
    {.name = "priority", .type = KEY_CHOICE, .choices = priorities, .fallback = PRIORITY_NORMAL, FIELD(function_config, priority),
     .help = "Who is refused first when the node is full: `low`, then `normal`; `high` waits until its own deadline."},
    {.name = "recycle", .type = KEY_OBJECT, .of = &recycle_keys, .example = "{\"invocations\": 10000, \"age_s\": 86400}",
     .help = "When an instance is replaced by a fresh one."},
    {.name = "single_use", .type = KEY_BOOL, FIELD(function_config, single_use),
     .help = "A fresh instance for every invocation: nothing of one is seen by another."},
    {.name = "isolation", .type = KEY_CHOICE, .choices = isolations, .fallback = ISOLATION_INSTANCE, FIELD(function_config, isolation),
     .help = "Whose a sandbox is: one `instance`'s, or that of all instances of this `version` on a node, which are then forks of one process "
     "(runtime python; less memory, weaker walls between them: docs/sandbox.md, Zygotes)."},
    {.name = "egress", .type = KEY_STRINGS, .max = HOB_MAX_EGRESS_RULES, .check = check_egress, FIELDS(function_config, egress),
     .example = "[\"api.pay.example:443\"]", .help = "What it may connect to (TCP): `NAME:PORT`, `*.NAME:PORT`, `ADDRESS:PORT`, `NETWORK/BITS:PORT`. Without it: nothing."},
    {.name = "syscalls", .type = KEY_STRINGS, .max = HOB_SYSCALLS_MAX, .check = check_syscall, FIELDS(function_config, syscalls),
     .example = "[\"openat\", \"fstat\"]", .help = "The only system calls that it may make, of those that a sandbox allows; `hob isolate learn` finds them. Without it: all of those."},
    {.name = "routes", .type = KEY_OBJECTS, .of = &route_keys, .of_bytes = sizeof(struct route_config), .max = HOB_MAX_ROUTES_PER_FUNCTION, FIELDS(function_config, routes),
     .example = "[{\"path\": \"/checkout/:id\"}]", .help = "Paths at the server's root; `/fn/APP/FUNCTION/` works without."},
    {.name = "bindings", .type = KEY_STRINGS, .max = HOB_MAX_BINDINGS, .check = check_binding, FIELDS(function_config, bindings),
     .example = "[\"data:Order:rw\", \"cache\"]", .help = "What of the app it may reach, as the caller (docs/bindings.md): `data:CLASS:r` (`w`, `rw`; `*` is every class), "
     "`data:master`, `auth`, `auth:admin`, `files`, `cache`, `sql`, `secrets:NAME`, `fn:NAME`. A server (kind `http`) finds them at `HOB_BINDINGS_URL`. Without it: nothing; cloud code (kind `parse`): all but secrets and functions."},
    {.name = "async", .type = KEY_LATER},
    {.name = "on", .type = KEY_LATER},       {.name = "cron", .type = KEY_LATER},
    {.name = "gpu", .type = KEY_LATER},    {.name = "tmp_mb", .type = KEY_LATER},
    {.name = "auth", .type = KEY_LATER},
};
const struct key_table function_keys = KEYS(function_array);

static const struct key overlay_array[] = {
    {.name = "defaults", .type = KEY_OBJECT, .of = &function_keys, .is_single = true, .help = "Over the file's `defaults`."},
    {.name = "functions", .type = KEY_MAP, .of = &function_keys, .check_name = check_name, .shape = NAME_SHAPE,
     .max = HOB_MAX_FUNCTIONS_PER_APP, .help = "Over the file's functions; lists are replaced whole."},
};
static const struct key_table overlay_keys = KEYS(overlay_array);

static const struct key root_array[] = {
    {.name = "$schema", .type = KEY_STRING, .min = 1, .max = 1024, .check = check_text, .help = "For editors; `hob schema` prints it."},
    {.name = "app", .type = KEY_STRING, .min = 1, .max = 64, .check = check_name, .is_required = true, .shape = NAME_SHAPE,
     FIELD(manifest, app), .example = "\"shop\"", .help = "The app that the functions belong to."},
    {.name = "compat", .type = KEY_STRING, .min = 10, .max = 10, .check = check_date, .shape = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
     FIELD(manifest, compat), .example = "\"2026-12-01\"", .help = "Pins the platform's behaviour to that day."},
    {.name = "defaults", .type = KEY_OBJECT, .of = &function_keys, .is_single = true, .example = "{\"memory_mb\": 256}",
     .help = "Single values (no lists, no objects) for every function that does not say otherwise."},
    {.name = "functions", .type = KEY_MAP, .of = &function_keys, .check_name = check_name, .is_required = true, .shape = NAME_SHAPE,
     .min = 1, .max = HOB_MAX_FUNCTIONS_PER_APP, .example = "{\"checkout\": {\"entry\": \"index.mjs\"}}",
     .help = "Name to function. Names: a-z, 0-9, '-', a letter first, up to 64 characters."},
    {.name = "env", .type = KEY_MAP, .of = &overlay_keys, .check_name = check_name, .shape = NAME_SHAPE, .max = 32,
     .example = "{\"staging\": {\"functions\": {\"checkout\": {\"memory_mb\": 64}}}}",
     .help = "What differs in an environment; `hob deploy --env NAME` lays it over the rest before judging."},
    {.name = "public", .type = KEY_LATER}, {.name = "queues", .type = KEY_LATER}, {.name = "data", .type = KEY_LATER},
    {.name = "auth", .type = KEY_LATER},   {.name = "push", .type = KEY_LATER},   {.name = "routes", .type = KEY_LATER},
    {.name = "cron", .type = KEY_LATER},
};
const struct key_table root_keys = KEYS(root_array);
/* clang-format on */
