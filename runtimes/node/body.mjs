// What a Request or Response carries: nothing, text, bytes, a stream, or a body still coming in from the channel.
// Everything is kept as it was given until somebody asks for another form.

import * as streams from 'node:stream'; // lazy

const utf8 = new TextDecoder('utf-8', { ignoreBOM: false });

/** A request body under credit: frames push, the function pulls. `renew(n)` gives credit back for n bytes taken. */
export class Incoming {
  constructor(renew) {
    this.renew = renew;
    this.chunks = [];
    this.ended = false;
    this.error = null;
    this.waiter = null;
    this.sized = 0; // bytes that came so far
    this.dropped = false;
  }

  /** `credited` bytes of the chunk count against the sender's credit (those inside INVOKE do not). */
  push(chunk, isEnd, credited) {
    if (this.dropped) {
      this.renew(credited, isEnd);
      if (isEnd) this.ended = true;
      return;
    }
    if (chunk.length) this.chunks.push({ chunk, credited });
    this.sized += chunk.length;
    if (isEnd) this.ended = true;
    this.wake();
  }
  fail(error) {
    if (this.ended) return;
    this.error = error;
    this.wake();
  }
  drop() {
    this.dropped = true;
    for (const { credited } of this.chunks.splice(0)) this.renew(credited, this.ended);
  }
  wake() {
    const waiter = this.waiter;
    this.waiter = null;
    if (waiter) waiter();
  }
  /** Next chunk, or null at the end. */
  async read() {
    for (;;) {
      const next = this.chunks.shift();
      if (next) {
        this.renew(next.credited, this.ended);
        return next.chunk;
      }
      if (this.ended) return null;
      if (this.error) throw this.error;
      await new Promise((resolve) => (this.waiter = resolve));
    }
  }
  async collect(max, makeError) {
    const parts = [];
    let n = 0;
    for (let chunk; (chunk = await this.read()) !== null; ) {
      n += chunk.length;
      if (n > max) {
        this.drop();
        throw makeError();
      }
      parts.push(chunk);
    }
    return parts.length === 1 ? parts[0] : Buffer.concat(parts, n);
  }
  stream() {
    return new ReadableStream(
      {
        type: 'bytes',
        pull: async (controller) => {
          const chunk = await this.read();
          if (chunk === null) {
            controller.close();
            controller.byobRequest?.respond(0);
          } else {
            controller.enqueue(new Uint8Array(chunk)); // its own memory: streams transfer it
          }
        },
        cancel: () => this.drop(),
      },
      { highWaterMark: 0 },
    );
  }
}

const USED = 'Body is unusable: it has been read already';

/** State shared by Request and Response: `data` is null, string, Uint8Array, Incoming or ReadableStream. */
export class BodyState {
  constructor(data) {
    this.data = data;
    this.used = false;
    this.view = null; // the ReadableStream that was handed out
  }

  get isUsed() {
    if (this.used) return true;
    return this.view !== null && isDisturbed(this.view);
  }

  stream() {
    if (this.view) return this.view;
    const { data } = this;
    if (data === null) return null;
    if (data instanceof Incoming) this.view = data.stream();
    else if (typeof data === 'string' || data instanceof Uint8Array) this.view = streamOf(data);
    else this.view = data;
    if (this.used) this.view.cancel?.().catch?.(() => {});
    return this.view;
  }

  /** Takes the body as bytes; a promise, or a Uint8Array at once when everything is here. */
  take() {
    if (this.data === null) return EMPTY;
    if (this.isUsed || this.view?.locked) throw new TypeError(USED);
    this.used = true;
    if (this.view) return collectStream(this.view);
    const { data } = this;
    if (typeof data === 'string') return Buffer.from(data);
    if (data instanceof Uint8Array) return data;
    if (data instanceof Incoming) return data.collect(Infinity);
    return collectStream(data);
  }

  async text() {
    if (typeof this.data === 'string' && !this.view && !this.used) {
      this.used = true;
      return this.data.charCodeAt(0) === 0xfeff ? this.data.slice(1).toWellFormed?.() ?? this.data.slice(1) : this.data;
    }
    return utf8.decode(await this.take());
  }
  async json() {
    return JSON.parse(await this.text());
  }
  async bytes() {
    return new Uint8Array(await this.take());
  }
  async arrayBuffer() {
    return (await this.bytes()).buffer;
  }
  async blob(type) {
    return new Blob([await this.take()], { type: type ?? '' });
  }

  clone() {
    if (this.isUsed || this.view?.locked) throw new TypeError('cannot clone: ' + USED);
    const { data } = this;
    if (data === null || (!this.view && (typeof data === 'string' || data instanceof Uint8Array))) {
      return new BodyState(data);
    }
    const [mine, other] = this.stream().tee();
    this.data = this.view = mine;
    return new BodyState(other);
  }
}

const EMPTY = new Uint8Array(0);

export function isDisturbed(stream) {
  return streams.Readable.isDisturbed(stream);
}

function streamOf(data) {
  return new ReadableStream({
    type: 'bytes',
    start(controller) {
      const bytes = typeof data === 'string' ? Buffer.from(data) : data;
      if (bytes.length) controller.enqueue(new Uint8Array(bytes));
      controller.close();
    },
  });
}

async function collectStream(stream) {
  const parts = [];
  for await (const chunk of stream) {
    if (!(chunk instanceof Uint8Array)) throw new TypeError('a body stream gave something other than Uint8Array');
    parts.push(chunk);
  }
  return parts.length === 1 ? parts[0] : Buffer.concat(parts);
}
