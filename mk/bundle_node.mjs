// Writes the node adapter's modules as one script: the module loader would read and link them one by one at every cold
// start (8 ms of 30).   node mk/bundle_node.mjs ENTRY.mjs OUT.cjs
//   OUT.cjs     what Node is started with: takes the two below
//   OUT.js      the modules
//   OUT.cache   what V8 made of them while it served an invocation, so that a start compiles nothing (2 ms). V8 keeps it
//               for its own version and flags only, and compiles otherwise
// Understands what these modules use: import of a name, of names or of everything, one a line; export before a function,
// a class or a const. Anything else is an error. "import * as x from '...'; // lazy" loads at the first use of x.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { spawn } from 'node:child_process';

const [entry, out] = process.argv.slice(2);
const dir = path.dirname(entry);
const parts = [];
const seen = new Set();
const id = (module) => `m_${path.basename(module, '.mjs')}`;
const from = (module) => (module.startsWith('./') ? id(module) : `require('${module}')`);

function take(name) {
  if (seen.has(name)) return;
  seen.add(name);
  const source = fs.readFileSync(path.join(dir, name), 'utf8');
  for (const [, module] of source.matchAll(/^import .* from '\.\/([\w.]+)';$/gm)) take(module);
  const exported = [];
  const text = source
    .replace(/^import (\w+) from '([^']+)';$/gm, (_, what, module) => `const ${what} = ${from(module)};`)
    .replace(/^import \* as (\w+) from '([^']+)'; \/\/ lazy$/gm, (_, what, module) => `const ${what} = lazily('${module}');`)
    .replace(/^import \* as (\w+) from '([^']+)';$/gm, (_, what, module) => `const ${what} = ${from(module)};`)
    .replace(/^import (\{[^}]*\}) from '([^']+)';$/gm, (_, what, module) => `const ${what.replaceAll(' as ', ': ')} = ${from(module)};`)
    .replace(/^export (async function|function|class|const) (\w+)/gm, (_, kind, what) => (exported.push(what), `${kind} ${what}`));
  const left = text.match(/^(import|export)\b.*|import\.meta/m);
  if (left) throw new Error(`${name}: '${left[0]}' is not understood`);
  parts.push(`const ${id(name)} = (() => {\n${text}return { ${exported.join(', ')} };\n})();\n`);
}
take(path.basename(entry));
if (process.argv[4] === '--module') { // not the adapter, but a module that it loads when it must
  fs.writeFileSync(out, `'use strict'; // made by mk/bundle_node.mjs
const lazily = (name) => new Proxy({}, { get: (_, what) => require(name)[what] });
${parts.join('')}module.exports = ${id(path.basename(entry))};\n`);
  process.exit();
}
// The function shall see itself as the main module, not this file. And V8's flags are part of the key of the compiled
// library that Node brings along: with a heap size among them all of it is compiled anew, module by module. The heap has
// its size by now, so the flag goes back to what it was (5 ms).
const head = `'use strict'; // made by mk/bundle_node.mjs
delete require.cache[__filename];
process.mainModule = undefined;
(() => {
  const warns = Object.getOwnPropertyDescriptor(process, 'noDeprecation');
  process.noDeprecation = true;
  const flag = '--max-old-space-size=0';
  try {
    process.binding('v8').setFlagsFromString(flag);
  } catch { // a Node without this door: by the public one, which takes longer to load
    require('v8').setFlagsFromString(flag);
  }
  if (warns) Object.defineProperty(process, 'noDeprecation', warns);
  else delete process.noDeprecation;
})();
const fs = require('fs');
const stem = __filename.slice(0, -'.cjs'.length);
const read = (name, encoding) => {
  try {
    return fs.readFileSync(stem + name, encoding);
  } catch {
    return undefined;
  }
};
const script = new (require('vm').Script)(read('.js', 'utf8'), { filename: stem + '.js', cachedData: read('.cache') });
script.runInThisContext()(require, (what) => import(what));
`;
const text = `(function (require, dynamicImport) {
'use strict';
const lazily = (name) => new Proxy({}, { get: (_, what) => require(name)[what] });
${parts.join('').replaceAll('import(', 'dynamicImport(')}})`;
const stem = out.slice(0, -'.cjs'.length);
fs.writeFileSync(out, head);
fs.writeFileSync(`${stem}.js`, text);

// The cache: the adapter serves one invocation of a function there is for it, and then tells what V8 has compiled.
const frame = (type, flags, stream, arg, payload) => {
  const header = Buffer.alloc(16);
  header.writeUInt32LE(payload.length, 0);
  header[4] = type;
  header[5] = flags;
  header.writeUInt32LE(stream, 8);
  header.writeUInt32LE(arg, 12);
  return Buffer.concat([header, payload]);
};
const u32 = (...numbers) => Buffer.from(Uint32Array.from(numbers).buffer);
const pairs = (all) => Buffer.concat([u32(all.length), ...all.flatMap(([k, v]) => [u32(k.length, v.length), Buffer.from(k), Buffer.from(v)])]);
const [HELLO, INVOKE, READY, DONE, WHOLE] = [1, 16, 32, 37, 3];
const fields = pairs([['host', 'localhost'], ['accept', '*/*']]);
const meta = Buffer.alloc(40);
meta.set([1, 1, 3, 0, 1]); // HTTP, layout 1, 3 bytes of method, 1 of target
meta.writeUInt32LE(fields.length, 20);
const invoke = Buffer.concat([u32(meta.length + 4 + fields.length), meta, Buffer.from('GET/'), fields]);

const app = fs.mkdtempSync(path.join(os.tmpdir(), 'hob-cache-'));
fs.writeFileSync(path.join(app, 'main.mjs'), 'export default { fetch: () => new Response("hello") };');
const keeper = `
const vm = require('vm');
const Script = vm.Script;
let made;
vm.Script = function (...args) { return (made = new Script(...args)); };
process.on('message', (file) => { require('fs').writeFileSync(file, made.createCachedData()); process.exit(); });
require(${JSON.stringify(path.resolve(out))});`;
fs.rmSync(`${stem}.cache`, { force: true });
fs.writeFileSync(path.join(app, 'keeper.cjs'), keeper);
const child = spawn(process.execPath, [path.join(app, 'keeper.cjs')], { cwd: app, stdio: ['ignore', 'inherit', 'inherit', 'pipe', 'ipc'] });
const channel = child.stdio[3];
let held = Buffer.alloc(0);
channel.on('data', (data) => {
  for (held = Buffer.concat([held, data]); held.length >= 16 && held.length >= 16 + held.readUInt32LE(0); ) {
    const type = held[4];
    held = held.subarray(16 + held.readUInt32LE(0));
    if (type === READY) channel.write(frame(INVOKE, WHOLE, 1, 10000, invoke));
    else if (type === DONE) child.send(path.resolve(`${stem}.cache`));
  }
});
channel.on('error', () => {}); // its end is seen by exit
channel.write(frame(HELLO, 0, 0, 0, pairs([['protocol', '1'], ['app', 'a'], ['function', 'f'], ['entry', 'main.mjs'], ['concurrency', '1']])));
const late = setTimeout(() => child.kill('SIGKILL'), 20000); // then there is none
child.on('exit', () => {
  clearTimeout(late);
  fs.rmSync(app, { recursive: true, force: true });
});
