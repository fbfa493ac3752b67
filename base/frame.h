/* The channel between hobd and one instance: frames over a stream socket (descriptor 3 in the instance).
 * This header is the wire format; docs/channel.md is its prose. Little-endian throughout.
 *
 * Header, 16 bytes:
 *   0 u32 len      payload bytes behind the header: <= 65,536; INVOKE, REPLY, HEAD, ERROR, HELLO, READY,
 *                  INIT_ERROR and CALL <= 1 MiB
 *   4 u8  type     enum hob_frame_type
 *   5 u8  flags    HOB_FRAME_END 1, HOB_FRAME_META 2 (payload = u32 meta_n, meta, data), HOB_FRAME_FD 4,
 *                  HOB_FRAME_TRUNCATED 8
 *   6 u16 code     cancel reason, log level or binding operation
 *   8 u32 stream   0 the connection; odd: invocations, opened by hobd; even: calls, opened by the instance
 *  12 u32 arg      credit bytes, milliseconds, sequence or parent stream
 *
 * Order of a life:
 *   hobd -> HELLO (stream 0; payload = pairs: the configuration, see below)
 *   inst -> READY (pairs) | INIT_ERROR (pairs errorType, errorMessage, stackTrace)
 *   hobd -> INVOKE, BODY*                    inst -> HEAD? DATA* with END on the last, or ERROR; then DONE
 *   hobd -> CANCEL (code)                    inst -> still owes DONE, within 1 s
 *   inst -> LOG at any time (code = level, arg = invocation stream or 0, payload = text)
 *   hobd -> DRAIN (arg = grace ms): no more INVOKE will come; inst finishes, sends BYE and exits 0
 *   hobd -> RECONFIG (as HELLO; with no invocation open, to servers with a config hook): READY or INIT_ERROR once more
 *   PING (either way) is answered by PONG with the same arg.
 *
 * HELLO pairs: "protocol" = 1, "app", "function", "version", "instance", "runtime", "entry", "handler", "kind", "bindings" (when there are some),
 *   "concurrency", "memory_mb", "timeout_ms", "env.NAME" (variables to set), "secret.NAME" (never to be put into
 *   the process environment unless "secrets_in_env" = 1), "hook.config", "hook.start", "hook.stop", "hook.health" (paths
 *   of a server, which hob-init asks).
 * READY pairs: "protocol" = 1, "kind" (fetch | lambda | raw | http), "concurrency" (1 to 1000, what it can really take).
 *
 * INVOKE: flags META; END when the whole body is in it. arg = milliseconds this run may take.
 *   meta = 40 bytes, then the strings back to back:
 *     0 u8  kind           1 http, 2 event
 *     1 u8  layout         1
 *     2 u16 method_n
 *     4 u32 target_n       path and query as the function shall see them
 *     8 u64 deadline_ms    UTC, milliseconds since 1970
 *    16 u16 request_id_n
 *    18 u16 route_n        unused: 0
 *    20 u32 fields_n       bytes of the header-field block (counted pairs; names lower-case, in order, may repeat)
 *    24 u32 extras_n       bytes of the extras block (counted pairs: "scheme", "remote", "trace", "base_path",
 *                          "param.NAME", "qualifier", ...)
 *    28 u64 body_n         the body's length, or UINT64_MAX when it is not known yet
 *    36 u32 reserved       0
 *     then method, target, request id, fields, extras
 *   data = the first <= 16 KiB of the body (free of credit). For kind 2 the body is the event.
 * An INVOKE whose extras have "upgrade" (a protocol) may be answered by HEAD 101: then DATA and BODY carry raw bytes, each
 *   direction with an END of its own, although INVOKE had one; DONE comes behind both.
 * BODY: data; END with the last one (may be empty). When the last BODY has META, its meta is a pairs block of
 *   trailers.
 * HEAD: flags META; meta = u16 status, u16 reserved 0, then a pairs block of header fields;
 *   data = first body bytes (<= 65,536, counted against credit like DATA); END when that is the whole answer.
 * DATA: body bytes; END with the last one (may be empty). META on the last: a pairs block of trailers.
 * ERROR: pairs errorType, errorMessage, stackTrace. Ends the answer, like END.
 * DONE: the slot is free (every waitUntil settled). Exactly one per INVOKE, always last.
 * CALL: payload = JSON {"op","args"}, with META: that as meta, bytes as data; arg = the parent invocation; answered by
 *   REPLY (one or several, END on the last) on its stream: JSON, with META JSON and bytes; code 1: pairs of the error.
 *
 * Credit: DATA, HEAD's data and BODY count against 64 KiB per stream and 1 MiB per connection in each direction;
 * the receiver renews with CREDIT (stream n, and stream 0 for the connection; arg = bytes) when half is used.
 * The first <= 16 KiB in INVOKE are free. A sender that overruns commits a protocol violation. */
#pragma once

#include "base/buf.h"

enum { HOB_FRAME_HEADER_BYTES = 16 };
enum { HOB_INVOKE_META_BYTES = 40 };
enum { HOB_CHANNEL_PROTOCOL = 1 };

enum hob_frame_type {
    HOB_FRAME_HELLO = 1,
    HOB_FRAME_CREDIT = 2,
    HOB_FRAME_PING = 3,
    HOB_FRAME_PONG = 4,
    HOB_FRAME_BYE = 5,
    /* hobd to instance */
    HOB_FRAME_INVOKE = 16,
    HOB_FRAME_BODY = 17,
    HOB_FRAME_CANCEL = 18,
    HOB_FRAME_DRAIN = 19,
    HOB_FRAME_REPLY = 20,
    HOB_FRAME_RECONFIG = 21,
    HOB_FRAME_UPGRADED = 22,
    /* instance to hobd */
    HOB_FRAME_READY = 32,
    HOB_FRAME_INIT_ERROR = 33,
    HOB_FRAME_HEAD = 34,
    HOB_FRAME_DATA = 35,
    HOB_FRAME_ERROR = 36,
    HOB_FRAME_DONE = 37,
    HOB_FRAME_CALL = 38,
    HOB_FRAME_LOG = 39,
    HOB_FRAME_METRIC = 40,
    /* types from here on are skipped when unknown; unknown ones below are a violation */
    HOB_FRAME_OPTIONAL_FIRST = 128,
};

enum hob_frame_flags { HOB_FRAME_END = 1, HOB_FRAME_META = 2, HOB_FRAME_FD = 4, HOB_FRAME_TRUNCATED = 8 };
enum hob_cancel_reason { HOB_CANCEL_DEADLINE = 1, HOB_CANCEL_CLIENT_GONE = 2, HOB_CANCEL_SHUTDOWN = 3 };
enum hob_invoke_kind { HOB_INVOKE_HTTP = 1, HOB_INVOKE_EVENT = 2 };
/* LOG's code, and the level of stdout (INFO) and stderr (ERROR) lines */
enum hob_channel_log { HOB_CHLOG_DEBUG = 1, HOB_CHLOG_INFO = 2, HOB_CHLOG_WARN = 3, HOB_CHLOG_ERROR = 4 };

struct hob_frame {
    uint32_t len; /* payload bytes; filled by the encoder */
    uint8_t type, flags;
    uint16_t code;
    uint32_t stream, arg;
};

/* Biggest payload that a frame of this type may carry. */
uint32_t hob_frame_payload_max(uint8_t type);
void hob_frame_encode(const struct hob_frame *f, unsigned char out[HOB_FRAME_HEADER_BYTES]);
/* Reads a header and judges it as a stranger's: length over the type's limit, or unknown flags, is false. */
HOB_MUST_USE bool hob_frame_decode(const unsigned char in[HOB_FRAME_HEADER_BYTES],
                                   struct hob_frame *ret_frame);
/* Appends header and payload; HOB_E_TOO_LARGE when the buffer or the type's limit is met. */
HOB_MUST_USE enum hob_code hob_frame_add(struct hob_buf *out, struct hob_frame f, struct hob_str payload);
/* The same with META: payload = u32 meta_n, meta, data. Sets the flag. */
HOB_MUST_USE enum hob_code hob_frame_add_meta(struct hob_buf *out, struct hob_frame f, struct hob_str meta,
                                              struct hob_str data);
/* Splits a payload of a META frame; false when the meta length lies. Both are borrowed. */
HOB_MUST_USE bool hob_frame_split_meta(struct hob_str payload, struct hob_str *ret_meta,
                                       struct hob_str *ret_data);

/* Takes whole frames off the front of `in`. 1: *ret_frame and *ret_payload (borrowed until the next change of
 * `in`) are set and the caller must hob_buf_consume(in, HOB_FRAME_HEADER_BYTES + len); 0: more bytes are needed;
 * -1: malformed. */
HOB_MUST_USE int hob_frame_next(const struct hob_buf *in, struct hob_frame *ret_frame,
                                struct hob_str *ret_payload);

/* An INVOKE's meta, read or to be written. All strings are borrowed. */
struct hob_invoke_meta {
    uint8_t kind;
    uint64_t deadline_ms, body_n;
    struct hob_str method, target, request_id, fields, extras; /* fields and extras are pairs blocks */
};
HOB_MUST_USE enum hob_code hob_invoke_meta_add(struct hob_buf *out, const struct hob_invoke_meta *m);
HOB_MUST_USE bool hob_invoke_meta_parse(struct hob_str meta, struct hob_invoke_meta *ret_meta);
