/* Stems: instances started ahead, complete and locked in, but without code; who they are for is said by ASSIGN when a
 * START comes that differs from them in nothing but code and limits of memory, CPU and processes.
 *
 *   shelf     stems of one kind: runtime, argv, environment and the limits that stay. Kinds are learned from START
 *   stem      LAUNCHING -> WARMING (a PING is out: the adapter loads what every tenant needs, then answers)
 *             -> READY -> taken, once; or DYING from anywhere
 *   how many  a shelf begins with 2, doubles on a miss up to the runtime's pool_max, and gains one a second while nothing
 *             boots, half of the memory is available and all shelves together want less than one for each 512 MiB of
 *             the machine. Above that it gives one back for each minute without a miss. It is gone after ten
 *             minutes without a START. Two boot at a time, with little CPU weight, after a random pause. When the
 *             machine is short of memory all go, and none is made for a while
 *
 * Lives on the loop's thread, owned by the agent; borrows the engine. */
#pragma once

#include "runner/instance_spec.h"
#include "runner/streams.h"

struct stems;
enum stems_answer { STEMS_NONE /* kinds like it are not kept */, STEMS_MISS, STEMS_HIT };

/* `stems_max` over all shelves; 0: never any. */
struct stems *stems_new(uv_loop_t *loop, struct engine *engine, unsigned stems_max);
/* A stem for `spec`, learning that such are wanted. HIT: the caller owns run and streams (our ends), and assigns. */
enum stems_answer stems_take(struct stems *s, const struct instance_spec *spec, struct engine_run **ret_run,
                             struct streams *ret_streams);
/* How many there are, those that boot included. */
unsigned stems_count(const struct stems *s);
/* "pool: ..." for people, with counters. */
void stems_describe(const struct stems *s, char *text, size_t text_bytes);
/* Forgets all of them: the engine is about to be closed and ends them. */
void stems_close(struct stems *s);
