// Every command against a small server: what it asks, what it prints, how it exits.
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { hob, hobStart, tempDir } from './run.mjs';
import { startServer } from './server.mjs';

let server;
before(async () => (server = await startServer()));
after(() => server.close());
const run = (args, options = {}) => hob(args, { server, ...options });

test('ls prints a table, and the document with --json', async () => {
  const text = await run(['ls']);
  assert.equal(text.code, 0, text.stderr);
  assert.match(text.stdout, /^FUNCTION +VERSION +STATE/);
  assert.match(text.stdout, /shop\/checkout +7 +warm +1 +node +\d+[smhd] +http:\/\/127\.0\.0\.1:\d+\/fn\/shop\/checkout\//);
  assert.doesNotMatch(text.stdout, /\x1b/);
  const all = JSON.parse((await run(['ls', '--json'])).stdout);
  assert.equal(all.functions.length, 3);
  assert.equal(JSON.parse((await run(['--json', 'ls', 'blog'])).stdout).functions.length, 1);
  assert.match((await run(['ls', '--apps'])).stdout, /shop +2/);
  const none = await run(['ls', 'nothing']);
  assert.equal(none.code, 0);
  assert.match(none.stderr, /No functions yet/);
});

test('instances are listed by both names of the command', async () => {
  for (const args of [['instances'], ['ls', '--instances']]) {
    const r = await run(args);
    assert.match(r.stdout, /17 +shop\/checkout +7 +busy +1 +1m +0s +12/);
  }
  await run(['instances', 'shop/checkout']);
  assert.equal(server.last().url.search, '?app=shop&function=checkout');
  await run(['instances', 'shop']);
  assert.equal(server.last().url.search, '?app=shop');
});

test('describe shows configuration, environment and secrets by name', async () => {
  const r = await run(['describe', 'shop/checkout']);
  assert.equal(r.code, 0, r.stderr);
  assert.match(r.stdout, /shop\/checkout/);
  assert.match(r.stdout, /CURRENCY = EUR/);
  assert.match(r.stdout, /memory_mb = 128/);
  assert.match(r.stdout, /PAY_KEY/);
  assert.equal(JSON.parse((await run(['describe', 'shop/checkout', '--json'])).stdout).version, 7);
});

test('versions and rollback', async () => {
  assert.match((await run(['versions', 'shop/checkout'])).stdout, /7 +live +\S+ +aaaaaaaaaaaa +prod, next +deploy/);
  assert.match((await run(['rollback', 'shop/checkout'])).stdout, /version 6 is live \(before: 7\)/);
  assert.equal(server.last().body.toString(), '{}');
  await run(['rollback', 'shop/checkout', '5']);
  assert.equal(server.last().body.toString(), '{"version":5}');
  await run(['rollback', 'shop/checkout@4']);
  assert.equal(server.last().body.toString(), '{"version":4}');
  assert.equal((await run(['rollback', 'shop/checkout', 'x'])).code, 2);
});

test('aliases are set, listed and removed', async () => {
  assert.equal((await run(['alias', 'set', 'shop/checkout', 'canary', '6'])).code, 0);
  assert.equal(server.aliases.canary, 6);
  assert.match((await run(['alias', 'ls', 'shop/checkout'])).stdout, /canary +6/);
  assert.equal((await run(['alias', 'rm', 'shop/checkout', 'canary'])).code, 0);
  assert.equal(server.aliases.canary, undefined);
  assert.equal((await run(['alias', 'set', 'shop/checkout', 'Bad', '6'])).code, 2);
  assert.equal((await run(['alias', 'set', 'shop/checkout', 'a', '0'])).code, 2);
});

test('variables are set and unset; reserved names are refused before asking the server', async () => {
  assert.equal((await run(['env', 'set', 'shop/checkout', 'B=2', 'C=a=b'])).code, 0);
  assert.deepEqual(JSON.parse(server.last().body), { set: { B: '2', C: 'a=b' }, unset: [] });
  assert.match((await run(['env', 'ls', 'shop/checkout'])).stdout, /^A=1\nB=2\nC=a=b\n$/);
  assert.equal((await run(['env', 'unset', 'shop/checkout', 'B', 'C'])).code, 0);
  assert.deepEqual(server.env, { A: '1' });
  const n = server.requests.length;
  const r = await run(['env', 'set', 'shop/checkout', 'LD_PRELOAD=x']);
  assert.equal(r.code, 2);
  assert.match(r.stderr, /reserved/);
  assert.equal((await run(['env', 'set', 'shop/checkout', 'novalue'])).code, 2);
  assert.equal(server.requests.length, n);
});

test('secrets come from stdin; --value warns', async () => {
  assert.equal((await run(['secret', 'set', 'PAY_KEY', '--app', 'shop'], { input: 'geheim\n' })).code, 0);
  assert.equal(server.secrets.PAY_KEY, 'geheim');
  const r = await run(['secret', 'set', 'OTHER', '--app', 'shop', '--value', 'x y']);
  assert.match(r.stderr, /warning/);
  assert.equal(server.secrets.OTHER, 'x y');
  const ls = await run(['secret', 'ls', 'shop']);
  assert.match(ls.stdout, /PAY_KEY/);
  assert.doesNotMatch(ls.stdout, /geheim/);
  assert.equal((await run(['secret', 'rm', 'OTHER', '--app', 'shop'])).code, 2);
  assert.equal((await run(['secret', 'rm', 'OTHER', '--app', 'shop', '--yes'])).code, 0);
  assert.equal(server.secrets.OTHER, undefined);
  assert.equal((await run(['secret', 'set', 'E', '--app', 'shop'], { input: '' })).code, 2);
  assert.equal((await run(['secret', 'set', 'E', '--app', 'shop'], { input: Buffer.from([65, 0, 66]) })).code, 2);
  assert.equal((await run(['secret', 'set', 'E', '--app', 'shop'], { input: 'x'.repeat(8192) })).code, 0);
  assert.equal((await run(['secret', 'set', 'E', '--app', 'shop'], { input: 'x'.repeat(8193) })).code, 6);
});

test('rm wants --yes where there is no terminal, and asks where there is one', async () => {
  const r = await run(['rm', 'shop/checkout']);
  assert.equal(r.code, 2);
  assert.match(r.stderr, /--yes/);
  assert.equal((await run(['rm', 'shop/checkout', '-y'])).code, 0);
  assert.equal(server.last().method, 'DELETE');
  assert.equal((await run(['rm', '--all', 'shop', '--yes'])).code, 0);
  assert.equal(server.last().path, '/v1/apps/shop');
  const before = server.requests.length;
  const no = await run(['rm', 'shop/checkout'], { terminal: true, input: 'n\n' });
  assert.equal(no.code, 130);
  assert.equal(server.requests.length, before);
  const yes = await run(['rm', 'shop/checkout'], { terminal: true, input: 'y\n' });
  assert.equal(yes.code, 0, yes.stdout);
});

test('limits, version, schema and doctor', async () => {
  assert.match((await run(['limits'])).stdout, /a\.limit +5 +bytes +because/);
  assert.match((await hob(['limits'], { env: { HOB_URL: 'http://127.0.0.1:1' } })).stdout, /http\.head_bytes +65536/);
  assert.match((await run(['version'])).stdout, /^hob \d.*\nserver 0\.1\.0 at http/);
  assert.equal(JSON.parse((await run(['version', '--json'])).stdout).server.api, 1);
  assert.equal((await hob(['version'], { env: { HOB_URL: 'http://127.0.0.1:1' } })).code, 0);
  assert.equal(JSON.parse((await run(['schema'])).stdout).title, 'hob.json');
  const d = JSON.parse((await run(['doctor', '--json'])).stdout);
  assert.ok(d.checks.some((c) => c.name === 'server: store'));
  const alone = await hob(['doctor'], { env: { HOB_URL: 'http://127.0.0.1:1' } });
  assert.match(alone.stdout, /kernel: Linux/);
  assert.match(alone.stdout, /warn +server: no server answers/);
});

test('backup keeps only whole databases and never overwrites', async (t) => {
  const dir = tempDir(t);
  const file = path.join(dir, 'b.db');
  assert.equal((await run(['backup', file])).code, 0);
  assert.equal(statSync(file).size, 5016);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.equal((await run(['backup', file])).code, 5);
  assert.equal((await run(['backup', '--force', file])).code, 0);
  server.backup = Buffer.from('<html>');
  assert.equal((await run(['backup', path.join(dir, 'c.db')])).code, 1);
  server.backup = null;
  assert.deepEqual((await import('node:fs')).readdirSync(dir), ['b.db']);
  assert.match((await run(['backup', '-'])).stdout, /^SQLite format 3/);
});

test('invoke sends the event and prints answer and time split apart', async (t) => {
  const r = await run(['invoke', 'shop/checkout', '-d', '{"a":1}']);
  assert.equal(r.code, 0, r.stderr);
  assert.equal(r.stdout, '{"a":1}');
  assert.match(r.stderr, /queue 0\.20 ms · start 11\.0 ms · init 30\.5 ms · run 2\.25 ms · total .* · version 7/);
  assert.equal((await run(['invoke', 'shop/checkout', '-q', '-d', '1'])).stderr, '');
  assert.equal((await run(['invoke', 'shop/checkout'], { input: '[1,2]' })).stdout, '[1,2]');
  const file = path.join(tempDir(t), 'e.json');
  writeFileSync(file, '{"f":1}');
  assert.equal((await run(['invoke', 'shop/checkout', '-f', file])).stdout, '{"f":1}');
  assert.equal((await run(['invoke', 'shop/checkout', '-d', `@${file}`])).stdout, '{"f":1}');
  assert.equal((await run(['invoke', 'shop/checkout', '-f', '-'], { input: '7' })).stdout, '7');
  assert.equal((await run(['invoke', 'shop/checkout', '-f', `${file}x`])).code, 3);
  await run(['invoke', 'shop/checkout:prod', '-d', '1']);
  assert.equal(server.last().url.search, '?qualifier=prod');
  await run(['invoke', 'shop/checkout@7', '-d', '1']);
  assert.equal(server.last().url.search, '?qualifier=7');
  const j = JSON.parse((await run(['invoke', 'shop/checkout', '--json', '-d', '{"a":1}'])).stdout);
  assert.deepEqual([j.status, j.version, j.body, j.timing_ms.run], [200, 7, { a: 1 }, 2.25]);
});

test('invoke waits for stdin without hanging silently', async () => {
  const r = hobStart(['invoke', 'shop/checkout'], { server, input: null });
  await new Promise((done) => setTimeout(done, 1600));
  assert.match(r.stderr, /reading the event from stdin/);
  r.child.stdin.end('5');
  assert.equal((await r.done).stdout, '5');
});

test('a failed function has its own exit code, and its stack cannot move the cursor', async () => {
  const r = await run(['invoke', 'shop/checkout', '-d', '"fail"']);
  assert.equal(r.code, 10);
  assert.match(r.stderr, /TypeError: x is \\x1b\[31mnot\nat a\.mjs:1/);
  assert.match(r.stderr, /the function failed \(request req-1\)/);
  const j = JSON.parse((await run(['--json', 'invoke', 'shop/checkout', '-d', '"fail"'])).stderr);
  assert.deepEqual([j.error.reason, j.error.exit_code, j.error.request_id], ['function_failed', 10, 'req-1']);
  assert.equal(j.error.function_error.type, 'TypeError');
});

test('an answer on a terminal is harmless, whole, and ends its line', async () => {
  const text = 'é€😀'.repeat(20000);
  const event = JSON.stringify(`${text}\u001b[2J`);
  const r = await run(['invoke', 'shop/checkout', '-q', '-f', '/dev/stdin'], { terminal: true, input: '1\n\u0004\u0004' });
  assert.match(r.stdout, /1\r\n/);
  const { writeFileSync: write, mkdtempSync, rmSync } = await import('node:fs');
  const dir = mkdtempSync('/tmp/hob-cli-');
  write(`${dir}/e`, event);
  const long = await run(['invoke', 'shop/checkout', '-q', '-f', `${dir}/e`], { terminal: true });
  rmSync(dir, { recursive: true });
  assert.ok(long.stdout.includes(text) && !long.stdout.includes('\\xe2') && !long.stdout.includes('\\xf0'));
  assert.doesNotMatch(long.stdout, /\x1b/);
});

test('invoke --http goes through the gateway', async () => {
  let r = await run(['invoke', 'shop/checkout', '--http', '/a/b?c=d']);
  assert.equal(r.stdout, 'GET /fn/shop/checkout/a/b?c=d ');
  assert.equal(server.last().headers.authorization, undefined); // a function is a stranger: the token is not for it
  assert.equal(server.last().headers['x-hob-timing'], '1');
  assert.match(r.stderr, /^run 1\.00 ms · total/);
  r = await run(['invoke', 'shop/checkout:prod', '--http', '/', '-X', 'PUT', '-H', 'Content-Type: text/x', '-d', 'hi']);
  assert.equal(r.stdout, 'PUT /fn/shop/checkout:prod/ hi');
  assert.equal(server.last().headers['content-type'], 'text/x');
  r = await run(['invoke', 'shop/checkout@3', '--http', '/x', '-i', '-H', 'x-status: 404']);
  assert.equal(r.code, 0);
  assert.match(r.stdout, /^HTTP 404\n[^]*x-said: yes\n[^]*\n\nGET \/fn\/shop\/checkout@3\/x $/);
  r = await run(['invoke', 'shop/checkout', '--http', '/x', '-H', 'x-status: 500']);
  assert.equal(r.code, 10);
  for (const bad of [['--http', 'x'], ['--http', '/a b'], ['--http', '/', '-X', 'get'], ['--http', '/', '-H', 'a\r\nb: c'], ['--http', '/', '-H', 'nocolon'], ['-X', 'GET']])
    assert.equal((await run(['invoke', 'shop/checkout', ...bad])).code, 2, bad.join(' '));
});

const line = (n, more = {}) => ({ time: `2026-11-20T05:22:00.${String(n).padStart(3, '0')}Z`, level: 'info', stream: 'stdout', version: 7, instance: '17', request_id: 'r', text: `line ${n}`, ...more });

test('logs prints lines, filters by the server, keeps documents with --json', async () => {
  server.logs = [line(1), line(2, { level: 'error', text: 'bad\n' })];
  const r = await run(['logs', 'shop/checkout']);
  assert.equal(r.stdout, '2026-11-20T05:22:00.001Z v7 info line 1\n2026-11-20T05:22:00.002Z v7 error bad\n');
  assert.equal(server.last().url.search, '?follow=0&tail=100');
  const j = (await run(['logs', 'shop/checkout', '--json'])).stdout.trim().split('\n').map((l) => JSON.parse(l));
  assert.equal(j[1].level, 'error');
  await run(['logs', 'shop/checkout', '-n', '5', '--level', 'warn', '--request', 'a&b', '--since', '2026-11-20T05:22:00Z']);
  assert.deepEqual(Object.fromEntries(server.last().url.searchParams), { follow: '0', tail: '5', level: 'warn', request: 'a&b', since: '2026-11-20T05:22:00Z' });
  await run(['logs', 'shop/checkout', '--since', '10m']);
  assert.ok(Math.abs(Date.now() - 600000 - Date.parse(server.last().url.searchParams.get('since'))) < 5000);
  for (const bad of [['--since', 'x'], ['--level', 'loud'], ['-n', '-1'], ['-n', 'x']]) assert.equal((await run(['logs', 'shop/checkout', ...bad])).code, 2);
});

test('escapes in logs are harmless on a terminal and untouched in a pipe', async () => {
  server.logs = [line(1, { text: 'a\u001b[2Jb\u009bc\u0007\u00e9\r\tz' })];
  const piped = await run(['logs', 'shop/checkout']);
  assert.ok(piped.stdout.includes('a\u001b[2Jb\u009bc\u0007\u00e9'));
  const shown = await run(['logs', 'shop/checkout'], { terminal: true, env: { NO_COLOR: '1' } });
  assert.ok(shown.stdout.includes('a\\x1b[2Jb\\xc2\\x9bc\\x07\u00e9\\x0d\tz'), JSON.stringify(shown.stdout));
  assert.doesNotMatch(shown.stdout, /\x1b|\x07/);
});

test('logs -f ends with 130 on SIGINT', async () => {
  server.logs = [line(1)];
  const r = hobStart(['logs', '-f', 'shop/checkout'], { server });
  while (!r.stdout.includes('line 1')) await new Promise((done) => setTimeout(done, 20));
  r.child.kill('SIGINT');
  await r.done;
  assert.deepEqual([r.code, r.signal, r.stderr], [130, null, '']);
});

test('logs -f comes back after a lost connection and prints no line twice', async () => {
  server.logConnections = 0;
  server.cutLogsAfter = 2;
  server.logs = (q, n) => (n === 1 ? [line(1), line(2), line(2, { text: 'same time' })] : n === 2 ? [line(2), line(2, { text: 'same time' }), line(3)] : [line(3), line(4)]);
  const r = hobStart(['logs', '-f', 'shop/checkout'], { server });
  while (!r.stdout.includes('line 4')) await new Promise((done) => setTimeout(done, 20));
  r.child.kill('SIGINT');
  await r.done;
  server.cutLogsAfter = null;
  assert.deepEqual(r.stdout.trim().split('\n').map((l) => l.split(' ').slice(3).join(' ')), ['line 1', 'line 2', 'same time', 'line 3', 'line 4']);
  assert.match(r.stderr, /trying again/);
  assert.equal(server.last().url.searchParams.get('since'), '2026-11-20T05:22:00.003Z');
});

test('a broken pipe ends quietly', async (t) => {
  server.logs = Array.from({ length: 20000 }, (_, i) => line(i % 1000, { text: 'x'.repeat(200) }));
  const { spawn } = await import('node:child_process');
  const { HOB } = await import('./run.mjs');
  const { TOKEN } = await import('./server.mjs');
  const child = spawn('/bin/bash', ['--norc', '-c', `'${HOB}' logs shop/checkout | head -n 1; echo "rc \${PIPESTATUS[0]}"`], {
    env: { PATH: process.env.PATH, HOME: '/nonexistent', HOB_URL: server.url, HOB_TOKEN: TOKEN } });
  let out = '', err = '';
  child.stdout.on('data', (d) => (out += d));
  child.stderr.on('data', (d) => (err += d));
  await new Promise((done) => child.on('close', done));
  assert.match(out, /xxx\nrc 0\n$/);
  assert.equal(err, '');
});

test('a full disk behind stdout is an error', async () => {
  const { spawnSync } = await import('node:child_process');
  const { HOB } = await import('./run.mjs');
  for (const args of ['help', 'schema']) {
    const r = spawnSync('/bin/sh', ['-c', `'${HOB}' ${args} > /dev/full`], { env: { PATH: process.env.PATH } });
    assert.equal(r.status, 11, args);
    assert.match(r.stderr.toString(), /printing: No space left/);
  }
});

test('a name that is not there gets a suggestion from the server', async () => {
  const r = await run(['describe', 'shop/chekout']);
  assert.equal(r.code, 3);
  assert.match(r.stderr, /did you mean 'shop\/checkout'\?/);
});

function project(t, manifest, files = {}) {
  const dir = tempDir(t);
  writeFileSync(path.join(dir, 'hob.json'), typeof manifest === 'string' ? manifest : JSON.stringify(manifest));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(dir, name)), { recursive: true });
    writeFileSync(path.join(dir, name), text);
  }
  return dir;
}
const hello = { app: 'greet', functions: { hello: { entry: 'index.mjs' } } };

test('deploy builds, packs and uploads; the archive is the same for the same files', async (t) => {
  const dir = project(t, { app: 'greet', functions: { hello: { entry: 'index.mjs', build: 'echo building; echo "$HOB_TOKEN" > seen.txt; printf x > made.txt' } } }, {
    'index.mjs': 'export default 1', 'node_modules/a/index.js': '1', '.git/HEAD': 'x', 'debug.log': 'x', '.env': 'K=1', 'sub/b.tmp': '1', 'sub/keep.tmp': '2',
    '.hobignore': '*.tmp\n!keep.tmp\n/only-root/\n', 'only-root/x': '1', 'deep/only-root/x': '1' });
  chmodSync(path.join(dir, 'index.mjs'), 0o755);
  const r = await run(['deploy', dir]);
  assert.equal(r.code, 0, r.stderr);
  assert.match(r.stdout, /greet\/hello +3 +new +http:\/\/127\.0\.0\.1:\d+\/fn\/greet\/hello\//);
  assert.match(r.stdout, /greet\/other +1 +unchanged/);
  assert.match(r.stderr, /building/);
  assert.deepEqual(Object.keys(server.upload), ['deep/only-root/x', 'hob.json', 'index.mjs', 'made.txt', 'node_modules/a/index.js', 'seen.txt', 'sub/keep.tmp']);
  assert.equal(server.upload['seen.txt'].body.toString(), '\n');
  assert.deepEqual([server.upload['index.mjs'].mode, server.upload['hob.json'].mode, server.upload['hob.json'].mtime, server.upload['hob.json'].uid], [0o755, 0o644, 0, 0]);
  const first = server.archive;
  assert.equal(first.readUInt32LE(4), 0); // gzip's own time (RFC 1952)
  const again = project(t, readFileSync(path.join(dir, 'hob.json'), 'utf8'), { 'sub/keep.tmp': '2', 'index.mjs': 'export default 1', 'node_modules/a/index.js': '1',
    'deep/only-root/x': '1', '.hobignore': '*.tmp\n!keep.tmp\n' });
  chmodSync(path.join(again, 'index.mjs'), 0o700);
  await run(['deploy', again]);
  assert.ok(first.equals(server.archive));
  const j = JSON.parse((await run(['deploy', '--json', dir])).stdout);
  assert.equal(j.functions[0].version, 3);
});

test('deploy passes env and dry run on, and another app changes hob.json in the archive', async (t) => {
  const dir = project(t, '{ // comment\n "app": "greet", "functions": {"hello": {"entry": "index.mjs"}}, "env": {"staging": {}} }', { 'index.mjs': '1' });
  const r = await run(['deploy', '--env', 'staging', '--dry-run'], { cwd: dir });
  assert.equal(r.code, 0, r.stderr);
  assert.equal(server.last().url.search, '?env=staging&dry_run=1');
  assert.match(r.stderr, /nothing was changed/);
  assert.match(server.upload['hob.json'].body.toString(), /comment/);
  await run(['deploy', '--app', 'other'], { cwd: dir });
  assert.equal(server.last().path, '/v1/apps/other/deploy');
  assert.equal(JSON.parse(server.upload['hob.json'].body).app, 'other');
  assert.equal((await run(['deploy', '--env', 'stagin'], { cwd: dir })).code, 3);
});

test('deploy tells routes, secrets that are not set, and the folder above', async (t) => {
  const dir = project(t, { app: 'shop', functions: { hello: { entry: 'index.mjs', secrets: ['NOT_SET'] } } }, { 'index.mjs': '', 'src/a.txt': '' });
  const r = await run(['deploy', dir]);
  assert.equal(r.code, 0, r.stderr);
  assert.match(r.stderr, /shop\/hello answers at GET,POST shop\.example\/orders\/:id, too/);
  assert.match(r.stderr, /shop\/hello answers at any \/all, too/);
  assert.match(r.stderr, /hello needs the secret NOT_SET, which is not set yet: hob secret set NOT_SET --app shop/);
  const below = await run(['deploy'], { cwd: path.join(dir, 'src') });
  assert.equal(below.code, 3);
  assert.match(below.stderr, /no hob\.json in this folder; did you mean the one above: hob deploy '/);
  const file = await run(['deploy', path.join(dir, 'index.mjs')]);
  assert.equal(file.code, 2);
  assert.match(file.stderr, /is not a folder/);
});

test('deploy refuses before asking the server', async (t) => {
  const n = server.requests.length;
  const refused = async (dir, code, pattern) => {
    const r = await run(['deploy', dir]);
    assert.match(r.stderr, pattern);
    assert.equal(r.code, code);
  };
  await refused(tempDir(t), 3, /there is no hob\.json.*`hob init`/);
  await refused(project(t, '{"app":"a","functions":{"b":{"entry":"x.mjs","memry_mb":1}}}'), 2, /functions\.b\.memry_mb: unknown key; did you mean 'memory_mb'/);
  await refused(project(t, '{"app":"a","functions":{"b":{"entry":"x.mjs","cron":"* * * * *"}}}'), 7, /functions\.b\.cron is not supported yet/);
  await refused(project(t, hello), 2, /functions\.hello\.entry: there is no file 'index\.mjs'/);
  await refused(project(t, { app: 'a', functions: { b: { entry: 'x.mjs', build: 'echo no >&2; exit 3' } } }, { 'x.mjs': '' }), 2, /no\n[^]*build failed with exit status 3/);
  const out = project(t, hello, { 'index.mjs': '' });
  symlinkSync('/etc/passwd', path.join(out, 'link'));
  await refused(out, 2, /the link 'link' leads out of the project/);
  const loop = project(t, hello, { 'index.mjs': '', 'a/b': '' });
  symlinkSync('..', path.join(loop, 'a/up'));
  await refused(loop, 2, /the link 'a\/up' leads to a folder it is in/);
  const inside = project(t, hello, { 'index.mjs': '', 'lib/x.js': 'x' });
  symlinkSync('lib', path.join(inside, 'again'));
  assert.equal(server.requests.length, n);
  await run(['deploy', inside]);
  assert.equal(server.upload['again/x.js'].body.toString(), 'x');
});

test('names beyond ASCII and long paths arrive as they are, in any locale', async (t) => {
  const long = `${'d'.repeat(120)}/${'e'.repeat(120)}/f.js`;
  const dir = project(t, hello, { 'index.mjs': '', 'é😀.txt': 'x', [long]: 'y' });
  for (const LC_ALL of ['C', 'C.UTF-8']) {
    const r = await run(['deploy', dir], { env: { LC_ALL } });
    assert.equal(r.code, 0, r.stderr);
    assert.deepEqual(Object.keys(server.upload).sort(), [long, 'hob.json', 'index.mjs', 'é😀.txt']);
  }
});

test('a project folder gives the app, from any folder below it', async (t) => {
  const dir = project(t, { app: 'shop', functions: { checkout: { entry: 'index.mjs' } } }, { 'src/index.mjs': '' });
  assert.equal((await run(['describe', 'checkout'], { cwd: path.join(dir, 'src') })).code, 0);
  const r = await run(['describe', 'checkout'], { cwd: '/' });
  assert.equal(r.code, 2);
  assert.match(r.stderr, /which app\?/);
});

test('init writes a project that deploy takes, and never overwrites', async (t) => {
  const list = JSON.parse((await hob(['init', '--list', '--json'])).stdout).templates;
  assert.ok(list.length > 0);
  const dir = tempDir(t);
  for (const name of list) {
    const to = path.join(dir, `My ${name}!`);
    const r = await hob(['init', to, '--template', name]);
    assert.equal(r.code, 0, r.stderr);
    assert.equal((await hob(['init', to, '--template', name])).code, 5);
    const manifest = readFileSync(path.join(to, 'hob.json'), 'utf8');
    assert.match(manifest, new RegExp(`"app":\\s*"my-${name}"`));
  }
  const r = await hob(['init', path.join(dir, 'x'), '--template', 'pythn']);
  assert.equal(r.code, 3);
  assert.match(r.stderr, /did you mean 'python'/);
});
