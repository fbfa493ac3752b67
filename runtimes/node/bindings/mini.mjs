// A small Parse for cloud code whose package has no 'parse': errors, objects, queries, users. docs/cloud-code.md says what
// it has; everything else is the npm package's.

class ParseError extends Error {
  constructor(code, message) {
    super(message);
    this.name = 'ParseError';
    this.code = code;
  }
}
Object.assign(ParseError, {
  OTHER_CAUSE: -1, INTERNAL_SERVER_ERROR: 1, OBJECT_NOT_FOUND: 101, INVALID_QUERY: 102, INVALID_JSON: 107, OPERATION_FORBIDDEN: 119,
  TIMEOUT: 124, SCRIPT_FAILED: 141, VALIDATION_ERROR: 142, INVALID_SESSION_TOKEN: 209,
});

const asOf = ({ useMasterKey, sessionToken } = {}) => (useMasterKey ? 'master' : sessionToken ? { sessionToken } : undefined);

function decode(value) {
  if (Array.isArray(value)) return value.map(decode);
  if (value === null || typeof value !== 'object') return value;
  if (value.__type === 'Date') return new Date(value.iso);
  if (value.__type === 'Pointer' || value.__type === 'Object') return MiniObject.fromJSON(value);
  if (value.__type) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, decode(one)]));
}
function encode(value) {
  if (value instanceof Date) return { __type: 'Date', iso: value.toISOString() };
  if (value instanceof MiniObject) return value.toPointer();
  if (Array.isArray(value)) return value.map(encode);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, encode(one)]));
}

let send = null; // (method, path, body, as) -> body of the answer

class MiniObject {
  #ops = new Map();
  constructor(className, attributes = {}) {
    this.className = className ?? this.constructor.className;
    this.id = undefined;
    this.attributes = {};
    for (const [key, value] of Object.entries(attributes)) this.set(key, value);
  }
  static extend(className) {
    return class extends MiniObject {
      static className = className;
      constructor(attributes) {
        super(className, attributes);
      }
    };
  }
  static fromJSON(json) {
    const object = json.className === '_User' ? new MiniUser() : json.className === '_Role' ? new MiniRole() : new MiniObject(json.className);
    object.#take(json);
    return object;
  }
  #take({ objectId, createdAt, updatedAt, className, __type, ...rest }) {
    if (objectId) this.id = objectId;
    if (createdAt) this.createdAt = new Date(createdAt);
    if (updatedAt) this.updatedAt = new Date(updatedAt);
    for (const [key, value] of Object.entries(rest)) this.attributes[key] = decode(value);
  }
  get(key) {
    return this.attributes[key];
  }
  has(key) {
    return this.attributes[key] !== undefined && this.attributes[key] !== null;
  }
  set(key, value) {
    if (typeof key === 'object') {
      for (const [name, one] of Object.entries(key)) this.set(name, one);
      return this;
    }
    this.attributes[key] = value;
    this.#ops.set(key, encode(value));
    return this;
  }
  unset(key) {
    delete this.attributes[key];
    this.#ops.set(key, { __op: 'Delete' });
    return this;
  }
  increment(key, amount = 1) {
    this.attributes[key] = (this.attributes[key] ?? 0) + amount;
    this.#ops.set(key, this.id ? { __op: 'Increment', amount } : this.attributes[key]);
    return this;
  }
  setACL(acl) {
    return this.set('ACL', acl?.toJSON?.() ?? acl);
  }
  isNew() {
    return this.id === undefined;
  }
  existed() {
    return this.id !== undefined;
  }
  dirty(key) {
    return key === undefined ? this.#ops.size > 0 : this.#ops.has(key);
  }
  dirtyKeys() {
    return [...this.#ops.keys()];
  }
  toPointer() {
    return { __type: 'Pointer', className: this.className, objectId: this.id };
  }
  toJSON() {
    const json = Object.fromEntries(Object.entries(this.attributes).map(([key, value]) => [key, encode(value)]));
    if (this.id) json.objectId = this.id;
    if (this.createdAt) json.createdAt = this.createdAt.toISOString();
    if (this.updatedAt) json.updatedAt = this.updatedAt.toISOString();
    return json;
  }
  _toFullJSON() {
    return { ...this.toJSON(), className: this.className, __type: 'Object' };
  }
  async save(attributes, options) {
    if (attributes) this.set(attributes);
    const body = Object.fromEntries(this.#ops);
    const made = this.id
      ? await send('PUT', `/classes/${this.className}/${this.id}`, body, asOf(options))
      : await send('POST', `/classes/${this.className}`, body, asOf(options));
    this.#ops.clear();
    this.#take({ ...made, updatedAt: made.updatedAt ?? made.createdAt });
    return this;
  }
  async fetch(options) {
    this.#take(await send('GET', `/classes/${this.className}/${this.id}`, {}, asOf(options)));
    return this;
  }
  async destroy(options) {
    await send('DELETE', `/classes/${this.className}/${this.id}`, {}, asOf(options));
    return this;
  }
}
class MiniUser extends MiniObject {
  static className = '_User';
  constructor(attributes) {
    super('_User', attributes);
  }
  getSessionToken() {
    return this.attributes.sessionToken;
  }
  getUsername() {
    return this.attributes.username;
  }
}
class MiniRole extends MiniObject {
  static className = '_Role';
  constructor(attributes) {
    super('_Role', attributes);
  }
}

const COMPARE = {
  notEqualTo: '$ne', lessThan: '$lt', lessThanOrEqualTo: '$lte', greaterThan: '$gt', greaterThanOrEqualTo: '$gte',
  containedIn: '$in', notContainedIn: '$nin', containsAll: '$all',
};
class MiniQuery {
  constructor(what) {
    this.className = typeof what === 'string' ? what : what.className;
    this.json = { where: {} };
  }
  withJSON(json) {
    this.json = { ...json, where: json.where ?? {} };
    return this;
  }
  toJSON() {
    return this.json;
  }
  #put(key, op, value) {
    const now = this.json.where[key];
    const isOps = now !== null && typeof now === 'object' && Object.keys(now).some((k) => k.startsWith('$'));
    this.json.where[key] = { ...(isOps ? now : {}), [op]: encode(value) };
    return this;
  }
  static {
    for (const [name, op] of Object.entries(COMPARE)) {
      MiniQuery.prototype[name] = function (key, value) {
        return this.#put(key, op, value);
      };
    }
  }
  equalTo(key, value) {
    this.json.where[key] = encode(value);
    return this;
  }
  exists(key) {
    return this.#put(key, '$exists', true);
  }
  doesNotExist(key) {
    return this.#put(key, '$exists', false);
  }
  startsWith(key, text) {
    return this.#put(key, '$regex', `^\\Q${text.replaceAll('\\E', '\\E\\\\E\\Q')}\\E`);
  }
  limit(n) {
    this.json.limit = n;
    return this;
  }
  skip(n) {
    this.json.skip = n;
    return this;
  }
  ascending(key) {
    this.json.order = key;
    return this;
  }
  descending(key) {
    this.json.order = `-${key}`;
    return this;
  }
  include(...keys) {
    this.json.include = [this.json.include, ...keys.flat()].filter(Boolean).join(',');
    return this;
  }
  select(...keys) {
    this.json.keys = [this.json.keys, ...keys.flat()].filter(Boolean).join(',');
    return this;
  }
  async find(options) {
    const { results } = await send('GET', `/classes/${this.className}`, this.json, asOf(options));
    return results.map((one) => MiniObject.fromJSON({ ...one, className: one.className ?? this.className }));
  }
  async first(options) {
    const { results } = await send('GET', `/classes/${this.className}`, { ...this.json, limit: 1 }, asOf(options));
    return results.length ? MiniObject.fromJSON({ ...results[0], className: this.className }) : undefined;
  }
  async get(id, options) {
    return MiniObject.fromJSON({ ...(await send('GET', `/classes/${this.className}/${id}`, {}, asOf(options))), className: this.className });
  }
  async count(options) {
    return (await send('GET', `/classes/${this.className}`, { ...this.json, limit: 0, count: 1 }, asOf(options))).count;
  }
}

class MiniAcl {
  constructor(json = {}) {
    this.json = json instanceof MiniUser ? { [json.id]: { read: true, write: true } } : { ...json };
  }
  toJSON() {
    return this.json;
  }
  #put(who, right, isAllowed) {
    const id = typeof who === 'string' ? who : who.id;
    this.json[id] = { ...this.json[id], [right]: isAllowed };
    return this;
  }
  setReadAccess(who, isAllowed) {
    return this.#put(who, 'read', isAllowed);
  }
  setWriteAccess(who, isAllowed) {
    return this.#put(who, 'write', isAllowed);
  }
  setPublicReadAccess(isAllowed) {
    return this.#put('*', 'read', isAllowed);
  }
  setPublicWriteAccess(isAllowed) {
    return this.#put('*', 'write', isAllowed);
  }
}

class MiniFile {
  constructor(name, url) {
    this.json = { __type: 'File', name, url };
  }
  static fromJSON({ name, url }) {
    return new MiniFile(name, url);
  }
  name() {
    return this.json.name;
  }
  url() {
    return this.json.url;
  }
  toJSON() {
    return this.json;
  }
}
class MiniConfig {}
for (const [made, name] of [[MiniFile, 'File'], [MiniConfig, 'Config']]) Object.defineProperty(made, 'name', { value: name });

/** `request`: (method, path, body, {as}) -> {status, body} */
export function miniParse(request) {
  send = async (method, path, body, as) => {
    const answer = await request(method, path, body, { as });
    if (answer.status >= 400) throw new ParseError(answer.body.code ?? -1, answer.body.error ?? answer.body.message ?? 'unauthorized');
    return answer.body;
  };
  return {
    Error: ParseError, Object: MiniObject, User: MiniUser, Role: MiniRole, Query: MiniQuery, ACL: MiniAcl, File: MiniFile, Config: MiniConfig,
    Cloud: {
      async run(name, params = {}, options) {
        return decode((await send('POST', `/functions/${name}`, encode(params), asOf(options))).result);
      },
      async startJob(name, params = {}) {
        return send('POST', `/jobs/${name}`, encode(params), 'master');
      },
    },
  };
}
