// Request, Response and fetch as globals, made lazily: a hello costs one object each, and Node's own implementation
// (about 10 ms to load, about 18 us a call) is only touched when something unusual is asked for.

import { BodyState, isDisturbed } from './body.mjs';
import { Headers, eachHeader, useRealHeaders } from './headers.mjs';

const REPLACED = ['Headers', 'Request', 'Response', 'fetch'];
const real = {}; // Node's own, once loaded
const lazy = Object.fromEntries(REPLACED.map((n) => [n, Object.getOwnPropertyDescriptor(globalThis, n)]));

function loadReal() {
  if (real.Response) return real;
  for (const name of REPLACED) real[name] = lazy[name].get ? lazy[name].get.call(globalThis) : lazy[name].value;
  install(); // the getters above put themselves in our place
  return real;
}
useRealHeaders(() => real.Headers);

const INTERNAL = Symbol('hob.internal');
const INSPECT = Symbol.for('nodejs.util.inspect.custom');
const ordinaryHasInstance = Function.prototype[Symbol.hasInstance];
const PLAIN_URL = /^\/[!$&-;=?-Z_a-z~%]*$/;
const DOT_SEGMENT = /\/(?:\.|%2e)/i;
const PLAIN_HOST = /^[a-z0-9.-]+(?::\d+)?$/;

function urlOf(call) {
  const scheme = call.extra('scheme') || 'http';
  const host = call.field('host') || 'localhost';
  const { target } = call;
  if (PLAIN_URL.test(target) && !DOT_SEGMENT.test(target) && PLAIN_HOST.test(host) && !/:(80|443)$/.test(host)) {
    return `${scheme}://${host}${target}`;
  }
  const path = target.startsWith('/') ? target : '/';
  for (const authority of [host, 'localhost']) {
    try {
      return new URL(`${scheme}://${authority}${path}`).href;
    } catch {
      // a Host that is no host: the next one
    }
  }
  return `${scheme}://localhost/`;
}

async function formDataOf(bytes, type) {
  const { Response: Real } = loadReal();
  return new Real(bytes, { headers: type ? { 'content-type': type } : {} }).formData();
}

// What else a Request has, with the values of one that came from outside.
const REQUEST_REST = {
  cache: 'default',
  credentials: 'same-origin',
  destination: '',
  duplex: 'half',
  integrity: '',
  isHistoryNavigation: false,
  isReloadNavigation: false,
  keepalive: false,
  mode: 'cors',
  redirect: 'follow',
  referrer: 'about:client',
  referrerPolicy: '',
};

export class Request {
  #call = null; // an invocation: everything comes from it, when asked
  #real = null; // or Node's own Request: one that a function made
  #url = null;
  #headers = null;
  #body = null; // BodyState

  constructor(input, init) {
    if (input === INTERNAL) {
      this.#call = init;
    } else {
      if (arguments.length === 0) throw new TypeError('Request: the first argument, a URL or a Request, is missing');
      const { Request: Real } = loadReal();
      this.#real = new Real(Request.toReal(input, init), init);
    }
  }
  static ofCall(call) {
    return new Request(INTERNAL, call);
  }
  static {
    for (const [name, value] of Object.entries(REQUEST_REST)) {
      Object.defineProperty(Request.prototype, name, {
        configurable: true,
        enumerable: true,
        get() {
          return this.#real ? this.#real[name] : value;
        },
      });
    }
  }
  static [Symbol.hasInstance](object) {
    if (ordinaryHasInstance.call(this, object)) return true;
    return this === Request && real.Request !== undefined && object instanceof real.Request;
  }
  /** Node's own Request, which takes over the body of this one unless `init` brings another. Others pass through. */
  static toReal(object, init) {
    if (typeof object !== 'object' || object === null || !(#real in object)) return object;
    if (object.#real) return object.#real;
    const { Request: Real } = loadReal();
    const options = { method: object.method, headers: object.headers, signal: object.signal };
    const hasOther = init?.body !== undefined && init.body !== null;
    if (object.#state.data === null || hasOther) return new Real(object.url, options);
    if (object.bodyUsed) throw new TypeError('cannot make a Request of one whose body has been read');
    const made = new Real(object.url, { ...options, body: object.body, duplex: 'half' });
    object.#state.used = true;
    return made;
  }

  get #state() {
    return (this.#body ??= new BodyState(this.#call.body));
  }
  get method() {
    return this.#real ? this.#real.method : this.#call.method;
  }
  get url() {
    return this.#real ? this.#real.url : (this.#url ??= urlOf(this.#call));
  }
  get headers() {
    return this.#real ? this.#real.headers : (this.#headers ??= Headers.fromFlat(this.#call.fields(), true));
  }
  get signal() {
    return this.#real ? this.#real.signal : this.#call.signal;
  }
  get body() {
    return this.#real ? this.#real.body : this.#state.stream();
  }
  get bodyUsed() {
    return this.#real ? this.#real.bodyUsed : this.#body !== null && this.#body.isUsed;
  }
  text() {
    return this.#real ? this.#real.text() : this.#state.text();
  }
  json() {
    return this.#real ? this.#real.json() : this.#state.json();
  }
  arrayBuffer() {
    return this.#real ? this.#real.arrayBuffer() : this.#state.arrayBuffer();
  }
  async bytes() {
    return this.#real ? new Uint8Array(await this.#real.arrayBuffer()) : this.#state.bytes();
  }
  blob() {
    return this.#real ? this.#real.blob() : this.#state.blob(this.headers.get('content-type'));
  }
  async formData() {
    if (this.#real) return this.#real.formData();
    return formDataOf(await this.#state.take(), this.headers.get('content-type'));
  }
  clone() {
    const copy = new Request(INTERNAL, this.#call);
    if (this.#real) {
      copy.#real = this.#real.clone();
    } else {
      copy.#body = this.#state.clone();
    }
    return copy;
  }
  get [Symbol.toStringTag]() {
    return 'Request';
  }
  [INSPECT](depth, options, inspect) {
    const { method, url, headers, bodyUsed } = this;
    return `Request ${inspect({ method, url, headers, bodyUsed }, options)}`;
  }
}

/** Any BodyInit but a string -> [data for BodyState, content type or null]. */
function extract(body) {
  if (typeof body === 'object') {
    if (body instanceof Uint8Array) return [body.slice(), null];
    if (body instanceof ArrayBuffer) return [new Uint8Array(body.slice(0)), null];
    if (ArrayBuffer.isView(body)) {
      return [new Uint8Array(body.buffer.slice(body.byteOffset, body.byteOffset + body.byteLength)), null];
    }
    if (body instanceof URLSearchParams) {
      return [body.toString(), 'application/x-www-form-urlencoded;charset=UTF-8'];
    }
    if (body instanceof ReadableStream) {
      if (body.locked || isDisturbed(body)) throw new TypeError('Response body object should not be disturbed or locked');
      return [body, null];
    }
    if (typeof body.stream === 'function' && typeof body.arrayBuffer === 'function') return [body.stream(), body.type || null];
    if (body[Symbol.toStringTag] === 'FormData' || typeof body[Symbol.asyncIterator] === 'function') {
      const made = new (loadReal().Response)(body);
      return [made.body, made.headers.get('content-type')];
    }
  }
  return [String(body), 'text/plain;charset=UTF-8'];
}

const NULL_BODY = new Set([101, 204, 205, 304]);

export class Response {
  #status = 200;
  #statusText = '';
  #data = null; // as BodyState keeps it
  #state = null; // BodyState, once somebody looks at the body
  #isSent = false;
  #flat = null; // names and values, until somebody touches .headers
  #headers = null;

  constructor(body, init) {
    let type = null;
    if (typeof body === 'string') {
      this.#data = body;
      type = 'text/plain;charset=UTF-8';
    } else if (body !== null && body !== undefined) {
      [this.#data, type] = extract(body);
    }
    let hasType = false;
    if (init !== undefined && init !== null) hasType = this.#init(init);
    if (type !== null && !hasType) {
      if (this.#flat === null) this.#flat = ['content-type', type];
      else this.#flat.push('content-type', type);
    }
  }

  #init(init) {
    if (typeof init !== 'object' && typeof init !== 'function') throw new TypeError('ResponseInit must be an object');
    const { status, statusText, headers } = init;
    if (status !== undefined) {
      const code = Math.trunc(Number(status));
      if (!(code >= 200 && code <= 599)) {
        throw new RangeError('init["status"] must be in the range of 200 to 599, inclusive.');
      }
      if (this.#data !== null && NULL_BODY.has(code)) {
        throw new TypeError(`Response constructor: Invalid response status code ${code}: it cannot have a body`);
      }
      this.#status = code;
    }
    if (statusText !== undefined) {
      this.#statusText = String(statusText);
      if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(this.#statusText)) throw new TypeError('Invalid statusText');
    }
    if (headers === undefined) return false;
    const flat = [];
    let hasType = false;
    eachHeader(headers, (name, value) => {
      if (name === 'content-type') hasType = true;
      flat.push(name, value);
    });
    this.#flat = flat;
    return hasType;
  }

  static [Symbol.hasInstance](object) {
    if (ordinaryHasInstance.call(this, object)) return true;
    return this === Response && real.Response !== undefined && object instanceof real.Response;
  }
  /** For the wire: {status, flat, data} of ours or of another implementation's, the body taken; null: no Response. */
  static wire(object) {
    if (typeof object !== 'object' || object === null) return null;
    if (#isSent in object) return object.#wire();
    if (object[Symbol.toStringTag] !== 'Response' || typeof object.status !== 'number') return null;
    if (typeof object.headers?.entries !== 'function') return null;
    if (object.bodyUsed) throw new TypeError('the Response cannot be sent: its body has been read already');
    return { status: object.status, flat: [...object.headers.entries()].flat(), data: object.body ?? null };
  }
  #wire() {
    if (this.#data !== null) {
      if (this.bodyUsed || this.#state?.view?.locked) {
        throw new TypeError('the Response cannot be sent: its body has been read or sent already');
      }
      this.#isSent = true;
    }
    return {
      status: this.#status,
      flat: this.#headers === null ? this.#flat : Headers.rawOf(this.#headers).flat(),
      data: this.#state === null ? this.#data : this.#state.view ?? this.#state.data,
    };
  }

  get #lookAtBody() {
    if (this.#state === null) {
      this.#state = new BodyState(this.#data);
      this.#state.used = this.#isSent;
    }
    return this.#state;
  }
  get status() {
    return this.#status;
  }
  get ok() {
    return this.#status >= 200 && this.#status <= 299;
  }
  get statusText() {
    return this.#statusText;
  }
  get type() {
    return 'default';
  }
  get url() {
    return '';
  }
  get redirected() {
    return false;
  }
  get headers() {
    return (this.#headers ??= Headers.fromFlat(this.#flat ?? [], false));
  }
  get body() {
    return this.#lookAtBody.stream();
  }
  get bodyUsed() {
    return this.#isSent || (this.#state !== null && this.#state.isUsed);
  }
  text() {
    return this.#lookAtBody.text();
  }
  json() {
    return this.#lookAtBody.json();
  }
  arrayBuffer() {
    return this.#lookAtBody.arrayBuffer();
  }
  bytes() {
    return this.#lookAtBody.bytes();
  }
  blob() {
    return this.#lookAtBody.blob(this.headers.get('content-type'));
  }
  async formData() {
    return formDataOf(await this.#lookAtBody.take(), this.headers.get('content-type'));
  }
  clone() {
    const copy = new Response(null);
    copy.#status = this.#status;
    copy.#statusText = this.#statusText;
    copy.#state = this.#lookAtBody.clone();
    copy.#data = copy.#state.data;
    copy.#flat = this.#headers ? Headers.rawOf(this.#headers).flat() : this.#flat && [...this.#flat];
    return copy;
  }
  static json(data, init) {
    const text = JSON.stringify(data);
    if (text === undefined) throw new TypeError('Response.json(): the value cannot be written as JSON');
    const made = new Response(null);
    made.#data = text;
    const hasType = init !== undefined && init !== null && made.#init(init);
    if (!hasType) (made.#flat ??= []).push('content-type', 'application/json');
    return made;
  }
  static redirect(url, status = 302) {
    const judged = loadReal().Response.redirect(url, status);
    return new Response(null, { status: judged.status, headers: { location: judged.headers.get('location') } });
  }
  static error() {
    return loadReal().Response.error();
  }
  get [Symbol.toStringTag]() {
    return 'Response';
  }
  [INSPECT](depth, options, inspect) {
    const { status, statusText, headers, bodyUsed } = this;
    return `Response ${inspect({ status, statusText, headers, bodyUsed }, options)}`;
  }
}

async function fetch(input, init) {
  const own = loadReal();
  return own.fetch(Request.toReal(input, init), init);
}

/** Puts them on globalThis. */
export function install() {
  const ours = { Headers, Request, Response, fetch };
  for (const name of REPLACED) {
    Object.defineProperty(globalThis, name, {
      value: ours[name],
      writable: true,
      configurable: true,
      enumerable: lazy[name].enumerable,
    });
  }
}
