/* The launcher's protocol: what hob-runner may ask of hob-launcher, the only privileged process.
 *
 * Transport: SOCK_SEQPACKET (base/fdmsg.h) at HOME/run/launcher.sock; the launcher serves only the uid it was told
 * at start. One message = one fixed struct, for LAUNCH followed by `strings_n` bytes. There are no paths on the
 * wire: code is named by digest, a runtime by name; the launcher resolves both under its own configured roots.
 *
 * LAUNCH    descriptors: [0] the instance's end of the channel (becomes 3), [1] stdout, [2] stderr, [3] optional
 *           stdin (else /dev/null). Reply: LAUNCHED, with a pidfd of the sandbox's pid 1, or FAILED. LAUNCHED's, and
 *           ASSIGN's, `text` is the account of the walls now in force, one "name: what" each line.
 *           With the flag EGRESS connect() of the instance is answered by the runner: LAUNCHED brings two more
 *           descriptors, the listener of its filter (seccomp_unotify(2)) and the UDP socket at 127.0.0.53:53 of its network.
 *           With the flag PROFILE only the system calls of `calls` are allowed, of those that a sandbox may make at all.
 *           With the flag LEARN, which stands alone or with EGRESS, each allowed call is told by USED when it is first made.
 * FREEZE, THAW, STATS: reply DONE (STATS fills the usage) or FAILED.
 *           With the flag STEM no digest: the program starts before it is known for whom. Nothing else differs.
 *           With the flag ZYGOTE the program gets a control socket of the launcher's as stdin (no descriptor [3]), by which it
 *           is asked to fork; see FORK and sandbox/fork/forks.h. Neither with EGRESS nor with LEARN.
 * FORK      descriptors [0] to [2] as of LAUNCH. The zygote `of`, which has its code, forks; the new process enters groups
 *           of its own with memory_mb, cpu_percent, cpu_weight, pids_max. No other field is read. From there on it is a
 *           sandbox like any other to FREEZE, THAW, STATS, STOP and EXITED. Reply, when it is in them: LAUNCHED with a pidfd
 *           of its first process, or FAILED. Its zygote's end is its end.
 * ASSIGN    puts `digest` at a stem's /app, makes it `app`'s and sets memory_mb, cpu_percent, cpu_weight, pids_max;
 *           once. No other field is read. Reply DONE or FAILED; after FAILED the stem may only be stopped.
 * STOP      SIGTERM now, everything in it killed after grace_ms (0: at once). Reply DONE; EXITED follows.
 * PROBE     reply PROBED: `text` says line by line what this machine offers ("cgroup=v1 memory,cpu,pids").
 * DENIED    comes by itself: `text` names a system call that the sandbox tried and was denied, `nth` counts those of
 *           that name; with is_last set the further ones are not told.
 * USED      comes by itself: `text` names a system call that the sandbox made, once each.
 * CONNECT   comes by itself, with a duplicate of the caller's socket: `call` is the notification's id, `text` begins with
 *           the address_n bytes of address that connect() was given. The runner answers by the listener.
 * EXITED    comes by itself, once, after the sandbox's last process is gone: wait status, counters, usage.
 * When the connection closes, every sandbox launched over it is killed and removed. */
#pragma once

#include "base/compiler.h"
#include "base/rules/syscalls.h"

enum { HOB_LAUNCH_MAGIC = 0x484f4231, HOB_LAUNCH_STRINGS_MAX = 96 * 1024 };

enum hob_launch_op {
    HOB_LAUNCH_LAUNCH = 1,
    HOB_LAUNCH_FREEZE = 2,
    HOB_LAUNCH_THAW = 3,
    HOB_LAUNCH_STOP = 4,
    HOB_LAUNCH_STATS = 5,
    HOB_LAUNCH_PROBE = 6,
    HOB_LAUNCH_ASSIGN = 7,
    HOB_LAUNCH_FORK = 8,
};
enum hob_launch_flag {
    HOB_LAUNCH_STEM = 1,
    HOB_LAUNCH_EGRESS = 2,
    HOB_LAUNCH_PROFILE = 4,
    HOB_LAUNCH_LEARN = 8,
    HOB_LAUNCH_ZYGOTE = 16,
};
enum hob_launch_answer {
    HOB_LAUNCH_LAUNCHED = 101,
    HOB_LAUNCH_DONE = 102,
    HOB_LAUNCH_FAILED = 103,
    HOB_LAUNCH_EXITED = 104,
    HOB_LAUNCH_PROBED = 105,
    HOB_LAUNCH_DENIED = 106,
    HOB_LAUNCH_CONNECT = 107,
    HOB_LAUNCH_USED = 108,
};

struct hob_launch_request {
    uint32_t magic, op;
    uint64_t id; /* chosen by the runner, unique for the life of the connection */
    /* STOP */
    uint32_t grace_ms;
    /* LAUNCH */
    uint32_t memory_mb;   /* 4 to 65536; hard limit, swap included */
    uint32_t cpu_percent; /* ceiling, 100 = one core; 0: none */
    uint32_t cpu_weight;  /* share under contention, 1 to 10000, 100 usual */
    uint32_t pids_max;    /* processes and threads */
    uint32_t nofile_max;
    uint32_t tmp_inodes;
    uint32_t flags;     /* enum hob_launch_flag */
    uint64_t tmp_bytes; /* of /tmp and /dev/shm together */
    uint64_t fsize_bytes;
    char runtime[32]; /* a folder of the runtimes' root, [a-z0-9-] */
    char digest
        [65]; /* 64 hexadecimal digits: a folder of the code root, mounted read-only at /app; "" for none */
    char app
        [65]; /* whose it is; "" for nobody's. Never a path, only compared: what one instance of an app leaves
                        (an empty network namespace) may serve the next of the same app with the same digest */
    char pad[6];
    uint32_t argc, envc;
    uint32_t strings_n; /* argc + envc NUL-ended strings, back to back */
    uint32_t reserved;
    struct hob_syscalls calls; /* PROFILE */
    uint64_t of;               /* FORK: id of the zygote, on the same connection */
};

struct hob_launch_usage {
    uint64_t cpu_us, memory_bytes, memory_peak_bytes;
    uint32_t oom_kills, pids_denied; /* times the limit was met */
    uint32_t pids, reserved;
};

struct hob_launch_reply {
    uint32_t magic, answer;
    uint64_t id;
    int32_t wait_status; /* EXITED: as of waitpid */
    int32_t errnum;      /* FAILED */
    struct hob_launch_usage usage;
    uint32_t nth, is_last; /* DENIED */
    uint64_t call;         /* CONNECT */
    uint32_t address_n;
    int32_t fd;      /* CONNECT: the descriptor that connect() was given */
    char text[1024]; /* FAILED: what, why and what would be right; PROBED: the report; LAUNCHED: the walls */
};
