// hob-init's gate over a real channel, without a sandbox: what it asks of hobd, how much of it at a time, and what becomes of
// the answers. The test is hobd, and the program's clients.
import assert from 'node:assert/strict';
import http from 'node:http';
import { readFileSync, rmSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { afterEach, after, test } from 'node:test';
import { until as wait } from '../e2e/harness.mjs';
import { codeDir, frame, Host, META, END, pairs, ROOT, T } from '../runtimes/host.mjs';

const INIT = path.resolve(ROOT, process.env.HOB_BIN ?? path.join(process.env.B ?? 'build', 'bin'), 'hob-init');
const SERVER = `import http from 'node:http';
  const held = [];
  http.createServer((q, s) => {
    if (q.url === '/hold') { held.push(s); s.writeHead(200); return s.write(q.headers['x-hob-invocation']); }
    if (q.url === '/release') held.splice(0).forEach((one) => one.end());
    s.end(q.headers['x-hob-invocation'] ?? 'no token');
  }).listen(Number(process.env.PORT));`;
const dirs = [];
const until = (check, what) => wait(check, what, 30000);
let host;

/** A hobd that keeps what it is asked. */
class Gate extends Host {
  asked = [];
  last = 0;
  onFrame(f) {
    if (f.type !== T.CALL) return super.onFrame(f);
    if (f.stream % 2 || f.stream <= this.last) this.violation(`CALL ${f.stream} behind ${this.last}`);
    this.last = f.stream;
    const n = f.payload.readUInt32LE(0);
    this.asked.push({ stream: f.stream, parent: f.arg, flags: f.flags, ...JSON.parse(f.payload.subarray(4, 4 + n)), data: f.payload.subarray(4 + n) });
    return this.changed();
  }
  /** The whole answer, in frames of at most `most` bytes. */
  reply(stream, text, most = 65536) {
    const body = Buffer.from(text), meta = Buffer.from('{}'), n = Buffer.alloc(4);
    n.writeUInt32LE(meta.length);
    let rest = Buffer.concat([n, meta, body]);
    while (rest.length > most) {
      this.send(frame(T.REPLY, { flags: META, stream, payload: rest.subarray(0, most) }));
      rest = rest.subarray(most);
    }
    this.send(frame(T.REPLY, { flags: META | END, stream, payload: rest }));
  }
  refuse(stream, what) {
    this.send(frame(T.REPLY, { flags: END, code: 1, stream, payload: pairs(Object.entries(what)) }));
  }
}
const answer = (text) => `HTTP/1.1 200 OK\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`;

const freePort = () => new Promise((resolve) => {
  const server = net.createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    server.close(() => resolve(port));
  });
});

async function start(gate) {
  const dir = codeDir({ 'index.mjs': SERVER });
  dirs.push(dir);
  const port = await freePort();
  gate ??= await freePort();
  host = new Gate({ runtime: 'node', dir, entry: 'index.mjs', concurrency: 100, argv: [INIT, '--', '--http', `${port}+${gate}`, '--', '/usr/bin/node', '/app/${entry}'] });
  host.gate = gate;
  return host;
}
const ask = (where = '/parse/health', { method = 'GET', headers = {}, body } = {}) => new Promise((resolve, reject) => {
  const req = http.request({ port: host.gate, host: '127.0.0.1', path: where, method, agent: false, headers: { ...(body ? { 'content-length': Buffer.byteLength(body) } : {}), ...headers } }, (res) => {
    const parts = [];
    res.on('data', (d) => parts.push(d)).on('error', reject).on('end', () => resolve({ status: res.statusCode, headers: res.headers, text: String(Buffer.concat(parts)) }));
  });
  req.on('error', reject).end(body);
});
const dial = (text) => {
  const s = net.connect(host.gate, '127.0.0.1').on('error', () => {});
  if (text) s.write(text);
  return s;
};
const rss = () => Number(readFileSync(`/proc/${host.child.pid}/statm`, 'utf8').split(' ')[1]) * 4096;
const GET = 'GET /parse/health HTTP/1.1\r\nHost: x\r\n\r\n';

afterEach(async () => {
  if (!host) return;
  assert.deepEqual(host.violations, []);
  await host.close();
  host = undefined;
});
after(() => dirs.forEach((dir) => rmSync(dir, { recursive: true, force: true })));

test('each request is one CALL: of the invocation whose token it shows, or of nobody', async () => {
  const { ready } = await start();
  await ready;
  const first = host.invoke({ method: 'GET', target: '/hold' });
  await until(() => first.chunks.length, 'the token');
  const token = String(Buffer.concat(first.chunks));
  assert.match(token, /^i:[0-9a-f]{32}$/);
  const answers = [ask('/parse/classes/A?x=%20', { headers: { 'x-hob-invocation': token, 'x-parse-application-id': 'é"\\', cookie: 'no' } }), ask('/cache/k', { method: 'PUT', body: 'bytes' })];
  await until(() => host.asked.length === 2, 'both calls');
  const mine = host.asked.find((one) => one.parent), nobodys = host.asked.find((one) => !one.parent);
  assert.deepEqual([mine.parent, mine.op, mine.args.method, mine.args.target, mine.args.token], [first.stream, 'http.request', 'GET', '/parse/classes/A?x=%20', token]);
  assert.deepEqual(Object.keys(mine.args.fields), ['x-parse-application-id']);
  assert.deepEqual([nobodys.op, nobodys.args.method, nobodys.args.token, String(nobodys.data)], ['http.public', 'PUT', undefined, 'bytes']);
  host.reply(nobodys.stream, answer('for nobody'));
  host.reply(mine.stream, answer('for its caller'), 7);
  assert.deepEqual((await Promise.all(answers)).map((one) => one.text), ['for its caller', 'for nobody']);
  await host.call({ method: 'GET', target: '/release' });
  await first.done;
  const late = await ask('/parse/health', { headers: { 'x-hob-invocation': token } });
  assert.deepEqual([late.status, JSON.parse(late.text).reason], [403, 'invocation_ended']);
  assert.equal(host.asked.length, 2);
});

test('every invocation has a token of its own, and none can be guessed from another', async () => {
  await (await start()).ready;
  const tokens = await Promise.all(Array.from({ length: 50 }, async () => String(Buffer.concat((await host.call({ method: 'GET', target: '/' })).chunks))));
  assert.equal(new Set(tokens.map((one) => one.slice(10))).size, 50);
});

test('32 calls are under way at most, the others wait their turn; who left leaves a free place', { timeout: 60000 }, async () => {
  await (await start()).ready;
  const gone = Array.from({ length: 20 }, () => dial(GET));
  await until(() => host.asked.length === 20, 'the first 20');
  const all = Array.from({ length: 100 }, () => ask());
  await until(() => host.asked.length === 32, '32');
  for (const s of gone) s.destroy();
  await new Promise((done) => setTimeout(done, 300));
  assert.equal(host.asked.length, 32);
  for (let at = 0; at < 120; at++) {
    await until(() => host.asked.length > at, `call ${at + 1}`);
    assert.ok(host.asked.length <= at + 32);
    host.reply(host.asked[at].stream, answer(`${at}`));
  }
  const said = (await Promise.all(all)).map((one) => Number(one.text));
  assert.equal(new Set(said).size, 100);
});

test('an error of hobd is one of the protocol, whatever it holds', async () => {
  await (await start()).ready;
  const cases = [[{ errorMessage: 'a "quoted"\n', code: 101, reason: 'not_found', status: 404 }, 404, { code: 101, error: 'a "quoted"\n', reason: 'not_found' }],
    [{ errorMessage: 'over', code: 100, reason: 'invocation_ended', status: 499 }, 403, { code: 119, error: 'over', reason: 'invocation_ended' }],
    [{ status: 12 }, 500, { code: 1, error: '' }]];
  for (const [i, [what, status, body]] of cases.entries()) {
    const said = ask();
    await until(() => host.asked.length === i + 1, 'the call');
    host.refuse(host.asked[i].stream, what);
    const got = await said;
    assert.deepEqual([got.status, JSON.parse(got.text)], [status, body]);
  }
  const broken = ask();
  await until(() => host.asked.length === 4, 'the call');
  host.send(frame(T.REPLY, { flags: END, code: 1, stream: host.asked[3].stream, payload: Buffer.from('no pairs') }));
  assert.equal((await broken).status, 500);
  host.send(frame(T.REPLY, { flags: END, stream: 4444, payload: Buffer.from('{}') })); // nobody asked: nothing happens
  const last = ask();
  await until(() => host.asked.length === 5, 'the call');
  host.reply(host.asked[4].stream, answer('ok'));
  assert.equal((await last).text, 'ok');
});

test('answers that nobody takes are bounded, and other clients are served beside them', { timeout: 90000 }, async () => {
  await (await start()).ready;
  const before = rss(), big = answer('x'.repeat(7 << 20));
  const deaf = Array.from({ length: 12 }, () => { const s = dial(GET); s.pause(); return s; });
  let closed = 0;
  for (const s of deaf) s.on('close', () => closed++);
  await until(() => host.asked.length === 12, 'their calls');
  for (const one of host.asked) host.reply(one.stream, big);
  const beside = ask();
  await until(() => host.asked.length === 13, 'one more call');
  host.reply(host.asked[12].stream, answer('served'));
  assert.equal((await beside).text, 'served');
  if (!readFileSync(INIT).includes('__asan_init')) assert.ok(rss() - before < 48 << 20, `${rss() - before} bytes`); // 24 MiB of answers, as buffers grow
  for (const s of deaf) s.destroy();
  const after = ask();
  await until(() => host.asked.length === 14, 'the last call');
  host.reply(host.asked[13].stream, big);
  assert.equal((await after).text.length, 7 << 20);
});

test('bodies that never end take no more than their room, and those that can be read are', { timeout: 60000 }, async () => {
  await (await start()).ready;
  const before = rss();
  const endless = Array.from({ length: 30 }, () => { const s = dial('POST /parse/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n'); s.write(`ffff0\r\n${'x'.repeat(0xffff0)}`); return s; });
  await new Promise((done) => setTimeout(done, 500));
  if (!readFileSync(INIT).includes('__asan_init')) assert.ok(rss() - before < 40 << 20, `${rss() - before} bytes`);
  const small = ask();
  await until(() => host.asked.length === 1, 'a request without a body');
  host.reply(host.asked[0].stream, answer('ok'));
  assert.equal((await small).text, 'ok');
  for (const s of endless) s.destroy();
  const large = ask('/parse/classes/A', { method: 'POST', body: 'y'.repeat(1000000) });
  await until(() => host.asked.length === 2, 'a body behind them');
  assert.equal(host.asked[1].data.length, 1000000);
  host.reply(host.asked[1].stream, answer('ok'));
  assert.equal((await large).status, 200);
});

test('a request at the bound of a call, with its head, is taken; one more byte is 413', async () => {
  await (await start()).ready;
  const meta = Buffer.byteLength('{"op":"http.public","args":{"method":"PUT","target":"/cache/a","close":true,"fields":{}}}');
  const room = (1 << 20) - meta - 4;
  const fits = ask('/cache/a', { method: 'PUT', body: Buffer.alloc(room, 65), headers: { connection: 'close' } });
  await until(() => host.asked.length === 1, 'the call');
  assert.equal(host.asked[0].data.length, room);
  host.reply(host.asked[0].stream, answer('ok'));
  assert.equal((await fits).status, 200);
  const over = await ask('/cache/a', { method: 'PUT', body: Buffer.alloc(room + 1, 65), headers: { connection: 'close' } });
  assert.equal(over.status, 413);
  assert.equal(host.asked.length, 1);
});

test('a port that is taken fails the start, and says so', async () => {
  const other = net.createServer();
  await new Promise((done) => other.listen(0, '127.0.0.1', done));
  try {
    const { ready } = await start(other.address().port);
    await assert.rejects(ready, /Runtime\.NoBindings/);
    await host.exited;
  } finally {
    other.close();
  }
});
