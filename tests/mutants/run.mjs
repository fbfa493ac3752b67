// Takes each guard of mutants.mjs away, in a copy of the tree, and demands that the unit test which is there for it fails.
//   node tests/mutants/run.mjs [WORD...]     (only those whose id, file or test contains a word; SEEDS: histories, 2000)
// Prints a table. Exit status 1: a mutant lived, a guard was not found, or a test fails without any mutant.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { mutants } from './mutants.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const B = process.env.B ?? 'build', SECONDS = 240;
const words = process.argv.slice(2);
const chosen = mutants.filter((m) => words.length === 0 || words.some((w) => [m.id, m.file, m.test].join(' ').includes(w)));
const copy = fs.mkdtempSync(path.join(os.tmpdir(), 'hob-mutants-'));
process.on('exit', () => fs.rmSync(copy, { recursive: true, force: true }));
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

/** What is tracked and what was built of it, with its times: a mutant then costs one object, an archive and a link. */
function copyTree() {
  const files = spawnSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' }).stdout.split('\0');
  const built = ['obj', 'lib', 'gen'].map((d) => `${B}/${d}`).filter((d) => fs.existsSync(path.join(root, d)));
  const list = [...files.filter((f) => f && fs.existsSync(path.join(root, f))), ...built].join('\0');
  const packed = spawnSync('tar', ['-cf', '-', '--null', '-T', '-'], { cwd: root, input: list, maxBuffer: 2 ** 31 });
  const unpacked = spawnSync('tar', ['-xpf', '-'], { cwd: copy, input: packed.stdout });
  if (packed.status !== 0 || unpacked.status !== 0) throw new Error(`the tree cannot be copied: ${packed.stderr}${unpacked.stderr}`);
}

/** Builds and runs a suite: {failed: names, ended: how, if not by itself} or {error}. */
function run(suite) {
  const binary = `${B}/tests/controller/${suite}`;
  const made = spawnSync('make', ['-s', `B=${B}`, binary], { cwd: copy, encoding: 'utf8' });
  if (made.status !== 0) return { error: made.stderr.split('\n').find((l) => /error/.test(l)) ?? made.stderr };
  const env = { ...process.env, CMOCKA_MESSAGE_OUTPUT: 'TAP', SEEDS: process.env.SEEDS ?? '2000' };
  const r = spawnSync(path.join(copy, binary), { cwd: copy, env, encoding: 'utf8', timeout: SECONDS * 1000, killSignal: 'SIGKILL' });
  const failed = [...r.stdout.matchAll(/^\s*not ok \d+ - (\w+)/gm)].map((m) => m[1]);
  return { failed, ended: r.status === 0 || failed.length ? null : (/assert[^\n]*/i.exec(r.stderr)?.[0] ?? r.signal ?? `status ${r.status}`) };
}

function judge(m) {
  const file = path.join(copy, m.file), source = fs.readFileSync(file, 'utf8');
  const times = source.split(m.from).length - 1;
  if (times !== 1) return `NOT FOUND: the guard stands there ${times} times`;
  fs.writeFileSync(file, source.replace(m.from, () => m.to));
  const { failed, ended, error } = run(m.suite);
  fs.writeFileSync(file, source);
  if (error) return `NOT BUILT: ${error}`;
  if (failed.includes(m.test)) return `fails: ${m.test}`;
  if (ended) return `ends by itself: ${ended.slice(0, 90)}`;
  return `LIVES${failed.length ? `; but these fail: ${failed.join(', ')}` : ''}`;
}

copyTree();
let bad = 0;
for (const suite of new Set(chosen.map((m) => m.suite))) {
  const { failed, ended, error } = run(suite);
  if (error || ended || failed.length) {
    console.log(`${suite} fails as it is: ${error ?? ended ?? failed.join(', ')}`);
    process.exit(1);
  }
}
console.log('| promise | without | the test says |\n| --- | --- | --- |');
for (const m of chosen) {
  const said = judge(m);
  bad += /^[A-Z]{2}/.test(said);
  console.log(`| ${m.id} | ${m.without} | ${said} |`);
}
console.log(`${chosen.length} mutants, ${bad} of them not caught`);
process.exitCode = bad ? 1 : 0;
