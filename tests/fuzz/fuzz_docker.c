/* What a Docker Engine answers: version, info, image, created, event, list of images, in whatever JSON. The first byte chooses. Oracle:
 * what was accepted looks as it must, and a second reading says the same. */
#include <stdlib.h>

#include "base/mem.h"
#include "runner/docker/answers.h"
#include "runner/docker/marks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_version(const json_t *j)
{
    struct docker_facts f = {0};
    struct hob_err err;
    if (docker_version_read(j, &f, &err) == HOB_OK)
        HOB_ASSERT(strncmp(f.api_version, "1.4", 3) == 0 && strlen(f.api_version) == 4);
    else
        HOB_ASSERT(err.code > HOB_OK && strlen(err.msg) < sizeof err.msg);
}

static void check_image(const json_t *j)
{
    struct docker_image i, again;
    struct hob_err err;
    if (docker_image_read(j, &i, &err) != HOB_OK)
        return;
    HOB_ASSERT(docker_image_id_is_valid(i.id) && i.stop_signal >= 1 && i.stop_signal <= 64);
    size_t n = 0;
    for (; i.words[n]; n++)
        HOB_ASSERT(n < DOCKER_WORDS_MAX);
    HOB_ASSERT(i.entrypoint_n <= n);
    for (char **v = i.volumes; *v; v++)
        HOB_ASSERT((*v)[0] == '/' && !strstr(*v, ".."));
    for (n = 0; i.health[n]; n++)
        HOB_ASSERT(n < DOCKER_WORDS_MAX);
    HOB_ASSERT(n == i.health_n && (n == 0 || (i.health_retries > 0 && i.health_retries < 1000)));
    HOB_ASSERT(docker_image_read(j, &again, &err) == HOB_OK && strcmp(again.id, i.id) == 0);
    docker_image_done(&again);
    docker_image_done(&i);
}

/* Whatever it is, no name is taken for Hob's that another home could have given. */
static void check_marks(const json_t *j)
{
    static const char home[] = "0123456789ab", other[] = "ba9876543210";
    struct marked i, again;
    if (!marked_read(home, j, &i))
        return;
    HOB_ASSERT(docker_image_id_is_valid(i.id) && i.names_n <= MARK_NAMES_MAX);
    size_t marks = 0;
    for (size_t k = 0; k < i.names_n; k++) {
        HOB_ASSERT(docker_image_name_is_valid(i.names[k]) && !(i.is_mark[k] && i.is_pulled[k]));
        HOB_ASSERT(!i.is_mark[k] || mark_of(other, i.names[k], NULL) == MARK_NONE);
        marks += i.is_mark[k];
    }
    HOB_ASSERT((marks > 0) == (i.kind != MARK_NONE));
    HOB_ASSERT(marked_is_needed(&i, hob_str_n(i.id + 7, 16), ""));
    HOB_ASSERT(marked_read(home, j, &again) && again.others_n == i.others_n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hob_err err;
    struct docker_facts f = {0};
    struct docker_event v;
    if (size < 1)
        return 0;
    json_t *j hob_auto_json = hob_json_parse(hob_str_n(data + 1, size - 1), "fuzz", &err);
    if (!j)
        return 0;
    switch (data[0] % 7) {
    case 0:
        check_version(j);
        break;
    case 1:
        (void)!docker_info_read(j, &f, &err);
        HOB_ASSERT(strlen(f.storage) < sizeof f.storage && strlen(f.root) < sizeof f.root);
        break;
    case 2:
        check_image(j);
        break;
    case 3: {
        const char *id = docker_created_id(j);
        HOB_ASSERT(!id || docker_container_id_is_valid(id) || docker_image_id_is_valid(id));
        break;
    }
    case 4: {
        struct docker_line l;
        docker_line_read(j, &l);
        HOB_ASSERT(!l.image_id || docker_image_id_is_valid(l.image_id));
        break;
    }
    case 5:
        check_marks(j);
        break;
    default:
        docker_event_read(j, &v);
        HOB_ASSERT(v.action && v.id);
        (void)docker_stream_error(j);
    }
    return 0;
}
