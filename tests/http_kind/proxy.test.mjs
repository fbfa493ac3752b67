// hob-init in front of servers that misbehave: over a real channel (tests/runtimes/host.mjs), without a sandbox. What a
// server does wrong costs the invocation it does it to, and nothing else.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, readdirSync, rmSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { after, afterEach, test } from 'node:test';
import { quickly } from '../e2e/harness.mjs';
import { codeDir, frame, Host, pairs, ROOT } from '../runtimes/host.mjs';

const INIT = path.resolve(ROOT, process.env.HOB_BIN ?? path.join(process.env.B ?? 'build', 'bin'), 'hob-init');
const RECONFIG = 21;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const dirs = [];
let host;

/** A port that nobody listens on. */
function freePort() {
  return new Promise((resolve) => {
    const server = net.createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** hob-init and, behind it, index.mjs with this text. */
async function start(text, options = {}) {
  const dir = codeDir({ 'index.mjs': text });
  dirs.push(dir);
  const port = options.port ?? (await freePort());
  host = new Host({ runtime: 'node', dir, entry: 'index.mjs', concurrency: 100,
    argv: [INIT, '--', '--http', String(port), '--', '/usr/bin/node', '/app/${entry}'], ...options });
  host.port = port;
  return host;
}

/** A raw server: `answer` is the body of a function that gets the socket `s` and the request's text `q`, `n`th on it. */
const raw = (answer) => `import net from 'node:net';
  const sleep = (ms) => new Promise((r) => setTimeout(r, ms));
  let connections = 0;
  net.createServer((s) => {
    const c = ++connections; let n = 0, text = '';
    s.on('error', () => {});
    s.on('data', (d) => {
      text += d.toString('latin1');
      for (let i; (i = text.indexOf('\\r\\n\\r\\n')) >= 0;) { const q = text.slice(0, i); text = text.slice(i + 4); answer(s, q, ++n, c); }
    });
  }).listen(Number(process.env.PORT), '127.0.0.1');
  const OK = 'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok';
  async function answer(s, q, n, c) { ${answer} }`;
const server = (handler) => `import http from 'node:http';
  http.createServer(async (q, s) => { ${handler} }).listen(Number(process.env.PORT));`;

afterEach(async () => {
  if (!host) return;
  assert.deepEqual(host.violations, []);
  const { child } = host;
  if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
  await host.exited;
  host = undefined;
});
after(() => dirs.forEach((dir) => rmSync(dir, { recursive: true, force: true })));

const failsWith = (call, type, message) => {
  assert.equal(call.status, null);
  assert.equal(call.error?.errorType, type);
  assert.match(call.error.errorMessage, message);
};

test('bodies of every size go both ways byte by byte, with a length and in chunks', { timeout: 120000 }, async () => {
  await start(server('s.writeHead(200, q.headers["content-length"] ? { "content-length": q.headers["content-length"] } : {}); q.pipe(s);'));
  await host.ready;
  for (const n of [0, 1, 16383, 16384, 16385, 65535, 65536, 65537, 1 << 20, 20 << 20]) {
    const body = Buffer.alloc(n);
    for (let i = 0; i < n; i += 1009) body[i] = i * 7;
    const whole = await host.call({ method: 'POST', body, timeoutMs: 60000 });
    assert.equal(whole.status, 200, `${n}: ${JSON.stringify(whole.error)}`);
    assert.ok(whole.body.equals(body), `${n} bytes with a length`);
    const call = host.invoke({ method: 'POST', stream: true, timeoutMs: 60000 });
    for (let at = 0; at < n; at += 300000) call.push(body.subarray(at, at + 300000), false);
    call.push(Buffer.alloc(0), true);
    assert.ok((await call.done).body.equals(body), `${n} bytes in chunks`);
  }
});

test('the program is told where it is and who it is, by variables', async () => {
  await start(server('s.end(JSON.stringify(process.env));'), {
    hello: [['env.COLOUR', 'blue'], ['env.PORT', '1'], ['secret.KEY', 'shh'], ['secrets_in_env', '1']], handler: 'main' });
  await host.ready;
  const env = (await host.call()).json;
  assert.equal(env.PORT, String(host.port));
  assert.equal(env.HOST, '127.0.0.1');
  assert.equal(env.K_SERVICE, 'fn');
  assert.equal(env.K_REVISION, 'fn-00007');
  assert.equal(env.FUNCTION_TARGET, 'main');
  assert.equal(env.FUNCTION_SIGNATURE_TYPE, 'http');
  assert.equal(env.COLOUR, 'blue');
  assert.equal(env.KEY, 'shh');
});

test('a secret is no variable unless it shall be one', async () => {
  await start(server('s.end(JSON.stringify(process.env));'), { hello: [['secret.KEY', 'shh']] });
  await host.ready;
  assert.ok(!(await host.call()).text.includes('shh'));
});

test('the program has no descriptor of hob-init: neither the channel nor anything else', async () => {
  await start(`const fs = await import('node:fs'), http = await import('node:http');
    const fds = fs.readdirSync('/proc/self/fd').filter((fd) => fd > 2);
    const sockets = fds.filter((fd) => { try { return fs.readlinkSync('/proc/self/fd/' + fd).startsWith('socket:'); } catch { return false; } });
    http.createServer((q, s) => s.end(JSON.stringify(sockets))).listen(Number(process.env.PORT));`);
  await host.ready;
  assert.deepEqual((await host.call()).json, []);
});

test('the first byte of a stream comes before the second is written', async () => {
  await start(server('s.writeHead(200, { "content-type": "text/event-stream" }); s.write("data: 1\\n\\n"); setTimeout(() => s.end("data: 2\\n\\n"), 400);'));
  await host.ready;
  await quickly(200, async () => {
    const began = performance.now();
    const call = host.invoke();
    await call.until((c) => c.chunks.length > 0);
    const took = call.ended ? Infinity : performance.now() - began;
    assert.equal((await call.done).text, 'data: 1\n\ndata: 2\n\n');
    return took;
  });
});

test('a cancelled invocation closes its connection within 100 ms', async () => {
  await start(`let closed = 0;${server('if (q.url === "/closed") return s.end(String(closed)); const at = Date.now(); s.on("close", () => { closed = Date.now(); }); s.write("x");')}`
    .replace("import http from 'node:http';", "const http = await import('node:http');"));
  await host.ready;
  await quickly(100, async () => {
    const call = host.invoke({ target: '/hang' });
    await call.until((c) => c.chunks.length > 0);
    const at = Date.now();
    call.cancel();
    await call.done;
    let closed = 0;
    for (const end = Date.now() + 20000; closed < at - 5 && Date.now() < end; await sleep(10)) closed = Number((await host.call({ target: '/closed' })).text);
    assert.ok(closed >= at - 5, 'it was closed');
    return closed - at;
  });
});

test('answers to HEAD have their fields and no body, and the connection goes on', async () => {
  await start(`let connections = 0;${server('s.setHeader("x-connections", connections); s.end(q.method === "HEAD" ? undefined : "hello");')}`
    .replace("import http from 'node:http';", "const http = await import('node:http');")
    .replace('.listen(', '.on("connection", () => connections++).listen('));
  await host.ready;
  for (let i = 0; i < 5; i++) {
    const head = await host.call({ method: 'HEAD' });
    assert.equal(head.status, 200);
    assert.equal(head.body.length, 0);
    const get = await host.call();
    assert.equal(get.text, 'hello');
    assert.equal(get.header('x-connections'), '1', 'one connection for all');
  }
});

test('a hundred at a time are answered each with its own', async () => {
  await start(server('setTimeout(() => s.end(q.url), Math.random() * 50);'));
  await host.ready;
  for (let round = 0; round < 3; round++) {
    const calls = await Promise.all(Array.from({ length: 100 }, (_, i) => host.call({ target: `/${round}/${i}` })));
    calls.forEach((call, i) => assert.equal(call.text, `/${round}/${i}`));
  }
});

test('trailers go both ways', async () => {
  await start(server('s.writeHead(200, { trailer: "x-sum" }); for await (const d of q) s.write(d); s.addTrailers({ "x-sum": "9" }); s.end();'));
  await host.ready;
  const frames = [];
  const original = host.onCallFrame.bind(host);
  host.onCallFrame = (call, f) => {
    frames.push(f);
    if (f.type === 35 && f.flags & 2) f = { ...f, payload: f.payload.subarray(4 + f.payload.readUInt32LE(0)) };
    return original(call, f);
  };
  const call = await host.call({ method: 'POST', body: 'hello' });
  assert.equal(call.text, 'hello');
  const last = frames.filter((f) => f.type === 35).at(-1);
  assert.ok(last.flags & 2, 'META on the last DATA');
  assert.ok(last.payload.toString('latin1').includes('x-sum'));
});

test('interim answers are skipped', async () => {
  await start(raw("s.write('HTTP/1.1 100 Continue\\r\\n\\r\\nHTTP/1.1 103 Early Hints\\r\\nLink: x\\r\\n\\r\\n' + OK);"));
  await host.ready;
  assert.equal((await host.call()).text, 'ok');
});

const garbage = {
  'noise': ["s.write('blah blah blah\\r\\n\\r\\n')", /status line/],
  'an answer of another protocol': ["s.write('HTTP/2 200 OK\\r\\n\\r\\n')", /status line/],
  'an early close': ["s.end()", /closed before its head/],
  'a close in the head': ["s.end('HTTP/1.1 200 OK\\r\\nA: b\\r\\n')", /closed before its head/],
  'a reset': ["s.resetAndDestroy()", /closed before its head/],
  'two different lengths': ["s.write('HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nContent-Length: 3\\r\\n\\r\\nok')", /Content-Length/],
  'a length beside chunks': ["s.write('HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\n')", /beside/],
  'a folded line': ["s.write('HTTP/1.1 200 OK\\r\\nA: b\\r\\n c\\r\\n\\r\\n')", /folded/],
  'a NUL': ["s.write('HTTP/1.1 200 OK\\r\\nA: \\0\\r\\n\\r\\n')", /control/],
  'an endless head': ["s.write('HTTP/1.1 200 OK\\r\\n'); const t = setInterval(() => s.write('A: ' + 'b'.repeat(8000) + '\\r\\n'), 1); s.on('close', () => clearInterval(t));", /http.head_bytes/],
  'interim answers without end': ["const t = setInterval(() => s.write('HTTP/1.1 100 Continue\\r\\n\\r\\n'.repeat(5)), 1); s.on('close', () => clearInterval(t));", /interim/],
  'a switch of protocols': ["s.write('HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: x\\r\\n\\r\\n')", /switches/],
};
for (const [name, [code, message]] of Object.entries(garbage)) {
  test(`${name} fails its own invocation and no other`, async () => {
    await start(raw(`if (q.includes(' /bad ')) { ${code} } else s.write(OK);`));
    await host.ready;
    const calls = await Promise.all(['/', '/bad', '/', '/bad', '/'].map((target) => host.call({ target, timeoutMs: 3000 })));
    calls.forEach((call, i) => (i % 2 ? failsWith(call, 'Runtime.BadAnswer', message) : assert.equal(call.text, 'ok')));
    assert.equal((await host.call()).text, 'ok');
  });
}

test('a body that is cut short is an error behind the head, never an end', async () => {
  await start(raw("s.end(q.includes('/chunks') ? 'HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n5\\r\\nhel' : 'HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\n\\r\\nhel');"));
  await host.ready;
  for (const target of ['/', '/chunks']) {
    const call = await host.call({ target });
    assert.equal(call.status, 200);
    assert.equal(call.error?.errorType, 'Runtime.BadAnswer');
    assert.match(call.error.errorMessage, /middle of its body/);
  }
});

test('a second answer behind the first reaches nobody', async () => {
  await start(raw("s.write(OK + OK.replace('ok', 'no').replaceAll('200', '201'));"));
  await host.ready;
  for (let i = 0; i < 20; i++) {
    const call = await host.call();
    assert.equal(call.status, 200);
    assert.equal(call.text, 'ok');
  }
});

test('an answer that comes unasked, on a connection that waits, reaches nobody', async () => {
  await start(raw("s.write(OK); await sleep(5); s.write('HTTP/1.1 201 Bad\\r\\nContent-Length: 2\\r\\n\\r\\nno');"));
  await host.ready;
  for (let i = 0; i < 10; i++) {
    const call = await host.call();
    assert.equal(call.status, 200);
    assert.equal(call.text, 'ok');
    await sleep(25);
  }
});

test('a body of no declared length ends with its connection', async () => {
  await start(raw("s.end('HTTP/1.0 200 OK\\r\\n\\r\\n' + 'x'.repeat(300000));"));
  await host.ready;
  for (let i = 0; i < 3; i++) assert.equal((await host.call()).body.length, 300000);
});

test('an answer before the whole request is given on, and the rest goes nowhere', async () => {
  await start(server('s.writeHead(413, { connection: "close" }); s.end("too much");'));
  await host.ready;
  for (let i = 0; i < 3; i++) {
    const call = await host.call({ method: 'POST', body: Buffer.alloc(4 << 20) });
    assert.equal(call.status, 413);
    assert.equal(call.text, 'too much');
  }
  assert.equal((await host.call({ method: 'POST', body: 'small' })).status, 413);
});

test('a program that does not read its request holds back whoever sends it', async () => {
  await start(server('if (q.url === "/slow") return; s.end("ok");'));
  await host.ready;
  const slow = host.invoke({ target: '/slow', method: 'POST', body: Buffer.alloc(64 << 20) });
  await sleep(300);
  const rss = Number(readFileSync(`/proc/${host.child.pid}/status`, 'utf8').match(/VmRSS:\s+(\d+)/)[1]);
  assert.ok(rss < 8192, `hob-init has ${rss} KiB`);
  assert.ok(slow.rest.length > 32 << 20, 'most of the body is still here');
  assert.equal((await host.call()).text, 'ok');
  slow.cancel();
  await slow.done;
});

test('a client that takes nothing holds back its own answer only', async () => {
  await start(server('s.end(q.url === "/big" ? Buffer.alloc(8 << 20) : "ok");'));
  await host.ready;
  const big = Array.from({ length: 10 }, () => host.invoke({ target: '/big', noCredit: true }));
  await sleep(300);
  big.forEach((call) => assert.equal(call.body.length, 65536));
  const rss = Number(readFileSync(`/proc/${host.child.pid}/status`, 'utf8').match(/VmRSS:\s+(\d+)/)[1]);
  assert.ok(rss < 16384, `hob-init has ${rss} KiB`);
  assert.equal((await host.call()).text, 'ok');
  big.forEach((call) => call.cancel());
  await Promise.all(big.map((call) => call.done));
  assert.equal((await host.call()).text, 'ok');
});

test('crumbs of credit and of bytes change nothing', { timeout: 120000 }, async () => {
  await start(server('q.pipe(s);'), { renewMs: 1, split: 1000 });
  await host.ready;
  const body = Buffer.alloc(700000, 'crumbs');
  const calls = await Promise.all([1, 2, 3].map(() => host.call({ method: 'POST', body, timeoutMs: 60000 })));
  calls.forEach((call) => assert.ok(call.body.equals(body)));
});

test('a connection that the program closed meanwhile is not used again', async () => {
  await start(server('s.end("ok");').replace('.listen(', '.listen(').replace('http.createServer(', 'http.createServer({ keepAliveTimeout: 50 }, '));
  await host.ready;
  for (let i = 0; i < 12; i++) {
    const call = await host.call({ method: i % 2 ? 'POST' : 'GET', body: i % 2 ? 'x' : undefined });
    assert.equal(call.text, 'ok', JSON.stringify(call.error));
    await sleep(i * 10);
  }
});

test('an idempotent request is asked again when a kept connection dies under it, another is not', async () => {
  await start(raw("if (n === 1) s.write(OK); else s.destroy();"));
  await host.ready;
  assert.equal((await host.call()).text, 'ok');
  assert.equal((await host.call()).text, 'ok', 'asked again on a fresh connection');
  failsWith(await host.call({ method: 'POST', body: 'x' }), 'Runtime.BadAnswer', /closed before its head/);
});

test('a program that stops listening is told of as refused', async () => {
  await start(`import http from 'node:http';
    const l = http.createServer((q, s) => { s.setHeader('connection', 'close'); s.end('ok'); l.close(); }).listen(Number(process.env.PORT));
    setInterval(() => {}, 1000);`);
  await host.ready;
  assert.equal((await host.call()).text, 'ok');
  await sleep(50);
  failsWith(await host.call(), 'Runtime.ConnectionRefused', /nothing listens/);
});

test('a program that never listens is never ready, and the log says why', { timeout: 120000 }, async () => {
  await start('setInterval(() => {}, 1000);');
  let isReady = false;
  host.ready.then(() => (isReady = true), () => {});
  await host.until((h) => h.logs.length > 0, 6000);
  assert.match(host.logs[0].text, new RegExp(`nothing listens on 127.0.0.1:${host.port} yet`));
  assert.equal(isReady, false);
});

test('a program that ends ends its instance with its status', async () => {
  await start('process.exit(7);');
  assert.deepEqual(await host.exited, { code: 7, signal: null });
});

test('what a program answered before it ended is given on', async () => {
  await start(raw("s.write('HTTP/1.1 200 OK\\r\\nContent-Length: 300000\\r\\n\\r\\n' + 'x'.repeat(300000), () => process.exit(3));"), {});
  await host.ready;
  const call = host.invoke();
  assert.deepEqual(await host.exited, { code: 3, signal: null });
  assert.equal(call.status, 200);
  assert.ok(call.body.length > 65000, `${call.body.length} bytes`);
});

test('a server on ::1 only is found', async () => {
  await start(server('s.end("six");').replace('.listen(Number(process.env.PORT))', '.listen(Number(process.env.PORT), "::1")'));
  await host.ready;
  assert.equal((await host.call()).text, 'six');
});

test('readiness is seen without a request, and the first connection is used', async () => {
  await start(`import net from 'node:net';
    let connections = 0, bytes = 0;
    net.createServer((s) => { connections++; s.on('data', (d) => { bytes += d.length; const text = connections + ' ' + (d.toString().match(/HTTP/g).length);
      s.write('HTTP/1.1 200 OK\\r\\nContent-Length: ' + text.length + '\\r\\n\\r\\n' + text); }); }).listen(Number(process.env.PORT), '127.0.0.1');`);
  await host.ready;
  await sleep(100);
  assert.equal((await host.call()).text, '1 1');
});

test('DRAIN lets running invocations finish, then asks the program to end, and says BYE', async () => {
  await start(`import http from 'node:http'; import fs from 'node:fs';
    const l = http.createServer((q, s) => setTimeout(() => s.end('done'), 200)).listen(Number(process.env.PORT));
    process.on('SIGTERM', () => { fs.writeSync(1, 'asked to end\\n'); setTimeout(() => process.exit(0), 300); });`);
  await host.ready;
  const call = host.invoke();
  await sleep(50);
  const exit = host.drain();
  assert.equal((await call.done).text, 'done');
  assert.deepEqual(await exit, { code: 0, signal: null });
  assert.ok(host.isBye);
  assert.match(host.stdout, /asked to end/);
});

test('SIGTERM reaches the program', async () => {
  await start(`process.on('SIGTERM', () => process.exit(9));\n${server('s.end();').replace("import http from 'node:http';", "const http = await import('node:http');")}`);
  await host.ready;
  host.child.kill('SIGTERM');
  assert.deepEqual(await host.exited, { code: 9, signal: null });
});

test('PING is answered', async () => {
  await start(server('s.end();'));
  await host.ready;
  host.send(Buffer.from([0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 77, 0, 0, 0]));
  await host.until((h) => h.pongs.includes(77));
});

test('an invocation as an event is a POST of JSON to the root', async () => {
  await start(server('let t = ""; for await (const d of q) t += d; s.end([q.method, q.url, q.headers["content-type"], t].join(" "));'));
  await host.ready;
  assert.equal((await host.call({ event: { x: 1 } })).text, 'POST / application/json {"x":1}');
});

test('fields arrive in order, each once, and none of the connection', async () => {
  await start(server('s.end(JSON.stringify(q.rawHeaders));'));
  await host.ready;
  const call = await host.call({ method: 'POST', body: 'xy', headers: [['b', '1'], ['host', 'h.example'], ['a', '2'], ['b', '3'],
    ['content-length', '999'], ['cookie', 'a=b'], ['x-request-id', 'r-1']] });
  assert.deepEqual(call.json.slice(0, 14), ['host', 'h.example', 'b', '1', 'a', '2', 'b', '3', 'cookie', 'a=b', 'x-request-id', 'r-1', 'content-length', '2']);
});

test('no descriptor is left behind by a thousand invocations of every outcome', { timeout: 120000 }, async () => {
  await start(raw("if (q.includes('/bad')) s.end('x'); else if (q.includes('/close')) s.end('HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: 2\\r\\n\\r\\nok'); else if (!q.includes('/hang')) s.write(OK);"), { concurrency: 20 });
  await host.ready;
  const fds = () => readdirSync(`/proc/${host.child.pid}/fd`).length;
  for (let round = 0; round < 50; round++)
    await Promise.all(Array.from({ length: 20 }, async (_, i) => {
      const call = host.invoke({ target: ['/', '/bad', '/close', '/hang'][i % 4] });
      if (i % 4 === 3) setTimeout(() => call.cancel(), 5);
      await call.done;
    }));
  await sleep(100);
  assert.ok(fds() <= 7 + 20 + 1, `${fds()} descriptors`);
});

test('hob-init refuses options that it does not know', () => {
  for (const args of [['--', '--http', '0', '--', '/bin/true'], ['--', '--http', '65536', '--', '/bin/true'], ['--', '--http', '80x', '--', '/bin/true'],
    ['--', '--http', '8080+', '--', '/bin/true'], ['--', '--http', '8080+8080', '--', '/bin/true'], ['--', '--http', '8080+9002+1', '--', '/bin/true'],
    ['--', '--http', '8080', '/bin/true'], ['--', '--http', '8080', '--'], []])
    assert.equal(spawnSync(INIT, args).status, 127, args.join(' '));
});

const until = async (check, what) => {
  for (let i = 0; i < 500; i++, await sleep(20)) if (check()) return;
  throw new Error(what());
};

/** A server that writes down what it is asked, and answers hooks by what stands in `statuses`. */
const hooked = (statuses) => `const http = await import('node:http'); const asked = []; const statuses = ${JSON.stringify(statuses)};
  process.on('SIGTERM', () => { console.log('SIGTERM after ' + asked.map((a) => a[1])); process.exit(0); });
  http.createServer(async (q, s) => {
    let text = ''; for await (const d of q) text += d;
    if (q.url === '/asked') return s.end(JSON.stringify(asked));
    asked.push([q.method, q.url, text, q.headers['x-hob-hook']]);
    const status = statuses[q.url];
    if (status === 'never') return;
    s.writeHead(Array.isArray(status) ? status.shift() ?? 200 : status ?? 200); s.end('whatever');
  }).listen(Number(process.env.PORT));`;

test('hooks are asked in order before the first request, the config hook with the configuration', async () => {
  await start(hooked({ '/well': [503, 503, 204] }), { hello: [['hook.config', '/cfg'], ['hook.start', '/go?x=1'], ['hook.health', '/well'],
    ['env.COLOUR', 'a "b"\n\\'], ['secret.KEY', 'é']] });
  await host.ready;
  const asked = (await host.call({ target: '/asked' })).json;
  assert.deepEqual(asked.map(([method, where]) => `${method} ${where}`), ['POST /cfg', 'POST /go?x=1', 'GET /well', 'GET /well', 'GET /well']);
  assert.deepEqual(asked.map((a) => a[3]), ['config', 'start', 'health', 'health', 'health']);
  assert.deepEqual(JSON.parse(asked[0][2]), { app: 'test', function: 'fn', version: 7, vars: { COLOUR: 'a "b"\n\\' }, secrets: { KEY: 'é' } });
});

test('a start or config hook that does not say 2xx fails the start, and says which', async () => {
  for (const hook of ['start', 'config']) {
    await start(hooked({ '/hook': 500 }), { hello: [[`hook.${hook}`, '/hook']] });
    const failure = await host.ready.then(() => null, (e) => e);
    assert.match(String(failure?.message ?? JSON.stringify(failure)), new RegExp(`${hook} hook /hook answered 500`));
    host.child.kill('SIGKILL');
    await host.exited;
  }
});

test('the stop hook is asked before SIGTERM', async () => {
  await start(hooked({}), { hello: [['hook.stop', '/bye']] });
  await host.ready;
  const { code } = await host.drain();
  assert.equal(code, 0);
  await until(() => /SIGTERM after \/bye/.test(host.stdout), () => host.stdout);
});

test('a stop hook that never answers holds up the end for some seconds only', { timeout: 120000 }, async () => {
  await start(hooked({ '/bye': 'never' }), { hello: [['hook.stop', '/bye']] });
  await host.ready;
  assert.equal((await host.drain()).code, 0);
});

test('PING is answered while the health hook says 2xx, and not else', { timeout: 120000 }, async () => {
  await start(hooked({ '/well': [200, 200, 500, 200] }), { hello: [['hook.health', '/well']] });
  await host.ready;
  const ping = (n) => host.send(Buffer.from([0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, n, 0, 0, 0]));
  ping(1);
  await host.until((h) => h.pongs.includes(1));
  ping(2);
  await until(() => /not well: 'the health hook \/well answered 500'/.test(host.stderr), () => host.stderr);
  assert.ok(!host.pongs.includes(2));
  ping(3);
  await host.until((h) => h.pongs.includes(3));
});

/** RECONFIG, as HELLO; resolves with READY or what INIT_ERROR said. */
const reconfigure = (more) => {
  const answer = new Promise((resolve) => { host.onReady = () => resolve('ready'); host.onInitError = (p) => resolve(p.errorMessage); });
  host.send(frame(RECONFIG, { payload: pairs([['app', 'test'], ['function', 'fn'], ['version', 8], ...more]) }));
  return answer;
};

test('a change of configuration is told to the config hook, and then to the health hook, of a program that goes on', async () => {
  await start(hooked({ '/well': [204, 503, 204] }), { hello: [['hook.config', '/cfg'], ['hook.start', '/go'], ['hook.health', '/well'], ['env.A', '1']] });
  await host.ready;
  await host.call({ target: '/hello' });
  assert.equal(await reconfigure([['env.A', '2'], ['secret.S', 'x']]), 'ready');
  const asked = (await host.call({ target: '/asked' })).json;
  assert.deepEqual(asked.map((a) => a[1]), ['/cfg', '/go', '/well', '/hello', '/cfg', '/well', '/well']);
  assert.deepEqual(JSON.parse(asked[4][2]), { app: 'test', function: 'fn', version: 8, vars: { A: '2' }, secrets: { S: 'x' } });
  assert.equal((await host.drain()).code, 0);
});

test('a configuration that the hook refuses, or that nobody takes, ends the program with its grace', { timeout: 120000 }, async () => {
  await start(hooked({ '/cfg': [200, 200, 500] }), { hello: [['hook.config', '/cfg'], ['hook.stop', '/bye']] });
  await host.ready;
  assert.equal(await reconfigure([['env.A', '2']]), 'ready');
  assert.equal(await reconfigure([['env.A', '3']]), 'the config hook /cfg answered 500');
  await host.exited;
  assert.match(host.stdout, /SIGTERM after \/cfg,\/cfg,\/cfg,\/bye/);
  await start(hooked({}));
  await host.ready;
  assert.match(await reconfigure([]), /no config hook/);
  await host.exited;
});

test('a config hook that does not answer a change in time has failed', { timeout: 120000 }, async () => {
  await start(hooked({}).replace("asked.push([", "if (asked.length && q.url === '/cfg') return; asked.push(["), { hello: [['hook.config', '/cfg']] });
  await host.ready;
  assert.equal(await reconfigure([]), 'the config hook /cfg did not answer');
  await host.exited;
});
