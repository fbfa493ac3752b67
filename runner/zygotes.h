/* Zygotes: of a version whose instances may share a sandbox (hob.json: isolation "version"), one sandbox with a process
 * that has loaded what every instance needs, but nothing of the version's own; each instance is a fork of it, with its own
 * channel, pipes, groups and limits (base/launch.h: FORK).
 *
 *   zygote     started, or taken from the stems, when the first instance of its version is wanted; asked to fork at once,
 *              for the launcher and the zygote take things in order. It is left for another after FORKS_MADE_MAX forks, so
 *              that what instances leave in /tmp does not stay for ever; stopped when it has had none for KEEP_MS
 *   when it    ends, the launcher ends its forks, and each of them is told like any other instance's end. One that ended
 *              soon after its start is not tried again for a while: its instances are then started alone
 *
 * One zygote serves one app, function and version, never two. Lives on the loop's thread, owned by the agent; borrows
 * engine and stems. */
#pragma once

#include "runner/instance_spec.h"
#include "runner/stems.h"

struct zygote;
struct zygotes;

struct zygotes *zygotes_new(uv_loop_t *loop, struct engine *engine, struct stems *stems);
/* A fork as a run of the engine (takes the descriptors of spec->engine), and in *ret_zygote what it must leave once, after
 * its end. NULL: none can be made now, nothing was taken. */
struct engine_run *zygotes_fork(struct zygotes *z, const struct instance_spec *spec,
                                const struct engine_listener *l, void *ctx, struct zygote **ret_zygote);
void zygote_leave(struct zygote *z);
/* It hangs: nobody is forked from it any more. Its forks go on. */
void zygote_shun(struct zygote *z);
unsigned zygotes_count(const struct zygotes *z);
/* "zygotes: ..." for people, with counters. */
void zygotes_describe(const struct zygotes *z, char *text, size_t text_bytes);
/* Forgets all of them, behind the last zygote_leave: the engine is about to be closed and ends them. */
void zygotes_close(struct zygotes *z);
