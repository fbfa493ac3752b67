/* What Docker answers, judged; and the small programs that read this machine's files for an image. */
#include "runner/docker/answers.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "check.h"
#include "runner/docker/tree.h"

#define ID64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static json_t *parse(const char *text)
{
    json_t *j = json_loads(text, 0, NULL);
    assert_non_null(j);
    return j;
}

static void the_newest_common_version_is_spoken(void **state)
{
    static const struct {
        const char *text, *spoken;
        enum hob_code code;
    } rows[] = {
        {"{\"Version\":\"20.10.24\",\"ApiVersion\":\"1.41\",\"MinAPIVersion\":\"1.12\"}", "1.41", HOB_OK},
        {"{\"Version\":\"29\",\"ApiVersion\":\"1.52\",\"MinAPIVersion\":\"1.44\"}", "1.48", HOB_OK},
        {"{\"Version\":\"19.03\",\"ApiVersion\":\"1.40\"}", "1.40", HOB_OK},
        {"{\"Version\":\"18\",\"ApiVersion\":\"1.39\"}", "", HOB_E_UNSUPPORTED},
        {"{\"Version\":\"99\",\"ApiVersion\":\"1.90\",\"MinAPIVersion\":\"1.60\"}", "", HOB_E_UNSUPPORTED},
        {"{\"ApiVersion\":\"2.0\"}", "", HOB_E_INVALID},
        {"{\"ApiVersion\":141}", "", HOB_E_INVALID},
        {"{\"ApiVersion\":\"1.41/../../x\"}", "", HOB_E_INVALID},
        {"[]", "", HOB_E_INVALID},
    };
    (void)state;
    for (size_t i = 0; i < HOB_COUNT(rows); i++) {
        struct docker_facts f = {0};
        struct hob_err err;
        json_t *j hob_auto_json = parse(rows[i].text);
        assert_int_equal(docker_version_read(j, &f, &err), rows[i].code);
        if (rows[i].code == HOB_OK)
            assert_string_equal(f.api_version, rows[i].spoken);
    }
}

static void an_engine_of_windows_containers_is_refused(void **state)
{
    struct docker_facts f = {0};
    struct hob_err err;
    json_t *j hob_auto_json = parse("{\"OSType\":\"windows\",\"Driver\":\"x\"}");
    (void)state;
    assert_int_equal(docker_info_read(j, &f, &err), HOB_E_UNSUPPORTED);
    assert_contains(err.msg, "linux");
}

static void an_image_is_read_whole(void **state)
{
    struct docker_image i;
    struct hob_err err;
    json_t *j hob_auto_json =
        parse("{\"Id\":\"sha256:" ID64
              "\",\"Config\":{\"User\":\"app\",\"Entrypoint\":[\"/run\"],\"Cmd\":[\"-a\",\"b c\"],"
              "\"StopSignal\":\"SIGQUIT\",\"WorkingDir\":\"/srv\",\"Volumes\":{\"/data\":{}},\"Env\":null}}");
    (void)state;
    assert_ok(docker_image_read(j, &i, &err));
    assert_string_equal(i.id, "sha256:" ID64);
    assert_string_equal(i.words[0], "/run");
    assert_string_equal(i.words[2], "b c");
    assert_null(i.words[3]);
    assert_int_equal(i.entrypoint_n, 1);
    assert_int_equal(i.stop_signal, SIGQUIT);
    assert_string_equal(i.volumes[0], "/data");
    docker_image_done(&i);
}

static void a_health_check_is_read_with_dockers_defaults(void **state)
{
    struct docker_image i;
    struct hob_err err;
    (void)state;
    json_t *shell hob_auto_json = parse(
        "{\"Id\":\"sha256:" ID64 "\",\"Config\":{\"Healthcheck\":{\"Test\":[\"CMD-SHELL\",\"a || b\"]}}}");
    assert_ok(docker_image_read(shell, &i, &err));
    assert_int_equal(i.health_n, 3);
    assert_string_equal(i.health[0], "/bin/sh");
    assert_string_equal(i.health[2], "a || b");
    assert_int_equal(i.health_interval_ms, 30000);
    assert_int_equal(i.health_timeout_ms, 30000);
    assert_int_equal(i.health_start_ms, 0);
    assert_int_equal(i.health_retries, 3);
    docker_image_done(&i);
    json_t *words hob_auto_json =
        parse("{\"Id\":\"sha256:" ID64
              "\",\"Config\":{\"Healthcheck\":{\"Test\":[\"CMD\",\"/c\"],\"Interval\":1500000000,"
              "\"Timeout\":2000000,\"StartPeriod\":1000000,\"Retries\":1}}}");
    assert_ok(docker_image_read(words, &i, &err));
    assert_int_equal(i.health_n, 1);
    assert_int_equal(i.health_interval_ms, 1500);
    assert_int_equal(i.health_timeout_ms, 2);
    assert_int_equal(i.health_start_ms, 1);
    assert_int_equal(i.health_retries, 1);
    docker_image_done(&i);
    static const char *const none[] = {"null", "{}", "{\"Test\":[]}", "{\"Test\":[\"NONE\"]}"};
    for (size_t k = 0; k < HOB_COUNT(none); k++) {
        hob_auto_free char *text =
            hob_asprintf("{\"Id\":\"sha256:" ID64 "\",\"Config\":{\"Healthcheck\":%s}}", none[k]);
        json_t *j hob_auto_json = parse(text);
        assert_ok(docker_image_read(j, &i, &err));
        assert_int_equal(i.health_n, 0);
        docker_image_done(&i);
    }
}

static void lines_of_pulls_and_builds_are_read(void **state)
{
    struct docker_line l;
    (void)state;
    json_t *pull hob_auto_json = parse(
        "{\"status\":\"Downloading\",\"id\":\"aaaaaaaaaaaa\",\"progressDetail\":{\"current\":5,\"total\":9}}");
    docker_line_read(pull, &l);
    assert_string_equal(l.status, "Downloading");
    assert_true(l.current == 5 && l.total == 9 && !l.error && !l.image_id);
    json_t *built hob_auto_json = parse("{\"aux\":{\"ID\":\"sha256:" ID64 "\"}}");
    docker_line_read(built, &l);
    assert_string_equal(l.image_id, "sha256:" ID64);
    json_t *wrong hob_auto_json =
        parse("{\"aux\":{\"ID\":\"../x\"},\"message\":\"refused\",\"progressDetail\":{\"total\":-1}}");
    docker_line_read(wrong, &l);
    assert_null(l.image_id);
    assert_string_equal(l.error, "refused");
    assert_int_equal(l.total, 0);
}

static void images_that_make_no_sense_are_refused(void **state)
{
    static const char *const bad[] = {
        "{}",
        "[]",
        "{\"Id\":\"sha256:xyz\"}",
        "{\"Id\":\"" ID64 "\"}",
        "{\"Id\":\"sha256:" ID64 "\",\"Config\":{\"Cmd\":\"sh\"}}",
        "{\"Id\":\"sha256:" ID64 "\",\"Config\":{\"Cmd\":[1]}}",
        "{\"Id\":\"sha256:" ID64 "\",\"Config\":{\"Healthcheck\":{\"Test\":[\"CMD\"]}}}",
        "{\"Id\":\"sha256:" ID64 "\",\"Config\":{\"Healthcheck\":{\"Test\":[\"CMD\",1]}}}",
        "{\"Id\":\"sha256:" ID64 "\",\"Config\":{\"Healthcheck\":{\"Test\":[\"OTHER\",\"a\"]}}}",
        "{\"Id\":\"sha256:" ID64 "\",\"Config\":{\"User\":\"a\\nb\"}}",
        "{\"Id\":\"sha256:" ID64 "\",\"Config\":{\"Volumes\":{\"/../etc\":{}}}}",
        "{\"Id\":\"sha256:" ID64 "\",\"Config\":{\"Volumes\":{\"relative\":{}}}}",
        "{\"Id\":\"sha256:" ID64 "\",\"Config\":{\"Volumes\":{\"/\":{}}}}",
        "{\"Id\":\"sha256:" ID64 "\",\"Config\":{\"Volumes\":{\"/a:rw\":{}}}}",
    };
    (void)state;
    for (size_t i = 0; i < HOB_COUNT(bad); i++) {
        struct docker_image image;
        struct hob_err err;
        json_t *j hob_auto_json = parse(bad[i]);
        assert_int_equal(docker_image_read(j, &image, &err), HOB_E_INVALID);
    }
}

static void root_is_known_under_each_of_its_names(void **state)
{
    static const char *const roots[] = {"", "root", "0", "0:0", "root:app", ":5", "00"};
    static const char *const others[] = {"app", "1000", "1000:0", "rooty", "10"};
    (void)state;
    for (size_t i = 0; i < HOB_COUNT(roots); i++)
        assert_true(docker_user_is_root(roots[i]));
    for (size_t i = 0; i < HOB_COUNT(others); i++)
        assert_false(docker_user_is_root(others[i]));
}

static void signals_are_known_by_name_and_number(void **state)
{
    (void)state;
    assert_int_equal(docker_signal_number("SIGTERM"), SIGTERM);
    assert_int_equal(docker_signal_number("QUIT"), SIGQUIT);
    assert_int_equal(docker_signal_number("3"), 3);
    assert_int_equal(docker_signal_number("64"), 64);
    assert_int_equal(docker_signal_number("65"), SIGTERM);
    assert_int_equal(docker_signal_number(""), SIGTERM);
    assert_int_equal(docker_signal_number("SIGNOTHING"), SIGTERM);
}

static void names_of_images_are_judged(void **state)
{
    static const char *const good[] = {"app", "app:3", "registry.example:5000/a/b:1.2-x_y", "a@sha256:" ID64,
                                       "sha256:" ID64};
    static const char *const bad[] = {
        "", "-a", "a b", "a/../b", "a//b", "a:", "a?x=1", "a#x", "a%2f", "/a", "a/", "a\n"};
    char longest[257];
    (void)state;
    for (size_t i = 0; i < HOB_COUNT(good); i++)
        assert_true(docker_image_name_is_valid(good[i]));
    for (size_t i = 0; i < HOB_COUNT(bad); i++)
        assert_false(docker_image_name_is_valid(bad[i]));
    memset(longest, 'a', sizeof longest);
    longest[255] = '\0';
    assert_true(docker_image_name_is_valid(longest));
    longest[255] = 'a';
    longest[256] = '\0';
    assert_false(docker_image_name_is_valid(longest));
}

static struct tree_entry *find(const struct tree *t, const char *path)
{
    struct tree_entry *e;
    HASH_FIND_STR(t->entries, path, e);
    return e;
}

static void a_tree_follows_links_and_brings_folders_on_the_way(void **state)
{
    char dir[] = "/tmp/hob-tree-XXXXXX";
    struct hob_err err;
    struct tree t = {0};
    (void)state;
    assert_non_null(mkdtemp(dir));
    hob_auto_free char *real = hob_asprintf("%s/real", dir), *file = hob_asprintf("%s/real/file", dir),
                       *link = hob_asprintf("%s/link", dir), *loop = hob_asprintf("%s/loop", dir),
                       *through = hob_asprintf("%s/link/file", dir);
    assert_int_equal(mkdir(real, 0755), 0);
    int fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    assert_int_equal(write(fd, "abc", 3), 3);
    (void)close(fd);
    assert_int_equal(symlink("real", link), 0);
    assert_int_equal(symlink("loop", loop), 0);
    assert_ok(tree_add(&t, through, &err));
    assert_ok(tree_add(&t, loop, &err)); /* leads nowhere, and ends */
    assert_ok(tree_add(&t, "/nonexistent/path", &err));
    assert_non_null(find(&t, "/tmp"));
    assert_string_equal(find(&t, link)->target, "real");
    assert_int_equal(find(&t, file)->bytes, 3);
    assert_null(find(&t, "/nonexistent"));
    tree_sort(&t);
    for (const struct tree_entry *e = t.entries, *next; (next = e->hh.next); e = next)
        assert_true(strcmp(e->path, next->path) < 0);
    tree_done(&t);
    (void)unlink(file);
    (void)unlink(link);
    (void)unlink(loop);
    (void)rmdir(real);
    (void)rmdir(dir);
}

static void a_programs_libraries_come_along(void **state)
{
    struct hob_err err;
    struct tree t = {0};
    unsigned loaders = 0, libcs = 0;
    (void)state;
    assert_ok(tree_add(&t, "/usr/bin/env", &err));
    assert_ok(tree_add_libraries(&t, &err));
    for (const struct tree_entry *e = t.entries; e; e = e->hh.next) {
        loaders += strstr(e->path, "/ld-linux-") != NULL;
        libcs += strstr(e->path, "/libc.so.6") != NULL;
    }
    assert_true(loaders > 0 && libcs > 0);
    tree_done(&t);
}

static void on_need(void *ctx, const char *name, const char *rpath)
{
    (void)name;
    (void)rpath;
    ++*(unsigned *)ctx;
}

/* Every cut and many flips of a real program: nothing is read beyond its end (the sanitizers look). */
static void a_broken_elf_file_is_read_without_harm(void **state)
{
    char path[] = "/tmp/hob-elf-XXXXXX", bytes[16384];
    int in = open("/usr/bin/env", O_RDONLY | O_CLOEXEC);
    ssize_t n = read(in, bytes, sizeof bytes);
    int fd = mkstemp(path);
    unsigned seen = 0;
    (void)state;
    (void)close(in);
    assert_true(n > 4096 && fd >= 0);
    for (size_t cut = 0; cut < 2048; cut += 7) {
        assert_int_equal(ftruncate(fd, 0), 0);
        assert_int_equal(pwrite(fd, bytes, cut, 0), (ssize_t)cut);
        (void)elf_needs(path, on_need, &seen);
    }
    for (size_t at = 16; at < 1024; at++) {
        char kept = bytes[at];
        bytes[at] = (char)0xff;
        assert_int_equal(pwrite(fd, bytes, (size_t)n, 0), n);
        (void)elf_needs(path, on_need, &seen);
        bytes[at] = kept;
    }
    (void)close(fd);
    (void)unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_common_version_is_spoken),
        cmocka_unit_test(an_engine_of_windows_containers_is_refused),
        cmocka_unit_test(an_image_is_read_whole),
        cmocka_unit_test(a_health_check_is_read_with_dockers_defaults),
        cmocka_unit_test(lines_of_pulls_and_builds_are_read),
        cmocka_unit_test(images_that_make_no_sense_are_refused),
        cmocka_unit_test(root_is_known_under_each_of_its_names),
        cmocka_unit_test(signals_are_known_by_name_and_number),
        cmocka_unit_test(names_of_images_are_judged),
        cmocka_unit_test(a_tree_follows_links_and_brings_folders_on_the_way),
        cmocka_unit_test(a_programs_libraries_come_along),
        cmocka_unit_test(a_broken_elf_file_is_read_without_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
