// Writes the node adapter's modules as one CommonJS file: the module loader would read and link them one by one at every
// cold start (8 ms of 30).   node mk/bundle_node.mjs ENTRY.mjs OUT.cjs
// Understands what these modules use: import of a name, of names or of everything, one a line; export before a function,
// a class or a const. Anything else is an error. "import * as x from '...'; // lazy" loads at the first use of x.
import fs from 'node:fs';
import path from 'node:path';

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
// The function shall see itself as the main module, not this file. And V8's flags are part of the key of the compiled
// library that Node brings along: with a heap size among them all of it is compiled anew, module by module. The heap has
// its size by now, so the flag goes back to what it was (5 ms).
const head = `'use strict'; // made by mk/bundle_node.mjs
delete require.cache[__filename];
process.mainModule = undefined;
(() => {
  const warns = Object.getOwnPropertyDescriptor(process, 'noDeprecation');
  process.noDeprecation = true;
  try {
    process.binding('v8').setFlagsFromString('--max-old-space-size=0');
  } catch {
    // a Node without this door: it starts a little slower
  }
  if (warns) Object.defineProperty(process, 'noDeprecation', warns);
  else delete process.noDeprecation;
})();
const lazily = (name) => new Proxy({}, { get: (_, what) => require(name)[what] });
`;
fs.writeFileSync(out, head + parts.join(''));
