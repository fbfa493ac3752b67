/* The link: what hobd and a node's hob-runner say to each other. The runner dials in.
 *
 * Transport: SOCK_SEQPACKET at HOME/run/runner.sock on the same machine (base/fdmsg.h); the messages are
 * transport-neutral, so that a TLS stream can carry them length-prefixed. One message = u32 type, then a pairs block
 * (base/pairs.h). Numbers are decimal text. Unknown names are ignored; unknown types are refused by closing.
 *
 *  type (direction)          pairs                                                         descriptors
 *  HELLO       runner->hobd  protocol=1 node version engines rootless(0|1) probe(text)
 *  WELCOME     hobd->runner  protocol=1
 *  START       hobd->runner  instance engine=sandbox|docker app function version runtime   [stdin], optional
 *                            digest image(engine docker: an image in the runtime's place)
 *                            arg (repeated: argv) env.NAME memory_mb cpu_percent
 *                            cpu_weight pids_max nofile_max tmp_bytes tmp_inodes
 *                            fsize_bytes log_lines(0: stdout and stderr are not wanted)
 *                            egress (repeated: HOST:PORT, base/rules/egress.h)
 *                            syscall (repeated: NAME, base/rules/syscalls.h: only these) learn(0|1)
 *                            pool_max(sandboxes of this kind to keep ready, at most; 0)
 *                            forks_max(may be one of so many forks in one sandbox of its version; 0: has its own)
 *  STARTED     runner->hobd  instance pid launch_us pool(hit: was started ahead; miss: none  hobd's end of the channel
 *                            was ready; none: kinds like it are not kept)
 *  FAILED      runner->hobd  instance code(enum hob_code) reason message   a START that came to nothing; final
 *  FREEZE THAW hobd->runner  instance                         answered by STATE or ignored when it is gone
 *  STATE       runner->hobd  instance state(frozen|running)
 *  STOP        hobd->runner  instance grace_ms
 *  EXITED      runner->hobd  instance exit_code(-1 when signalled) signal(0) oom(0|1) cpu_us memory_peak
 *                            pids_denied message              exactly once for every STARTED, after its last LOG
 *  LOG         runner->hobd  instance stream(stdout|stderr) text dropped(lines lost before this one)
 *  STATS       hobd->runner  instance          and back: cpu_us memory_bytes memory_peak pids
 *  DOCTOR      hobd->runner  (none)            and back: repeated check="ok|warn|fail name: text"
 *  WALLS       runner->hobd  instance text        behind STARTED: the account of its isolation, "name: what" lines
 *  DENIED      runner->hobd  instance call nth(of that name) last(0|1)     a system call that was denied
 *  USED        runner->hobd  instance call        of one started with learn=1: a system call that it made, once each
 *  NOTE        runner->hobd  instance text        a line for the function's log: what was refused to it, and why
 *  ENGINE      hobd->runner  ask(number) verb(ls|test|build|image|dockerfile|gc) name    a question about an engine of the node
 *                            pull(missing|always|never) auth(image: X-Registry-Auth)
 *                            digest app(dockerfile: name is its path in that code)
 *                            keep dry(0|1)(gc: images that are needed, runner/docker/marks.h; only say which are not)
 *              runner->hobd  ask progress(text for people)                   on the way, perhaps
 *              runner->hobd  ask code(enum hob_code; 0: fine) reason message json         its answer, exactly one
 * When the link closes, the runner stops every instance that was started over it. */
#pragma once

#include "base/pairs.h"

enum hob_link_type {
    HOB_LINK_HELLO = 1,
    HOB_LINK_WELCOME = 2,
    HOB_LINK_START = 3,
    HOB_LINK_STARTED = 4,
    HOB_LINK_FAILED = 5,
    HOB_LINK_FREEZE = 6,
    HOB_LINK_THAW = 7,
    HOB_LINK_STATE = 8,
    HOB_LINK_STOP = 9,
    HOB_LINK_EXITED = 10,
    HOB_LINK_LOG = 11,
    HOB_LINK_STATS = 12,
    HOB_LINK_DOCTOR = 13,
    HOB_LINK_WALLS = 14,
    HOB_LINK_DENIED = 15,
    HOB_LINK_NOTE = 16,
    HOB_LINK_USED = 17,
    HOB_LINK_ENGINE = 20,
};

enum { HOB_LINK_PROTOCOL = 1, HOB_LINK_PAIRS_MAX = 4096 };

/* Splits a message; false when it is malformed. Everything is borrowed. */
HOB_MUST_USE bool hob_link_parse(struct hob_str msg, uint32_t *ret_type, struct hob_pairs *ret_pairs);
/* Starts a message in an empty buffer; continue with hob_pairs_add and end with hob_pairs_end. */
void hob_link_start(struct hob_pairs_writer *w, struct hob_buf *out, uint32_t type);
