#include <errno.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "platform.h"

#define SHOP "{\"app\":\"shop\",\"functions\":{\"f\":{\"runtime\":\"node\",\"entry\":\"index.sh\"}}}"

static unsigned mode_of(struct platform *p, const char *digest, const char *path)
{
    struct stat st;
    hob_auto_free char *at = hob_asprintf("%s/code/%s/%s", p->home->dir, digest, path);
    assert_int_equal(lstat(at, &st), 0);
    return st.st_mode & 07777;
}

static struct code_staged receive_ok(struct platform *p, int fd)
{
    struct hob_err err = {0};
    struct code_staged st;
    if (code_store_receive(p->code, fd, &st, &err) != HOB_OK)
        fail_msg("%s", err.msg);
    (void)close(fd);
    return st;
}

static void modes_are_those_three_whatever_the_umask_says(void **state)
{
    struct platform *p = *state;
    struct hob_err err;
    struct bundle b;
    mode_t old = umask(0077);
    bundle_start(&b);
    bundle_folder(&b, "bin");
    bundle_record(&b, HOB_BUNDLE_FILE, "bin/run", 1, true);
    assert_ok(hob_buf_add(&b.out, "x", 1));
    bundle_file(&b, "bin/data", "x");
    bundle_file(&b, "empty", "");
    bundle_end(&b);
    struct code_staged st = receive_ok(p, bundle_fd(&b));
    assert_ok(code_store_publish(&st, &err));
    (void)umask(old);
    assert_int_equal(mode_of(p, st.digest, ""), 0755);
    assert_int_equal(mode_of(p, st.digest, "bin"), 0755);
    assert_int_equal(mode_of(p, st.digest, "bin/run"), 0555);
    assert_int_equal(mode_of(p, st.digest, "bin/data"), 0444);
    assert_int_equal(mode_of(p, st.digest, "empty"), 0444);
    code_staged_done(&st);
}

static void the_same_tree_twice_is_kept_once(void **state)
{
    struct platform *p = *state;
    struct hob_err err;
    struct code_staged one = receive_ok(p, app_fd(SHOP, "x")), two = receive_ok(p, app_fd(SHOP, "x"));
    assert_string_equal(one.digest, two.digest);
    assert_int_equal(count_in(p, "code", ".staging-"), 2);
    assert_ok(code_store_publish(&one, &err));
    assert_ok(code_store_publish(&two, &err));
    assert_int_equal(count_in(p, "code", ".staging-"), 0);
    assert_int_equal(count_in(p, "code", ""), 1);
    char digest[65];
    memcpy(digest, one.digest, sizeof digest);
    code_staged_done(&one);
    assert_ok(code_store_collect(p->code, NULL, &err)); /* two still holds it */
    assert_true(code_store_has(p->code, digest));
    code_staged_done(&two);
    assert_ok(code_store_collect(p->code, NULL, &err));
    assert_false(code_store_has(p->code, digest));
}

static void the_address_is_the_documented_one(void **state)
{
    struct platform *p = *state;
    struct bundle b;
    char want[65], inner[65];
    hob_auto_buf struct hob_buf lines;
    hob_buf_init(&lines, 1000);
    bundle_start(&b);
    bundle_folder(&b, "d");
    bundle_file(&b, "d/f", "text");
    bundle_end(&b);
    struct code_staged st = receive_ok(p, bundle_fd(&b));
    hob_sha256_hex("text", 4, inner);
    assert_ok(hob_buf_add(&lines,
                          "d\0"
                          "0755\0\n",
                          8));
    assert_ok(hob_buf_add(&lines,
                          "d/f\0"
                          "0444\0",
                          9));
    assert_ok(hob_buf_addf(&lines, "%s\n", inner));
    hob_sha256_hex(hob_buf_data(&lines), lines.n, want);
    assert_string_equal(st.digest, want);
    code_staged_done(&st);
}

static void only_a_digest_is_ever_looked_for(void **state)
{
    struct platform *p = *state;
    struct hob_err err;
    assert_false(code_store_has(p->code, ""));
    assert_false(code_store_has(p->code, "."));
    assert_false(code_store_has(p->code, "../hob.db"));
    assert_ok(hob_mkdirs(home_path(p->home, "code/lost+found"), 0755, &err));
    assert_ok(code_store_collect(p->code, NULL, &err));
    assert_int_equal(count_in(p, "code", "lost+found"), 1); /* what is not ours is left alone */
}

static void a_file_of_the_staged_tree_is_read_and_no_other(void **state)
{
    struct platform *p = *state;
    struct hob_err err;
    hob_auto_buf struct hob_buf out;
    hob_buf_init(&out, 5);
    struct code_staged st = receive_ok(p, app_fd(SHOP, "12345"));
    assert_ok(code_staged_read(&st, "index.sh", &out, &err));
    assert_str_equal(hob_buf_str(&out), "12345");
    assert_int_equal(code_staged_read(&st, "../../hob.db", &out, &err), HOB_E_NOT_FOUND);
    assert_int_equal(code_staged_read(&st, "none", &out, &err), HOB_E_NOT_FOUND);
    assert_int_equal(code_staged_read(&st, "hob.json", &out, &err), HOB_E_TOO_LARGE);
    code_staged_done(&st);
}

static void a_link_in_place_of_the_staging_folder_is_not_followed(void **state)
{
    struct platform *p = *state;
    struct hob_err err;
    char path[128];
    (void)snprintf(path, sizeof path, "%s/outside", p->home->dir);
    assert_ok(hob_mkdirs(path, 0755, &err));
    assert_int_equal(symlink(path, home_path(p->home, "code/.staging-link")), 0);
    assert_ok(hob_write_file(home_path(p->home, "outside/kept"), HOB_STR("x"), 0644, &err));
    platform_restart(p);
    assert_int_equal(count_in(p, "code", ".staging-"), 0);
    assert_int_equal(count_in(p, "outside", "kept"), 1);
}

static void collecting_never_takes_what_is_referred_to(void **state)
{
    struct platform *p = *state;
    struct hob_err err;
    struct deployed d = deploy_app(p, "shop", SHOP, "x");
    uint64_t removed = 9;
    assert_ok(code_store_collect(p->code, &removed, &err));
    assert_int_equal(removed, 0);
    struct code_staged st;
    assert_ok(code_store_receive(p->code, app_fd(SHOP, "other"), &st, &err)); /* a deploy in between */
    assert_ok(code_store_publish(&st, &err));
    assert_ok(code_store_collect(p->code, &removed, &err));
    assert_int_equal(removed, 0);
    char digest[65];
    memcpy(digest, st.digest, sizeof digest);
    code_staged_done(&st);
    assert_ok(code_store_collect(p->code, &removed, &err));
    assert_int_equal(removed, 1);
    assert_false(code_store_has(p->code, digest));
    assert_true(code_store_has(p->code, d.digest));
}

static void a_full_disk_refuses_a_tree_cleanly_and_the_next_one_fits(void **state)
{
    struct platform *p = *state;
    assert_int_equal(deploy_app(p, "shop", SHOP, "x").err.code, HOB_OK);
    if (mount("none", home_path(p->home, "code"), "tmpfs", 0, "size=256k") < 0) {
        print_message("SKIPPED: a full disk needs root to mount a small tmpfs (%s)\n", strerror(errno));
        skip();
    }
    struct hob_err err;
    struct code_store *small = code_store_open(home_path(p->home, "code"), &err);
    assert_non_null(small);
    struct bundle b;
    struct code_staged st;
    hob_auto_free char *big = hob_calloc(600001, 1);
    memset(big, 'x', 600000);
    bundle_start(&b);
    bundle_file(&b, "big", big);
    bundle_end(&b);
    int fd = bundle_fd(&b);
    assert_int_equal(code_store_receive(small, fd, &st, &err), HOB_E_NO_SPACE);
    (void)close(fd);
    assert_int_equal(count_in(p, "code", ""), 0);
    fd = app_fd(SHOP, "small");
    assert_ok(code_store_receive(small, fd, &st, &err));
    (void)close(fd);
    assert_ok(code_store_publish(&st, &err));
    code_staged_done(&st);
    code_store_free(small);
    assert_int_equal(umount(home_path(p->home, "code")), 0);
}

/* In memory: twice as many folders as a slow disk makes in a minute. */
static void more_entries_than_the_limit_are_refused_at_plus_one(void **state)
{
    (void)state;
    struct hob_err err;
    char dir[] = "/dev/shm/hob-unit-XXXXXX", name[32];
    assert_non_null(mkdtemp(dir));
    struct code_store *cs = code_store_open(dir, &err);
    for (int over = 0; over < 2; over++) {
        struct bundle b;
        struct code_staged st;
        bundle_start(&b);
        for (int i = 0; i < HOB_MAX_ENTRIES + over; i++) {
            (void)snprintf(name, sizeof name, "f%d", i);
            bundle_folder(&b, name);
        }
        bundle_end(&b);
        int fd = bundle_fd(&b);
        enum hob_code rc = code_store_receive(cs, fd, &st, &err);
        (void)close(fd);
        assert_int_equal(rc, over ? HOB_E_TOO_LARGE : HOB_OK);
        if (over)
            assert_contains(err.msg, "deploy.entries");
        else
            code_staged_done(&st);
    }
    code_store_free(cs);
    assert_int_equal(rmdir(dir), 0); /* nothing stayed behind */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, platform_make, platform_drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(modes_are_those_three_whatever_the_umask_says),
        TEST(the_same_tree_twice_is_kept_once),
        TEST(the_address_is_the_documented_one),
        TEST(only_a_digest_is_ever_looked_for),
        TEST(a_file_of_the_staged_tree_is_read_and_no_other),
        TEST(a_link_in_place_of_the_staging_folder_is_not_followed),
        TEST(collecting_never_takes_what_is_referred_to),
        TEST(a_full_disk_refuses_a_tree_cleanly_and_the_next_one_fits),
        TEST(more_entries_than_the_limit_are_refused_at_plus_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
