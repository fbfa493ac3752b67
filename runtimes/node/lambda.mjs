// Lambda handlers: event 2.0 of an HTTP request, the context, callbacks, and what a result means as HTTP.

import { isUtf8 } from 'node:buffer';
import * as streams from 'node:stream'; // lazy
import { headerName, headerValue } from './headers.mjs';
import { CancelError } from './invocation.mjs';

const PAYLOAD_MAX = 6 * 1024 * 1024;
const STREAMING = Symbol.for('aws.lambda.runtime.handler.streaming');
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const TEXT_TYPE = /text|json|xml|javascript/i;
const JSON_TYPE = ['content-type', 'application/json'];

let info = {}; // of this instance: function name, version, memory ...
let bindings = () => ({});
export function describe(hello, env, envOf = null) {
  bindings = envOf ?? (() => env);
  const get = (name) => hello.get(name) ?? '';
  const version = get('version') || '$LATEST';
  info = {
    callbackWaitsForEmptyEventLoop: true,
    functionVersion: version,
    functionName: get('function'),
    memoryLimitInMB: get('memory_mb'),
    logGroupName: `/hob/${get('app')}/${get('function')}`,
    logStreamName: get('instance'),
    clientContext: undefined,
    identity: undefined,
    invokedFunctionArn: `arn:hob:lambda:local:${get('app')}:function:${get('function')}:${version}`,
  };
}

export function installGlobals() {
  globalThis.awslambda = {
    streamifyResponse(handler, options) {
      handler[STREAMING] = 'response';
      if (options?.highWaterMark) handler[Symbol.for('aws.lambda.runtime.handler.streaming.highWaterMark')] = options.highWaterMark;
      return handler;
    },
    HttpResponseStream: {
      from(stream, prelude) {
        if (AnswerStream === null || !(stream instanceof AnswerStream)) throw new TypeError('HttpResponseStream.from: give it the responseStream');
        stream.setPrelude(prelude);
        return stream;
      },
    },
  };
}

// --- event ---
let clfSecond = 0;
let clfText = '';
function clfTime(ms) {
  const second = Math.trunc(ms / 1000);
  if (second !== clfSecond) {
    const d = new Date(ms);
    const two = (n) => String(n).padStart(2, '0');
    clfText = `${two(d.getUTCDate())}/${MONTHS[d.getUTCMonth()]}/${d.getUTCFullYear()}:${two(d.getUTCHours())}:${two(d.getUTCMinutes())}:${two(d.getUTCSeconds())} +0000`;
    clfSecond = second;
  }
  return clfText;
}
/** A byte string as the UTF-8 it may be. */
function fromBytes(text) {
  return /[\x80-\xff]/.test(text) ? Buffer.from(text, 'latin1').toString() : text;
}
function decodePath(path) {
  if (!path.includes('%')) return fromBytes(path);
  return fromBytes(path).replace(/(?:%[0-9a-f]{2})+/gi, (run) =>
    run
      .split(/(%2f)/i)
      .map((part) => {
        if (/^%2f$/i.test(part)) return part;
        try {
          return decodeURIComponent(part);
        } catch {
          return part;
        }
      })
      .join(''),
  );
}
function joined(into, name, value) {
  into[name] = Object.hasOwn(into, name) ? `${into[name]},${value}` : value;
}

export function httpEvent(call, body) {
  const target = call.target;
  const mark = target.indexOf('?');
  const path = decodePath(mark < 0 ? target : target.substring(0, mark));
  const query = mark < 0 ? '' : target.substring(mark + 1);
  const headers = {};
  let cookies;
  call.walk(call.fieldsAt, (name, value) => {
    if (name === 'cookie') (cookies ??= []).push(...fromBytes(value).split(/; */).filter(Boolean));
    else joined(headers, name, fromBytes(value));
  });
  const host = headers.host ?? 'localhost';
  const domainName = host.replace(/:\d+$/, '');
  const now = Date.now();
  let pathParameters;
  let sourceIp = '';
  let protocol = 'HTTP/1.1';
  call.extras((name, value) => {
    if (name === 'remote') sourceIp = value.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
    else if (name === 'protocol') protocol = value;
    else if (name.startsWith('param.')) (pathParameters ??= {})[name.substring(6)] = fromBytes(value);
  });
  const event = { version: '2.0', routeKey: '$default', rawPath: path, rawQueryString: query };
  if (cookies) event.cookies = cookies;
  event.headers = headers;
  if (query) {
    event.queryStringParameters = {};
    for (const [name, value] of new URLSearchParams(query)) joined(event.queryStringParameters, name, value);
  }
  event.requestContext = {
    accountId: 'anonymous',
    apiId: info.functionName,
    domainName,
    domainPrefix: domainName.split('.', 1)[0],
    http: { method: call.method, path, protocol, sourceIp, userAgent: headers['user-agent'] ?? '' },
    requestId: call.requestId,
    routeKey: '$default',
    stage: '$default',
    time: clfTime(now),
    timeEpoch: now,
  };
  if (pathParameters) event.pathParameters = pathParameters;
  event.isBase64Encoded = false;
  if (body !== null && body.length > 0) {
    const isText = TEXT_TYPE.test(headers['content-type'] ?? '') && isUtf8(body);
    event.body = isText ? body.toString() : body.toString('base64');
    event.isBase64Encoded = !isText;
  }
  return event;
}

// --- result ---
function flatOf(result) {
  const flat = [];
  let hasType = false;
  for (const [name, value] of Object.entries(result.headers ?? {})) {
    if (value === undefined || value === null) continue;
    const lower = headerName(name);
    if (lower === 'content-type') hasType = true;
    for (const one of Array.isArray(value) ? value : [value]) flat.push(lower, headerValue(one, name));
  }
  for (const cookie of result.cookies ?? []) flat.push('set-cookie', headerValue(cookie, 'set-cookie'));
  if (!hasType) flat.push(...JSON_TYPE);
  return flat;
}
function statusOf(value) {
  const status = typeof value === 'string' && /^\d{3}$/.test(value) ? Number(value) : value;
  if (!Number.isInteger(status) || status < 200 || status > 599) {
    throw new RangeError(`the handler answered statusCode ${JSON.stringify(value)}: use a number from 200 to 599`);
  }
  return status;
}
function tooLarge(n) {
  const error = new RangeError(`the answer has ${n} bytes; at most ${PAYLOAD_MAX} can be returned, stream more`);
  error.name = 'Function.ResponseSizeTooLarge';
  return error;
}
function sendText(call, status, flat, text) {
  if (text.length > PAYLOAD_MAX / 3 && Buffer.byteLength(text) > PAYLOAD_MAX) throw tooLarge(Buffer.byteLength(text));
  return call.answer(status, flat, text);
}

function answer(call, result) {
  if (call.isEvent) return sendText(call, 200, JSON_TYPE, JSON.stringify(result) ?? 'null');
  if (typeof result === 'string') return sendText(call, 200, JSON_TYPE, result);
  if (typeof result !== 'object' || result === null || result.statusCode === undefined) {
    return sendText(call, 200, JSON_TYPE, JSON.stringify(result) ?? 'null');
  }
  const status = statusOf(result.statusCode);
  const flat = flatOf(result);
  const { body } = result;
  if (status === 204 || status === 304 || body === undefined || body === null || body === '') {
    return call.answer(status, flat, null);
  }
  if (result.isBase64Encoded) {
    const bytes = Buffer.from(String(body), 'base64');
    if (bytes.length > PAYLOAD_MAX) throw tooLarge(bytes.length);
    return call.answer(status, flat, bytes);
  }
  return sendText(call, status, flat, typeof body === 'string' ? body : JSON.stringify(body));
}

// --- context ---
class Context {
  #call;
  #settle;
  constructor(call, settle) {
    Object.assign(this, info);
    this.awsRequestId = call.requestId;
    this.#call = call;
    this.#settle = settle;
  }
  getRemainingTimeInMillis = () => Math.max(0, this.#call.deadlineMs - Date.now());
  get env() {
    return bindings(this.#call);
  }
  get signal() {
    return this.#call.signal;
  }
  // the old ways to answer; asking for one says that the return value is not the answer
  get done() {
    return this.#settle.legacy((error, result) => this.#settle(error, result));
  }
  get succeed() {
    return this.#settle.legacy((result) => this.#settle(null, result));
  }
  get fail() {
    return this.#settle.legacy((error) => this.#settle(error ?? new Error('handler failed')));
  }
}

function settler(call) {
  let isSettled = false;
  const settle = (error, result) => {
    if (isSettled) {
      if (!call.isDone) console.warn('the handler answered twice; the second answer is ignored');
      return;
    }
    isSettled = true;
    if (error !== null && error !== undefined) return call.fail(error);
    try {
      answer(call, result);
    } catch (wrong) {
      call.fail(wrong, wrong.name === 'Function.ResponseSizeTooLarge' ? undefined : 'Runtime.InvalidResponse');
    }
  };
  settle.isLegacy = false;
  settle.legacy = (way) => {
    settle.isLegacy = true;
    return way;
  };
  return settle;
}

function run(handler, call, event) {
  const settle = settler(call);
  const context = new Context(call, settle);
  let result;
  try {
    result = handler(event, context, settle);
  } catch (error) {
    return settle(error ?? new Error('the handler threw nothing'));
  }
  if (typeof result?.then === 'function') {
    result.then(
      (value) => settle(null, value),
      (error) => settle(error ?? new Error('the handler rejected with nothing')),
    );
  } else if (handler.length < 3 && !settle.isLegacy) {
    settle(null, result);
  }
}

// --- streaming ---
let AnswerStream = null; // made when the first handler streams
function makeAnswerStream() {
  return class AnswerStream extends streams.Writable {
    #call;
    #prelude = { headers: { 'content-type': 'application/octet-stream' } };
    #isOpen = false;
    constructor(call) {
      super({ highWaterMark: 65536 });
      this.#call = call;
    }
    setContentType(type) {
      this.#prelude.headers = { ...this.#prelude.headers, 'content-type': type };
    }
    setPrelude(prelude) {
      if (this.#isOpen) throw new Error('HttpResponseStream.from: the answer has begun already');
      this.#prelude = prelude ?? {};
    }
    #open() {
      if (this.#isOpen) return;
      this.#isOpen = true;
      this.#call.head(statusOf(this.#prelude.statusCode ?? 200), flatOf(this.#prelude));
    }
    _write(chunk, encoding, callback) {
      try {
        this.#open();
      } catch (error) {
        return callback(error);
      }
      this.#call.write(chunk).then((isOpen) => callback(isOpen ? null : new CancelError(this.#call.cancelled)), callback);
    }
    _final(callback) {
      try {
        this.#open();
        this.#call.end();
        callback();
      } catch (error) {
        callback(error);
      }
    }
  };
}

async function runStreaming(handler, call, event) {
  const settle = settler(call);
  AnswerStream ??= makeAnswerStream();
  const stream = new AnswerStream(call);
  let failure = null;
  const closed = new Promise((resolve) => {
    stream.on('finish', resolve);
    stream.on('error', (error) => {
      failure ??= error;
      resolve();
    });
    stream.on('close', resolve);
    call.onCancel = () => stream.destroy(new CancelError(call.cancelled));
  });
  try {
    const result = handler(event, stream, new Context(call, settle));
    await result;
    if (!stream.writableEnded && !stream.destroyed) stream.end();
    await closed;
  } catch (error) {
    failure ??= error ?? new Error('the handler rejected with nothing');
  }
  if (failure === null && !call.isMuted) failure = new Error('the response stream was destroyed before its end');
  if (failure !== null) call.fail(failure);
  else call.ended();
}

// --- door ---
class EventError extends Error {}

function start(handler, call, body) {
  let event;
  if (call.isEvent) {
    try {
      event = body === null || body.length === 0 ? {} : JSON.parse(body.toString());
    } catch (error) {
      return call.fail(new EventError(`the event is not JSON: ${error.message}`), 'Runtime.InvalidEvent');
    }
  } else {
    event = httpEvent(call, body);
  }
  if (handler[STREAMING]) return void runStreaming(handler, call, event);
  run(handler, call, event);
}

export function lambda(handler) {
  return (call) => {
    if (call.body === null || call.body instanceof Uint8Array) return start(handler, call, call.body);
    const max = () => new EventError(`the body is over ${PAYLOAD_MAX} bytes: a handler takes no more, use fetch to stream it`);
    call.wholeBody(PAYLOAD_MAX, max).then(
      (body) => start(handler, call, body),
      (error) => {
        if (!(error instanceof EventError) || call.isEvent) return call.fail(error);
        const problem = { type: 'about:blank', title: 'Content Too Large', status: 413, detail: error.message };
        call.answer(413, ['content-type', 'application/problem+json'], JSON.stringify(problem));
      },
    );
  };
}
