/* What goes into an archive: ignore rules, limits, names, links, and that equal folders give equal bytes. */
#include "check.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/limits.h"
#include "base/mem.h"
#include "cli/ignore.h"
#include "cli/pack.h"

static struct hob_err err;
static char dir[64];

static int make_dir(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/hob-pack-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    return hob_remove_tree(dir, &err) == HOB_OK ? 0 : -1;
}

static void put(const char *path, const char *text)
{
    hob_auto_free char *full = hob_asprintf("%s/%s", dir, path);
    hob_auto_free char *folder = hob_strdup(full);
    *strrchr(folder, '/') = 0;
    assert_ok(hob_mkdirs(folder, 0755, &err));
    int fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_ok(hob_write_all(fd, hob_str(text), full, &err));
    assert_int_equal(close(fd), 0);
}

static void refuse(enum hob_code code, const char *part)
{
    struct pack p;
    assert_int_equal(pack_collect(&p, dir, &err), code);
    assert_contains(err.msg, part);
    assert_int_equal(p.entries_n, 0);
}

static void globs_match_as_in_gitignore(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *path;
        bool is_match;
    } cases[] = {
        {"*.log", "a.log", true},
        {"*.log", "a.logs", false},
        {"*.log", ".log", true},
        {"a?c", "abc", true},
        {"a?c", "a/c", false},
        {"*", "a/b", false},
        {"**", "a/b", true},
        {"a/**", "a/b/c", true},
        {"a/**", "b/a/c", false},
        {"**/b", "a/x/b", true},
        {"**/b", "b", true},
        {"a/**/b", "a/b", true},
        {"a/**/b", "a/x/y/b", true},
        {"a/**/b", "a/xb", false},
        {"[a-c]x", "bx", true},
        {"[!a-c]x", "bx", false},
        {"[!a-c]x", "dx", true},
        {"[]x]", "]", true},
        {"[ab", "[ab", true},
        {"\\*", "*", true},
        {"\\*", "a", false},
        {"", "", true},
        {"", "a", false},
        {"a*b*c", "aXbYc", true},
        {"a*b*c", "aXcYb", false},
        {"[a/]b", "/b", false},
        {"**/*.js", "x/y.js", true},
        {"a", "A", false},
    };
    for (size_t i = 0; i < HOB_COUNT(cases); i++)
        if (glob_matches(cases[i].pattern, cases[i].path) != cases[i].is_match)
            fail_msg("'%s' against '%s'", cases[i].pattern, cases[i].path);
}

static void hostile_globs_end(void **state)
{
    (void)state;
    char pattern[400], path[400];
    for (size_t i = 0; i < sizeof pattern - 2; i += 2)
        memcpy(pattern + i, "*a", 2);
    pattern[sizeof pattern - 2] = 'b';
    pattern[sizeof pattern - 1] = 0;
    memset(path, 'a', sizeof path - 1);
    path[sizeof path - 1] = 0;
    assert_false(glob_matches(pattern, path));
}

static void the_last_rule_decides(void **state)
{
    (void)state;
    struct ignore g;
    assert_ok(ignore_init(&g, HOB_STR("# comment\n*.tmp  \r\n!keep.tmp\n/root\nbuild/\n\nsub/x.js\n!.env\n"),
                          &err));
    assert_true(ignore_matches(&g, "a/b.tmp", false));
    assert_false(ignore_matches(&g, "a/keep.tmp", false));
    assert_true(ignore_matches(&g, "root", false));
    assert_false(ignore_matches(&g, "a/root", false));
    assert_true(ignore_matches(&g, "a/build", true));
    assert_false(ignore_matches(&g, "a/build", false));
    assert_true(ignore_matches(&g, "sub/x.js", false));
    assert_false(ignore_matches(&g, "a/sub/x.js", false));
    assert_true(ignore_matches(&g, ".git", true));
    assert_true(ignore_matches(&g, "x/debug.log", false));
    assert_false(ignore_matches(&g, ".env", false));
    assert_true(ignore_matches(&g, ".env.local", false));
    assert_false(ignore_matches(&g, "node_modules", true));
    ignore_done(&g);
    assert_int_equal(ignore_init(&g, hob_str_n("a\0b", 3), &err), HOB_E_INVALID);
    assert_contains(err.msg, "line 1");
}

static void equal_folders_give_equal_bytes(void **state)
{
    (void)state;
    put("hob.json", "{}");
    put("b/x.js", "1");
    put("a.js", "22");
    hob_auto_free char *empty = hob_asprintf("%s/empty", dir);
    assert_int_equal(mkdir(empty, 0700), 0);
    char digests[2][65];
    for (int i = 0; i < 2; i++) {
        struct pack p;
        assert_ok(pack_collect(&p, dir, &err));
        assert_int_equal(p.entries_n, 4);
        assert_string_equal(p.entries[0].path, "a.js");
        assert_string_equal(p.entries[1].path, "b/x.js");
        assert_true(p.entries[2].is_folder);
        assert_int_equal(p.bytes, 5);
        assert_true(pack_has_file(&p, "b/x.js"));
        assert_false(pack_has_file(&p, "b"));
        assert_false(pack_has_file(&p, "empty"));
        assert_false(pack_has_file(&p, "zzz"));
        assert_ok(pack_write(&p, dir, (struct hob_str){0}, &err));
        struct hob_buf b;
        hob_buf_init(&b, 1 << 20);
        assert_int_equal(lseek(p.fd, 0, SEEK_SET), 0);
        assert_ok(hob_read_fd(p.fd, "the archive", &b, &err));
        assert_int_equal(b.n, p.packed_bytes);
        hob_sha256_hex(hob_buf_data(&b), b.n, digests[i]);
        hob_buf_done(&b);
        pack_done(&p);
        put("a.js", "22"); /* a newer time */
    }
    assert_string_equal(digests[0], digests[1]);
}

static void links_may_not_lead_out(void **state)
{
    (void)state;
    hob_auto_free char *link = hob_asprintf("%s/l", dir);
    put("hob.json", "{}");
    assert_int_equal(symlink("/etc/hostname", link), 0);
    refuse(HOB_E_INVALID, "the link 'l' leads out");
    assert_int_equal(unlink(link), 0);
    assert_int_equal(symlink("nowhere", link), 0);
    refuse(HOB_E_INVALID, "the link 'l' leads nowhere");
    assert_int_equal(unlink(link), 0);
    assert_int_equal(symlink(".", link), 0);
    refuse(HOB_E_INVALID, "the link 'l' leads to a folder it is in");
    put(".hobignore", "l\n");
    struct pack p;
    assert_ok(pack_collect(&p, dir, &err));
    pack_done(&p);
    /* a folder beside ours whose name begins like ours is outside */
    hob_auto_free char *near = hob_asprintf("%s-near", dir);
    assert_int_equal(mkdir(near, 0700), 0);
    hob_auto_free char *out = hob_asprintf("%s/m", dir);
    assert_int_equal(symlink(near, out), 0);
    refuse(HOB_E_INVALID, "the link 'm' leads out");
    assert_int_equal(rmdir(near), 0);
}

static void names_are_judged(void **state)
{
    (void)state;
    static const char *const bad[] = {"a\nb", "a\\b", "a\x7f", "\xff\xfe"};
    for (size_t i = 0; i < HOB_COUNT(bad); i++) {
        hob_auto_free char *full = hob_asprintf("%s/%s", dir, bad[i]);
        put(bad[i], "");
        refuse(HOB_E_INVALID, "the name of '");
        assert_int_equal(unlink(full), 0);
    }
    char deep[3 * HOB_MAX_PATH_DEPTH + 8] = "";
    for (size_t i = 0; i < HOB_MAX_PATH_DEPTH - 1; i++)
        (void)snprintf(deep + strlen(deep), sizeof deep - strlen(deep), "d/");
    struct pack p;
    hob_auto_free char *fits = hob_asprintf("%sx", deep);
    put(fits, "");
    assert_ok(pack_collect(&p, dir, &err));
    pack_done(&p);
    hob_auto_free char *over = hob_asprintf("%sd/x", deep);
    put(over, "");
    refuse(HOB_E_INVALID, "is deeper than 32 folders");
}

static void sizes_are_judged(void **state)
{
    (void)state;
    hob_auto_free char *full = hob_asprintf("%s/big", dir);
    put("big", "");
    assert_int_equal(truncate(full, HOB_MAX_UNPACKED_BYTES), 0);
    struct pack p;
    assert_ok(pack_collect(&p, dir, &err));
    pack_done(&p);
    assert_int_equal(truncate(full, (off_t)HOB_MAX_UNPACKED_BYTES + 1), 0);
    refuse(HOB_E_TOO_LARGE, "'big'");
}

static void long_paths_and_many_files_are_refused(void **state)
{
    (void)state;
    char path[HOB_MAX_PATH_BYTES + 2];
    memset(path, 'a', sizeof path);
    path[200] = path[400] = '/';
    struct pack p;
    path[HOB_MAX_PATH_BYTES] = 0;
    put(path, "");
    assert_ok(pack_collect(&p, dir, &err));
    assert_int_equal(p.entries_n, 1);
    pack_done(&p);
    path[HOB_MAX_PATH_BYTES] = 'a';
    path[HOB_MAX_PATH_BYTES + 1] = 0;
    put(path, "");
    refuse(HOB_E_INVALID, "is longer than 512 bytes");
    put(".hobignore", "/aa*\n");
    for (int i = 0; i < HOB_MAX_ENTRIES; i++) {
        char full[96];
        (void)snprintf(full, sizeof full, "%s/f%d", dir, i);
        int fd = open(full, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(close(fd), 0);
    }
    assert_ok(pack_collect(&p, dir, &err));
    assert_int_equal(p.entries_n, HOB_MAX_ENTRIES);
    pack_done(&p);
    put("one-more", "");
    refuse(HOB_E_TOO_LARGE, "more than 20000 files");
}

static void a_file_that_changes_meanwhile_is_an_error(void **state)
{
    (void)state;
    static const char *const later[] = {"", "12345"};
    for (size_t i = 0; i < HOB_COUNT(later); i++) {
        struct pack p;
        put("f", "123");
        assert_ok(pack_collect(&p, dir, &err));
        put("f", later[i]);
        assert_int_equal(pack_write(&p, dir, (struct hob_str){0}, &err), HOB_E_CONFLICT);
        assert_contains(err.msg, "'f' changed");
        pack_done(&p);
    }
}

static void pipes_are_left_out_and_counted(void **state)
{
    (void)state;
    hob_auto_free char *full = hob_asprintf("%s/pipe", dir);
    assert_int_equal(mkfifo(full, 0600), 0);
    put("a", "");
    struct pack p;
    assert_ok(pack_collect(&p, dir, &err));
    assert_int_equal(p.skipped_n, 1);
    assert_int_equal(p.entries_n, 1);
    pack_done(&p);
}

int main(void)
{
    alarm(280);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(globs_match_as_in_gitignore),
        cmocka_unit_test(hostile_globs_end),
        cmocka_unit_test(the_last_rule_decides),
        cmocka_unit_test_setup_teardown(equal_folders_give_equal_bytes, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(links_may_not_lead_out, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(names_are_judged, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(sizes_are_judged, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(long_paths_and_many_files_are_refused, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_file_that_changes_meanwhile_is_an_error, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(pipes_are_left_out_and_counted, make_dir, remove_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
