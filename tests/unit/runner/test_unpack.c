#include "check.h"

#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "base/bundle.h"
#include "base/fs.h"
#include "base/limits.h"
#include "base/mem.h"
#include "runner/unpack/unpack.h"

static char folder[64];

/* Runs it and reads the whole stream; it must be well-formed whatever the archive was. Lines "d PATH" and
 * "f|x PATH SIZE", then "end N" or "error CODE MESSAGE". Data of files up to 64 bytes follows in brackets. */
struct result {
    enum hob_code code;
    struct hob_err err;
    struct hob_buf text;
    uint64_t records, data_bytes;
    bool has_end, has_error;
};

static size_t take_record(struct result *r, struct hob_str in)
{
    struct hob_bundle_record rec;
    struct hob_err err;
    assert_true(in.n >= HOB_BUNDLE_HEADER_BYTES);
    assert_false(r->has_end || r->has_error);
    assert_ok(hob_bundle_decode((const unsigned char *)in.at, &rec, &err));
    size_t n = HOB_BUNDLE_HEADER_BYTES + (size_t)rec.path_n + (rec.kind == HOB_BUNDLE_FILE ? rec.size : 0);
    assert_true(in.n >= n);
    struct hob_str path = {in.at + HOB_BUNDLE_HEADER_BYTES, rec.path_n};
    if (rec.kind == HOB_BUNDLE_END)
        assert_int_equal(rec.size, r->records);
    r->has_end = rec.kind == HOB_BUNDLE_END;
    r->has_error = rec.kind == HOB_BUNDLE_ERROR;
    r->records++;
    if (r->records > 100)
        return n;
    if (rec.kind == HOB_BUNDLE_DIRECTORY || rec.kind == HOB_BUNDLE_FILE)
        assert_ok(hob_bundle_path_check(path, &err));
    const char *kind = rec.kind == HOB_BUNDLE_DIRECTORY ? "d"
                       : rec.kind == HOB_BUNDLE_END     ? "end"
                       : rec.kind == HOB_BUNDLE_ERROR   ? "error"
                       : rec.is_executable              ? "x"
                                                        : "f";
    assert_ok(hob_buf_addf(&r->text, "%s %.*s", kind, HOB_STR_ARG(path)));
    if (rec.kind == HOB_BUNDLE_FILE && rec.size <= 64)
        assert_ok(hob_buf_addf(&r->text, "[%.*s]", (int)rec.size, path.at + path.n));
    assert_ok(hob_buf_addf(&r->text, "\n"));
    return n;
}

static void run_fd(int in, struct result *r)
{
    hob_auto_close int out = memfd_create("bundle", MFD_CLOEXEC);
    assert_true(in >= 0 && out >= 0);
    *r = (struct result){0};
    hob_buf_init(&r->text, 1 << 20);
    r->code = unpack_archive(in, out, &r->err);
    struct stat st;
    assert_int_equal(fstat(out, &st), 0);
    assert_true(st.st_size > 0);
    char *bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, out, 0);
    assert_true(bytes != MAP_FAILED);
    for (size_t at = 0; at < (size_t)st.st_size;)
        at += take_record(r, hob_str_n(bytes + at, (size_t)st.st_size - at));
    assert_int_equal(munmap(bytes, (size_t)st.st_size), 0);
    assert_true(r->has_end != r->has_error);
    assert_int_equal(r->has_end, r->code == HOB_OK);
    assert_ok(hob_buf_add(&r->text, "", 1));
}

static int open_archive(const char *name)
{
    char path[160];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return open(path, O_RDONLY | O_CLOEXEC);
}

static void run(const char *name, struct result *r)
{
    hob_auto_close int in = open_archive(name);
    run_fd(in, r);
}

static void expect(const char *name, enum hob_code code, const char *part)
{
    struct result r;
    run(name, &r);
    if (r.code != code || (part && !strstr(r.err.msg, part)))
        fail_msg("%s: code %d \"%s\"; expected code %d \"%s\"", name, r.code, r.err.msg, code,
                 part ? part : "");
    hob_buf_done(&r.text);
}

/* ---- tests ---- */

static const char good_lines[] =
    "f a.txt[alpha]\nd bin\nx bin/run[#!/bin/sh\n]\nd deep\nd deep/er\nf deep/er/file[]\n"
    "d d\u00e9\nf d\u00e9/\u4e2d[utf-8]\nend \n";

static void tar_targz_and_zip_give_the_same_files(void **state)
{
    (void)state;
    static const char *const names[] = {"good.tar", "good.pax", "good.tgz", "good.zip"};
    for (size_t i = 0; i < HOB_COUNT(names); i++) {
        struct result r;
        run(names[i], &r);
        assert_ok(r.code);
        assert_string_equal(hob_buf_data(&r.text), good_lines);
        hob_buf_done(&r.text);
    }
}

static void an_archive_from_a_pipe_is_read_too(void **state)
{
    (void)state;
    static const char *const names[] = {"good.tar", "good.tgz", "good.zip"};
    for (size_t i = 0; i < HOB_COUNT(names); i++) {
        struct result r;
        static char bytes[32 * 1024];
        int p[2];
        hob_auto_close int in = open_archive(names[i]);
        ssize_t n = read(in, bytes, sizeof bytes);
        assert_true(n > 0);
        assert_int_equal(pipe2(p, O_CLOEXEC), 0);
        assert_int_equal(write(p[1], bytes, (size_t)n), n);
        (void)close(p[1]);
        run_fd(p[0], &r);
        (void)close(p[0]);
        assert_ok(r.code);
        assert_int_equal(r.records, 9);
        hob_buf_done(&r.text);
    }
}

static void paths_with_tricks_are_refused_by_name(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"slip.tar", "path '../evil' leads out of its folder"},
        {"slip_inside.tar", "leads out of its folder"},
        {"absolute.tar", "path '/etc/passwd' is absolute"},
        {"dotdot_end.tar", "leads out"},
        {"double_slash.tar", "has an empty part"},
        {"dot_inside.tar", "has a '.' part"},
        {"two_dots_in_front.tar", "has a '.' part"},
        {"backslash.tar", "has a backslash"},
        {"control.tar", "path 'a\\x0ab' has a control character"},
        {"escape.tar", "path 'a\\x1b[2Jb' has a control character"},
        {"latin1.tar", "path '\\xe9' is not valid UTF-8"},
        {"zip_slip.zip", "path '../evil' leads out of its folder"},
    };
    for (size_t i = 0; i < HOB_COUNT(bad); i++)
        expect(bad[i][0], HOB_E_INVALID, bad[i][1]);
}

static void links_devices_and_pipes_are_refused_by_name(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"symlink.tar", "'link' is a symbolic link"}, {"hardlink.tar", "'link' is a hard link"},
        {"chardev.tar", "'dev' is a device"},         {"blockdev.tar", "'dev' is a device"},
        {"fifo.tar", "'pipe' is a named pipe"},       {"zip_symlink.zip", "'link' is a symbolic link"},
        {"link_then_through.tar", "symbolic link"},   {"encrypted.zip", "'secret' is encrypted"},
    };
    for (size_t i = 0; i < HOB_COUNT(bad); i++)
        expect(bad[i][0], HOB_E_INVALID, bad[i][1]);
}

static void a_path_is_one_thing_only(void **state)
{
    (void)state;
    expect("twice.tar", HOB_E_INVALID, "'a' is in the archive twice");
    expect("twice_prefix.tar", HOB_E_INVALID, "'a' is in the archive twice");
    expect("zip_twice.zip", HOB_E_INVALID, "'a' is in the archive twice");
    expect("file_then_folder.tar", HOB_E_INVALID, "'a' is a file and a folder");
    expect("folder_then_file.tar", HOB_E_INVALID, "'a' is a file and a folder");
    expect("case.tar", HOB_OK, NULL);
    expect("folders_twice.tar", HOB_OK, NULL);
}

static void limits_hold_to_the_byte(void **state)
{
    (void)state;
    assert_int_equal(HOB_MAX_ENTRIES, 20000);
    assert_int_equal(HOB_MAX_UNPACKED_BYTES, 262144000);
    expect("depth_32.tar", HOB_OK, NULL);
    expect("depth_33.tar", HOB_E_INVALID, "32 folders deep");
    expect("path_511.tar", HOB_OK, NULL);
    expect("path_512.tar", HOB_OK, NULL);
    expect("path_513.tar", HOB_E_INVALID, "512 bytes");
    expect("part_255.tar", HOB_OK, NULL);
    expect("part_256.tar", HOB_E_INVALID, "255 bytes");
    expect("entries_20000.tgz", HOB_OK, NULL);
    expect("entries_20001.tgz", HOB_E_TOO_LARGE, "20000");
    expect("entries_with_folders.tgz", HOB_E_TOO_LARGE, "20000");
    expect("left_out_20001.tgz", HOB_E_TOO_LARGE, "left out");
    expect("bytes_at_limit.tgz", HOB_OK, NULL);
    expect("bytes_over.tar", HOB_E_TOO_LARGE, "262144000");
    expect("bytes_huge.tar", HOB_E_TOO_LARGE, "262144000");
}

static void bombs_and_lies_are_found(void **state)
{
    (void)state;
    expect("bomb.zip", HOB_E_TOO_LARGE, "262144000");
    expect("zip_lie_small.zip", HOB_E_INVALID, "");
    expect("zip_lie_large.zip", HOB_E_INVALID, "");
    expect("zip_lie_huge.zip", HOB_E_TOO_LARGE, "262144000");
}

static void damaged_and_foreign_input_is_told_apart(void **state)
{
    (void)state;
    expect("junk", HOB_E_INVALID, "not a tar, tar.gz or zip archive");
    expect("nothing", HOB_E_INVALID, "not a tar, tar.gz or zip archive");
    expect("empty.tar", HOB_E_INVALID, "no files in it");
    expect("only_top.tar", HOB_E_INVALID, "no files in it");
    expect("cut.tar", HOB_E_INVALID, "damaged");
    expect("sum.tar", HOB_E_INVALID, "damaged");
    expect("cut.tgz", HOB_E_INVALID, "damaged");
    expect("crc.tgz", HOB_E_INVALID, "");
    expect("pax_long.tar", HOB_OK, NULL);
}

static void any_cut_and_any_flipped_byte_gives_a_whole_stream(void **state)
{
    (void)state;
    static const char *const names[] = {"good.tgz", "good.zip", "pax_long.tar"};
    static char bytes[16 * 1024];
    for (size_t i = 0; i < HOB_COUNT(names); i++) {
        hob_auto_close int in = open_archive(names[i]);
        ssize_t n = read(in, bytes, sizeof bytes);
        assert_true(n > 0);
        for (ssize_t at = 0; at < n; at += 7) {
            struct result r;
            hob_auto_close int fd = memfd_create("a", MFD_CLOEXEC);
            bytes[at] = (char)(bytes[at] ^ 0x55);
            assert_int_equal(write(fd, bytes, (size_t)(at % 2 ? n : at + 1)), at % 2 ? n : at + 1);
            bytes[at] = (char)(bytes[at] ^ 0x55);
            assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
            run_fd(fd, &r);
            hob_buf_done(&r.text);
        }
    }
}

static void a_reader_that_goes_away_ends_it(void **state)
{
    (void)state;
    struct hob_err err;
    int p[2];
    hob_auto_close int in = open_archive("good.tar");
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    (void)close(p[0]);
    assert_int_not_equal(unpack_archive(in, p[1], &err), HOB_OK);
    (void)close(p[1]);
}

static int make_archives(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/hob-unpack-XXXXXX");
    assert_non_null(mkdtemp(folder));
    pid_t pid = fork();
    if (pid == 0) {
        (void)execl("/usr/bin/python3", "python3", "tests/unit/runner/archives.py", folder, (char *)NULL);
        _exit(126);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    return 0;
}

static int remove_archives(void **state)
{
    (void)state;
    struct hob_err err;
    assert_ok(hob_remove_tree(folder, &err));
    return 0;
}

int main(void)
{
    (void)alarm(280);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)setlocale(LC_CTYPE, "C.UTF-8");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tar_targz_and_zip_give_the_same_files),
        cmocka_unit_test(an_archive_from_a_pipe_is_read_too),
        cmocka_unit_test(paths_with_tricks_are_refused_by_name),
        cmocka_unit_test(links_devices_and_pipes_are_refused_by_name),
        cmocka_unit_test(a_path_is_one_thing_only),
        cmocka_unit_test(limits_hold_to_the_byte),
        cmocka_unit_test(bombs_and_lies_are_found),
        cmocka_unit_test(damaged_and_foreign_input_is_told_apart),
        cmocka_unit_test(any_cut_and_any_flipped_byte_gives_a_whole_stream),
        cmocka_unit_test(a_reader_that_goes_away_ends_it),
    };
    return cmocka_run_group_tests(tests, make_archives, remove_archives);
}
