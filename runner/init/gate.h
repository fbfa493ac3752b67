/* The bindings' door in an instance of kind `http`: HTTP/1.1 on a loopback port of the instance's own network, told to the
 * program by HOB_BINDINGS_URL. Each request becomes one CALL ("http.request", docs/channel.md) of the invocation whose
 * token it shows, or of nobody; REPLY is the whole answer as hobd wrote it. Nothing is decided here but who asks.
 *
 * The program is a stranger: requests are read as strictly as its answers are (http_answer.h), connections, bodies,
 * answers and calls under way are bounded in number and bytes, and who dawdles is let go. One thread, the proxy's. */
#pragma once

#include "base/frame.h"

struct gate;
struct proxy;

/* Listens at once. NULL and errno when the port is taken or may not be. */
HOB_MUST_USE struct gate *gate_new(struct proxy *p, uint16_t port);
/* A REPLY of hobd. */
void gate_reply(struct gate *g, const struct hob_frame *f, struct hob_str payload);
/* Sends calls that wait, as far as there is room. */
void gate_ask(struct gate *g);
void gate_tick(struct gate *g, uint64_t now_ms);
uint64_t gate_wake_ms(const struct gate *g); /* UINT64_MAX: nothing is due */
