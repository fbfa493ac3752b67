#include "runner/docker/answers.h"

#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

#include "base/banned.h"

enum {
    API_MINOR_MIN = 40,
    API_MINOR_MAX = 48,
    HEALTH_MS_MAX = 24 * 3600 * 1000,
    WORD_BYTES_MAX = 8192,
    SIGNAL_MAX = 64
};

/* --- small judgements --------------------------------------------------------------------------------------------- */

static bool is_hex(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f')))
            return false;
    return s[n] == '\0';
}

bool docker_container_id_is_valid(const char *s)
{
    return strnlen(s, DOCKER_ID_CHARS + 1) == DOCKER_ID_CHARS && is_hex(s, DOCKER_ID_CHARS);
}

bool docker_image_id_is_valid(const char *s)
{
    static const char prefix[] = "sha256:";
    return strncmp(s, prefix, sizeof prefix - 1) == 0 && docker_container_id_is_valid(s + sizeof prefix - 1);
}

bool docker_image_name_is_valid(const char *s)
{
    size_t n = strnlen(s, 256);
    if (n < 1 || n > 255 || !isalnum((unsigned char)s[0]) || strstr(s, "..") || strstr(s, "//"))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)s[i]) && !strchr("._-/:@", s[i]))
            return false;
    return s[n - 1] != '/' && s[n - 1] != ':' && s[n - 1] != '@';
}

/* True when absent (then "") or a string that fits; no control characters. */
static bool take_text(const json_t *object, const char *key, char *to, size_t to_bytes)
{
    const json_t *v = json_object_get(object, key);
    to[0] = '\0';
    if (!v || json_is_null(v))
        return true;
    const char *s = json_string_value(v);
    if (!s || json_string_length(v) >= to_bytes || strlen(s) != json_string_length(v))
        return false;
    for (const char *c = s; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return false;
    memcpy(to, s, json_string_length(v) + 1);
    return true;
}

static enum hob_code malformed(struct hob_err *err, const char *what)
{
    return hob_fail(err, HOB_E_INVALID, "Docker's answer about %s makes no sense", what);
}

/* --- version and info --------------------------------------------------------------------------------------------- */

/* "1.41" -> 41; 0 for anything else. */
static unsigned minor_of(const char *text)
{
    uint64_t minor;
    struct hob_str s = hob_str(text);
    if (!hob_str_starts(s, HOB_STR("1.")) || !hob_str_u64(hob_str_n(s.at + 2, s.n - 2), &minor) ||
        minor > 999)
        return 0;
    return (unsigned)minor;
}

enum hob_code docker_version_read(const json_t *j, struct docker_facts *f, struct hob_err *err)
{
    char newest[16], oldest[16];
    if (!take_text(j, "Version", f->version, sizeof f->version) ||
        !take_text(j, "ApiVersion", newest, sizeof newest) ||
        !take_text(j, "MinAPIVersion", oldest, sizeof oldest) || minor_of(newest) == 0)
        return malformed(err, "its version");
    const char *component =
        json_string_value(json_object_get(json_array_get(json_object_get(j, "Components"), 0), "Name"));
    f->is_podman = component && strstr(component, "Podman");
    unsigned max = minor_of(newest), min = minor_of(oldest);
    if (max < API_MINOR_MIN)
        return hob_fail(err, HOB_E_UNSUPPORTED,
                        "Docker %s speaks API %s; Hob needs 1.%d at least (Docker 19.03 or newer)",
                        f->version, newest, API_MINOR_MIN);
    if (min > API_MINOR_MAX)
        return hob_fail(err, HOB_E_UNSUPPORTED,
                        "Docker %s speaks no API older than %s; this Hob speaks up to 1.%d", f->version,
                        oldest, API_MINOR_MAX);
    (void)snprintf(f->api_version, sizeof f->api_version, "1.%u", max < API_MINOR_MAX ? max : API_MINOR_MAX);
    return HOB_OK;
}

enum hob_code docker_info_read(const json_t *j, struct docker_facts *f, struct hob_err *err)
{
    char os[32];
    if (!json_is_object(j) || !take_text(j, "Driver", f->storage, sizeof f->storage) ||
        !take_text(j, "DockerRootDir", f->root, sizeof f->root) || !take_text(j, "OSType", os, sizeof os))
        return malformed(err, "itself");
    if (strcmp(os, "linux") != 0)
        return hob_fail(err, HOB_E_UNSUPPORTED, "Docker runs containers of '%s'; Hob needs linux", os);
    f->has_crun = json_object_get(json_object_get(j, "Runtimes"), "crun") != NULL;
    f->has_memory_limit = json_is_true(json_object_get(j, "MemoryLimit"));
    f->has_swap_limit = json_is_true(json_object_get(j, "SwapLimit"));
    f->has_pids_limit = json_is_true(json_object_get(j, "PidsLimit"));
    const json_t *options = json_object_get(j, "SecurityOptions");
    f->has_seccomp = f->is_rootless = false;
    for (size_t i = 0; i < json_array_size(options) && i < DOCKER_WORDS_MAX; i++) {
        const char *s = json_string_value(json_array_get(options, i));
        f->has_seccomp = f->has_seccomp || (s && strncmp(s, "name=seccomp", 12) == 0);
        f->is_rootless = f->is_rootless || (s && strncmp(s, "name=rootless", 13) == 0);
    }
    return HOB_OK;
}

/* --- images ------------------------------------------------------------------------------------------------------- */

int docker_signal_number(const char *text)
{
    struct hob_str s = hob_str(text);
    uint64_t number;
    if (hob_str_u64(s, &number))
        return number >= 1 && number <= SIGNAL_MAX ? (int)number : SIGTERM;
    const char *name = hob_str_starts(s, HOB_STR("SIG")) ? text + 3 : text;
    for (int i = 1; i < 32; i++) {
        const char *known = sigabbrev_np(i);
        if (known && strcmp(known, name) == 0)
            return i;
    }
    return SIGTERM;
}

bool docker_user_is_root(const char *user)
{
    struct hob_str rest, name = hob_str_cut(hob_str(user), ':', &rest);
    uint64_t uid;
    return name.n == 0 || hob_str_is(name, "root") || (hob_str_u64(name, &uid) && uid == 0);
}

/* A list of words, or null: appended to *list, which stays NULL-ended. */
static bool take_words(const json_t *v, char ***list, size_t *n)
{
    if (!v || json_is_null(v))
        return true;
    if (!json_is_array(v) || json_array_size(v) + *n > DOCKER_WORDS_MAX)
        return false;
    *list = hob_realloc(*list, *n + json_array_size(v) + 1, sizeof **list);
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *word = json_array_get(v, i);
        const char *s = json_string_value(word);
        bool is_good =
            s && json_string_length(word) <= WORD_BYTES_MAX && strlen(s) == json_string_length(word);
        if (!is_good)
            return false;
        (*list)[(*n)++] = hob_strdup(s);
        (*list)[*n] = NULL;
    }
    return true;
}

static bool take_volumes(json_t *v, char ***list)
{
    const char *path;
    json_t *nothing;
    size_t n = 0;
    if (!json_is_object(v))
        return !v || json_is_null(v);
    json_object_foreach(v, path, nothing)
    {
        bool is_good = path[0] == '/' && path[1] && strlen(path) < 256 && !strstr(path, "..") &&
                       !strchr(path, ':') && n < DOCKER_VOLUMES_MAX;
        if (!is_good)
            return false;
        (*list)[n++] = hob_strdup(path);
    }
    return true;
}

static uint64_t ms_of_ns(const json_t *v, uint64_t fallback_ms)
{
    json_int_t ns = json_is_integer(v) ? json_integer_value(v) : 0;
    uint64_t ms = ns > 0 ? (uint64_t)ns / 1000000 : fallback_ms;
    return ms < HEALTH_MS_MAX ? ms : HEALTH_MS_MAX;
}

/* ["NONE"], ["CMD", word...], ["CMD-SHELL", text]; Docker's own defaults. */
static bool take_health(const json_t *v, struct docker_image *i)
{
    const json_t *test = json_object_get(v, "Test");
    const char *kind = json_string_value(json_array_get(test, 0));
    json_t *words hob_auto_json = json_array();
    if (!kind || strcmp(kind, "NONE") == 0)
        return true;
    bool is_shell = strcmp(kind, "CMD-SHELL") == 0;
    if (!is_shell && strcmp(kind, "CMD") != 0)
        return false;
    for (size_t k = 0; is_shell && k < 2; k++)
        (void)json_array_append_new(words, json_string(k ? "-c" : "/bin/sh"));
    for (size_t k = 1; k < json_array_size(test) && k <= DOCKER_WORDS_MAX; k++)
        (void)json_array_append(words, json_array_get(test, k));
    json_int_t retries = json_integer_value(json_object_get(v, "Retries"));
    i->health_retries = retries > 0 && retries < 1000 ? (unsigned)retries : 3;
    i->health_interval_ms = ms_of_ns(json_object_get(v, "Interval"), 30000);
    i->health_timeout_ms = ms_of_ns(json_object_get(v, "Timeout"), 30000);
    i->health_start_ms = ms_of_ns(json_object_get(v, "StartPeriod"), 0);
    return json_array_size(test) > 1 && take_words(words, &i->health, &i->health_n);
}

static bool take_config(const json_t *config, struct docker_image *i)
{
    char signal[32];
    size_t n = 0;
    if (!take_text(config, "User", i->user, sizeof i->user) ||
        !take_text(config, "WorkingDir", i->workdir, sizeof i->workdir) ||
        !take_text(config, "StopSignal", signal, sizeof signal) ||
        !take_words(json_object_get(config, "Entrypoint"), &i->words, &n))
        return false;
    i->entrypoint_n = n;
    i->stop_signal = docker_signal_number(signal);
    return take_words(json_object_get(config, "Cmd"), &i->words, &n) &&
           take_health(json_object_get(config, "Healthcheck"), i) &&
           take_volumes(json_object_get(config, "Volumes"), &i->volumes);
}

enum hob_code docker_image_read(const json_t *j, struct docker_image *ret_image, struct hob_err *err)
{
    struct docker_image i = {.words = hob_new_n(char *, 1),
                             .health = hob_new_n(char *, 1),
                             .volumes = hob_new_n(char *, DOCKER_VOLUMES_MAX + 1)};
    if (take_text(j, "Id", i.id, sizeof i.id) && docker_image_id_is_valid(i.id) &&
        take_config(json_object_get(j, "Config"), &i)) {
        *ret_image = i;
        return HOB_OK;
    }
    docker_image_done(&i);
    return malformed(err, "an image");
}

void docker_image_done(struct docker_image *i)
{
    for (char **w = i->words; w && *w; w++)
        free(*w);
    for (char **v = i->volumes; v && *v; v++)
        free(*v);
    for (char **h = i->health; h && *h; h++)
        free(*h);
    free(i->health);
    free(i->words);
    free(i->volumes);
    *i = (struct docker_image){0};
}

/* --- the rest ----------------------------------------------------------------------------------------------------- */

const char *docker_created_id(const json_t *j)
{
    const char *id = json_string_value(json_object_get(j, "Id"));
    return id && (docker_container_id_is_valid(id) || docker_image_id_is_valid(id)) ? id : NULL;
}

const char *docker_stream_error(const json_t *line)
{
    return json_string_value(json_object_get(line, "error"));
}

static uint64_t number_of(const json_t *v)
{
    return json_is_integer(v) && json_integer_value(v) > 0 ? (uint64_t)json_integer_value(v) : 0;
}

void docker_line_read(const json_t *line, struct docker_line *ret_line)
{
    const json_t *detail = json_object_get(line, "progressDetail");
    const char *image = json_string_value(json_object_get(json_object_get(line, "aux"), "ID"));
    *ret_line = (struct docker_line){
        .error = docker_stream_error(line),
        .status = json_string_value(json_object_get(line, "status")),
        .id = json_string_value(json_object_get(line, "id")),
        .stream = json_string_value(json_object_get(line, "stream")),
        .image_id = image && docker_image_id_is_valid(image) ? image : NULL,
        .current = number_of(json_object_get(detail, "current")),
        .total = number_of(json_object_get(detail, "total")),
    };
    if (!ret_line->error) /* a refusal before the stream began */
        ret_line->error = json_string_value(json_object_get(line, "message"));
}

void docker_event_read(const json_t *line, struct docker_event *ret_event)
{
    const char *action = json_string_value(json_object_get(line, "Action"));
    const json_t *actor = json_object_get(line, "Actor");
    const char *id = json_string_value(json_object_get(actor, "ID"));
    *ret_event = (struct docker_event){.action = action ? action : "", .id = id ? id : ""};
}
