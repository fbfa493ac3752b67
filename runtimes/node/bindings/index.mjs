// The bindings: what `env` has beyond variables and secrets. Loaded (one file, bindings.cjs) only by an instance whose
// function names bindings in hob.json; every invocation gets an env of its own, because what it does is done as its caller.

import { ASK, Calls } from './calls.mjs';
import { Data } from './data.mjs';
import { Cache } from './kv.mjs';
import { Sql } from './d1.mjs';
import { Auth } from './auth.mjs';
import { Files } from './files.mjs';
import { Functions } from './functions.mjs';
import { loadCloud } from './cloud.mjs';

/** `wire`: the channel's {sendCall(stream, parent, text, data)}; `base`: the env that all invocations share. */
export function attach(wire, base, granted) {
  const calls = new Calls(wire);
  const names = granted === '' ? [] : granted.split(' ');
  const has = (head) => names.length === 0 || names.some((n) => n === head || n.startsWith(`${head}:`));
  const makers = [
    ['data', (ask) => new Data(ask)],
    ['auth', (ask) => new Auth(ask)],
    ['files', (ask) => new Files(ask)],
    ['cache', (ask) => new Cache(ask)],
    ['sql', (ask) => new Sql(ask)],
    ['fn', (ask) => new Functions(ask)],
  ].filter(([name]) => has(name));

  function secretsOf(ask) {
    const known = names.filter((n) => n.startsWith('secrets:')).map((n) => n.slice(8));
    if (known.length === 0) return base.secrets;
    return {
      async get(name) {
        if (!known.includes(name)) return base.secrets.get(name);
        return (await ask('secrets.get', { name })).data.toString();
      },
      async list() {
        return [...new Set([...(await base.secrets.list()), ...known])];
      },
    };
  }

  /** The env of one invocation; its parts are made when they are asked for. */
  function envOf(call) {
    if (call.env) return call.env;
    const ask = (op, args, data) => calls.ask(call, op, args, data);
    const env = { ...base };
    Object.defineProperty(env, ASK, { value: ask });
    for (const [name, make] of makers) {
      let made;
      Object.defineProperty(env, name, { enumerable: true, configurable: true, get: () => (made ??= make(ask)) });
    }
    Object.defineProperty(env, 'secrets', { enumerable: true, configurable: true, value: secretsOf(ask) });
    call.calls = calls.of(call);
    return (call.env = env);
  }
  return {
    envOf,
    onReply: (...frame) => calls.onReply(...frame),
    loadCloud,
  };
}
