// Finds the function in the code: imports the entry and decides what it is (fetch or Lambda handler).

import fs from 'node:fs';
import { existsSync, readFileSync, statSync } from 'node:fs';
import * as modules from 'node:module'; // lazy
import * as net from 'node:net'; // lazy
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { inner } from './pipe.mjs';

export class InitError extends Error {
  constructor(type, message) {
    super(message);
    this.name = type;
  }
}

const root = process.cwd();
let hasListened = false;
let isWatching = false;

function isFile(file) {
  return statSync(file, { throwIfNoEntry: false })?.isFile() ?? false;
}
function nearestType(file) {
  for (let dir = path.dirname(file); dir.startsWith(root); dir = path.dirname(dir)) {
    const found = path.join(dir, 'package.json');
    if (existsSync(found)) {
      try {
        return JSON.parse(readFileSync(found, 'utf8')).type ?? 'commonjs';
      } catch (error) {
        throw new InitError('Runtime.ImportModuleError', `${path.relative(root, found)} is not JSON: ${error.message}`);
      }
    }
    if (dir === root) break;
  }
  return 'commonjs';
}

async function importFile(file) {
  const name = path.relative(root, file);
  if (/\.[mc]?ts$/.test(file) && !process.features.typescript) {
    throw new InitError(
      'Runtime.TypeScriptUnsupported',
      `${name} is TypeScript; Node.js strips types from version 22.18 or 23.6 on (22.6 with --experimental-strip-types), this machine has ${process.version}: build it to JavaScript, or install a newer Node.js`,
    );
  }
  // CommonJS goes by require: import would hide names that it cannot see in the source
  const isCommonJs = file.endsWith('.cjs') || (!/\.m?[tj]s$/.test(file)) || (file.endsWith('.js') && nearestType(file) !== 'module');
  if (isCommonJs && !/\.[mc]?ts$/.test(file)) {
    const require = modules.createRequire(file);
    try {
      const exported = require(file);
      return isNamespace(exported) ? exported : { default: exported, ...own(exported) };
    } catch (error) {
      const isModule = error instanceof SyntaxError && /import statement|Unexpected token 'export'|import\.meta/.test(error.message);
      if (!isModule && error?.code !== 'ERR_REQUIRE_ESM' && error?.code !== 'ERR_REQUIRE_ASYNC_MODULE') throw error;
      if (isModule) {
        throw new InitError(
          'Runtime.UserCodeSyntaxError',
          `${name} has import or export, but ".js" means CommonJS here: name it .mjs, or put "type": "module" into package.json`,
        );
      }
    }
  }
  const url = pathToFileURL(file).href;
  const unused = readAtOnce(url);
  try {
    return await import(url);
  } catch (error) {
    if (error instanceof SyntaxError && !error.stack.includes(pathToFileURL(root).href)) await locate(error, file);
    throw error;
  } finally {
    unused(); // a Node that reads in another way
  }
}

/**
 * The module loader reads by way of libuv's threads: four turns of them, and for the first time they are started. The
 * entry is read at once instead, and this door is closed again before any code of it runs.
 */
function readAtOnce(url) {
  const { promises } = fs;
  const { readFile } = promises;
  const close = () => {
    if (promises.readFile === door) promises.readFile = readFile;
  };
  const door = (what, ...rest) => {
    close();
    if (what?.href !== url || rest.length > 0) return readFile(what, ...rest);
    return new Promise((resolve) => resolve(readFileSync(what)));
  };
  promises.readFile = door;
  return close;
}

/**
 * Node keeps the place of a syntax error in an ES module to itself. `node --check` tells it and evaluates nothing; it
 * looks at one file, so what that one imports is checked behind it, as far as CHECKS_MAX goes.
 */
const CHECKS_MAX = 12;
async function locate(error, entry) {
  const { spawnSync } = await import('node:child_process');
  const files = [entry];
  for (let i = 0; i < files.length && i < CHECKS_MAX; i++) {
    const { status, stderr } = spawnSync(process.execPath, ['--check', files[i]], { encoding: 'utf8', timeout: 2000 });
    const place = status === 1 && /^.*:(\d+)\n[^]*?(?=\n\w*Error: )/.exec(stderr);
    if (place) {
      error.message += ` (${path.relative(root, files[i])}, line ${place[1]})`;
      error.stack = `${place[0]}\n${error.stack}`;
      return;
    }
    for (const [, to] of readFileSync(files[i], 'utf8').matchAll(/\b(?:from|import)\s*['"](\.{1,2}\/[^'"]+)['"]/g)) {
      const next = path.resolve(path.dirname(files[i]), to);
      if (isFile(next) && !files.includes(next)) files.push(next);
    }
  }
}
function isNamespace(value) {
  return Object.prototype.toString.call(value) === '[object Module]';
}
function own(exported) {
  const names = {};
  if ((typeof exported === 'object' && exported !== null) || typeof exported === 'function') {
    for (const key of Object.keys(exported)) if (key !== 'default') names[key] = exported[key];
    if (exported.__esModule && exported.default !== undefined) names.default = exported.default;
  }
  return names;
}

/** "dir/module.name.name" as AWS resolves it; without a dot it names an export of the entry. */
async function byHandler(handler, entry) {
  if (handler.includes('..')) throw new InitError('Runtime.MalformedHandlerName', `handler '${handler}' must not contain '..'`);
  const base = path.basename(handler);
  const dot = base.indexOf('.');
  let file;
  let properties;
  if (dot < 0) {
    if (!entry) throw new InitError('Runtime.MalformedHandlerName', `handler '${handler}' needs the form 'module.export'`);
    file = path.resolve(root, entry);
    properties = base;
  } else {
    const stem = path.resolve(root, path.dirname(handler), base.slice(0, dot));
    properties = base.slice(dot + 1);
    file = [stem, `${stem}.js`, `${stem}.mjs`, `${stem}.cjs`, `${stem}.ts`, `${stem}.mts`].find(isFile);
    const named = entry && path.resolve(root, entry);
    if (!file && named && path.basename(named, path.extname(named)) === base.slice(0, dot)) file = named;
    if (!file) {
      throw new InitError(
        'Runtime.ImportModuleError',
        `handler '${handler}': there is no module '${path.relative(root, stem)}' (.js, .mjs, .cjs) in the code`,
      );
    }
  }
  const module = await importFile(file);
  let found = module;
  for (const name of properties.split('.')) found = found?.[name];
  if (found === undefined && module.default) {
    found = module.default;
    for (const name of properties.split('.')) found = found?.[name];
  }
  if (found === undefined) {
    throw new InitError('Runtime.HandlerNotFound', `handler '${handler}' is not exported; ${seen(module)}`);
  }
  if (typeof found !== 'function') throw new InitError('Runtime.HandlerNotFound', `handler '${handler}' is not a function`);
  return { kind: 'lambda', handler: found };
}

function seen(module) {
  const names = Object.keys(module).filter((n) => n !== 'module.exports' && n !== '__esModule');
  const inner = module.default && typeof module.default === 'object' ? Object.keys(module.default) : [];
  const list = names.map((n) => (n === 'default' && inner.length ? `default {${inner.join(', ')}}` : n));
  return list.length ? `exports seen: ${list.slice(0, 30).join(', ')}` : 'it exports nothing';
}

function detect(module, entry) {
  const main = module.default;
  if (main && typeof main.fetch === 'function') return { kind: 'fetch', handler: main.fetch, self: main };
  const handler = module.handler ?? main?.handler;
  if (typeof handler === 'function') return { kind: 'lambda', handler };
  if (hasListened) {
    throw new InitError(
      'Runtime.KindUnsupported',
      `${entry} starts a server with listen(): say "kind": "http" and its "port" in hob.json, or export default { fetch } or exports.handler`,
    );
  }
  if (typeof main === 'function' && main.length <= 2 && !main.prototype?.constructor?.toString?.().startsWith('class')) {
    return { kind: 'lambda', handler: main };
  }
  throw new InitError(
    'Runtime.HandlerNotFound',
    `${entry} has no 'export default { fetch }', 'export handler' or lone default function; ${seen(module)}`,
  );
}

/** Notes whether the code binds a TCP socket, as a server does; below node:net, which most functions never load. */
function watchListen() {
  if (isWatching) return;
  isWatching = true;
  const tcp = inner('tcp_wrap', 'TCP');
  if (tcp === null) return watch(net.Server.prototype, ['listen'], (to) => typeof to !== 'string' && !to?.path);
  watch(tcp.TCP.prototype, ['bind', 'bind6', 'listen'], () => true);
}

function watch(prototype, names, isTcp) {
  for (const name of names) {
    const original = prototype[name];
    prototype[name] = function (...args) {
      hasListened ||= isTcp(args[0]);
      return original.apply(this, args);
    };
  }
}

/** Returns {kind: 'fetch' | 'lambda' | 'parse', handler, self}; throws what goes into INIT_ERROR. `cloud`: of kind parse,
 *  where the code registers what it has. */
export async function load(hello, cloud = null) {
  watchListen();
  const entry = hello.get('entry') ?? '';
  const handler = hello.get('handler');
  const kind = hello.get('kind');
  if (kind && !['fetch', 'lambda', 'auto', 'parse'].includes(kind)) {
    throw new InitError('Runtime.KindUnsupported', `kind '${kind}' is not known to the node runtime: use fetch or lambda`);
  }
  if (handler && cloud === null) return byHandler(handler, entry);
  const file = path.resolve(root, entry);
  if (!entry || !isFile(file)) {
    throw new InitError('Runtime.ImportModuleError', `the entry '${entry}' is not a file of the code`);
  }
  if (cloud !== null) {
    await importFile(file);
    return { kind: 'parse', handler: cloud.handler };
  }
  const found = detect(await importFile(file), entry);
  if (kind && kind !== 'auto' && found.kind !== kind) {
    throw new InitError('Runtime.HandlerNotFound', `kind '${kind}' was asked for, but ${entry} exports a ${found.kind} function`);
  }
  return found;
}
