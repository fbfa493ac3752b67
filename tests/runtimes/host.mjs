// A host for runtime adapters: the other end of the channel (base/frame.h), over a real socketpair, with hostile
// timing on demand. Judges what the adapter sends: credit, order, unknown streams, double ends are failures.

import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
export const T = {
  HELLO: 1, CREDIT: 2, PING: 3, PONG: 4, BYE: 5, INVOKE: 16, BODY: 17, CANCEL: 18, DRAIN: 19, REPLY: 20,
  READY: 32, INIT_ERROR: 33, HEAD: 34, DATA: 35, ERROR: 36, DONE: 37, CALL: 38, LOG: 39,
};
export const END = 1;
export const META = 2;
const STREAM_WINDOW = 65536;
const CONNECTION_WINDOW = 1 << 20;
const INVOKE_FREE = 16384;

export function pairs(list) {
  const parts = [];
  const count = Buffer.alloc(4);
  count.writeUInt32LE(list.length);
  parts.push(count);
  for (const [name, value] of list) {
    const n = Buffer.from(name, 'latin1');
    const v = Buffer.isBuffer(value) ? value : Buffer.from(String(value));
    const lengths = Buffer.alloc(8);
    lengths.writeUInt32LE(n.length, 0);
    lengths.writeUInt32LE(v.length, 4);
    parts.push(lengths, n, v);
  }
  return Buffer.concat(parts);
}
export function unpair(block) {
  const list = [];
  const count = block.readUInt32LE(0);
  let at = 4;
  for (let i = 0; i < count; i++) {
    const n = block.readUInt32LE(at);
    const v = block.readUInt32LE(at + 4);
    at += 8;
    list.push([block.toString('latin1', at, at + n), block.toString('utf8', at + n, at + n + v)]);
    at += n + v;
  }
  if (at !== block.length) throw new Error('pairs block with trailing bytes');
  return list;
}
export function frame(type, { flags = 0, code = 0, stream = 0, arg = 0, payload = Buffer.alloc(0) } = {}) {
  const h = Buffer.alloc(16);
  h.writeUInt32LE(payload.length, 0);
  h[4] = type;
  h[5] = flags;
  h.writeUInt16LE(code, 6);
  h.writeUInt32LE(stream, 8);
  h.writeUInt32LE(arg >>> 0, 12);
  return Buffer.concat([h, payload]);
}
export function invokeFrame(stream, o) {
  const method = Buffer.from(o.method ?? (o.event !== undefined ? '' : 'GET'));
  const target = Buffer.from(o.target ?? (o.event !== undefined ? '' : '/'), 'latin1');
  const id = Buffer.from(o.id ?? `req-${stream}`);
  const fields = pairs(o.event !== undefined ? [] : o.headers ?? [['host', 'hob.test']]);
  const extras = pairs(o.extras ?? [['scheme', 'http'], ['remote', '192.0.2.7:5555']]);
  const body = o.event !== undefined ? Buffer.from(typeof o.event === 'string' ? o.event : JSON.stringify(o.event)) : Buffer.from(o.body ?? '');
  const first = body.subarray(0, Math.min(body.length, o.first ?? INVOKE_FREE));
  const isWhole = !o.stream && first.length === body.length;
  const meta = Buffer.alloc(40);
  meta[0] = o.event !== undefined ? 2 : 1;
  meta[1] = 1;
  meta.writeUInt16LE(method.length, 2);
  meta.writeUInt32LE(target.length, 4);
  meta.writeBigUInt64LE(BigInt(o.deadlineMs ?? Date.now() + (o.timeoutMs ?? 10000)), 8);
  meta.writeUInt16LE(id.length, 16);
  meta.writeUInt32LE(fields.length, 20);
  meta.writeUInt32LE(extras.length, 24);
  meta.writeBigUInt64LE(o.stream ? 0xffffffffffffffffn : BigInt(body.length), 28);
  const all = Buffer.concat([meta, method, target, id, fields, extras]);
  const n = Buffer.alloc(4);
  n.writeUInt32LE(all.length);
  return {
    bytes: frame(T.INVOKE, { flags: META | (isWhole ? END : 0), stream, arg: o.timeoutMs ?? 10000, payload: Buffer.concat([n, all, first]) }),
    rest: body.subarray(first.length),
    isWhole,
  };
}

/** A folder with files, as a version's code. */
export function codeDir(files) {
  const dir = mkdtempSync(path.join(tmpdir(), 'hob-rt-'));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(dir, name)), { recursive: true });
    writeFileSync(path.join(dir, name), text, { mode: 0o755 });
  }
  return dir;
}

class Call {
  constructor(host, stream, options) {
    this.host = host;
    this.stream = stream;
    this.options = options;
    this.status = null;
    this.headers = [];
    this.chunks = [];
    this.trailers = null;
    this.error = null;
    this.ended = false;
    this.isDone = false;
    this.sendCredit = STREAM_WINDOW;
    this.rest = null;
    this.restEnd = false;
    this.unrenewed = 0;
    this.open = STREAM_WINDOW; // what the adapter may still send
    this.done = new Promise((resolve) => (this.resolve = resolve));
    this.waiting = [];
  }
  get body() {
    return Buffer.concat(this.chunks);
  }
  get text() {
    return this.body.toString();
  }
  get json() {
    return JSON.parse(this.text);
  }
  header(name) {
    return this.headers.filter(([n]) => n === name).map(([, v]) => v).join(', ') || null;
  }
  all(name) {
    return this.headers.filter(([n]) => n === name).map(([, v]) => v);
  }
  /** Resolves when `test(call)` is true. */
  until(test, ms = 5000) {
    if (test(this)) return Promise.resolve(this);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`timeout: ${test}`)), ms);
      this.waiting.push(() => {
        if (!test(this)) return false;
        clearTimeout(timer);
        resolve(this);
        return true;
      });
    });
  }
  changed() {
    this.waiting = this.waiting.filter((w) => !w());
  }
  cancel(code = 2) {
    this.host.send(frame(T.CANCEL, { stream: this.stream, code }));
  }
  push(data, isEnd) {
    this.rest = Buffer.concat([this.rest ?? Buffer.alloc(0), data]);
    this.restEnd = isEnd;
    this.host.pump(this);
  }
}

export class Host {
  /** options: runtime, dir (code), entry, handler, hello (more pairs), split (bytes per write), window: 'tiny' */
  constructor(options) {
    this.options = options;
    this.calls = new Map();
    this.finished = new Set();
    this.logs = [];
    this.violations = [];
    this.next = 1;
    this.sendCredit = CONNECTION_WINDOW;
    this.open = CONNECTION_WINDOW;
    this.unrenewed = 0;
    this.buffer = Buffer.alloc(0);
    this.pongs = [];
    this.stdout = '';
    this.stderr = '';
    this.isBye = false;
    this.waiting = [];
    const runtime = path.join(ROOT, 'runtimes', options.runtime);
    const manifest = JSON.parse(readFileSync(path.join(runtime, 'runtime.json'), 'utf8'));
    const argv = (options.argv ?? manifest.argv).map((a) =>
      a
        .replace('/hob/runtime', runtime)
        .replace('/app/', `${options.dir}/`)
        .replace('${entry}', options.entry ?? '')
        .replace('${heap_mb}', '192')
        .replace('${memory_mb}', '256'),
    );
    if (argv[0] === '/usr/bin/node' && process.env.HOB_TEST_NODE) argv[0] = process.env.HOB_TEST_NODE; // another version
    if (argv[0].endsWith('node') && process.env.HOB_TEST_NO_BINDING) argv.splice(1, 0, '--require', path.join(ROOT, 'tests/runtimes/no_binding.cjs'));
    this.startedAt = process.hrtime.bigint();
    this.child = spawn(argv[0], argv.slice(1), {
      cwd: options.dir,
      env: { PATH: '/usr/bin:/bin', HOME: '/tmp', ...manifest.env, ...options.processEnv },
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    });
    this.socket = this.child.stdio[3];
    this.socket.on('data', (d) => this.onData(d));
    this.socket.on('error', () => {});
    for (const name of ['stdout', 'stderr']) {
      this.child[name].on('data', (d) => {
        this[name] += d;
        this.changed();
      });
    }
    this.exited = new Promise((resolve) => this.child.on('close', (code, signal) => resolve({ code, signal })));
    this.exited.then(() => {
      for (const call of this.calls.values()) call.resolve(call);
      this.changed();
    });
    this.ready = new Promise((resolve, reject) => {
      this.onReady = resolve;
      this.onInitError = (p) => reject(Object.assign(new Error(`${p.errorType}: ${p.errorMessage}`), p));
      this.exited.then(({ code, signal }) => reject(new Error(`exit ${code ?? signal} before READY; stderr: ${this.stderr}`)));
    });
    this.ready.catch(() => {});
    const hello = [
      ['protocol', 1], ['app', 'test'], ['function', 'fn'], ['version', 7], ['instance', 'i-1'],
      ['runtime', options.runtime], ['entry', options.entry ?? ''], ['handler', options.handler ?? ''],
      ['kind', options.kind ?? ''], ['concurrency', options.concurrency ?? 1], ['memory_mb', 256], ['timeout_ms', 10000],
      ...(options.hello ?? []),
    ];
    this.send(frame(T.HELLO, { payload: pairs(hello) }));
  }

  send(bytes) {
    const n = this.options.split;
    if (!n) return this.socket.write(bytes);
    this.queue = (this.queue ?? Promise.resolve()).then(async () => {
      for (let at = 0; at < bytes.length; at += n) {
        this.socket.write(bytes.subarray(at, at + n));
        await new Promise(setImmediate);
      }
    });
    return undefined;
  }
  violation(text) {
    this.violations.push(text);
  }
  invoke(options = {}) {
    const stream = this.next;
    this.next += 2;
    const call = new Call(this, stream, options);
    this.calls.set(stream, call);
    const { bytes, rest, isWhole } = invokeFrame(stream, options);
    this.send(bytes);
    if (!isWhole) {
      call.rest = rest;
      call.restEnd = !options.stream;
      this.pump(call);
    }
    return call;
  }
  /** invoke and wait for DONE */
  call(options) {
    return this.invoke(options).done;
  }
  pump(call) {
    if (call.rest === null || call.isDone) return;
    const max = this.options.piece ?? 65536;
    while (call.rest !== null) {
      const n = Math.min(call.rest.length, call.sendCredit, this.sendCredit, max);
      if (n === 0 && !(call.rest.length === 0 && call.restEnd)) return;
      const isLast = call.restEnd && n === call.rest.length;
      call.sendCredit -= n;
      this.sendCredit -= n;
      this.send(frame(T.BODY, { flags: isLast ? END : 0, stream: call.stream, payload: call.rest.subarray(0, n) }));
      call.rest = isLast ? null : call.rest.subarray(n);
    }
  }
  onData(data) {
    this.buffer = this.buffer.length ? Buffer.concat([this.buffer, data]) : data;
    let at = 0;
    while (this.buffer.length - at >= 16) {
      const n = this.buffer.readUInt32LE(at);
      if (n > 1 << 20) return this.violation(`a frame of ${n} bytes`);
      if (this.buffer.length - at - 16 < n) break;
      const type = this.buffer[at + 4];
      if (n > 65536 && ![T.READY, T.INIT_ERROR, T.HEAD, T.ERROR, T.CALL].includes(type)) this.violation(`frame ${type} of ${n} bytes`);
      this.onFrame({
        type,
        flags: this.buffer[at + 5],
        code: this.buffer.readUInt16LE(at + 6),
        stream: this.buffer.readUInt32LE(at + 8),
        arg: this.buffer.readUInt32LE(at + 12),
        payload: Buffer.from(this.buffer.subarray(at + 16, at + 16 + n)),
      });
      at += 16 + n;
    }
    this.buffer = this.buffer.subarray(at);
  }
  /** The client took bytes: credit goes back, at once or in crumbs. */
  consumed(call, n) {
    const { renewMs, renewBytes } = this.options;
    if (call.options.noCredit) return;
    const give = () => {
      call.unrenewed += n;
      this.unrenewed += n;
      const limit = renewBytes ?? 32768;
      if (call.unrenewed >= limit || renewMs !== undefined) {
        call.open += call.unrenewed;
        this.send(frame(T.CREDIT, { stream: call.stream, arg: call.unrenewed }));
        call.unrenewed = 0;
      }
      if (this.unrenewed >= (renewMs !== undefined ? 1 : 524288)) {
        this.open += this.unrenewed;
        this.send(frame(T.CREDIT, { stream: 0, arg: this.unrenewed }));
        this.unrenewed = 0;
      }
    };
    if (renewMs !== undefined) setTimeout(give, renewMs);
    else give();
  }
  take(call, data, flags) {
    if (call.ended) this.violation(`data behind END on ${call.stream}`);
    if (data.length) {
      call.open -= data.length;
      this.open -= data.length;
      if (call.open < 0) this.violation(`credit of stream ${call.stream} overrun`);
      if (this.open < 0) this.violation('credit of the connection overrun');
      call.chunks.push(data);
      this.consumed(call, data.length);
    }
    if (flags & END) call.ended = true;
  }
  onFrame(f) {
    if (f.type === T.READY) return this.onReady(Object.assign(Object.fromEntries(unpair(f.payload)), { ms: Number(process.hrtime.bigint() - this.startedAt) / 1e6 }));
    if (f.type === T.INIT_ERROR) return this.onInitError(Object.fromEntries(unpair(f.payload)));
    if (f.type === T.LOG) {
      this.logs.push({ level: f.code, stream: f.arg, text: f.payload.toString(), flags: f.flags });
      return this.changed();
    }
    if (f.type === T.PONG) {
      this.pongs.push(f.arg);
      return this.changed();
    }
    if (f.type === T.BYE) {
      this.isBye = true;
      return this.changed();
    }
    if (f.type === T.CREDIT && f.stream === 0) {
      this.sendCredit += f.arg;
      for (const call of this.calls.values()) this.pump(call);
      return undefined;
    }
    const call = this.calls.get(f.stream);
    if (!call) return this.violation(`frame ${f.type} for ${this.finished.has(f.stream) ? 'finished' : 'unknown'} stream ${f.stream}`);
    this.onCallFrame(call, f);
    return call.changed();
  }
  onCallFrame(call, f) {
    switch (f.type) {
      case T.CREDIT:
        call.sendCredit += f.arg;
        return this.pump(call);
      case T.HEAD: {
        if (call.status !== null) this.violation(`second HEAD on ${f.stream}`);
        const n = f.payload.readUInt32LE(0);
        call.status = f.payload.readUInt16LE(4);
        call.headers = unpair(f.payload.subarray(8, 4 + n));
        return this.take(call, f.payload.subarray(4 + n), f.flags);
      }
      case T.DATA:
        if (call.status === null) this.violation(`DATA before HEAD on ${f.stream}`);
        return this.take(call, f.payload, f.flags);
      case T.ERROR:
        if (call.ended) this.violation(`ERROR behind the end on ${f.stream}`);
        call.ended = true;
        call.error = Object.fromEntries(unpair(f.payload));
        return undefined;
      case T.DONE:
        call.isDone = true;
        this.calls.delete(call.stream);
        this.finished.add(call.stream);
        return call.resolve(call);
      default:
        return this.violation(`frame of type ${f.type}`);
    }
  }
  until(test, ms = 5000) {
    if (test(this)) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`timeout: ${test}; stderr ${this.stderr}`)), ms);
      this.waiting.push(() => {
        if (!test(this)) return false;
        clearTimeout(timer);
        resolve();
        return true;
      });
    });
  }
  changed() {
    this.waiting = this.waiting.filter((w) => !w());
  }
  drain(graceMs = 5000) {
    this.send(frame(T.DRAIN, { arg: graceMs }));
    return this.exited;
  }
  cpuMicros() {
    const stat = readFileSync(`/proc/${this.child.pid}/stat`, 'utf8');
    const rest = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(rest[11]) + Number(rest[12])) * 10000;
  }
  async close() {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill('SIGKILL');
    await this.exited;
    this.socket.destroy();
  }
}

/** Runs `body(host)` with an adapter that is READY; fails on every violation of the protocol. */
export async function withHost(options, body) {
  const dir = options.dir ?? codeDir(options.files);
  const host = new Host({ ...options, dir });
  try {
    host.readyInfo = await host.ready;
    const result = await body(host);
    if (host.violations.length) throw new Error(`protocol violations: ${host.violations.slice(0, 5).join('; ')}`);
    return result;
  } finally {
    await host.close();
    if (!options.dir) rmSync(dir, { recursive: true, force: true });
  }
}
/** Starts an adapter whose code cannot be loaded; returns INIT_ERROR's pairs and the exit. */
export async function initError(options) {
  const dir = options.dir ?? codeDir(options.files);
  const host = new Host({ ...options, dir });
  try {
    const error = await host.ready.then(
      (ready) => {
        throw new Error(`it became READY: ${JSON.stringify(ready)}`);
      },
      (e) => e,
    );
    error.exit = await host.exited;
    return error;
  } finally {
    await host.close();
    if (!options.dir) rmSync(dir, { recursive: true, force: true });
  }
}
