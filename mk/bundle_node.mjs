// Writes the node adapter's modules as one CommonJS file: the module loader would read and link them one by one at every
// cold start (8 ms of 30).   node mk/bundle_node.mjs ENTRY.mjs OUT.cjs
// Understands what these modules use: import of a name, of names or of everything, one a line; export before a function,
// a class or a const. Anything else is an error.
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
    .replace(/^import \* as (\w+) from '([^']+)';$/gm, (_, what, module) => `const ${what} = ${from(module)};`)
    .replace(/^import (\{[^}]*\}) from '([^']+)';$/gm, (_, what, module) => `const ${what.replaceAll(' as ', ': ')} = ${from(module)};`)
    .replace(/^export (async function|function|class|const) (\w+)/gm, (_, kind, what) => (exported.push(what), `${kind} ${what}`));
  const left = text.match(/^(import|export)\b.*|import\.meta/m);
  if (left) throw new Error(`${name}: '${left[0]}' is not understood`);
  parts.push(`const ${id(name)} = (() => {\n${text}return { ${exported.join(', ')} };\n})();\n`);
}
take(path.basename(entry));
// The function shall see itself as the main module, not this file.
const head = "'use strict'; // made by mk/bundle_node.mjs\ndelete require.cache[__filename];\nprocess.mainModule = undefined;\n";
fs.writeFileSync(out, head + parts.join(''));
