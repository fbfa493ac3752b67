// The C runtime's header over real frames, built with the strictest flags, dynamic and static.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import crypto from 'node:crypto';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { quickly } from '../e2e/harness.mjs';
import { ROOT, T, END, frame, initError, pairs, withHost } from './host.mjs';

const dir = mkdtempSync(path.join(tmpdir(), 'hob-c-'));
after(() => rmSync(dir, { recursive: true, force: true }));
const include = `-I${path.join(ROOT, 'runtimes/c')}`;
const source = path.join(ROOT, 'tests/runtimes/fixture.c');
const strict = ['-std=c11', '-pedantic', '-Wall', '-Wextra', '-Wconversion', '-Wsign-conversion', '-Wshadow', '-Wstrict-prototypes', '-Werror', '-O2'];
execFileSync('gcc', [...strict, include, '-o', path.join(dir, 'main'), source, '-lpthread']);
const builds = ['main'];
if (existsSync('/usr/bin/musl-gcc')) {
  execFileSync('musl-gcc', ['-static', ...strict, include, '-o', path.join(dir, 'static'), source]);
  builds.push('static');
}
execFileSync('gcc', ['-g', '-O1', '-fsanitize=address,undefined', '-fno-sanitize-recover=all', include, '-o', path.join(dir, 'asan'), source, '-lpthread']);
builds.push('asan');
execFileSync('gcc', ['-g', '-O1', '-fsanitize=thread', include, '-o', path.join(dir, 'tsan'), source, '-lpthread']);
builds.push('tsan');

const MiB = 1 << 20;
const hello = [['env.COLOR', 'blue'], ['secret.KEY', 'hush']];
const each = (name, body, options = {}) => {
  for (const entry of builds) {
    for (const concurrency of options.concurrency ?? [1, 8]) {
      test(`${name} (${entry}, ${concurrency} at a time)`, () =>
        withHost({ runtime: 'c', dir, entry, concurrency, hello, ...options.host }, async (h) => {
          await body(h, concurrency, entry);
          assert.doesNotMatch(h.stderr, /Sanitizer|runtime error/);
        }));
    }
  }
};

test('without a channel the binary says what it is and exits 2', () => {
  const { status, stderr } = spawnSync(path.join(dir, 'main'), { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' });
  assert.equal(status, 2);
  assert.match(stderr, /a Hob function/);
});

each('a call sees everything about the request', async (h, concurrency) => {
  assert.deepEqual([h.readyInfo.kind, h.readyInfo.concurrency], ['raw', String(concurrency)]);
  assert.deepEqual(h.logs.map((l) => [l.level, l.text, l.stream]), [[2, 'init', 0]]);
  const c = await h.call({ method: 'POST', target: '/describe?a=b&c', id: 'r1', headers: [['host', 'h'], ['x-one', '1'], ['x-one', '2']], extras: [['param.id', '42']], body: 'body' });
  assert.equal(c.text, 'r1|POST|/describe|a=b&c|1|(none)|42|blue|hush|body|');
  assert.equal(c.status, 200);
});

each('an event comes as payload and goes out as it was written', async (h) => {
  assert.equal((await h.call({ event: { a: 1 } })).text, '{"a":1}');
});

each('status and headers are judged and come before the body', async (h) => {
  const c = await h.call({ target: '/headers' });
  assert.equal(c.status, 201);
  assert.deepEqual(c.all('set-cookie'), ['a=1', 'b=2']);
  assert.equal(c.text, 'x');
});

each('10 MiB go through byte-exact in both directions at once', async (h) => {
  const body = crypto.randomBytes(10 * MiB);
  const c = await h.call({ method: 'POST', target: '/echo', body });
  assert.ok(c.body.equals(body));
  assert.equal((await h.call({ target: '/big' })).body.length, 10 * MiB);
});

each('crumbs of credit and small pieces do not matter', async (h) => {
  const body = crypto.randomBytes(300000);
  assert.ok((await h.call({ method: 'POST', target: '/echo', body })).body.equals(body));
}, { host: { renewBytes: 1000, piece: 777 } });

each('frames split into single bytes are understood', async (h) => {
  assert.equal((await h.call({ method: 'POST', target: '/echo', body: 'one byte a write' })).text, 'one byte a write');
}, { host: { split: 1 } });

each('an answer stops at 64 KiB without credit and goes on with it', async (h) => {
  const c = h.invoke({ target: '/big', noCredit: true });
  await c.until((x) => x.body.length === 65536);
  await new Promise((r) => setTimeout(r, 50));
  assert.equal(c.body.length, 65536);
  c.options.noCredit = false;
  h.consumed(c, 65536);
  await c.done;
  assert.equal(c.body.length, 10 * MiB);
});

each('hob_payload takes max_body and answers 413 beyond', async (h) => {
  const post = (n) => h.call({ method: 'POST', target: '/payload', body: Buffer.alloc(n, 97) });
  assert.equal((await post(MiB)).body.length, MiB);
  assert.equal((await post(MiB + 1)).status, 413);
  assert.equal((await post(5)).text, 'aaaaa');
  assert.equal((await post(0)).text, '');
});

each('what a slow handler writes leaves by itself', async (h) => {
  const c = h.invoke({ target: '/stream' });
  await c.until((x) => x.text === 'part0', 140);
  await c.until((x) => x.text === 'part0part1', 400);
  assert.equal(c.ended, false);
  await c.done;
  assert.equal(c.text, 'part0part1part2part3');
});

each('failures carry type and message', async (h) => {
  const fail = await h.call({ target: '/fail' });
  assert.deepEqual([fail.status, fail.error.errorType, fail.error.errorMessage], [null, 'Shop.Closed', 'come back tomorrow']);
  assert.equal((await h.call({ target: '/negative' })).error.errorType, 'Function.Failed');
  const late = await h.call({ target: '/late' });
  assert.deepEqual([late.status, late.text, late.error.errorType], [200, 'begun', 'Late']);
});

each('HEAD has the length and no body', async (h) => {
  const c = await h.call({ method: 'HEAD', target: '/' });
  assert.equal(c.text, '');
  assert.equal(c.header('content-length'), '5');
});

each('CANCEL reaches a busy handler, one that reads and one that writes', async (h) => {
  for (const [target, stream] of [['/cancel', false], ['/echo', true], ['/big', false]]) {
    await quickly(200, async () => {
      const c = h.invoke({ target, method: stream ? 'POST' : 'GET', stream, noCredit: true });
      await new Promise((r) => setTimeout(r, 60));
      const at = Date.now();
      c.cancel(2);
      await c.done;
      assert.ok(c.isDone);
      assert.equal(c.error, null);
      h.open += c.body.length; // what a client that is gone did not take goes back
      if (c.body.length) h.send(frame(T.CREDIT, { arg: c.body.length }));
      return Date.now() - at;
    });
  }
  assert.ok(h.logs.some((l) => l.level === 3 && l.text === 'cancelled'));
  assert.equal((await h.call({ target: '/' })).text, 'hello');
});

each('PING is answered while a handler is busy', async (h) => {
  let n = 7;
  await quickly(140, async () => {
    const c = h.invoke({ target: '/sleep' });
    await new Promise((r) => setTimeout(r, 30));
    const at = Date.now(), own = n++;
    h.send(frame(T.PING, { arg: own }));
    await h.until(() => h.pongs.includes(own), 20000);
    const took = c.isDone ? Infinity : Date.now() - at;
    assert.equal((await c.done).text, 'slept');
    return took;
  });
});

each('slow handlers run side by side', async (h) => {
  await h.call({ target: '/' });
  for (let i = 0; i < 50; i++) await h.call({ target: '/' }); // it now takes them for quick
  await quickly(700, async () => { // eight times 200
    const at = Date.now();
    const calls = Array.from({ length: 8 }, () => h.invoke({ target: '/sleep' }));
    await Promise.all(calls.map((c) => c.done));
    return Date.now() - at;
  });
}, { concurrency: [8] });

each('a binding call waits for its reply', async (h) => {
  h.onCallFrame = ((old) => function (call, f) { return old.call(this, call, f); })(h.onCallFrame);
  const seen = [];
  const onFrame = h.onFrame.bind(h);
  h.onFrame = (f) => {
    if (f.type !== T.CALL) return onFrame(f);
    seen.push(f);
    h.send(frame(T.REPLY, { flags: END, stream: f.stream, code: seen.length > 1 ? 1 : 0, payload: Buffer.from('[1]') }));
    return undefined;
  };
  const c = await h.call({ target: '/bind' });
  assert.equal(c.text, '0:[1]');
  assert.equal(seen[0].arg, c.stream);
  assert.equal(seen[0].stream % 2, 0);
  assert.equal(seen[0].payload.toString(), '{"op":"data.find","args":{}}');
  assert.equal((await h.call({ target: '/bind' })).text, '-1:[1]');
  assert.ok(seen[1].stream > seen[0].stream);
});

each('DRAIN and SIGTERM let the running invocation finish, say BYE and exit 0', async (h) => {
  const c = h.invoke({ target: '/sleep' });
  await new Promise((r) => setTimeout(r, 40));
  const exit = await h.drain();
  assert.deepEqual([c.text, c.isDone, h.isBye, exit.code], ['slept', true, true, 0]);
});
for (const entry of builds.filter((b) => b !== 'tsan')) { // ThreadSanitizer holds signals back
  for (const busy of [false, true]) {
    test(`SIGTERM ends a ${busy ? 'busy' : 'idle'} instance with BYE and exit 0 (${entry})`, () =>
      withHost({ runtime: 'c', dir, entry, concurrency: 4 }, async (h) => {
        await h.call({ target: '/' });
        const c = busy ? h.invoke({ target: '/sleep' }) : null;
        if (busy) await new Promise((r) => setTimeout(r, 40));
        h.child.kill('SIGTERM');
        assert.deepEqual(await h.exited, { code: 0, signal: null });
        assert.ok(h.isBye);
        if (busy) assert.equal(c.text, 'slept');
      }));
  }
}

each('10,000 small invocations, batches of 64, are all answered', async (h, concurrency) => {
  const rounds = 150;
  for (let i = 0; i < rounds; i++) {
    const calls = Array.from({ length: 64 }, (_, n) => h.invoke({ method: 'POST', target: n % 3 ? '/echo' : '/', body: n % 3 ? `${i}-${n}` : '' }));
    await Promise.all(calls.map((c) => c.done));
    calls.forEach((c, n) => assert.equal(c.text, n % 3 ? `${i}-${n}` : 'hello'));
  }
}, { concurrency: [8, 64] });

test('a failing init hook is INIT_ERROR and exit 1', async () => {
  const e = await initError({ runtime: 'c', dir, entry: 'main', hello: [['env.BROKEN', '1']] });
  assert.equal(e.errorType, 'Runtime.InitFailed');
  assert.equal(e.exit.code, 1);
});

test('a crash ends the instance by its signal', () =>
  withHost({ runtime: 'c', dir, entry: 'main' }, async (h) => {
    h.invoke({ target: '/crash' });
    assert.equal((await h.exited).signal, 'SIGABRT');
  }));

test('malformed and unknown frames end the instance with a message', async () => {
  for (const [bad, text] of [[frame(99), /unknown type/], [frame(T.INVOKE, { stream: 1, payload: Buffer.alloc(10) }), /INVOKE is malformed/], [Buffer.from([255, 255, 255, 255, ...Array(12).fill(0)]), /too long/]]) {
    await withHost({ runtime: 'c', dir, entry: 'asan' }, async (h) => {
      h.send(bad);
      assert.equal((await h.exited).code, 1);
      assert.match(h.stderr, text);
    });
  }
});
