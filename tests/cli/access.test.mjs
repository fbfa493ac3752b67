// Finding the server, its token, and what is said when that fails.
import assert from 'node:assert/strict';
import http from 'node:http';
import { mkdirSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { networkInterfaces } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { hob, tempDir } from './run.mjs';
import { startServer, TOKEN } from './server.mjs';

let server;
before(async () => (server = await startServer()));
after(() => server.close());

function home(dir, token) {
  mkdirSync(dir, { recursive: true });
  writeFileSync(path.join(dir, 'admin.token'), `${token}\n`);
}

test('no server: says how to start one, exit code 8', async () => {
  const r = await hob(['ls'], { env: { HOB_URL: 'http://127.0.0.1:1' } });
  assert.equal(r.code, 8);
  assert.match(r.stderr, /no server answers at http:\/\/127\.0\.0\.1:1; start it with `hobd`/);
  const j = JSON.parse((await hob(['ls', '--json'], { env: { HOB_URL: 'http://127.0.0.1:1' } })).stderr);
  assert.equal(j.error.reason, 'no_server');
});

test('a wrong token names where it came from, exit code 4', async () => {
  assert.match((await hob(['ls'], { server, token: 'wrong' })).stderr, /does not accept the token of HOB_TOKEN/);
  const r = await hob(['ls', '--token', 'wrong'], { server });
  assert.equal(r.code, 4);
  assert.match(r.stderr, /token of --token/);
  assert.match((await hob(['ls'], { server, token: null, env: { HOB_HOME: '/nonexistent' } })).stderr, /no admin\.token can be read/);
  assert.equal((await hob(['ls', '--token', 'a\nb'], { server })).code, 2);
});

test('the local token is found in HOB_HOME, in .hob above, and in the user\'s home', async (t) => {
  const dir = tempDir(t);
  home(path.join(dir, 'h'), TOKEN);
  assert.equal((await hob(['ls'], { server, token: null, env: { HOB_HOME: path.join(dir, 'h') } })).code, 0);
  home(path.join(dir, 'w/.hob'), TOKEN);
  mkdirSync(path.join(dir, 'w/a/b'), { recursive: true });
  assert.equal((await hob(['ls'], { server, token: null, cwd: path.join(dir, 'w/a/b') })).code, 0);
  home(path.join(dir, 'u/.local/share/hob'), TOKEN);
  assert.equal((await hob(['ls'], { server, token: null, env: { HOME: path.join(dir, 'u') } })).code, 0);
  // an old one nearer by does not hide the right one
  home(path.join(dir, 'w2/.hob'), 'old');
  assert.equal((await hob(['ls'], { server, token: null, cwd: path.join(dir, 'w2'), env: { HOME: path.join(dir, 'u') } })).code, 0);
  assert.equal((await hob(['ls'], { server, token: null, env: { HOB_HOME: path.join(dir, 'w2/.hob'), HOME: path.join(dir, 'u') } })).code, 4);
});

test('a local token never goes to another machine', async (t) => {
  const dir = tempDir(t);
  home(dir, TOKEN);
  // not a loopback name for the client, though it leads here
  const port = new URL(server.url).port;
  const address = Object.values(networkInterfaces()).flat().find((i) => i.family === 'IPv4' && !i.internal)?.address;
  if (!address) return t.skip('this machine has no other address');
  const seen = [];
  const other = http.createServer((q, r) => {
    seen.push(q.headers.authorization);
    r.writeHead(401, { 'content-type': 'application/problem+json' });
    r.end(JSON.stringify({ title: 'Unauthorized', status: 401, reason: 'unauthorized' }));
  });
  t.after(() => other.close());
  await new Promise((done) => other.listen(0, address, done));
  const r = await hob(['ls'], { env: { HOB_HOME: dir, HOB_URL: `http://${address}:${other.address().port}` } });
  assert.equal(r.code, 4, port);
  assert.match(r.stderr, /never sent to others/);
  assert.deepEqual(seen, [undefined]);
});

test('proxies of the environment are not asked for this machine', async () => {
  const r = await hob(['ls'], { server, env: { http_proxy: 'http://127.0.0.1:1', HTTP_PROXY: 'http://127.0.0.1:1', ALL_PROXY: 'http://127.0.0.1:1' } });
  assert.equal(r.code, 0, r.stderr);
});

test('something else than Hob at the address is told apart', async (t) => {
  const page = http.createServer((q, r) => {
    r.writeHead(q.url.includes('functions') ? 200 : 404, { 'content-type': 'text/html' });
    r.end('<html>');
  });
  t.after(() => page.close());
  await new Promise((done) => page.listen(0, '127.0.0.1', done));
  const url = `http://127.0.0.1:${page.address().port}`;
  assert.match((await hob(['ls', '--url', url])).stderr, /does not answer as Hob does/);
  assert.match((await hob(['ls', '--apps', '--url', url])).stderr, /answers 404, but not as Hob does/);
  const smtp = net.createServer((c) => c.end('220 mail ready\r\n'));
  t.after(() => smtp.close());
  await new Promise((done) => smtp.listen(0, '127.0.0.1', done));
  const r = await hob(['ls', '--url', `http://127.0.0.1:${smtp.address().port}`]);
  assert.equal(r.code, 8);
  assert.match(r.stderr, /not in HTTP|connection failed/);
  const tls = await hob(['ls', '--url', server.url.replace('http:', 'https:')]);
  assert.equal(tls.code, 8);
  assert.match(tls.stderr, /TLS/);
});

test('wrong addresses are refused', async () => {
  for (const url of ['ftp://x', '127.0.0.1:7070', 'http://', 'http://a b', 'http://x/?q', 'file:///etc/passwd']) {
    const r = await hob(['ls', '--url', url]);
    assert.equal(r.code, 2, url);
    assert.match(r.stderr, /server address/);
  }
});

test('every problem of the server becomes its exit code', async () => {
  const cases = [[400, 'invalid', 2], [403, 'forbidden', 4], [404, 'not_found', 3], [409, 'conflict', 5], [409, 'deploy_in_progress', 5], [413, 'too_large', 6],
    [501, 'not_supported', 7], [429, 'busy', 8], [503, 'queue_full', 8], [504, 'timeout', 9], [502, 'function_failed', 10], [507, 'no_space', 11], [500, 'internal', 1]];
  for (const [status, reason, code] of cases) {
    server.answer = (q, r) => {
      r.writeHead(status, { 'content-type': 'application/problem+json' });
      r.end(JSON.stringify({ title: 't', status, detail: `detail of \u001b[31m ${reason}`, reason, request_id: 'q-9' }));
    };
    const r = await hob(['ls'], { server });
    assert.equal(r.code, code, reason);
    assert.ok(r.stderr.includes(`hob: detail of \\x1b[31m ${reason} (request q-9)`), r.stderr);
    assert.equal(JSON.parse((await hob(['ls', '--json'], { server })).stderr).error.reason, reason);
  }
  server.answer = null;
});

test('an answer cut short is an error', async () => {
  server.answer = (q, r) => {
    r.writeHead(200, { 'content-length': 1000 });
    r.write('{"functions":[');
    setTimeout(() => r.destroy(), 50);
  };
  const r = await hob(['ls'], { server });
  server.answer = null;
  assert.equal(r.code, 8);
});

test('colours only on a terminal and not with NO_COLOR', async () => {
  assert.match((await hob(['ls'], { server, terminal: true })).stdout, /\x1b\[2mFUNCTION/);
  assert.doesNotMatch((await hob(['ls'], { server, terminal: true, env: { NO_COLOR: '1' } })).stdout, /\x1b/);
  assert.doesNotMatch((await hob(['ls'], { server })).stdout, /\x1b/);
});

test('unknown commands and options get a suggestion, exit code 2', async () => {
  for (const [args, pattern] of [[['deplyo'], /did you mean 'deploy'/], [['ls', '--jsn'], /did you mean '--json'/], [['alias', 'st'], /did you mean 'alias set'/],
    [['secret'], /needs one more word: `hob secret set`/], [['invoke'], /FUNCTION is missing: hob invoke FUNCTION/], [['alias', 'set', 'a/b', 'x'], /VERSION is missing: hob alias set/], [['ls', 'a', 'b'], /one word too many/],
    [['logs', 'a/b', '--tail'], /needs a value/], [['ls', '--json=1'], /takes no value/], [['ls', '-z'], /unknown option '-z'/], [['describe', 'A/b'], /app name 'A'/],
    [['describe', 'a/b@x'], /version 'x'/], [['describe', 'a/b', '--app', 'c'], /name two apps/]]) {
    const r = await hob(args, { server });
    assert.equal(r.code, 2, args.join(' '));
    assert.match(r.stderr, pattern);
  }
});

test('help of every command, completion of every shell, markdown as in docs', async () => {
  const all = await hob(['help']);
  assert.equal(all.code, 0);
  assert.match(all.stdout, /130 +cancelled/);
  const names = [...all.stdout.matchAll(/^ {2}([a-z]+(?: [a-z]+)?) {2,}\S/gm)].map((m) => m[1]);
  assert.ok(names.length >= 26);
  for (const name of names) {
    const a = await hob(['help', ...name.split(' ')]);
    const b = await hob([...name.split(' '), '--help']);
    assert.equal(a.code, 0);
    assert.equal(a.stdout, b.stdout);
    assert.ok(a.stdout.startsWith(`hob ${name}`));
  }
  const { execFileSync } = await import('node:child_process');
  const { HOB } = await import('./run.mjs');
  const script = (await hob(['completion', 'bash'])).stdout;
  const words = (line, n) => execFileSync('/bin/bash', ['-c', `${script}\nCOMP_WORDS=(${line}); COMP_CWORD=${n}; _hob; echo "\${COMPREPLY[@]}"`], { cwd: '/proc/self' }).toString().trim();
  assert.equal(words('hob dep', 1), 'deploy');
  assert.equal(words('hob alias s', 2), 'set');
  assert.equal(words('hob secret set --v', 3), '--value --version');
  assert.ok((await hob(['completion', 'zsh'])).stdout.includes('bashcompinit'));
  assert.ok((await hob(['completion', 'fish'])).stdout.includes('complete -c hob'));
  assert.equal((await hob(['completion', 'csh'])).code, 2);
  const { readFileSync } = await import('node:fs');
  const docs = path.join(path.dirname(new URL(import.meta.url).pathname), '../../docs');
  assert.equal((await hob(['help', '--markdown'])).stdout, readFileSync(path.join(docs, 'cli.md'), 'utf8'), 'run `make docs`');
  assert.equal((await hob(['help', 'manifest'])).stdout, readFileSync(path.join(docs, 'manifest.md'), 'utf8'), 'run `make docs`');
  assert.equal((await hob(['limits', '--markdown'])).stdout, readFileSync(path.join(docs, 'limits.md'), 'utf8'), 'run `make docs`');
  assert.ok(HOB);
});

test('one connection serves a command that asks twice', async () => {
  server.requests.length = 0;
  await hob(['describe', 'shop/chekout'], { server });
  assert.equal(server.requests.length, 2);
  assert.equal(server.requests[0].socket, server.requests[1].socket);
});
