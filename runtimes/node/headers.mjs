// Headers as the Fetch standard describes them, without loading Node's own implementation (10 ms at start).
// Values are byte strings; set-cookie is never joined. Iterable, so Node's fetch takes it as it is.

const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const PLAIN_VALUE = /^[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?$/;
const KNOWN = new Map(); // names already judged, as written -> lower case

export function headerName(name) {
  let lower = KNOWN.get(name);
  if (lower !== undefined) return lower;
  const text = String(name);
  if (!NAME.test(text)) throw new TypeError(`'${text}' is not a header name: use letters, digits and '-'`);
  lower = text.toLowerCase();
  if (KNOWN.size < 500 && typeof name === 'string') KNOWN.set(name, lower);
  return lower;
}

export function headerValue(value, name) {
  let text = typeof value === 'string' ? value : String(value);
  if (PLAIN_VALUE.test(text)) return text;
  text = text.replace(/^[\t\n\r ]+|[\t\n\r ]+$/g, '');
  if (/[\0\r\n]/.test(text)) throw new TypeError(`the value of header '${name}' has a line break or NUL`);
  if (/[^\0-\xff]/.test(text)) {
    throw new TypeError(`the value of header '${name}' has characters over U+00FF: encode it, for instance as UTF-8 percent`);
  }
  return text;
}

let realHeaders = () => undefined;
export function useRealHeaders(get) {
  realHeaders = get;
}

/** Calls add(name, value) for every header of any HeadersInit, names lower-case and values judged. */
export function eachHeader(init, add) {
  if (init === undefined) return;
  if (init === null || (typeof init !== 'object' && typeof init !== 'function')) {
    throw new TypeError('headers must be an object, a list of pairs or Headers');
  }
  if (init instanceof Headers && Headers.isOurs(init)) {
    for (const [name, value] of Headers.rawOf(init)) add(name, value);
    return;
  }
  if (typeof init[Symbol.iterator] === 'function') {
    for (const pair of init) {
      const two = typeof pair === 'object' && pair !== null ? [...pair] : [];
      if (two.length !== 2) throw new TypeError('headers as a list: each item must be a pair [name, value]');
      add(headerName(two[0]), headerValue(two[1], two[0]));
    }
    return;
  }
  for (const name of Object.keys(init)) add(headerName(name), headerValue(init[name], name));
}

export class Headers {
  #map = new Map(); // lower-case name -> value, or a list for set-cookie
  #isImmutable = false;

  constructor(init) {
    if (init !== undefined) eachHeader(init, (name, value) => this.#add(name, value));
  }

  static isOurs(object) {
    return typeof object === 'object' && object !== null && #map in object;
  }

  /** Pairs in the order they were set, set-cookie one by one: for the wire. */
  static rawOf(headers) {
    const out = [];
    for (const [name, value] of headers.#map) {
      if (typeof value === 'string') out.push([name, value]);
      else for (const one of value) out.push([name, one]);
    }
    return out;
  }

  /** From the wire: already judged, lower-case. */
  static fromFlat(flat, isImmutable) {
    const headers = new Headers();
    for (let i = 0; i < flat.length; i += 2) headers.#add(flat[i], flat[i + 1]);
    headers.#isImmutable = isImmutable;
    return headers;
  }

  static [Symbol.hasInstance](object) {
    if (Function.prototype[Symbol.hasInstance].call(this, object)) return true;
    const real = this === Headers ? realHeaders() : undefined;
    return real !== undefined && object instanceof real;
  }

  #add(name, value) {
    const old = this.#map.get(name);
    if (name === 'set-cookie') {
      if (old) old.push(value);
      else this.#map.set(name, [value]);
    } else {
      this.#map.set(name, old === undefined ? value : old + (name === 'cookie' ? '; ' : ', ') + value);
    }
  }

  #mayChange() {
    if (this.#isImmutable) throw new TypeError('these headers are immutable: make new Headers(headers)');
  }

  append(name, value) {
    const lower = headerName(name);
    const text = headerValue(value, name);
    this.#mayChange();
    this.#add(lower, text);
  }
  set(name, value) {
    const lower = headerName(name);
    const text = headerValue(value, name);
    this.#mayChange();
    this.#map.set(lower, lower === 'set-cookie' ? [text] : text);
  }
  delete(name) {
    const lower = headerName(name);
    this.#mayChange();
    this.#map.delete(lower);
  }
  get(name) {
    const value = this.#map.get(headerName(name));
    if (value === undefined) return null;
    return typeof value === 'string' ? value : value.join(', ');
  }
  has(name) {
    return this.#map.has(headerName(name));
  }
  getSetCookie() {
    return [...(this.#map.get('set-cookie') ?? [])];
  }
  forEach(callback, self) {
    if (typeof callback !== 'function') throw new TypeError('Headers.forEach needs a function');
    for (const [name, value] of this) callback.call(self, value, name, this);
  }
  *entries() {
    for (const name of [...this.#map.keys()].sort()) {
      const value = this.#map.get(name);
      if (typeof value === 'string') yield [name, value];
      else if (value) for (const one of value) yield [name, one];
    }
  }
  *keys() {
    for (const pair of this.entries()) yield pair[0];
  }
  *values() {
    for (const pair of this.entries()) yield pair[1];
  }
  [Symbol.iterator]() {
    return this.entries();
  }
  get [Symbol.toStringTag]() {
    return 'Headers';
  }
  [Symbol.for('nodejs.util.inspect.custom')](depth, options, inspect) {
    return `Headers ${inspect(Object.fromEntries(this.entries()), options)}`;
  }
}
