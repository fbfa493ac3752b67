// env.files: the app's files by key, a part of R2's shape.

export class Files {
  #ask;
  constructor(ask) {
    this.#ask = ask;
  }
  async #bytes(value) {
    if (value === null || value === undefined) return Buffer.alloc(0);
    if (typeof value === 'string') return Buffer.from(value);
    return Buffer.from(await new Response(value).arrayBuffer());
  }
  async put(key, value, options = {}) {
    const contentType = options.httpMetadata?.contentType;
    const reply = await this.#ask('files.put', { key, contentType, metadata: options.customMetadata }, await this.#bytes(value));
    return new Head(reply.json);
  }
  async head(key) {
    const { json } = await this.#ask('files.head', { key });
    return json === null ? null : new Head(json);
  }
  async get(key) {
    const reply = await this.#ask('files.get', { key });
    return reply.json === null ? null : new Body(reply.json, reply.data ?? Buffer.alloc(0));
  }
  async delete(keys) {
    for (const key of [keys].flat()) await this.#ask('files.delete', { key });
  }
  async list({ prefix, limit, cursor } = {}) {
    const page = (await this.#ask('files.list', { prefix, limit, cursor })).json;
    return { ...page, objects: page.objects.map((one) => new Head(one)), delimitedPrefixes: [] };
  }
}

class Head {
  constructor({ key, size, etag, uploaded, contentType, metadata, url }) {
    Object.assign(this, { key, size, etag, httpEtag: `"${etag}"`, url, uploaded: new Date(uploaded) });
    this.httpMetadata = { contentType };
    this.customMetadata = metadata ?? {};
  }
}
class Body extends Head {
  #bytes;
  constructor(json, bytes) {
    super(json);
    this.#bytes = bytes;
  }
  get body() {
    return new Blob([this.#bytes]).stream();
  }
  async arrayBuffer() {
    return this.#bytes.buffer.slice(this.#bytes.byteOffset, this.#bytes.byteOffset + this.#bytes.length);
  }
  async bytes() {
    return new Uint8Array(this.#bytes);
  }
  async text() {
    return this.#bytes.toString();
  }
  async json() {
    return JSON.parse(this.#bytes.toString());
  }
  async blob() {
    return new Blob([this.#bytes], { type: this.httpMetadata.contentType ?? '' });
  }
}
