// CALL and REPLY: a question to hobd on behalf of an invocation, and its answer. At most so many are on their way that
// hobd never takes them for a flood; the others wait in line here.

export const ASK = Symbol('hob.ask'); // on an invocation's env: the way to ask for what env has no name for
const PER_INVOCATION = 60;
const TOGETHER = 240;
const CALL_BYTES = 1 << 20;
const END = 1;
const META = 2;

export class HobError extends Error {
  constructor(message, { code = -1, status = 500, retryable = false, reason = 'internal' } = {}) {
    super(message);
    this.name = 'HobError';
    this.code = code;
    this.status = status;
    this.retryable = retryable;
    this.reason = reason;
  }
}

function ended() {
  return new HobError('the invocation has ended: its bindings have, too', { code: -1, status: 499, reason: 'invocation_ended' });
}

class Parsed {
  constructor(text, data) {
    this.text = text;
    this.data = data;
  }
  get json() {
    return JSON.parse(this.text);
  }
}

export class Calls {
  #wire;
  #next = 0;
  #open = new Map(); // stream -> call on its way
  #line = []; // waiting
  constructor(wire) {
    this.#wire = wire;
  }

  /** Resolves with {json, text, data}; rejects with HobError. */
  ask(invocation, op, args, data) {
    return new Promise((resolve, reject) => {
      if (invocation.isDone) return reject(ended());
      if (invocation.cancelled) return reject(ended());
      const text = JSON.stringify({ op, args });
      if (Buffer.byteLength(text) + (data?.length ?? 0) > CALL_BYTES) {
        return reject(new HobError(`the call is over ${CALL_BYTES} bytes (call.bytes)`, { code: 116, status: 413, reason: 'too_large' }));
      }
      const call = { invocation, text, data, resolve, reject, parts: null };
      if (this.#mayGo(invocation)) this.#send(call);
      else this.#line.push(call);
      return undefined;
    });
  }
  #mayGo(invocation) {
    return this.#open.size < TOGETHER && (invocation.callsOpen ?? 0) < PER_INVOCATION;
  }
  #send(call) {
    this.#next = this.#next >= 0xfffffffe ? 2 : this.#next + 2;
    this.#open.set(this.#next, call);
    call.invocation.callsOpen = (call.invocation.callsOpen ?? 0) + 1;
    this.#wire.sendCall(this.#next, call.invocation.stream, call.text, call.data);
  }
  #sendWaiting() {
    for (let i = 0; i < this.#line.length && this.#open.size < TOGETHER; ) {
      if (this.#mayGo(this.#line[i].invocation)) this.#send(this.#line.splice(i, 1)[0]);
      else i++;
    }
  }

  /** What an invocation's end does to its calls. */
  of(invocation) {
    return {
      end: (error = ended()) => {
        this.#line = this.#line.filter((call) => call.invocation !== invocation || void call.reject(error));
        for (const call of this.#open.values()) if (call.invocation === invocation) call.reject(error);
      },
    };
  }

  onReply(flags, code, stream, buffer, from, to) {
    const call = this.#open.get(stream);
    if (call === undefined) return;
    let bytes = Buffer.from(buffer.subarray(from, to));
    if ((flags & END) === 0) {
      (call.parts ??= []).push(bytes);
      return;
    }
    this.#open.delete(stream);
    call.invocation.callsOpen--;
    if (call.parts !== null) bytes = Buffer.concat([...call.parts, bytes]);
    if (code !== 0) call.reject(errorOf(this.#wire.readPairs(bytes, 0, bytes.length)));
    else if (flags & META) call.resolve(split(bytes));
    else call.resolve(new Parsed(bytes.utf8Slice(), null));
    if (this.#line.length > 0) this.#sendWaiting();
  }
}

function split(bytes) {
  const n = bytes.readUInt32LE(0);
  return new Parsed(bytes.utf8Slice(4, 4 + n), bytes.subarray(4 + n));
}

function errorOf(flat) {
  const pairs = new Map();
  for (let i = 0; i < (flat?.length ?? 0); i += 2) pairs.set(flat[i], flat[i + 1]);
  return new HobError(pairs.get('errorMessage') ?? 'the call failed', {
    code: Number(pairs.get('code') ?? -1),
    status: Number(pairs.get('status') ?? 500),
    retryable: pairs.get('retryable') === '1',
    reason: pairs.get('reason') ?? 'internal',
  });
}
