// What the benches of starts deploy, and what the kernel charges their instances.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { spawnSync } from 'node:child_process';
import { buildC, root } from './lib.mjs';

const CODE = {
  node: { entry: 'index.mjs', text: 'export default { fetch: () => new Response("hello") };\n' },
  python: { entry: 'main.py', text: 'def handler(event, context):\n    return {"statusCode": 200, "body": "hello"}\n' },
};
/** Deploys an app of `count` functions f0, f1, ... of that runtime. */
export function deploy(hob, runtime, name, count, config = {}) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'hob-bench-app-'));
  const code = CODE[runtime];
  if (code) {
    fs.writeFileSync(path.join(dir, code.entry), code.text);
  } else {
    fs.copyFileSync(path.join(root, 'bench/apps/c/main.c'), path.join(dir, 'main.c'));
    buildC(dir, 'musl-gcc');
  }
  const one = { runtime, entry: code?.entry ?? 'main', ...(code ? {} : { memory_mb: 16 }), ...config };
  fs.writeFileSync(path.join(dir, 'hob.json'), JSON.stringify({ app: name, functions: Object.fromEntries(Array.from({ length: count }, (_, i) => [`f${i}`, one])) }));
  hob.hob('deploy', dir);
  fs.rmSync(dir, { recursive: true, force: true });
}
/** The folder of all its sandboxes' groups below a controller (v1), or null. */
export function group(hob, controller) {
  const id = createHash('sha256').update(fs.realpathSync(hob.home)).digest('hex').slice(0, 12);
  const found = spawnSync('find', ['-H', `/sys/fs/cgroup/${controller}`, '-maxdepth', '6', '-name', 'i[0-9]*', '-prune', '-o', '-name', `hob-*${id}`, '-print'], { encoding: 'utf8' });
  return found.stdout.split('\n')[0] || null;
}
export const read = (dir, file) => (dir ? Number(fs.readFileSync(path.join(dir, file), 'latin1')) : NaN);
