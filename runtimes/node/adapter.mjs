// The node runtime: HELLO -> load the code -> READY, then invocations until DRAIN.
//
//   waiting for HELLO -> loading -> serving -> draining -> exit 0      (an init error: INIT_ERROR, exit 1)

import { AsyncLocalStorage } from 'node:async_hooks';
import { createRequire } from 'node:module';
import path from 'node:path';
import { format } from 'node:util';
import { Incoming } from './body.mjs';
import * as channel from './channel.mjs';
import { END, META, T } from './channel.mjs';
import { serveFetch } from './fetch.mjs';
import { Invocation, addConnectionCredit, errorPairs, open, rehearsed, rehearsedEnd, renewConnection, whenDone } from './invocation.mjs';
import { describe, installGlobals, lambda } from './lambda.mjs';
import { load } from './load.mjs';
import { LEVEL, takeConsole } from './logs.mjs';
import { Response, install } from './web.mjs';

let serve = null; // (call) => void, once the code is loaded
let concurrency = 1;
let isDraining = false;
let isConfigured = false; // HELLO has come
let bindings = null; // of a function that has some
const own = path.dirname(process.argv[1]);

// --- logs: which invocation does a line belong to? ---
// At concurrency 1 there is only one. Above, the synchronous part of a handler is known; for what runs later
// AsyncLocalStorage is switched on by the first line that needs it, because it makes every promise dearer.
const storage = new AsyncLocalStorage();
let isStorageOn = false;
let current = null;
function currentStream() {
  if (current !== null) return current.stream;
  if (open.size === 1) return open.keys().next().value;
  if (open.size === 0) return 0;
  if (isStorageOn) return storage.getStore()?.stream ?? 0;
  isStorageOn = true;
  return 0;
}
takeConsole((level, text) => channel.sendLog(level, currentStream(), text));

function crash(error, type) {
  channel.sendLog(LEVEL.error, currentStream(), format(`${type}:`, error));
  for (const call of open.values()) call.fail(error, type);
  process.exit(1);
}
process.on('uncaughtException', (error, origin) => {
  crash(error, origin === 'unhandledRejection' ? 'Runtime.UnhandledPromiseRejection' : 'Runtime.UncaughtException');
});
process.on('exit', channel.flushNow);

// --- start ---
function configure(pairs) {
  process.chdir(process.cwd()); // started ahead: the code was mounted over the folder we are in
  const hello = new Map();
  const secrets = new Map();
  const vars = {};
  for (let i = 0; i < pairs.length; i += 2) {
    const [name, value] = [pairs[i], pairs[i + 1]];
    if (name.startsWith('env.')) vars[name.slice(4)] = process.env[name.slice(4)] = value;
    else if (name.startsWith('secret.')) secrets.set(name.slice(7), value);
    else hello.set(name, value);
  }
  if (hello.get('secrets_in_env') === '1') for (const [name, value] of secrets) process.env[name] = value;
  const env = { ...vars, vars };
  env.secrets = {
    async get(name) {
      if (!secrets.has(name)) throw new Error(`secret '${name}' is not among this function's secrets`);
      return secrets.get(name);
    },
    async list() {
      return [...secrets.keys()];
    },
  };
  if (hello.has('bindings')) {
    const { attach } = createRequire(path.join(own, 'adapter.cjs'))(path.join(own, 'bindings.cjs'));
    bindings = attach({ sendCall: channel.sendCall, readPairs: channel.readPairs }, env, hello.get('bindings'));
  }
  return { hello, env };
}

/** Started ahead: there is time to load and compile what HELLO and the first invocation will need. The code that comes
 * can see nothing of it: no tenant's data, no handle, no module but the platform's. */
async function preload(arg) {
  const { hello, env } = configure([]);
  describe(hello, env);
  await load(new Map([['entry', path.join(own, 'warm.mjs')]]));
  await channel.rehearse(async () => {
    channel.sendPairs(T.READY, 0, ['kind', 'fetch']);
    serveFetch(() => new Response('', { headers: { 'content-type': 'text/plain' } }), null, {})(rehearsed());
    serveFetch(async (request) => Response.json({ url: request.url }), null, {})(rehearsed());
    await null;
    await null;
  });
  rehearsedEnd();
  channel.sendSmall(T.PONG, 0, 0, 0, arg);
}

async function start(pairs) {
  isConfigured = true;
  if (pairs === null) throw new Error('HELLO is malformed');
  const { hello, env } = configure(pairs);
  if (hello.get('protocol') !== '1') throw new Error(`protocol ${hello.get('protocol')} is not spoken here, only 1`);
  concurrency = Math.min(Math.max(Number(hello.get('concurrency')) || 1, 1), 1000);
  process.title = `node ${hello.get('app')}/${hello.get('function')}`;
  process.argv[1] = hello.get('entry') ?? '';
  const envOf = bindings === null ? null : bindings.envOf;
  describe(hello, env, envOf);
  const cloud = hello.get('kind') === 'parse' ? bindings.loadCloud(hello) : null;
  const found = await load(hello, cloud);
  serve = found.kind === 'fetch' ? serveFetch(found.handler, found.self, env, envOf) : lambda(found.handler);
  channel.sendPairs(T.READY, 0, ['protocol', '1', 'kind', found.kind, 'concurrency', String(concurrency)]);
}

function startFailed(error) {
  channel.sendPairs(T.INIT_ERROR, 0, errorPairs(error));
  process.exitCode = 1;
  process.exit();
}

// --- frames ---
function onInvoke(flags, stream, arg, buffer, from, to) {
  const metaEnd = from + 4 + buffer.readUInt32LE(from);
  const call = new Invocation(stream, buffer.latin1Slice(from + 4, metaEnd), arg);
  const isWhole = (flags & END) !== 0;
  if (!isWhole) {
    call.body = new Incoming((n, isEnded) => call.renew(n, isEnded));
    if (to > metaEnd) call.body.push(Buffer.from(buffer.subarray(metaEnd, to)), false, 0);
  } else if (to > metaEnd) {
    call.body = Buffer.from(buffer.subarray(metaEnd, to));
  }
  open.set(stream, call);
  if (isStorageOn) {
    storage.run(call, serve, call);
  } else {
    current = call;
    try {
      serve(call);
    } finally {
      current = null;
    }
  }
}

function onBody(flags, stream, buffer, from, to) {
  let dataFrom = from;
  if (flags & META) dataFrom = from + 4 + buffer.readUInt32LE(from);
  const n = to - dataFrom;
  const body = open.get(stream)?.body;
  renewConnection(n);
  if (body instanceof Incoming) body.push(Buffer.from(buffer.subarray(dataFrom, to)), (flags & END) !== 0, n);
}

function drain(graceMs) {
  isDraining = true;
  whenDone(leaveWhenEmpty);
  leaveWhenEmpty();
  if (graceMs > 0) setTimeout(() => process.exit(0), graceMs).unref();
}
function leaveWhenEmpty() {
  if (open.size === 0) leave();
}
function leave() {
  whenDone(() => {});
  channel.sendSmall(T.BYE, 0, 0, 0, 0);
  channel.whenFlushed(() => process.exit(0));
}

function onFrame(type, flags, code, stream, arg, buffer, from, to) {
  switch (type) {
    case T.INVOKE:
      if (serve !== null && !open.has(stream)) return onInvoke(flags, stream, arg, buffer, from, to);
      throw new Error(`channel: INVOKE on stream ${stream} ${serve ? 'which is open' : 'before READY'}`);
    case T.BODY:
      return onBody(flags, stream, buffer, from, to);
    case T.CREDIT:
      return stream === 0 ? addConnectionCredit(arg) : open.get(stream)?.addCredit(arg);
    case T.CANCEL:
      // past its deadline and alone here: what is still running would disturb the next invocation, so no DONE is
      // sent before it stops, and hobd replaces the instance
      return open.get(stream)?.cancel(code, code !== 1 || concurrency > 1);
    case T.PING:
      if (!isConfigured) return void preload(arg).catch(startFailed);
      return channel.sendSmall(T.PONG, 0, 0, 0, arg);
    case T.DRAIN:
      return drain(arg);
    case T.HELLO:
      start(channel.readPairs(buffer, from, to)).catch(startFailed);
      return undefined;
    case T.REPLY:
      return bindings?.onReply(flags, code, stream, buffer, from, to);
    case T.PONG:
    case T.RECONFIG:
    case T.UPGRADED:
      return undefined;
    case T.BYE:
      return leave();
    default:
      if (type < T.OPTIONAL_FIRST) throw new Error(`channel: a frame of unknown type ${type}`);
      return undefined;
  }
}

installGlobals();
install();
channel.open(onFrame, () => process.exit(0));
process.on('SIGTERM', () => {
  if (!isDraining) drain(0);
});
