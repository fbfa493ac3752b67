/* What the Docker Engine answers, judged: JSON of a stranger in, plain structs out. Pure, so that it can be fuzzed.
 * Strings that do not fit or do not look as they must make the answer malformed (HOB_E_INVALID), never cut. */
#pragma once

#include "base/json.h"

enum { DOCKER_ID_CHARS = 64, DOCKER_LIST_MAX = 10000, DOCKER_WORDS_MAX = 256, DOCKER_VOLUMES_MAX = 32 };

/* "sha256:" and 64 lower-case hexadecimal digits: what every image is named by. */
bool docker_image_id_is_valid(const char *s);
bool docker_container_id_is_valid(const char *s);
/* A reference as people write it: registry, path, tag, digest; no control characters, no '?', '#', '..', 255 bytes. */
bool docker_image_name_is_valid(const char *s);

struct docker_facts { /* GET /version and /info */
    char version[32], api_version[16], storage[32], root[256];
    bool has_crun, has_seccomp, has_memory_limit, has_swap_limit, has_pids_limit, is_rootless;
    bool is_podman; /* its compatible API: wants the filter as a file */
};
/* Chooses the newest version both speak. HOB_E_UNSUPPORTED when there is none. */
HOB_MUST_USE enum hob_code docker_version_read(const json_t *j, struct docker_facts *f, struct hob_err *err);
HOB_MUST_USE enum hob_code docker_info_read(const json_t *j, struct docker_facts *f, struct hob_err *err);

struct docker_image { /* GET /images/NAME/json */
    char id[8 + DOCKER_ID_CHARS];
    char user[64], workdir[256];
    int stop_signal;
    char **health; /* HEALTHCHECK's command, NULL-ended; empty: none */
    size_t health_n;
    uint64_t health_interval_ms, health_timeout_ms, health_start_ms;
    unsigned health_retries;
    char **words; /* entrypoint and cmd, NULL-ended */
    size_t entrypoint_n;
    char **volumes; /* NULL-ended */
};
/* Returns what docker_image_done frees. */
HOB_MUST_USE enum hob_code docker_image_read(const json_t *j, struct docker_image *ret_image,
                                             struct hob_err *err);
void docker_image_done(struct docker_image *i);
/* True for "", "root", "0", "0:…", "root:…". */
bool docker_user_is_root(const char *user);
/* "SIGTERM", "TERM", "15"; 15 for what is none. */
int docker_signal_number(const char *text);

/* The "Id" of a created container, or of a listed image; borrowed, NULL when it is none. */
const char *docker_created_id(const json_t *j);
/* POST /images/load: the last line that names what was loaded is of no use to us; only errors are. NULL: fine. */
const char *docker_stream_error(const json_t *line);

/* One line of POST /images/create or /build, judged: strings are borrowed, NULL when absent. */
struct docker_line {
    const char *error, *status, *id, *stream, *image_id; /* image_id: of a build, valid */
    uint64_t current, total;
};
void docker_line_read(const json_t *line, struct docker_line *ret_line);

struct docker_event {        /* one line of GET /events */
    const char *action, *id; /* borrowed; "" when absent */
};
void docker_event_read(const json_t *line, struct docker_event *ret_event);
