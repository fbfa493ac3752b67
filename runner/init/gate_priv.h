/* Inside the gate only: gate.c has the connections, gate_call.c what a request becomes. */
#pragma once

#include "runner/init/gate.h"
#include "runner/init/proxy_priv.h"

enum {
    GATE_CONNS_MAX = 128,
    GATE_CONNS_MIN = 8,
    GATE_CALLS_MAX = 32,           /* under way; hobd allows 64 without an invocation */
    GATE_CALL_BYTES_MAX = 3 << 20, /* of them all; hobd allows 4 MiB */
    GATE_BODIES_BYTES_MAX =
        8 << 20, /* of requests that are not whole, or wait; beyond, bodies are not read yet */
    GATE_OUT_BYTES_MAX = 24 << 20, /* of answers that the program does not take */
};

/*   READING -> WAITING (for its turn) -> ASKED (a CALL is out) -> ANSWERING -> READING ...
 *   A request that is refused goes to ANSWERING, and when it could not be read to its end from there to PARTING: what
 *   still comes is thrown away, so that the answer is not lost by a reset. */
enum gate_state { GATE_READING, GATE_WAITING, GATE_ASKED, GATE_ANSWERING, GATE_PARTING };

struct gate_conn {
    struct source source;
    struct hob_node node;    /* in conns, or in graves */
    struct hob_node waiting; /* in gate.waiting */
    enum gate_state state;
    struct answer request;
    struct hob_buf in, body, out;
    uint32_t parent;   /* of the request that is whole: the invocation it acts for; 0: nobody */
    uint64_t since_ms; /* it was let in, or answered */
    uint64_t due_ms;   /* it must have got on by then; UINT64_MAX: it may take its time */
    bool is_last, has_end /* of input */, has_continued, is_held;
    size_t reserved_n; /* for the body; a body is read only when it has room */
    size_t parted_n;
};

struct gate_call {
    uint32_t stream;        /* 0: free */
    struct gate_conn *conn; /* NULL: nobody waits for its answer any more */
    size_t bytes;
    size_t skip_n; /* of the REPLY's meta that is still to come */
    bool has_begun;
};

struct gate {
    struct proxy *p;
    struct source listener;
    struct hob_list conns, waiting, graves;
    unsigned held_n; /* whose body waits for room */
    struct gate_call calls[GATE_CALLS_MAX];
    unsigned conns_max, conns_n, calls_n;
    size_t calls_bytes, bodies_bytes, out_bytes;
    uint32_t call_last;
    uint64_t again_ms; /* when to accept again; UINT64_MAX: it does */
};

/* gate.c */
/* The answer goes out, as far as it can; the connection may be gone behind it. */
void gate_conn_write(struct gate *g, struct gate_conn *c);
void gate_conn_close(struct gate *g, struct gate_conn *c);
/* The room of its body is free again. */
void gate_release(struct gate *g, struct gate_conn *c);
/* Bodies that waited for room are read, as far as there is some now. */
void gate_resume(struct gate *g);
/* An answer of our own, in the protocol's words. `is_last`: the connection ends with it. */
struct gate_problem {
    unsigned status;
    int code;              /* the Parse protocol's */
    struct hob_str reason; /* n == 0: none */
    struct hob_str message;
    bool is_last;
};
void gate_refuse(struct gate *g, struct gate_conn *c, const struct gate_problem *why);
/* More of an answer. False when the connection was closed, because too much lies here that nobody takes. */
HOB_MUST_USE bool gate_add(struct gate *g, struct gate_conn *c, struct hob_str bytes);

/* gate_call.c */
/* Finds for whom the whole request is made; false: it was refused. */
HOB_MUST_USE bool gate_judge(struct gate *g, struct gate_conn *c);
