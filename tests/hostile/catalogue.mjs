// The catalogue: every attack with what is expected of it. `id` is the attack's number in docs/security.md.
//   fn       attacker: /NAME of main.c, 30 s; short: the same, 1.2 s; raw: /NAME of frames.c, 1.5 s
//   leaves   how the processes that it leaves are named: they were seen, and afterwards none is there
//   expect   clean: it answers, and found no hole; with a function, that judges its "name=value" facts, too
//            ends: the call fails with one of these reasons
//            one: exactly one answer, with one of these statuses (or a broken-off one), and the connection stays in step
const EAGAIN = 11, EMFILE = 24, ENOSPC = 28, ENOENT = 2;
const clean = (facts) => ({ kind: "clean", facts });
const ends = (...reasons) => ({ kind: "ends", reasons });
const one = (...statuses) => ({ kind: "one", statuses });

const between = (facts, name, least, most) => {
  const n = Number(facts[name]);
  if (!(n >= least && n <= most)) return `${name} is ${facts[name]}, expected ${least} to ${most}`;
};
const all = (...complaints) => complaints.filter(Boolean).join("; ");
const MIB = 1 << 20;

export const escapes = [
  { id: "H05", attack: "snoop", title: "reading and writing /proc, /sys, /dev and the host's folders", expect: clean() },
  { id: "H06", attack: "mounts", title: "the mount calls, old and new", expect: clean() },
  { id: "H06", attack: "tracing", title: "ptrace, process_vm, pidfd_getfd, kcmp", expect: clean() },
  { id: "H06", attack: "keyrings", title: "kernel keyrings", expect: clean() },
  { id: "H06", attack: "kernel-calls", title: "calls that no function needs: bpf, perf, io_uring, modules, time, System V", expect: clean() },
  { id: "H06", attack: "x32", title: "every system call by its x32 number", expect: clean() },
  { id: "H06", attack: "i386", title: "a 32-bit system call", expect: ends("function_crashed") },
  { id: "H07", attack: "sockets", title: "5,520 socket families, types and protocols", expect: clean() },
  { id: "H08", attack: "outside", title: "abstract sockets, loopback, metadata and private addresses outside", expect: clean() },
  { id: "H09", attack: "others", title: "signals, limits and priorities of 65,536 processes and 2,000 uids", expect: clean((f) => between(f, "processes", 1, 400)) },
  { id: "H18", attack: "descriptors-flood", title: "10,000 descriptors sent to hobd over the channel", expect: clean((f) => between(f, "sent", 1, 50)) },
  { id: "H21", attack: "namespaces", title: "new namespaces by unshare, clone, clone3, setns", expect: clean() },
  { id: "H23", attack: "privileges", title: "capabilities, limits, priorities, set-uid; its own posture", expect: clean() },
  { id: "H20", attack: "caches", title: "which pages of shared files others have read", expect: clean() },
  { id: "H31", attack: "cgroup", title: "the cgroup file system and release_agent", expect: clean() },
];

export const abuses = [
  { id: "H01", attack: "forks", title: "forks until it may not", expect: clean((f) => all(between(f, "made", 100, 256), between(f, "errno", EAGAIN, EAGAIN))) },
  { id: "H01", attack: "threads", title: "threads until it may not", replaced: true, expect: clean((f) => between(f, "made", 100, 256)) },
  { id: "H01", attack: "fork-bomb", fn: "short", leaves: "bomb", title: "a fork bomb that never ends", expect: ends("function_timeout", "function_crashed", "out_of_memory") },
  { id: "H02", attack: "memory", title: "memory without end", expect: ends("out_of_memory") },
  { id: "H02", attack: "memory?child", title: "memory without end in a child", expect: ends("out_of_memory") },
  { id: "H26", attack: "memfd", title: "memory in files that have no name", expect: ends("out_of_memory") },
  { id: "H03", attack: "descriptors", title: "descriptors until it may not", expect: clean((f) => all(between(f, "made", 100, 1024), between(f, "errno", EMFILE, EMFILE))) },
  { id: "H04", attack: "disk", title: "fills every writable folder", expect: clean((f) => all(between(f, "bytes", MIB, 64 * MIB), between(f, "errno", ENOSPC, ENOSPC), between(f, "sparse", 0, 0))) },
  { id: "H04", attack: "inodes", title: "makes files until it may not", expect: clean((f) => all(between(f, "made", 1000, 16384), between(f, "errno", ENOSPC, ENOSPC))) },
  { id: "H16", attack: "log-flood", title: "8 MiB of log with forged lines", expect: clean((f) => between(f, "flooded", 1, 1)) },
  { id: "H14", attack: "cpu", fn: "short", title: "six threads that compute for ever", expect: ends("function_timeout") },
  { id: "H27", attack: "kernel-memory", title: "pipes, sockets, inotify, timers, locks, epoll, maps", expect: ends("function_crashed", "out_of_memory") },
  { id: "H13", attack: "immortal", fn: "short", leaves: "daemon", title: "ignores every signal, and its daemon forks for ever", expect: ends("function_timeout") },
];

const broken = [200, 502, 504];
// H24: two answers, or one in another's name; H25: the platform's side of the contract flooded or out of turn; else H15
const H24 = ["two-heads", "two-ends", "two-dones", "foreign-stream", "error-after-head", "late-answer", "next-answer", "done-only"];
const H25 = ["credit-flood", "ping-flood", "calls", "drain", "log-frames", "hello", "ready-again", "overrun", "overrun-head-first", "drip", "never-reads"];
export const frames = [
  ...["good", "optional-type", "hop-by-hop"].map((attack) => ({ attack, expect: one(200) })),
  ...["done-only", "data-first", "unknown-type", "type-zero", "their-type", "hello", "ready-again", "bad-flags", "fd-flag",
    "meta-lies", "pairs-lie", "length-lies", "short-frame", "half-header", "random", "stream-zero", "even-stream", "huge-stream",
    "overrun", "status-0", "status-99", "status-1000", "status-65535", "crlf-value", "crlf-name", "nul-value", "empty-name",
    "space-name", "pseudo-name", "giant-header", "endless-headers", "error-after-head", "exit-after-head", "smuggle-two-lengths"]
    .map((attack) => ({ attack, expect: one(502) })),
  ...["two-heads", "two-ends", "two-dones", "foreign-stream", "credit-flood", "ping-flood", "calls", "drain", "log-frames",
    "overrun-head-first", "status-101", "status-204-body", "status-304-body", "smuggle-length", "smuggle-chunked",
    "drip", "never-reads", "late-answer", "next-answer"].map((attack) => ({ attack, expect: one(...broken, 101, 204, 304) })),
].map((row) => ({ id: H24.includes(row.attack) ? "H24" : H25.includes(row.attack) ? "H25" : "H15", fn: "raw", title: `frames: ${row.attack}`, ...row }));

export { ENOENT };
