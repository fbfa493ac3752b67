/* The runtimes of this tree in real sandboxes, under the real hob-init: what their rootfs files list is enough. */
#include "client.h"

static struct fixture f;
static int sock;

static int setup(void **state)
{
    (void)state;
    fixture_make(&f, BUILD_DIR "/bin/hob-init");
    assert_non_null(getcwd(f.runtimes, sizeof f.runtimes - 16));
    (void)snprintf(f.runtimes + strlen(f.runtimes), 16, "/runtimes");
    fixture_start(&f);
    sock = dial(&f);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    (void)close(sock);
    assert_int_equal(fixture_stop(&f), 0);
    assert_int_equal(cgroups_left(&f), 0);
    fixture_remove(&f);
    return 0;
}

/* Runs argv in `runtime` and wants `output` and success. */
static void expect(const char *runtime, const char *const *argv, const char *output)
{
    static uint64_t next_id = 1;
    static char text[8192], errors[8192];
    if (access(argv[0], X_OK) < 0) {
        print_message("SKIPPED: %s is not installed\n", argv[0]);
        return;
    }
    struct hob_launch_request head = plain_request(next_id++);
    (void)snprintf(head.runtime, sizeof head.runtime, "%s", runtime);
    head.memory_mb = 256;
    head.nofile_max = 1024;
    head.tmp_inodes = 16384;
    head.tmp_bytes = 64 << 20;
    head.pids_max = 64;
    head.envc = 0;
    for (head.argc = 0; argv[head.argc]; head.argc++)
        ;
    uint64_t start_us = hob_now_us();
    struct instance in = launch_send(sock, &head, argv);
    struct hob_launch_reply reply = next_reply(sock, &in.pidfd);
    if (reply.answer != HOB_LAUNCH_LAUNCHED)
        print_error("%s\n", reply.text);
    assert_int_equal(reply.answer, HOB_LAUNCH_LAUNCHED);
    *denied_names = '\0';
    (void)read_all(in.out, text, sizeof text);
    uint64_t took_us = hob_now_us() - start_us;
    (void)read_all(in.err, errors, sizeof errors);
    reply = next_reply(sock, NULL);
    print_message("%s: %llu us to the end of its output, %llu KiB at most\n", runtime,
                  (unsigned long long)took_us, (unsigned long long)(reply.usage.memory_peak_bytes / 1024));
    print_message("%s is denied: %s\n", runtime, denied_names);
    if (reply.wait_status != 0)
        print_error("%s", errors);
    assert_string_equal(text, output);
    assert_int_equal(reply.wait_status, 0);
    instance_done(&in);
}

static void node_runs_with_modules_crypto_threads_and_children(void **state)
{
    (void)state;
    static const char script[] =
        "const fs=require('fs'),os=require('os'),cp=require('child_process'),crypto=require('crypto'),"
        "{Worker}=require('worker_threads');"
        "fs.writeFileSync('/tmp/a','x');const h=crypto.createHash('sha256').update('x').digest('hex').slice(0,4);"
        "const child=cp.execFileSync(process.execPath,['-p','40+2']).toString().trim();"
        "new Worker('require(\"worker_threads\").parentPort.postMessage(7)',{eval:true}).on('message',m=>{"
        "console.log(fs.readFileSync('/app/marker','utf8'),h,child,m,os.homedir());"
        "fetch('http://127.0.0.1:8099/').catch(e=>console.log(['EACCES','ECONNREFUSED'].includes(e.cause.code)))});";
    /* EACCES by Landlock; on kernels without its network rules nobody listens there */
    expect("node", WORDS("/usr/bin/node", "--max-old-space-size=192", "-e", script),
           "code 2d71 42 7 /tmp\ntrue\n");
}

static void python_runs_with_its_library(void **state)
{
    (void)state;
    static const char script[] =
        "import json,ssl,sqlite3,hashlib,asyncio,tempfile,subprocess,sys,multiprocessing as m,os\n"
        "q=m.SimpleQueue();p=m.Process(target=lambda:q.put(5));p.start();v=q.get();p.join()\n"
        "o=subprocess.run([sys.executable,'-c','print(6*7)'],capture_output=True,text=True).stdout.strip()\n"
        "t=tempfile.NamedTemporaryFile();c=sqlite3.connect('/tmp/d');c.execute('create table t(a)')\n"
        "print(json.dumps({'a':1}),v,o,open('/app/marker').read(),asyncio.run(asyncio.sleep(0,9)))\n";
    expect("python", WORDS("/usr/bin/python3", "-I", "-c", script), "{\"a\": 1} 5 42 code 9\n");
}

static void php_runs(void **state)
{
    (void)state;
    expect("php",
           WORDS("/usr/bin/php", "-n", "-r",
                 "echo json_encode([1,2]), file_get_contents('/app/marker'), \"\\n\";"),
           "[1,2]code\n");
}

static void a_missing_program_is_told_by_init(void **state)
{
    (void)state;
    char errors[512];
    struct hob_launch_request head = plain_request(99);
    (void)snprintf(head.runtime, sizeof head.runtime, "c");
    const char *strings[] = {"/app/missing", "x", "A=b"};
    struct instance in = launch_send(sock, &head, strings);
    assert_int_equal(next_reply(sock, &in.pidfd).answer, HOB_LAUNCH_LAUNCHED);
    assert_int_equal(WEXITSTATUS(next_reply(sock, NULL).wait_status), 127);
    (void)read_all(in.err, errors, sizeof errors);
    assert_has(errors, "cannot start '/app/missing'");
    instance_done(&in);
}

int main(void)
{
    if (geteuid() != 0) {
        print_message("SKIPPED: sandboxes are tested as root\n");
        return 0;
    }
    (void)alarm(WATCHDOG_S);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(node_runs_with_modules_crypto_threads_and_children),
        cmocka_unit_test(python_runs_with_its_library),
        cmocka_unit_test(php_runs),
        cmocka_unit_test(a_missing_program_is_told_by_init),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
