// The channel: frames over the stream socket on descriptor 3 (the wire format is base/frame.h of the platform).
// Reading: one fixed buffer, frames are handed out as offsets into it. Writing: frames gather in one buffer and
// leave with one write(2) when the work of this turn is done.

import { writeSync } from 'node:fs';
import { openPipe } from './pipe.mjs';

export const T = {
  HELLO: 1, CREDIT: 2, PING: 3, PONG: 4, BYE: 5,
  INVOKE: 16, BODY: 17, CANCEL: 18, DRAIN: 19, REPLY: 20, RECONFIG: 21, UPGRADED: 22,
  READY: 32, INIT_ERROR: 33, HEAD: 34, DATA: 35, ERROR: 36, DONE: 37, CALL: 38, LOG: 39, METRIC: 40,
  OPTIONAL_FIRST: 128,
};
export const END = 1;
export const META = 2;
const TRUNCATED = 8;
const HEADER = 16;
const PAYLOAD_MAX = 65536;
const BIG_MAX = 1 << 20;
const BIG = new Set([T.HELLO, T.INVOKE, T.REPLY, T.RECONFIG]);
const OUT_BYTES = 512 * 1024; // flushed before it is full: every frame written here fits by half
const SHORT = 24; // strings up to here are copied byte by byte, faster than a call into C++

const out = Buffer.allocUnsafeSlow(OUT_BYTES);
let at = 0;
let writeLater = null; // (bytes, onWritten(status)): libuv keeps the order, and writes when the peer reads again
let waiting = 0; // asynchronous writes that have not ended
let onWaited = null; // called when none is left
let isFlushQueued = false;
let isReading = false; // inside a read: it flushes at its end
let isRehearsing = false; // what is sent goes nowhere

function broken(why) {
  process.stderr.write(`channel: ${why}\n`);
  process.exit(1);
}

/** Writes what has gathered; what the socket does not take at once goes the asynchronous way. */
export function flush() {
  isFlushQueued = false;
  if (isRehearsing) at = 0;
  if (at === 0) return;
  let done = 0;
  if (waiting === 0) {
    try {
      done = writeSync(3, out, 0, at);
    } catch (error) {
      if (error.code !== 'EAGAIN') process.exit(0); // nobody reads any more
    }
  }
  if (done < at) {
    waiting++;
    writeLater(Buffer.from(out.subarray(done, at)), onWritten);
  }
  at = 0;
}

function onWritten(status) {
  if (status < 0) process.exit(0);
  waiting--;
  if (waiting === 0 && onWaited !== null) onWaited();
}

/** Calls back once everything that was sent has left. */
export function whenFlushed(callback) {
  flush();
  if (waiting === 0) callback();
  else onWaited = callback;
}

/** Runs `play` without a word to the outside. */
export async function rehearse(play) {
  isRehearsing = true;
  try {
    await play();
  } finally {
    at = 0;
    isRehearsing = false;
  }
}

/** For the end of the process: everything out, waiting for a slow reader at most 500 ms. */
export function flushNow() {
  if (writeLater === null || waiting > 0) return;
  const sleeper = new Int32Array(new SharedArrayBuffer(4));
  for (let done = 0, tries = 0; done < at && tries < 250; ) {
    try {
      done += writeSync(3, out, done, at - done);
    } catch (error) {
      if (error.code !== 'EAGAIN') return;
      tries++;
      Atomics.wait(sleeper, 0, 0, 2);
    }
  }
  at = 0;
}

function queueFlush() {
  if (isFlushQueued || isReading) return;
  isFlushQueued = true;
  process.nextTick(flush); // runs when the promises that are ready have run: their frames come along
}

function room(n) {
  if (at + n > OUT_BYTES) flush();
}
function putU32(where, n) {
  out[where] = n;
  out[where + 1] = n >>> 8;
  out[where + 2] = n >>> 16;
  out[where + 3] = n >>> 24;
}
function putHeader(where, length, type, flags, code, stream, arg) {
  putU32(where, length);
  out[where + 4] = type;
  out[where + 5] = flags;
  out[where + 6] = code;
  out[where + 7] = code >>> 8;
  putU32(where + 8, stream);
  putU32(where + 12, arg);
}
/** A string whose characters are bytes. */
function putBytes(text) {
  const n = text.length;
  if (n > SHORT) {
    at += out.latin1Write(text, at, n);
  } else {
    for (let i = 0; i < n; i++) out[at++] = text.charCodeAt(i);
  }
}

/** A frame without payload. */
export function sendSmall(type, flags, code, stream, arg) {
  room(HEADER);
  putHeader(at, 0, type, flags, code, stream, arg);
  at += HEADER;
  queueFlush();
}

/** A frame with bytes as payload. */
export function sendBytes(type, flags, code, stream, arg, bytes) {
  room(HEADER + bytes.length);
  putHeader(at, bytes.length, type, flags, code, stream, arg);
  out.set(bytes, at + HEADER);
  at += HEADER + bytes.length;
  queueFlush();
}

/** CALL: `text` says what is asked (JSON), `data` null or bytes that go with it. */
export function sendCall(stream, parent, text, data) {
  if (data === null || data === undefined) {
    if (text.length * 3 > OUT_BYTES / 2) return sendLong(T.CALL, END, stream, parent, [Buffer.from(text)]);
    room(HEADER + text.length * 3);
    const n = out.utf8Write(text, at + HEADER);
    putHeader(at, n, T.CALL, END, 0, stream, parent);
    at += HEADER + n;
    return queueFlush();
  }
  const meta = Buffer.from(text);
  const n = Buffer.allocUnsafe(4);
  n.writeUInt32LE(meta.length, 0);
  return sendLong(T.CALL, END | META, stream, parent, [n, meta, data]);
}
/** A frame that may be longer than the gathering buffer: behind what waits there. */
function sendLong(type, flags, stream, arg, parts) {
  let length = 0;
  for (const part of parts) length += part.length;
  const header = Buffer.allocUnsafe(HEADER);
  header.writeUInt32LE(length, 0);
  header[4] = type;
  header[5] = flags;
  header.writeUInt16LE(0, 6);
  header.writeUInt32LE(stream, 8);
  header.writeUInt32LE(arg, 12);
  flush();
  waiting++;
  writeLater(Buffer.concat([header, ...parts]), onWritten);
}

/** A frame of pairs (READY, INIT_ERROR, ERROR). */
export function sendPairs(type, stream, pairs) {
  const parts = [Buffer.alloc(4)];
  parts[0].writeUInt32LE(pairs.length / 2, 0);
  for (let i = 0; i < pairs.length; i += 2) {
    const name = Buffer.from(pairs[i]);
    const value = Buffer.from(pairs[i + 1]);
    const lengths = Buffer.alloc(8);
    lengths.writeUInt32LE(name.length, 0);
    lengths.writeUInt32LE(value.length, 4);
    parts.push(lengths, name, value);
  }
  sendBytes(type, 0, 0, stream, 0, Buffer.concat(parts));
}

export function headBytes(flat) {
  let n = 12;
  if (flat !== null) for (let i = 0; i < flat.length; i++) n += 4 + flat[i].length;
  return n;
}

/** HEAD; `flat` = names and values as byte strings; `data` null, bytes, or a string (written as UTF-8). Returns the
 * number of body bytes. The caller has checked that all fits the frame's limits. */
export function sendHead(stream, flags, status, flat, data) {
  const metaMax = headBytes(flat);
  room(HEADER + metaMax + (data === null ? 0 : data.length * 3));
  const start = at;
  at += HEADER + 4;
  out[at] = status;
  out[at + 1] = status >>> 8;
  out[at + 2] = 0;
  out[at + 3] = 0;
  const count = flat === null ? 0 : flat.length / 2;
  putU32(at + 4, count);
  at += 8;
  for (let i = 0; i < count; i++) {
    const name = flat[2 * i];
    const value = flat[2 * i + 1];
    putU32(at, name.length);
    putU32(at + 4, value.length);
    at += 8;
    putBytes(name);
    putBytes(value);
  }
  putU32(start + HEADER, at - start - HEADER - 4);
  const body = at;
  if (typeof data === 'string') {
    at += out.utf8Write(data, at);
  } else if (data !== null) {
    out.set(data, at);
    at += data.length;
  }
  putHeader(start, at - start - HEADER, T.HEAD, flags | META, 0, stream, 0);
  queueFlush();
  return at - body;
}

/** LOG; text over a frame's limit is cut at a character and marked. */
export function sendLog(level, stream, text) {
  let bytes = Buffer.from(text);
  let flags = 0;
  if (bytes.length > PAYLOAD_MAX) {
    let n = PAYLOAD_MAX;
    while (n > 0 && (bytes[n] & 0xc0) === 0x80) n--;
    bytes = bytes.subarray(0, n);
    flags = TRUNCATED;
  }
  sendBytes(T.LOG, flags, level, 0, stream, bytes);
}

/** Pairs block at `from` of `buffer` -> flat list of names and values. Null when malformed. */
export function readPairs(buffer, from, to) {
  if (to - from < 4) return null;
  const count = buffer.readUInt32LE(from);
  const flat = [];
  let pos = from + 4;
  for (let i = 0; i < count; i++) {
    if (to - pos < 8) return null;
    const name = buffer.readUInt32LE(pos);
    const value = buffer.readUInt32LE(pos + 4);
    if (name + value > to - pos - 8) return null;
    pos += 8;
    flat.push(buffer.utf8Slice(pos, pos + name), buffer.utf8Slice(pos + name, pos + name + value));
    pos += name + value;
  }
  return pos === to ? flat : null;
}

/** Opens descriptor 3. `onFrame(type, flags, code, stream, arg, buffer, from, to)` gets the payload's place, valid
 * until it returns; `onClose` comes when hobd closed. */
export function open(onFrame, onClose) {
  const READ_BYTES = 256 * 1024;
  const fixed = Buffer.allocUnsafeSlow(READ_BYTES);
  let held = null; // bytes of an unfinished frame
  let heldN = 0;

  function parse(buffer, n) {
    let pos = 0;
    while (n - pos >= HEADER) {
      const length = buffer[pos] | (buffer[pos + 1] << 8) | (buffer[pos + 2] << 16) | (buffer[pos + 3] << 24);
      const type = buffer[pos + 4];
      if (length < 0 || length > (BIG.has(type) ? BIG_MAX : PAYLOAD_MAX)) broken(`a frame of type ${type} is too long`);
      const next = pos + HEADER + length;
      if (next > n) break;
      const stream = buffer.readUInt32LE(pos + 8);
      const arg = buffer.readUInt32LE(pos + 12);
      onFrame(type, buffer[pos + 5], buffer[pos + 6] | (buffer[pos + 7] << 8), stream, arg, buffer, pos + HEADER, next);
      pos = next;
    }
    return pos;
  }
  function hold(buffer, from, n) {
    const need = heldN + (n - from);
    if (held === null || held.length < need) {
      const bigger = Buffer.allocUnsafeSlow(Math.max(need * 2, 65536));
      if (held !== null) held.copy(bigger, 0, 0, heldN);
      held = bigger;
    }
    buffer.copy(held, heldN, from, n);
    heldN = need;
  }
  function onBytes(n) {
    isReading = true;
    if (heldN === 0) {
      const used = parse(fixed, n);
      if (used < n) hold(fixed, used, n);
    } else {
      hold(fixed, 0, n);
      const used = parse(held, heldN);
      held.copyWithin(0, used, heldN);
      heldN -= used;
      if (heldN === 0 && held.length > 4 * 65536) held = null;
    }
    isReading = false;
    if (at > 0) flush();
  }

  writeLater = openPipe(3, fixed, onBytes, onClose);
}
