// One invocation: what came in (read lazily from INVOKE's meta), and the answer under credit.
//
//   INVOKE -> running -> answered (END or ERROR sent) -> DONE when every waitUntil has settled
//   CANCEL in any state: the signal aborts, nothing more is sent but DONE.

import { Incoming } from './body.mjs';
import * as channel from './channel.mjs';
import { END, T } from './channel.mjs';

const META_FIXED = 40;
const STREAM_WINDOW = 65536;
const CONNECTION_WINDOW = 1 << 20;
const FRAME_MAX = 65536;
const HEAD_MAX = 200 * 1024;
const WAIT_UNTIL_MS = 30000;
const LINGER_MS = 800; // after CANCEL: DONE is owed within a second

export const open = new Map(); // stream -> Invocation, until DONE
const connection = { send: CONNECTION_WINDOW, taken: 0, waiters: [] };
let onDone = () => {};
export function whenDone(callback) {
  onDone = callback;
}

/** Connection credit for the peer's BODY bytes, given back by halves as they come: what a function has not read yet is
 *  bounded by its stream's window, and holds nobody else up. */
export function renewConnection(n) {
  connection.taken += n;
  if (connection.taken >= CONNECTION_WINDOW / 2) {
    channel.sendSmall(T.CREDIT, 0, 0, 0, connection.taken);
    connection.taken = 0;
  }
}
export function addConnectionCredit(n) {
  connection.send += n;
  for (const wake of connection.waiters.splice(0)) wake();
}

/** A call that nobody made, for a rehearsal; its answer costs no credit. */
export function rehearsed() {
  connection.send = CONNECTION_WINDOW;
  const numbers = Buffer.alloc(META_FIXED);
  numbers[0] = 1;
  numbers[1] = 1;
  numbers.writeUInt16LE(3, 2);
  numbers.writeUInt32LE(1, 4);
  numbers.writeUInt16LE(1, 16);
  numbers.writeUInt32LE(4, 20);
  return new Invocation(0, `${numbers.latin1Slice()}GET/0\0\0\0\0`, 1000);
}
export function rehearsedEnd() {
  connection.send = CONNECTION_WINDOW;
}

export class CancelError extends Error {
  constructor(reason) {
    super(reason === 1 ? 'the deadline has passed' : reason === 2 ? 'the client has gone' : 'the instance shuts down');
    this.name = reason === 1 ? 'TimeoutError' : 'AbortError';
  }
}

export class Invocation {
  constructor(stream, meta, runMs) {
    this.stream = stream;
    this.meta = meta; // a byte string
    this.runMs = runMs;
    this.body = null; // null, Uint8Array or Incoming
    this.credit = STREAM_WINDOW;
    this.waiter = null; // of credit
    this.taken = 0;
    this.cancelled = 0;
    this.isHeadSent = false;
    this.isAnswered = false;
    this.isEnded = false;
    this.isDone = false;
    this.waits = null; // Set of promises
    this.controller = null;
    this.lingerTimer = null;
    this.onCancel = null;
    this.calls = null; // of its bindings, once it has an env of its own
    this.env = null;
  }

  // --- what came in ---
  u32(at) {
    const m = this.meta;
    return (m.charCodeAt(at) | (m.charCodeAt(at + 1) << 8) | (m.charCodeAt(at + 2) << 16) | (m.charCodeAt(at + 3) << 24)) >>> 0;
  }
  u16(at) {
    return this.meta.charCodeAt(at) | (this.meta.charCodeAt(at + 1) << 8);
  }
  get isEvent() {
    return this.meta.charCodeAt(0) === 2;
  }
  get method() {
    return this.meta.substring(META_FIXED, META_FIXED + this.u16(2)) || 'POST';
  }
  get target() {
    const from = META_FIXED + this.u16(2);
    return this.meta.substring(from, from + this.u32(4)) || '/';
  }
  get requestId() {
    const from = META_FIXED + this.u16(2) + this.u32(4);
    return this.meta.substring(from, from + this.u16(16));
  }
  get deadlineMs() {
    return this.u32(8) + this.u32(12) * 4294967296;
  }
  get fieldsAt() {
    return META_FIXED + this.u16(2) + this.u32(4) + this.u16(16);
  }
  /** Walks a block of pairs; `visit(name, value)` may return true to stop. */
  walk(at, visit) {
    let count = this.u32(at);
    for (at += 4; count > 0; count--) {
      const name = this.u32(at);
      const value = this.u32(at + 4);
      at += 8;
      if (visit(this.meta.substring(at, at + name), this.meta.substring(at + name, at + name + value))) return;
      at += name + value;
    }
  }
  fields() {
    const flat = [];
    if (this.isEvent) return ['content-type', 'application/json'];
    if (this.u32(20)) this.walk(this.fieldsAt, (name, value) => void flat.push(name, value));
    return flat;
  }
  #find(at, n, wanted) {
    let found;
    if (n) this.walk(at, (name, value) => name === wanted && ((found = value), true));
    return found;
  }
  field(name) {
    return this.#find(this.fieldsAt, this.u32(20), name);
  }
  extra(name) {
    return this.#find(this.fieldsAt + this.u32(20), this.u32(24), name);
  }
  extras(visit) {
    if (this.u32(24)) this.walk(this.fieldsAt + this.u32(20), visit);
  }
  /** The whole body; `makeError` when it is over max. */
  async wholeBody(max, makeError) {
    if (this.body === null) return null;
    if (this.body instanceof Incoming) return this.body.collect(max, makeError);
    return this.body;
  }
  get signal() {
    if (this.controller === null) {
      this.controller = new AbortController();
      if (this.cancelled) this.controller.abort(new CancelError(this.cancelled));
    }
    return this.controller.signal;
  }
  /** Stream credit for the peer, by halves; nothing more is owed once its END is here. */
  renew(n, isEnded) {
    if (n === 0) return;
    this.taken += n;
    if (this.taken >= STREAM_WINDOW / 2) {
      if (!isEnded && !this.isDone) channel.sendSmall(T.CREDIT, 0, 0, this.stream, this.taken);
      this.taken = 0;
    }
  }

  // --- the answer ---
  get isMuted() {
    return this.isAnswered || this.cancelled !== 0;
  }
  /** The whole answer: `flat` = names and values, `data` = null, string or bytes. */
  answer(status, flat, data) {
    if (this.isMuted) return this.ended();
    if (this.method === 'HEAD' && !this.isEvent) return this.answerHead(status, flat, data);
    const fits = data === null || (data.length * 3 <= FRAME_MAX && data.length * 3 <= connection.send);
    if (!fits || channel.headBytes(flat) > HEAD_MAX) {
      return this.answerLong(status, flat, data);
    }
    const n = channel.sendHead(this.stream, END, status, flat, data);
    connection.send -= n;
    this.isAnswered = true;
    return this.ended();
  }
  answerHead(status, flat, data) {
    const hasLength = flat !== null && flat.includes('content-length');
    const lengthless = status === 204 || status === 304;
    if (!hasLength && !lengthless && (data === null || typeof data === 'string' || data instanceof Uint8Array)) {
      const n = data === null ? 0 : Buffer.byteLength(data);
      flat = [...(flat ?? []), 'content-length', String(n)];
    }
    channel.sendHead(this.stream, END, status, flat, null);
    if (data !== null && typeof data.cancel === 'function') data.cancel().catch(() => {});
    this.isAnswered = true;
    return this.ended();
  }
  async answerLong(status, flat, data) {
    this.head(status, flat);
    if (await this.write(typeof data === 'string' ? Buffer.from(data) : data)) this.end();
    this.ended();
  }
  /** HEAD alone; body follows by write. */
  head(status, flat) {
    if (this.isMuted) return;
    if (channel.headBytes(flat) > HEAD_MAX) throw new RangeError(`the answer's headers are over ${HEAD_MAX} bytes`);
    channel.sendHead(this.stream, 0, status, flat, null);
    this.isHeadSent = true;
  }
  /** Body bytes under credit; false when the answer is over (cancelled). */
  async write(bytes) {
    for (let from = 0; from < bytes.length; ) {
      if (this.isMuted) return false;
      const n = Math.min(bytes.length - from, this.credit, connection.send, FRAME_MAX);
      if (n <= 0) {
        await new Promise((resolve) => {
          this.waiter = resolve;
          if (connection.send <= 0) connection.waiters.push(resolve);
        });
        continue;
      }
      this.credit -= n;
      connection.send -= n;
      channel.sendBytes(T.DATA, 0, 0, this.stream, 0, bytes.subarray(from, from + n));
      from += n;
    }
    return !this.isMuted;
  }
  end() {
    if (this.isMuted) return;
    channel.sendSmall(T.DATA, END, 0, this.stream, 0);
    this.isAnswered = true;
  }
  addCredit(n) {
    this.credit += n;
    this.wake();
  }
  wake() {
    const { waiter } = this;
    this.waiter = null;
    if (waiter) waiter();
  }
  /** A stream of Uint8Array as the rest of the answer, pulled under credit. */
  async answerStream(status, flat, stream) {
    if (this.method === 'HEAD' && !this.isEvent) return this.answerHead(status, flat, stream);
    const reader = stream.getReader();
    this.onCancel = () => reader.cancel(new CancelError(this.cancelled)).catch(() => {});
    if (this.cancelled) this.onCancel();
    try {
      this.head(status, flat);
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        if (!(value instanceof Uint8Array)) {
          reader.cancel().catch(() => {});
          throw new TypeError(`the Response's stream gave ${typeof value}: it must give Uint8Array (TextEncoderStream)`);
        }
        if (!(await this.write(value))) break;
      }
      this.end();
      this.ended();
    } catch (error) {
      this.fail(error);
    }
  }
  /** ERROR ends the answer: type, message and stack go to the logs, never to strangers. */
  fail(error, type) {
    if (!this.isMuted) {
      channel.sendPairs(T.ERROR, this.stream, errorPairs(error, type));
      this.isAnswered = true;
    }
    this.ended();
  }

  // --- the end ---
  waitUntil(promise) {
    this.waits ??= new Set();
    const wait = Promise.resolve(promise)
      .catch((error) => console.error('waitUntil:', error))
      .finally(() => {
        this.waits.delete(wait);
        if (this.isEnded && this.waits.size === 0) this.done();
      });
    this.waits.add(wait);
  }
  /** The function's part is over: DONE now, or when every waitUntil has settled. */
  ended() {
    if (this.waits === null || this.waits.size === 0) return this.done();
    if (this.isEnded || this.isDone) return;
    this.isEnded = true;
    this.lingerTimer ??= setTimeout(() => {
      console.warn(`waitUntil: ${this.waits.size} promises had not settled after ${WAIT_UNTIL_MS / 1000} s; given up`);
      this.done();
    }, WAIT_UNTIL_MS);
  }
  done() {
    if (this.isDone) return;
    this.isDone = true;
    if (this.lingerTimer) clearTimeout(this.lingerTimer);
    if (this.body instanceof Incoming) this.body.drop();
    this.calls?.end();
    channel.sendSmall(T.DONE, 0, 0, this.stream, 0);
    open.delete(this.stream);
    onDone(this);
  }
  /** CANCEL. `canLinger`: a function that does not stop may go on in the background, its slot is given back. */
  cancel(reason, canLinger) {
    if (this.isDone || this.cancelled) return;
    this.cancelled = reason || 2;
    const error = new CancelError(this.cancelled);
    if (this.body instanceof Incoming) this.body.fail(error);
    this.controller?.abort(error);
    this.calls?.end(error);
    this.onCancel?.();
    this.wake();
    if (this.isAnswered) {
      this.done(); // only waitUntil was open
    } else if (canLinger) {
      this.lingerTimer = setTimeout(() => {
        console.warn(`the function went on after ${error.message}; its slot is given back`);
        this.done();
      }, LINGER_MS);
    }
  }
}

export function errorPairs(error, type) {
  const isError = error instanceof Error || (typeof error === 'object' && error !== null && 'message' in error);
  const name = type ?? (isError ? String(error.name ?? 'Error') : typeof error);
  let message;
  let stack = '';
  try {
    message = isError ? String(error.message) : typeof error === 'string' ? error : JSON.stringify(error) ?? String(error);
    if (isError && error.stack) stack = String(error.stack);
    if (isError && error.cause?.stack) stack += `\n[cause]: ${error.cause.stack}`;
  } catch {
    message = 'an error that cannot be written';
  }
  return ['errorType', cut(name, 256), 'errorMessage', cut(message, 32768), 'stackTrace', cut(stack, 65536)];
}
function cut(text, max) {
  return text.length > max ? text.slice(0, max) : text;
}
