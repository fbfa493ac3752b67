// env.cache: the shape of Workers KV, and incr and cas, which it lacks.

async function bytesOf(value) {
  if (typeof value === 'string') return Buffer.from(value);
  if (value instanceof ArrayBuffer) return Buffer.from(value);
  if (ArrayBuffer.isView(value)) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  if (typeof value?.getReader === 'function' || typeof value?.[Symbol.asyncIterator] === 'function') {
    const parts = [];
    for await (const part of value) parts.push(Buffer.from(part));
    return Buffer.concat(parts);
  }
  throw new TypeError('a value of the cache is a string, an ArrayBuffer, a view of one or a stream');
}

function asType(bytes, type) {
  switch (type) {
    case 'text':
      return bytes.toString();
    case 'json':
      return JSON.parse(bytes.toString());
    case 'arrayBuffer':
      return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
    case 'stream':
      return new Blob([bytes]).stream();
    default:
      throw new TypeError(`cache.get: type '${type}' is none of text, json, arrayBuffer and stream`);
  }
}
const typeOf = (options) => (typeof options === 'string' ? options : options?.type) ?? 'text';

export class Cache {
  #ask;
  constructor(ask) {
    this.#ask = ask;
  }
  async #rows(keys) {
    const reply = await this.#ask('cache.get', { keys });
    let at = 0;
    return reply.json.map((row) => {
      if (row === null) return null;
      const value = (reply.data ?? Buffer.alloc(0)).subarray(at, at + row.n);
      at += row.n;
      return { ...row, value };
    });
  }
  async #getMany(keys, type, shape) {
    const rows = await this.#rows(keys);
    return new Map(keys.map((key, i) => [key, shape(rows[i], type)]));
  }
  async get(key, options) {
    const type = typeOf(options);
    const shape = (row) => (row === null ? null : asType(row.value, type));
    if (Array.isArray(key)) return this.#getMany(key, type, shape);
    return shape((await this.#rows([key]))[0]);
  }
  async getWithMetadata(key, options) {
    const type = typeOf(options);
    const shape = (row) =>
      row === null
        ? { value: null, metadata: null, revision: 0, cacheStatus: null }
        : { value: asType(row.value, type), metadata: row.metadata ?? null, revision: row.revision, cacheStatus: null };
    if (Array.isArray(key)) return this.#getMany(key, type, shape);
    return shape((await this.#rows([key]))[0]);
  }
  async put(key, value, { expiration, expirationTtl, metadata } = {}) {
    await this.#ask('cache.put', { key, expiration, expirationTtl, metadata }, await bytesOf(value));
  }
  /** Writes only while the pair has that revision (getWithMetadata tells it; 0: there is none). True when it did. */
  async cas(key, revision, value, { expiration, expirationTtl, metadata } = {}) {
    return (await this.#ask('cache.cas', { key, revision, expiration, expirationTtl, metadata }, await bytesOf(value))).json;
  }
  /** Adds to a whole number in one step (absent: 0) and gives the new one. */
  async incr(key, by = 1) {
    return (await this.#ask('cache.incr', { key, by })).json;
  }
  async delete(key) {
    await this.#ask('cache.delete', { key });
  }
  async list({ prefix, limit, cursor } = {}) {
    return { ...(await this.#ask('cache.list', { prefix, limit, cursor })).json, cacheStatus: null };
  }
}
