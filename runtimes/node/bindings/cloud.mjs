// Cloud code (kind parse): Parse.Cloud.define and the rest collect what the code registers; then every invocation is one
// request in the shape of a Parse webhook, answered by {success} or {error}. `Parse` is the app's own npm package when it
// has one, its requests going over the channel; else the small one of mini.mjs.

import { AsyncLocalStorage } from 'node:async_hooks';
import { createRequire } from 'node:module';
import path from 'node:path';
import { ASK } from './calls.mjs';
import { httpRequest } from './http.mjs';
import { miniParse } from './mini.mjs';
import { runValidator } from './validate.mjs';

const CLASS_TRIGGERS = ['beforeSave', 'afterSave', 'beforeDelete', 'afterDelete', 'beforeFind', 'afterFind'];
const FIXED_TRIGGERS = {
  beforeLogin: '_User',
  afterLogin: '_User',
  afterLogout: '_Session',
  beforePasswordResetRequest: '_User',
  beforeConnect: '@Connect',
};
const FILE_TRIGGERS = { beforeSaveFile: 'beforeSave', afterSaveFile: 'afterSave', beforeDeleteFile: 'beforeDelete', afterDeleteFile: 'afterDelete' };
const LIVE_TRIGGERS = { beforeSubscribe: 'beforeSubscribe', afterLiveQueryEvent: 'afterEvent' };
const SERVER_URL = 'http://hob.invalid/parse';

const scope = new AsyncLocalStorage(); // the env of the invocation whose code runs

/** A request of the Parse protocol as the caller of this invocation; {status, headers, body}. */
async function request(method, where, body, { as, context } = {}) {
  const env = scope.getStore();
  if (env === undefined) {
    throw new Error('no request is being served: cloud code reaches its data inside of a function, job or trigger only');
  }
  const args = { method, path: where.startsWith('/') ? where : `/${where}`, body, as, context };
  return (await env[ASK]('parse.request', args)).json;
}

function pathOf(where) {
  if (where.startsWith(SERVER_URL)) return where.slice(SERVER_URL.length);
  return where.startsWith('/') ? where : `/${where}`;
}

/** The SDK's way out, in place of HTTP. */
function controllerFor(Parse) {
  const core = Parse.CoreManager;
  return {
    async request(method, where, data, options = {}) {
      const useMaster = options.useMasterKey ?? core.get('USE_MASTER_KEY') ?? false;
      const as = useMaster ? 'master' : options.sessionToken ? { sessionToken: options.sessionToken } : undefined;
      const plain = JSON.parse(JSON.stringify(data ?? {}));
      const { status, headers, body } = await request(method, pathOf(where), plain, { as, context: options.context });
      if (status >= 400) throw new Parse.Error(body.code ?? Parse.Error.OTHER_CAUSE ?? -1, body.error ?? body.message ?? 'unauthorized');
      return options.returnStatus ? { ...body, _status: status, _headers: headers } : body;
    },
    async ajax() {
      throw new Parse.Error(-1, 'cloud code has no HTTP of the Parse SDK; what goes over it is not supported');
    },
    handleError(error) {
      return Promise.reject(error);
    },
  };
}

function appParse() {
  const require = createRequire(path.join(process.cwd(), 'package.json'));
  let Parse;
  try {
    Parse = require('parse/node');
  } catch (error) {
    if (error.code !== 'MODULE_NOT_FOUND' && error.code !== 'ERR_PACKAGE_PATH_NOT_EXPORTED') throw error;
    return null;
  }
  Parse = Parse.default ?? Parse;
  Parse.initialize('hob');
  Parse.serverURL = SERVER_URL;
  Parse.CoreManager.setRESTController(controllerFor(Parse));
  return Parse;
}

// --- registering ---
function classOf(what) {
  if (typeof what === 'string') return what;
  if (typeof what === 'function') {
    if (/^(Parse)?File$/.test(what.name)) return '@File';
    if (/^(Parse)?Config$/.test(what.name)) return '@Config';
    if (typeof what.className === 'string') return what.className;
    const made = new what();
    if (typeof made.className === 'string') return made.className;
  }
  throw new Error('cloud code: the class of a trigger is a name or a Parse class');
}

function registrar(Parse, registry) {
  const put = (map, name, handler, validator) => {
    if (typeof handler !== 'function') throw new Error(`cloud code: '${name}' needs a function`);
    if (map.has(name)) console.warn(`cloud code: '${name}' is defined twice; the last one counts`);
    map.set(name, { handler, validator });
  };
  const trigger = (kind, className, handler, validator) => {
    if (className.startsWith('_') && /^(before|after)(Save|Delete|Find)$/.test(kind) && className === '_PushStatus') {
      throw new Error('only afterSave is allowed on _PushStatus');
    }
    put(registry.triggers, `${kind} ${className}`, handler, validator);
  };
  const cloud = {
    define: (name, handler, validator) => put(registry.functions, name, handler, validator),
    job: (name, handler) => put(registry.jobs, name, handler),
    httpRequest,
    sendEmail() {
      throw new Error('Parse.Cloud.sendEmail is not supported: mails are sent by the app\'s own mail settings (docs/cloud-code.md)');
    },
    useMasterKey() {
      console.warn('Parse.Cloud.useMasterKey: say useMasterKey with each request');
    },
  };
  for (const kind of CLASS_TRIGGERS) {
    cloud[kind] = (what, handler, validator) => trigger(kind, classOf(what), handler, validator);
  }
  for (const [kind, className] of Object.entries(FIXED_TRIGGERS)) {
    cloud[kind] = (...args) => {
      const from = args.findIndex((arg) => typeof arg === 'function' && arg.className === undefined);
      trigger(kind, className, args[from < 0 ? 0 : from], args[from + 1]);
    };
  }
  for (const [name, kind] of Object.entries(FILE_TRIGGERS)) {
    cloud[name] = (handler, validator) => trigger(kind, '@File', handler, validator);
  }
  for (const [name, kind] of Object.entries(LIVE_TRIGGERS)) {
    cloud[name] = (what, handler, validator) => trigger(kind, classOf(what), handler, validator);
  }
  Object.assign(Parse.Cloud, cloud);
}

// --- running ---
function toJson(Parse, value) {
  if (value === undefined || value === null || typeof value !== 'object') return value;
  if (value instanceof Date) return { __type: 'Date', iso: value.toISOString() };
  if (Array.isArray(value)) return value.map((one) => toJson(Parse, one));
  if (value instanceof Parse.Object) return typeof value._toFullJSON === 'function' ? value._toFullJSON() : value.toJSON();
  if (typeof value.toJSON === 'function') return value.toJSON();
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, toJson(Parse, one)]));
}
/** The same for an object that is to be stored: what it points to stays a pointer. */
function toStored(Parse, value) {
  if (value instanceof Parse.Object) return value.toPointer();
  if (Array.isArray(value)) return value.map((one) => toStored(Parse, one));
  if (value === null || typeof value !== 'object' || value instanceof Date || typeof value.toJSON === 'function') return toJson(Parse, value);
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, toStored(Parse, one)]));
}
function storedObject(Parse, object) {
  const json = {};
  for (const [key, value] of Object.entries(object.attributes)) {
    if (value !== undefined) json[key] = toStored(Parse, value);
  }
  if (object.id) json.objectId = object.id;
  return json;
}

/** Params of a function: dates, files and pointers become objects, as parse-server has them. */
function revive(Parse, value) {
  if (Array.isArray(value)) return value.map((one) => revive(Parse, one));
  if (value === null || typeof value !== 'object') return value;
  if (value.__type === 'Date') return new Date(value.iso);
  if (value.__type === 'File') return Parse.File.fromJSON(value);
  if (value.__type === 'Pointer') return Parse.Object.fromJSON({ ...value, __type: undefined, objectId: value.objectId });
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, revive(Parse, one)]));
}

function userOf(Parse, json) {
  return json ? Parse.Object.fromJSON({ ...json, className: '_User' }) : undefined;
}

const log = { info: console.info, warn: console.warn, error: console.error, verbose: console.debug, debug: console.debug };

function baseRequest(Parse, event) {
  const { master, installationId, headers, ip, context } = event;
  const base = { master: master === true, isReadOnly: event.isReadOnly === true, installationId, headers, ip, context, log };
  const user = userOf(Parse, event.user);
  if (user) base.user = user;
  return base;
}

async function runFunction(Parse, registry, event) {
  const found = registry.functions.get(event.functionName);
  if (!found) throw new Parse.Error(141, `Invalid function: "${event.functionName}"`);
  const request = { ...baseRequest(Parse, event), functionName: event.functionName, params: revive(Parse, event.params ?? {}) };
  await runValidator(Parse, found.validator, request, rolesOf(request));
  return toJson(Parse, await found.handler(request));
}

async function runJob(Parse, registry, event) {
  const found = registry.jobs.get(event.jobName);
  if (!found) throw new Parse.Error(141, 'Invalid job.');
  const message = (text) =>
    request('PUT', `/classes/_JobStatus/${event.jobId}`, { message: String(text) }, { as: 'master' }).then(() => undefined);
  const said = await found.handler({ ...baseRequest(Parse, event), params: event.params ?? {}, jobName: event.jobName, jobId: event.jobId, message });
  return typeof said === 'string' ? said : undefined;
}

/** The object as it would be, with what differs from the original marked as changed. */
function changedObject(Parse, json, originalJson) {
  const { className } = json;
  const object = originalJson
    ? Parse.Object.fromJSON({ ...originalJson, className })
    : Parse.Object.fromJSON(json.objectId ? { className, objectId: json.objectId } : { className });
  for (const [key, value] of Object.entries(json)) {
    if (['className', '__type', 'objectId', 'createdAt', 'updatedAt'].includes(key)) continue;
    if (originalJson && JSON.stringify(originalJson[key]) === JSON.stringify(value)) continue;
    if (value === null) continue;
    const decoded = Parse.Object.fromJSON({ className, [key]: value }).get(key);
    if (decoded?.constructor?.name === 'ParseRelation') continue;
    if (key === 'ACL') object.setACL?.(new Parse.ACL(value));
    else object.set(key, decoded);
  }
  for (const key of Object.keys(originalJson ?? {})) {
    if (!(key in json) && !['className', '__type', 'createdAt', 'updatedAt', 'ACL'].includes(key)) object.unset(key);
  }
  return object;
}

function queryOf(Parse, className, json) {
  const query = new Parse.Query(className);
  const { where = {}, ...rest } = json ?? {};
  if (typeof query.withJSON === 'function') query.withJSON({ ...rest, where });
  return query;
}
const queryJson = (query) => {
  const json = query.toJSON();
  delete json.className;
  return json;
};

function triggerRequest(Parse, event) {
  const { triggerName, className } = event;
  const request = { ...baseRequest(Parse, event), triggerName };
  if (className === '@File') return Object.assign(request, fileRequest(Parse, event.object ?? {}));
  if (className === '@Config') return Object.assign(request, { object: event.object, original: event.original });
  if (triggerName === 'beforeFind') return Object.assign(request, { query: queryOf(Parse, className, event.query), count: event.count === true, isGet: event.isGet === true });
  if (triggerName === 'afterFind') {
    const objects = (event.objects ?? []).map((one) => Parse.Object.fromJSON({ ...one, className: one.className ?? className }));
    return Object.assign(request, { objects, query: queryOf(Parse, className, event.query), count: event.count === true, isGet: event.isGet === true });
  }
  if (event.original) request.original = Parse.Object.fromJSON({ ...event.original, className });
  if (event.object) {
    const json = { ...event.object, className };
    request.object = triggerName === 'beforeSave' ? changedObject(Parse, json, event.original) : Parse.Object.fromJSON(json);
  }
  return request;
}
function fileRequest(Parse, object) {
  const { name, url } = object.file ?? object;
  const file = Parse.File ? Parse.File.fromJSON({ __type: 'File', name, url }) : { name: () => name, url: () => url };
  return { file, fileSize: object._size, contentType: object._contentType };
}

function triggerAnswer(Parse, request, event, result) {
  switch (event.triggerName) {
    case 'beforeSave':
      if (event.className === '@File' || event.className === '@Config') return toJson(Parse, result);
      return storedObject(Parse, result instanceof Parse.Object ? result : request.object);
    case 'beforeFind':
      if (result instanceof Parse.Query) return queryJson(result);
      if (Array.isArray(result)) return { objects: toJson(Parse, result) };
      return queryJson(request.query);
    case 'afterFind':
      return toJson(Parse, Array.isArray(result) ? result : request.objects);
    default:
      return {};
  }
}

async function runTrigger(Parse, registry, event) {
  const name = `${event.triggerName} ${event.className}`;
  const found = registry.triggers.get(name);
  if (!found) throw new Parse.Error(141, `there is no trigger '${name}'`);
  const request = triggerRequest(Parse, event);
  await runValidator(Parse, found.validator, request, rolesOf(request));
  const result = await found.handler(request);
  return { success: triggerAnswer(Parse, request, event, result), context: request.context };
}

/** Names of the roles that the request's user has, with those above them. */
function rolesOf(req) {
  return async () => {
    const names = new Set();
    const ask = async (where) => (await request('GET', '/roles', { where, limit: 1000 }, { as: 'master' })).body.results ?? [];
    let found = await ask({ users: { __type: 'Pointer', className: '_User', objectId: req.user.id } });
    while (found.length > 0) {
      const fresh = found.filter((role) => !names.has(role.name));
      for (const role of fresh) names.add(role.name);
      if (fresh.length === 0) break;
      found = await ask({ roles: { $in: fresh.map((role) => ({ __type: 'Pointer', className: '_Role', objectId: role.objectId })) } });
    }
    return [...names];
  };
}

function errorOf(Parse, error) {
  if (error instanceof Parse.Error || (error && typeof error === 'object' && typeof error.code === 'number' && 'message' in error)) {
    return { code: error.code, message: String(error.message) };
  }
  if (typeof error === 'string') return { code: 141, message: error };
  return { code: 141, message: error?.message === undefined ? 'Script failed. Unknown error.' : String(error.message) };
}

async function serve(Parse, registry, event) {
  try {
    if (typeof event.triggerName === 'string') return await runTrigger(Parse, registry, event);
    const run = typeof event.jobName === 'string' ? runJob : runFunction;
    return { success: await run(Parse, registry, event) };
  } catch (error) {
    if (!(error instanceof Parse.Error)) console.error('cloud code:', error);
    return { error: errorOf(Parse, error) };
  }
}

export function loadCloud() {
  const registry = { functions: new Map(), jobs: new Map(), triggers: new Map() };
  const Parse = appParse() ?? miniParse(request);
  registrar(Parse, registry);
  globalThis.Parse = Parse;
  return {
    handler(event, context) {
      if (event?.hobAsks === 'registrations') { // a deploy learns what there is
        return { functions: [...registry.functions.keys()], jobs: [...registry.jobs.keys()], triggers: [...registry.triggers.keys()] };
      }
      if (event?.requestContext?.http) return { statusCode: 404, body: JSON.stringify({ error: 'cloud code is called by the Parse API' }) };
      return scope.run(context.env, serve, Parse, registry, event ?? {});
    },
  };
}
