// The node runtime over real frames.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { test } from 'node:test';
import { quickly } from '../e2e/harness.mjs';
import { T, END, frame, initError, withHost } from './host.mjs';

const node = (source, options = {}) => ({ runtime: 'node', entry: 'index.mjs', ...options, files: { 'index.mjs': source, ...options.files } });
const fetchOf = (body, options) => node(`export default { async fetch(request, env, ctx) { ${body} } }`, options);
const MiB = 1 << 20;
const random = (n) => crypto.randomBytes(n);

test('a fetch handler answers with status, headers and body', () =>
  withHost(fetchOf(`return new Response('hello ' + new URL(request.url).pathname, { status: 201, headers: { 'X-One': 'a', 'content-type': 'text/x' } })`), async (h) => {
    assert.equal(h.readyInfo.kind, 'fetch');
    assert.equal(h.readyInfo.protocol, '1');
    const c = await h.call({ target: '/a/b?c=d' });
    assert.equal(c.status, 201);
    assert.equal(c.text, 'hello /a/b');
    assert.deepEqual(c.headers, [['x-one', 'a'], ['content-type', 'text/x']]);
  }));

test('a Node that warns of deprecated doors has nothing to warn of, and still warns the function', () =>
  withHost(fetchOf(`if (request.url.endsWith('/old')) process.emitWarning('too old', 'DeprecationWarning', 'DEP9999');
    return Response.json(Object.hasOwn(process, 'noDeprecation'));`, { processEnv: { NODE_OPTIONS: '--pending-deprecation' } }), async (h) => {
    const said = () => h.stderr + h.logs.map((line) => line.text).join('\n');
    assert.equal((await h.call()).text, 'false');
    await h.call({ target: '/old' });
    await h.until(() => /DEP9999/.test(said()));
    assert.doesNotMatch(said(), /DEP0111/);
  }));

test('a Response with a plain string gets text/plain, an empty one nothing', () =>
  withHost(fetchOf(`return request.method === 'GET' ? new Response('x') : new Response()`), async (h) => {
    assert.equal((await h.call()).header('content-type'), 'text/plain;charset=UTF-8');
    const c = await h.call({ method: 'POST' });
    assert.equal(c.header('content-type'), null);
    assert.equal(c.text, '');
  }));

test('the Request has method, url, headers and is a Request', () =>
  withHost(
    fetchOf(`return Response.json({ m: request.method, u: request.url, is: request instanceof Request, h: [...request.headers],
      one: request.headers.get('X-A'), has: request.headers.has('nope'), tag: String(request), mode: request.mode, used: request.bodyUsed, body: request.body })`),
    async (h) => {
      const headers = [['host', 'shop.example:8080'], ['x-a', '1'], ['x-a', '2'], ['cookie', 'a=1'], ['cookie', 'b=2'], ['accept', '*/*']];
      const c = await h.call({ method: 'GET', target: '/p%20q?x=1#no', headers, extras: [['scheme', 'https']] });
      assert.equal(c.status, 200, JSON.stringify(c.error));
      assert.deepEqual(c.json, {
        m: 'GET', u: 'https://shop.example:8080/p%20q?x=1#no', is: true, one: '1, 2', has: false, tag: '[object Request]', mode: 'cors', used: false, body: null,
        h: [['accept', '*/*'], ['cookie', 'a=1; b=2'], ['host', 'shop.example:8080'], ['x-a', '1, 2']],
      });
      assert.equal(c.header('content-type'), 'application/json');
    },
  ));

test('unusual targets and hosts still give an absolute URL', () =>
  withHost(fetchOf(`return new Response(request.url)`), async (h) => {
    const url = async (target, host) => (await h.call({ target, headers: host ? [['host', host]] : [] })).text;
    assert.equal(await url('/a/../b', 'x.test'), 'http://x.test/b');
    assert.equal(await url('/a"b', 'x.test'), 'http://x.test/a%22b');
    assert.equal(await url('/', 'X.Test:80'), 'http://x.test/');
    assert.equal(await url('/é'.normalize(), 'x.test'), 'http://x.test/%C3%A9'.replace('%C3%A9', '%C3%A9'));
    assert.equal(await url('/q', 'bad host'), 'http://localhost/q');
    assert.equal(await url('/q'), 'http://localhost/q');
  }));

test('text, json, arrayBuffer, blob, formData, bytes and body give the request body', () =>
  withHost(
    fetchOf(`switch (new URL(request.url).pathname) {
      case '/text': return new Response(await request.text());
      case '/json': return Response.json(await request.json());
      case '/ab': return new Response(await request.arrayBuffer());
      case '/blob': { const b = await request.blob(); return new Response(b.type + ':' + await b.text()); }
      case '/form': { const f = await request.formData(); return new Response([...f].map(([k, v]) => k + '=' + v).join()); }
      case '/bytes': return new Response(await request.bytes());
      case '/body': { let n = 0; for await (const c of request.body) n += c.length; return new Response(String(n)); }
      case '/echo': return new Response(request.body);
      case '/twice': await request.text(); return new Response(await request.text().catch((e) => e.name) + request.bodyUsed);
      case '/clone': { const c = request.clone(); return new Response(await c.text() + '+' + await request.text() + (c instanceof Request)); }
      case '/new': { const r = new Request(request, { headers: { 'x-new': '1' } }); return new Response(await r.text() + r.headers.get('x-new') + r.method + (r instanceof Request) + request.bodyUsed); }
      case '/late': { const r = new Request(request); const s = r.clone(); return new Response(await s.text() + await r.text()); }
    }`),
    async (h) => {
      const post = async (target, body, type = 'text/plain') => h.call({ method: 'POST', target, body, headers: [['host', 'h'], ['content-type', type]] });
      assert.equal((await post('/text', '\ufeffhé')).text, 'hé');
      assert.deepEqual((await post('/json', '{"a":[1]}')).json, { a: [1] });
      assert.equal((await post('/json', '{')).error.errorType, 'SyntaxError');
      assert.equal((await post('/ab', 'x')).text, 'x');
      assert.equal((await post('/blob', 'x', 'text/y')).text, 'text/y:x');
      assert.equal((await post('/form', 'a=1&b=2', 'application/x-www-form-urlencoded')).text, 'a=1,b=2');
      const form = '--B\r\nContent-Disposition: form-data; name="f"\r\n\r\nv\r\n--B--\r\n';
      assert.equal((await post('/form', form, 'multipart/form-data; boundary=B')).text, 'f=v');
      assert.equal((await post('/bytes', 'xyz')).text, 'xyz');
      assert.equal((await post('/body', 'x'.repeat(100000))).text, '100000');
      assert.equal((await post('/echo', 'é!')).text, 'é!');
      assert.equal((await post('/twice', 'x')).text, 'TypeErrortrue');
      assert.equal((await post('/clone', 'ab')).text, 'ab+abtrue');
      assert.equal((await post('/clone', 'z'.repeat(300000))).body.length, 600005);
      assert.equal((await post('/new', 'n')).text, 'n1POSTtruetrue');
      assert.equal((await post('/late', 'n')).text, 'nn');
    },
  ));

test('Response keeps to the standard: instanceof, json, redirect, clone, errors', () =>
  withHost(
    fetchOf(`const out = {};
      const name = (f) => { try { f(); return 'none'; } catch (e) { return e.name; } };
      out.is = new Response('x') instanceof Response && !({} instanceof Response);
      class Mine extends Response {}; out.sub = new Mine('x') instanceof Mine && new Mine() instanceof Response && !(new Response() instanceof Mine);
      out.range = name(() => new Response('', { status: 199 })) + name(() => new Response('', { status: 600 }));
      out.nullbody = name(() => new Response('x', { status: 204 })) + name(() => new Response(null, { status: 204 }));
      out.header = name(() => new Response('x', { headers: { 'a b': '1' } })) + name(() => new Response('x', { headers: { a: 'x\\ny' } }));
      const r = Response.redirect('https://a.example/x', 301); out.redirect = r.status + r.headers.get('location');
      out.json = await Response.json({ a: 1 }).json();
      const c = new Response('abc', { status: 202, headers: { x: '1' } }); const d = c.clone();
      out.clone = await c.text() + await d.text() + d.status + d.headers.get('x') + c.bodyUsed;
      const h = new Headers({ b: '2', A: '1' }); h.append('set-cookie', 'x=1'); h.append('set-cookie', 'y=2');
      out.headers = [...h]; out.cookies = h.getSetCookie(); out.isH = h instanceof Headers; h.delete('B'); out.has = h.has('b');
      const m = new Response('x'); m.headers.set('X-Late', 'yes'); out.late = m.headers.get('x-late') + m.headers.get('content-type');
      out.params = await new Response(new URLSearchParams({ q: 'a b' })).text();
      out.blob = await new Response(new Blob(['bl'], { type: 'text/q' })).text();
      const f = new FormData(); f.set('k', 'v'); out.form = (await new Response(f).formData()).get('k');
      out.err = Response.error().type; out.ok = new Response('', { status: 404 }).ok; out.type = new Response().type;
      out.stream = await new Response(new Response('via stream').body).text();
      out.data = await (await fetch('data:text/plain,hi')).text();
      out.real = (await fetch('data:text/plain,hi')) instanceof Response;
      return Response.json(out)`),
    async (h) => {
      const c = await h.call();
      assert.equal(c.status, 200, JSON.stringify(c.error));
      assert.deepEqual(c.json, {
        is: true, sub: true, range: 'RangeErrorRangeError', nullbody: 'TypeErrornone', header: 'TypeErrorTypeError', redirect: '301https://a.example/x',
        json: { a: 1 }, clone: 'abcabc2021true', headers: [['a', '1'], ['b', '2'], ['set-cookie', 'x=1'], ['set-cookie', 'y=2']], cookies: ['x=1', 'y=2'],
        isH: true, has: false, late: 'yestext/plain;charset=UTF-8', params: 'q=a+b', blob: 'bl', form: 'v', err: 'error', ok: false, type: 'default',
        stream: 'via stream', data: 'hi', real: true,
      });
    },
  ));

test('Set-Cookie fields stay separate, however they were set', () =>
  withHost(
    fetchOf(`if (request.method === 'GET') return new Response('', { headers: [['Set-Cookie', 'a=1'], ['Set-Cookie', 'b=2']] });
      const r = new Response(''); r.headers.append('set-cookie', 'a=1'); r.headers.append('set-cookie', 'b=2'); return r;`),
    async (h) => {
      assert.deepEqual((await h.call()).all('set-cookie'), ['a=1', 'b=2']);
      assert.deepEqual((await h.call({ method: 'POST' })).all('set-cookie'), ['a=1', 'b=2']);
    },
  ));

test('a throw, a rejection, no Response, a body with 204 and a used Response are errors with type, message and stack', () =>
  withHost(
    node(`const used = new Response('x');
      export default { fetch(request) { switch (new URL(request.url).pathname) {
        case '/throw': throw new RangeError('thrown here');
        case '/reject': return Promise.reject(new TypeError('rejected'));
        case '/nothing': return undefined;
        case '/object': return { status: 200 };
        case '/204': return new Response('x', { status: 204 });
        case '/string': throw 'just text';
        case '/used': return used;
      } } }`),
    async (h) => {
      const error = async (target) => {
        const c = await h.call({ target });
        assert.equal(c.status, null);
        return c.error;
      };
      const thrown = await error('/throw');
      assert.equal(thrown.errorType, 'RangeError');
      assert.equal(thrown.errorMessage, 'thrown here');
      assert.match(thrown.stackTrace, /index\.mjs:3/);
      assert.equal((await error('/reject')).errorMessage, 'rejected');
      assert.match((await error('/nothing')).errorMessage, /must return a Response; it returned undefined/);
      assert.match((await error('/object')).errorMessage, /it returned Object/);
      assert.equal((await error('/204')).errorType, 'TypeError');
      assert.equal((await error('/string')).errorMessage, 'just text');
      assert.equal((await h.call({ target: '/used' })).text, 'x');
      assert.match((await error('/used')).errorMessage, /sent already/);
    },
  ));

test('HEAD is answered without a body and with its length', () =>
  withHost(fetchOf(`return new URL(request.url).pathname === '/s' ? new Response(new Response('stream').body) : new Response('héllo')`), async (h) => {
    const c = await h.call({ method: 'HEAD' });
    assert.equal(c.text, '');
    assert.equal(c.header('content-length'), '6');
    const s = await h.call({ method: 'HEAD', target: '/s' });
    assert.equal(s.text, '');
    assert.equal(s.status, 200);
  }));

test('10 MiB go through byte-exact in both directions at once', () =>
  withHost(fetchOf(`return new Response(request.body)`), async (h) => {
    const body = random(10 * MiB);
    const c = await h.call({ method: 'POST', body });
    assert.equal(c.body.length, body.length);
    assert.ok(c.body.equals(body));
  }));

test('10 MiB as one buffer, as one string and collected by arrayBuffer', () =>
  withHost(
    fetchOf(`const p = new URL(request.url).pathname;
      if (p === '/buffer') return new Response(new Uint8Array(10 << 20).fill(7));
      if (p === '/string') return new Response('é'.repeat(5 << 20));
      const b = await request.arrayBuffer(); return new Response(String(b.byteLength));`),
    async (h) => {
      assert.ok((await h.call({ target: '/buffer' })).body.equals(Buffer.alloc(10 * MiB, 7)));
      assert.equal((await h.call({ target: '/string' })).body.length, 10 * MiB);
      assert.equal((await h.call({ method: 'POST', body: random(10 * MiB) })).text, String(10 * MiB));
    },
  ));

test('bodies survive credit in crumbs and frames split into single bytes', async () => {
  const body = random(300000);
  await withHost(fetchOf(`return new Response(request.body)`, { renewBytes: 1000, piece: 777 }), async (h) => {
    assert.ok((await h.call({ method: 'POST', body })).body.equals(body));
  });
  await withHost(fetchOf(`return new Response(request.body, { headers: { 'x-h': request.headers.get('host') } })`, { split: 1 }), async (h) => {
    const c = await h.call({ method: 'POST', body: 'small body, one byte a write' });
    assert.equal(c.text, 'small body, one byte a write');
    assert.equal(c.header('x-h'), 'hob.test');
  });
  await withHost(fetchOf(`return new Response(request.body)`, { split: 13, piece: 5000 }), async (h) => {
    assert.ok((await h.call({ method: 'POST', body: body.subarray(0, 60000) })).body.equals(body.subarray(0, 60000)));
  });
});

test('an answer stops at 64 KiB without credit and goes on with it', () =>
  withHost(fetchOf(`return new Response(new Uint8Array(200000))`), async (h) => {
    const c = h.invoke({ noCredit: true });
    await c.until((x) => x.body.length === 65536);
    await new Promise((r) => setTimeout(r, 50));
    assert.equal(c.body.length, 65536);
    assert.equal(c.isDone, false);
    c.open += 200000;
    h.send(frame(T.CREDIT, { stream: c.stream, arg: 200000 }));
    await c.done;
    assert.equal(c.body.length, 200000);
  }));

test('a request body is not taken before it is read, and flows when it is', () =>
  withHost(
    fetchOf(`await new Promise((r) => setTimeout(r, 150)); let n = 0; for await (const c of request.body) n += c.length; return new Response(String(n))`),
    async (h) => {
      const c = h.invoke({ method: 'POST', body: Buffer.alloc(500000) });
      await new Promise((r) => setTimeout(r, 80));
      assert.equal(c.rest.length, 500000 - 16384 - 65536, 'only the first window was taken');
      assert.equal((await c.done).text, '500000');
    },
  ));

test('a body that nobody reads does not block the answer, nor later bodies', () =>
  withHost(fetchOf(`return new Response('no, thank you')`), async (h) => {
    for (let i = 0; i < 40; i++) {
      const c = await h.call({ method: 'POST', body: Buffer.alloc(80000) });
      assert.equal(c.text, 'no, thank you');
    }
  }));

test('a stream is sent as it comes', () =>
  withHost(
    fetchOf(`const enc = new TextEncoder(); let i = 0;
      return new Response(new ReadableStream({ async pull(c) { if (i === 3) return c.close(); await new Promise((r) => setTimeout(r, 60)); c.enqueue(enc.encode('part' + i++)); } }), { headers: { 'content-type': 'text/event-stream' } })`),
    async (h) => {
      const c = h.invoke();
      await c.until((x) => x.status === 200);
      assert.equal(c.text, '');
      await c.until((x) => x.text === 'part0');
      assert.equal(c.ended, false);
      await c.done;
      assert.equal(c.text, 'part0part1part2');
    },
  ));

test('CANCEL aborts the signal, cancels the stream and gives the slot back', () =>
  withHost(
    fetchOf(`const p = new URL(request.url).pathname;
      if (p === '/signal') { await new Promise((r) => request.signal.addEventListener('abort', r)); console.log('aborted', request.signal.reason.name); return new Response('late'); }
      if (p === '/stream') return new Response(new ReadableStream({ pull(c) { c.enqueue(new Uint8Array(1000)); return new Promise((r) => setTimeout(r, 5)); }, cancel() { console.log('stream cancelled'); } }));
      if (p === '/body') { try { await request.text(); } catch (e) { console.log('body', e.name); throw e; } }
      return new Response('ok')`),
    async (h) => {
      for (const [target, code, line] of [['/signal', 2, 'aborted AbortError'], ['/signal', 1, 'aborted TimeoutError'], ['/stream', 2, 'stream cancelled'], ['/body', 2, 'body AbortError']]) {
        await quickly(200, async () => {
          const c = h.invoke({ target, method: target === '/body' ? 'POST' : 'GET', stream: target === '/body' });
          await new Promise((r) => setTimeout(r, 40));
          const at = Date.now();
          c.cancel(code);
          await c.done;
          assert.equal(c.error, null);
          return Date.now() - at;
        });
        await h.until(() => h.logs.some((l) => l.text === line));
      }
      assert.equal((await h.call()).text, 'ok');
    },
  ));

test('a handler deaf to CANCEL loses its slot within a second when the client has gone', () =>
  withHost(fetchOf(`if (request.method === 'POST') await new Promise((r) => setTimeout(r, 3000)); return new Response('ok')`), async (h) => {
    await quickly(1000, async () => {
      const c = h.invoke({ method: 'POST' });
      await new Promise((r) => setTimeout(r, 20));
      const at = Date.now();
      c.cancel(2);
      await c.done;
      assert.ok(c.isDone);
      return Date.now() - at;
    });
    assert.equal((await h.call()).text, 'ok');
  }));

test('past its deadline a deaf handler that is alone keeps its slot: hobd replaces the instance', () =>
  withHost(fetchOf(`await new Promise((r) => setTimeout(r, 1500)); return new Response('ok')`), async (h) => {
    const c = h.invoke();
    await new Promise((r) => setTimeout(r, 20));
    c.cancel(1);
    await new Promise((r) => setTimeout(r, 1000));
    assert.equal(c.isDone, false);
  }));

test('waitUntil keeps the slot but not the answer', () =>
  withHost(
    fetchOf(`ctx.waitUntil(new Promise((r) => setTimeout(r, 150)).then(() => console.log('settled')));
      ctx.waitUntil(Promise.reject(new Error('in the background'))); ctx.passThroughOnException(); return new Response('fast')`),
    async (h) => {
      const c = h.invoke();
      await c.until((x) => x.ended);
      assert.equal(c.text, 'fast');
      assert.equal(c.isDone, false);
      await c.done;
      assert.ok(h.logs.some((l) => l.text === 'settled'));
      assert.ok(h.logs.some((l) => l.level === 4 && /in the background/.test(l.text)));
    },
  ));

test('an event reaches a fetch handler as POST / with JSON', () =>
  withHost(fetchOf(`return Response.json({ m: request.method, u: new URL(request.url).pathname, t: request.headers.get('content-type'), b: await request.json() })`), async (h) => {
    assert.deepEqual((await h.call({ event: { a: 1 } })).json, { m: 'POST', u: '/', t: 'application/json', b: { a: 1 } });
  }));

test('env gives variables and secrets; secrets stay out of process.env unless asked for', async () => {
  const source = `return Response.json({ v: env.vars.COLOR, w: env.COLOR, p: process.env.COLOR, s: await env.secrets.get('KEY'), list: await env.secrets.list(), leaked: process.env.KEY ?? null, none: await env.secrets.get('NO').catch((e) => e.message) })`;
  const hello = [['env.COLOR', 'blue'], ['secret.KEY', 'hush']];
  await withHost(fetchOf(source, { hello }), async (h) => {
    assert.deepEqual((await h.call()).json, { v: 'blue', w: 'blue', p: 'blue', s: 'hush', list: ['KEY'], leaked: null, none: `secret 'NO' is not among this function's secrets` });
  });
  await withHost(fetchOf(source, { hello: [...hello, ['secrets_in_env', '1']] }), async (h) => {
    assert.equal((await h.call()).json.leaked, 'hush');
  });
});

test('console lines are LOG frames with level and invocation; stdout stays the pipe', () =>
  withHost(
    fetchOf(`console.debug('d'); console.log('l %d', 1, { a: 1 }); console.info('i'); console.warn('w'); console.error(new Error('e'));
      console.group('g'); console.log('in\\nner'); console.groupEnd(); console.table([{ a: 1 }]); console.assert(false, 'no'); console.log('x'.repeat(100000));
      process.stdout.write('raw\\n'); await null; console.log('after'); return new Response('')`),
    async (h) => {
      const c = await h.call();
      const lines = h.logs.map((l) => [l.level, l.text]);
      assert.deepEqual(lines.slice(0, 4), [[1, 'd'], [2, 'l 1 { a: 1 }'], [2, 'i'], [3, 'w']]);
      assert.equal(lines[4][0], 4);
      assert.match(lines[4][1], /^Error: e\n/);
      assert.ok(lines.some(([, t]) => t === '  in\n  ner'));
      assert.ok(lines.some(([l, t]) => l === 3 && t === 'Assertion failed: no'));
      assert.ok(h.logs.some((l) => l.text.length === 65536 && l.flags === 8));
      assert.ok(h.logs.every((l) => l.stream === c.stream));
      await h.drain();
      assert.equal(h.stdout, 'raw\n');
    },
  ));

test('at concurrency 100 lines are attributed to the right invocation', () =>
  withHost(fetchOf(`const id = new URL(request.url).pathname; console.log('sync', id); await new Promise((r) => setTimeout(r, 5)); console.log('later', id); return new Response(id)`, { concurrency: 100 }), async (h) => {
    const calls = [];
    for (let round = 0; round < 3; round++) {
      const now = Array.from({ length: 100 }, (_, i) => h.invoke({ target: `/${round}-${i}` }));
      calls.push(...now);
      await Promise.all(now.map((c) => c.done));
    }
    const of = new Map(calls.map((c) => [c.options.target, c.stream]));
    for (const l of h.logs) {
      const [what, id] = l.text.split(' ');
      if (what === 'sync' || !id.startsWith('/0')) assert.equal(l.stream, of.get(id), l.text);
      else assert.ok(l.stream === of.get(id) || l.stream === 0, 'never attributed to another');
    }
  }));

test('1,000 streams at a time are all answered', () =>
  withHost(fetchOf(`const t = await request.text(); await new Promise((r) => setTimeout(r, 20)); return new Response(t + '!')`, { concurrency: 1000 }), async (h) => {
    assert.equal(h.readyInfo.concurrency, '1000');
    const calls = Array.from({ length: 1000 }, (_, i) => h.invoke({ method: 'POST', body: `body ${i} `.repeat(i % 50 === 0 ? 5000 : 3) }));
    await Promise.all(calls.map((c) => c.done));
    for (const [i, c] of calls.entries()) assert.equal(c.text, `${`body ${i} `.repeat(i % 50 === 0 ? 5000 : 3)}!`);
  }));

test('PING is answered, unknown optional frames are skipped, unknown ones end the process', () =>
  withHost(fetchOf(`return new Response('ok')`), async (h) => {
    h.send(Buffer.concat([frame(200, { payload: Buffer.from('new thing') }), frame(T.PING, { arg: 4711 })]));
    await h.until(() => h.pongs.includes(4711));
    assert.equal((await h.call()).text, 'ok');
    h.send(frame(99));
    assert.equal((await h.exited).code, 1);
  }));

test('BODY, CREDIT and CANCEL of an invocation that is over are harmless', () =>
  withHost(fetchOf(`return new Response('ok')`), async (h) => {
    const c = await h.call();
    h.send(Buffer.concat([frame(T.BODY, { stream: c.stream, payload: Buffer.alloc(10) }), frame(T.CREDIT, { stream: c.stream, arg: 5 }), frame(T.CANCEL, { stream: c.stream, code: 2 })]));
    assert.equal((await h.call()).text, 'ok');
  }));

test('DRAIN lets the running invocation finish, says BYE and exits 0; SIGTERM does the same', async () => {
  const source = fetchOf(`await new Promise((r) => setTimeout(r, 100)); return new Response('done')`);
  await withHost(source, async (h) => {
    const c = h.invoke();
    const exit = await h.drain();
    assert.equal(c.text, 'done');
    assert.ok(c.isDone && h.isBye);
    assert.equal(exit.code, 0);
  });
  await withHost(source, async (h) => {
    const c = h.invoke();
    await new Promise((r) => setTimeout(r, 30));
    h.child.kill('SIGTERM');
    assert.equal((await h.exited).code, 0);
    assert.equal(c.text, 'done');
    assert.ok(h.isBye);
  });
});

test('an unhandled rejection and an uncaught exception are logged, fail the invocation and exit 1', async () => {
  for (const [code, type] of [[`Promise.reject(new Error('lost'))`, 'UnhandledPromiseRejection'], [`setTimeout(() => { throw new Error('lost') }, 5)`, 'UncaughtException']]) {
    await withHost(fetchOf(`${code}; await new Promise((r) => setTimeout(r, 500)); return new Response('')`), async (h) => {
      const c = h.invoke();
      assert.equal((await h.exited).code, 1);
      assert.equal(c.error.errorType, `Runtime.${type}`);
      assert.equal(c.error.errorMessage, 'lost');
      assert.ok(h.logs.some((l) => l.level === 4 && l.text.includes('Error: lost')));
    });
  }
});

test('process.exit ends the instance with its code and keeps the log lines', () =>
  withHost(fetchOf(`console.log('last words'); process.exit(42)`), async (h) => {
    h.invoke();
    assert.equal((await h.exited).code, 42);
    assert.equal(h.logs.at(-1).text, 'last words');
  }));

// --- Lambda -------------------------------------------------------------------------------------------------------

test('a Lambda handler gets the event of payload format 2.0', () =>
  withHost(node(`export const handler = async (event) => event`), async (h) => {
    assert.equal(h.readyInfo.kind, 'lambda');
    const headers = [['host', 'fn.example:7070'], ['user-agent', 'probe/1'], ['x-a', '1'], ['x-a', '2'], ['cookie', 'a=1; b=2'], ['content-type', 'application/json']];
    const c = await h.call({ method: 'POST', target: '/pa2%Fth/%C3%A9%2Fx?q=a+b&q=c&e=%26', headers, body: '{"x":"é"}', id: 'id-1', extras: [['remote', '192.0.2.7:99'], ['param.id', '42']] });
    const e = c.json;
    assert.equal(typeof e.requestContext.timeEpoch, 'number');
    assert.match(e.requestContext.time, /^\d\d\/[A-Z][a-z]{2}\/\d{4}:\d\d:\d\d:\d\d \+0000$/);
    delete e.requestContext.time;
    delete e.requestContext.timeEpoch;
    assert.deepEqual(e, {
      version: '2.0', routeKey: '$default', rawPath: '/pa2%Fth/é%2Fx', rawQueryString: 'q=a+b&q=c&e=%26', cookies: ['a=1', 'b=2'],
      headers: { host: 'fn.example:7070', 'user-agent': 'probe/1', 'x-a': '1,2', 'content-type': 'application/json' },
      queryStringParameters: { q: 'a b,c', e: '&' },
      requestContext: {
        accountId: 'anonymous', apiId: 'fn', domainName: 'fn.example', domainPrefix: 'fn', requestId: 'id-1', routeKey: '$default', stage: '$default',
        http: { method: 'POST', path: '/pa2%Fth/é%2Fx', protocol: 'HTTP/1.1', sourceIp: '192.0.2.7', userAgent: 'probe/1' },
      },
      pathParameters: { id: '42' }, isBase64Encoded: false, body: '{"x":"é"}',
    });
  }));

test('a body is text only when type and bytes say so', () =>
  withHost(node(`export const handler = async (event) => [event.body, event.isBase64Encoded]`), async (h) => {
    const post = async (type, body) => (await h.call({ method: 'POST', body, headers: [['host', 'h'], ...(type ? [['content-type', type]] : [])] })).json;
    assert.deepEqual(await post('text/plain', 'a'), ['a', false]);
    assert.deepEqual(await post('application/problem+json', '{}'), ['{}', false]);
    assert.deepEqual(await post('application/x-www-form-urlencoded', 'a=1'), ['YT0x', true]);
    assert.deepEqual(await post('multipart/form-data; boundary=x', 'a'), ['YQ==', true]);
    assert.deepEqual(await post(null, 'a'), ['YQ==', true]);
    assert.deepEqual(await post('text/plain', Buffer.from([0xff, 0x41])), ['/0E=', true]);
    assert.deepEqual(await post('text/plain', ''), [null, false]);
  }));

test('what a handler returns becomes the answer', () =>
  withHost(
    node(`export const handler = async (event) => { switch (event.rawPath) {
      case '/full': return { statusCode: '201', headers: { 'X-A': 5, 'content-type': 'text/x' }, cookies: ['a=1', 'b=2'], body: 'hé' };
      case '/b64': return { statusCode: 200, body: 'AP8=', isBase64Encoded: true };
      case '/object': return { a: 1 };
      case '/string': return 'plain text';
      case '/number': return 5;
      case '/nothing': return;
      case '/null': return null;
      case '/204': return { statusCode: 204, body: 'ignored' };
      case '/bad': return { statusCode: 99 };
      case '/inject': return { statusCode: 200, headers: { a: 'x\\r\\nb: c' } };
      case '/big': return 'x'.repeat(6 * 1024 * 1024 + 1);
      case '/most': return 'x'.repeat(6 * 1024 * 1024);
    } }`),
    async (h) => {
      const full = await h.call({ target: '/full' });
      assert.equal(full.status, 201);
      assert.deepEqual(full.headers, [['x-a', '5'], ['content-type', 'text/x'], ['set-cookie', 'a=1'], ['set-cookie', 'b=2']]);
      assert.equal(full.text, 'hé');
      assert.deepEqual([...(await h.call({ target: '/b64' })).body], [0, 255]);
      const object = await h.call({ target: '/object' });
      assert.equal(object.header('content-type'), 'application/json');
      assert.equal(object.text, '{"a":1}');
      assert.equal((await h.call({ target: '/string' })).text, 'plain text');
      assert.equal((await h.call({ target: '/number' })).text, '5');
      assert.equal((await h.call({ target: '/nothing' })).text, 'null');
      assert.equal((await h.call({ target: '/null' })).text, 'null');
      const empty = await h.call({ target: '/204' });
      assert.equal(empty.status, 204);
      assert.equal(empty.text, '');
      assert.equal((await h.call({ target: '/bad' })).error.errorType, 'Runtime.InvalidResponse');
      assert.equal((await h.call({ target: '/inject' })).error.errorType, 'Runtime.InvalidResponse');
      assert.equal((await h.call({ target: '/big' })).error.errorType, 'Function.ResponseSizeTooLarge');
      assert.equal((await h.call({ target: '/most' })).body.length, 6 * MiB);
    },
  ));

test('an event goes in and its result comes out as JSON, strings quoted', () =>
  withHost(node(`export const handler = async (event) => event.give ?? event`), async (h) => {
    const c = await h.call({ event: { a: ['é'] } });
    assert.equal(c.text, '{"a":["é"]}');
    assert.equal((await h.call({ event: { give: 'text' } })).text, '"text"');
    assert.equal((await h.call({ event: { give: { statusCode: 404, body: 'x' } } })).status, 200);
    assert.equal((await h.call({ event: '' })).text, '{}');
    assert.equal((await h.call({ event: '{bad' })).error.errorType, 'Runtime.InvalidEvent');
    const big = { x: 'y'.repeat(5 * MiB) };
    assert.equal((await h.call({ event: big })).json.x.length, 5 * MiB);
  }));

test('bodies up to 6 MiB are taken, beyond is 413', () =>
  withHost(node(`export const handler = async (event) => String(event.body.length)`), async (h) => {
    const post = (n) => h.call({ method: 'POST', body: Buffer.alloc(n, 97), headers: [['host', 'h'], ['content-type', 'text/plain']] });
    assert.equal((await post(6 * MiB)).text, String(6 * MiB));
    const c = await post(6 * MiB + 1);
    assert.equal(c.status, 413);
    assert.equal(c.header('content-type'), 'application/problem+json');
    assert.equal((await post(5)).text, '5');
  }));

test('callbacks, promises and the old context ways all answer; a second answer is ignored with a warning', () =>
  withHost(
    node(`export const handler = (event, context, callback) => { switch (event.way) {
      case 'callback': setTimeout(() => callback(null, 'cb'), 5); return;
      case 'error': callback(new RangeError('cb failed')); return;
      case 'promise': return Promise.resolve('pr');
      case 'succeed': setTimeout(() => context.succeed('su'), 5); return;
      case 'done': context.done(null, 'dn'); return;
      case 'fail': context.fail(new Error('fl')); return;
      case 'twice': callback(null, 'first'); callback(null, 'second'); return;
      case 'throw': throw new Error('sync');
    } }`),
    async (h) => {
      const call = (way) => h.call({ event: { way } });
      assert.equal((await call('callback')).json, 'cb');
      assert.equal((await call('error')).error.errorType, 'RangeError');
      assert.equal((await call('promise')).json, 'pr');
      assert.equal((await call('succeed')).json, 'su');
      assert.equal((await call('done')).json, 'dn');
      assert.equal((await call('fail')).error.errorMessage, 'fl');
      assert.equal((await call('throw')).error.errorMessage, 'sync');
      assert.equal((await call('twice')).json, 'first');
    },
  ));

test('the context tells what Lambda tells', () =>
  withHost(
    node(`exports = 1; export const handler = async (event, context) => ({ ...context, left: context.getRemainingTimeInMillis(), env: typeof context.env.secrets.get })`.replace('exports = 1; ', '')),
    async (h) => {
      const c = (await h.call({ event: {}, id: 'r-9', timeoutMs: 3000 })).json;
      assert.equal(c.awsRequestId, 'r-9');
      assert.equal(c.functionName, 'fn');
      assert.equal(c.functionVersion, '7');
      assert.equal(c.memoryLimitInMB, '256');
      assert.match(c.invokedFunctionArn, /:function:fn:7$/);
      assert.ok(c.left > 2000 && c.left <= 3000);
      assert.equal(c.env, 'function');
    },
  ));

test('streamifyResponse streams under credit with a prelude', () =>
  withHost(
    node(`export const handler = awslambda.streamifyResponse(async (event, stream, context) => {
      if (event.rawPath === '/boom') throw new Error('no stream');
      if (event.rawPath === '/late') { stream.write('x'); await new Promise((r) => setTimeout(r, 20)); throw new Error('late'); }
      const s = awslambda.HttpResponseStream.from(stream, { statusCode: 202, headers: { 'content-type': 'text/x' }, cookies: ['a=1'] });
      for (let i = 0; i < 300; i++) if (!s.write(Buffer.alloc(1000, i))) await new Promise((r) => s.once('drain', r));
      s.end('end'); })`),
    async (h) => {
      const c = await h.call();
      assert.equal(c.status, 202);
      assert.deepEqual(c.headers, [['content-type', 'text/x'], ['set-cookie', 'a=1']]);
      assert.equal(c.body.length, 300003);
      assert.equal((await h.call({ target: '/boom' })).error.errorMessage, 'no stream');
      const late = await h.call({ target: '/late' });
      assert.equal(late.status, 200);
      assert.equal(late.error.errorMessage, 'late');
    },
  ));

// --- finding the function -----------------------------------------------------------------------------------------

const works = async (options, expected) =>
  withHost({ runtime: 'node', ...options }, async (h) => assert.equal((await h.call({ event: {} })).json, expected));

test('handlers are found in CommonJS, ESM, by handler string and as a lone default function', async () => {
  await works({ entry: 'index.js', files: { 'index.js': `exports.handler = async () => 'cjs'` } }, 'cjs');
  await works({ entry: 'index.js', files: { 'index.js': `module.exports = { handler: async () => 'obj' }` } }, 'obj');
  await works({ entry: 'index.js', files: { 'package.json': '{"type":"module"}', 'index.js': `export const handler = async () => 'esm'` } }, 'esm');
  await works({ entry: 'a.cjs', files: { 'a.cjs': `module.exports = async () => 'lone'` } }, 'lone');
  await works({ entry: 'a.mjs', files: { 'a.mjs': `export default async () => 'default'` } }, 'default');
  await works({ entry: 'x.mjs', handler: 'src/app.api.run', files: { 'src/app.mjs': `export const api = { run: async () => 'deep' }`, 'x.mjs': '' } }, 'deep');
  await works({ entry: 'jobs/n.mjs', handler: 'main', files: { 'jobs/n.mjs': `export const main = async () => 'named'` } }, 'named');
  await works({ entry: 'jobs/n.mjs', handler: 'n.main', files: { 'jobs/n.mjs': `export const main = async () => 'by entry'` } }, 'by entry');
  await works({ entry: 'i.mjs', files: { 'i.mjs': `import { x } from 'dep'; export const handler = async () => x`, 'node_modules/dep/package.json': '{"main":"m.js"}', 'node_modules/dep/m.js': `exports.x = 'dep'` } }, 'dep');
  await works({ entry: 'i.mjs', files: { 'i.mjs': `const x = await Promise.resolve('tla'); export const handler = async () => x` } }, 'tla');
  await withHost({ runtime: 'node', entry: 'i.js', files: { 'i.js': `module.exports = { fetch() { return new Response('cjs fetch') } }` } }, async (h) => assert.equal((await h.call()).text, 'cjs fetch'));
});

test('code that cannot be loaded gives INIT_ERROR with type, message and stack, and exit 1', async () => {
  const error = async (options) => {
    const e = await initError({ runtime: 'node', entry: 'i.mjs', ...options });
    assert.equal(e.exit.code, 1);
    return e;
  };
  const thrown = await error({ files: { 'i.mjs': `throw new RangeError('at import')` } });
  assert.equal(thrown.errorType, 'RangeError');
  assert.equal(thrown.errorMessage, 'at import');
  assert.match(thrown.stackTrace, /i\.mjs:1/);
  assert.equal((await error({ files: { 'i.mjs': `export default {` } })).errorType, 'SyntaxError');
  const none = await error({ files: { 'i.mjs': `export const a = 1, b = 2` } });
  assert.equal(none.errorType, 'Runtime.HandlerNotFound');
  assert.match(none.errorMessage, /exports seen: a, b/);
  assert.match((await error({ files: { 'i.mjs': '' } })).errorMessage, /it exports nothing/);
  assert.equal((await error({ entry: 'no.mjs', files: {} })).errorType, 'Runtime.ImportModuleError');
  assert.match((await error({ files: { 'i.mjs': `import 'nowhere'` } })).errorMessage, /nowhere/);
  assert.match((await error({ handler: 'i.nope', files: { 'i.mjs': 'export const a = 1' } })).errorMessage, /'i\.nope' is not exported; exports seen: a/);
  assert.equal((await error({ handler: '../i.x', files: {} })).errorType, 'Runtime.MalformedHandlerName');
  assert.match((await error({ files: { 'i.mjs': `import http from 'node:http'; http.createServer(() => {}).listen(0)` } })).errorMessage, /say "kind": "http"/);
  assert.match((await error({ kind: 'http', files: { 'i.mjs': '' } })).errorMessage, /kind 'http' is not known/);
  const exit = await initError({ runtime: 'node', entry: 'i.mjs', files: { 'i.mjs': 'process.exit(3)' } });
  assert.equal(exit.exit.code, 3);
  if (!process.features.typescript) {
    assert.match((await error({ entry: 'i.ts', files: { 'i.ts': 'export const handler = async (e: unknown) => e' } })).errorMessage, /strips types from version 22\.18/);
  }
});

test('a syntax error in an ES module says file and line, in what it imports too', async () => {
  const error = (files) => initError({ runtime: 'node', entry: 'i.mjs', files });
  const own = await error({ 'i.mjs': 'export const a = 1;\nlet x = = 3;\n' });
  assert.equal(own.errorType, 'SyntaxError');
  assert.equal(own.errorMessage, "Unexpected token '=' (i.mjs, line 2)");
  assert.match(own.stackTrace, /i\.mjs:2\nlet x = = 3;\n +\^/);
  const imported = await error({ 'i.mjs': `import { b } from './lib/b.mjs';\nimport './c.mjs';`, 'lib/b.mjs': 'export const b = 1;', 'c.mjs': '\n\nexport default {' });
  assert.match(imported.errorMessage, /\(c\.mjs, line \d\)$/);
  const parsed = await error({ 'i.mjs': `JSON.parse('{')` });
  assert.doesNotMatch(parsed.errorMessage, /line \d+\)$/); // thrown by code that ran: the stack has the place
  assert.match(parsed.stackTrace, /i\.mjs:1/);
});

test('TypeScript runs where Node.js strips types', { skip: !process.features.typescript }, () =>
  works({ entry: 'i.ts', files: { 'i.ts': `export const handler = async (e: unknown): Promise<string> => 'ts'` } }, 'ts'));

test('an answer that a slow reader has not taken yet leaves before the process ends', () =>
  withHost(fetchOf(`return new Response(new Uint8Array(60000))`, { concurrency: 16 }), async (h) => {
    await h.call();
    h.socket.pause();
    const calls = Array.from({ length: 16 }, () => h.invoke());
    await new Promise((r) => setTimeout(r, 100));
    const end = h.drain();
    await new Promise((r) => setTimeout(r, 100));
    h.socket.resume();
    assert.equal((await end).code, 0);
    await h.until(() => h.isBye); // what it wrote outlives it in the socket
    for (const c of calls) assert.equal(c.body.length, 60000);
  }));

test('memory stays level over 60,000 invocations', { timeout: 120000 }, () =>
  withHost(fetchOf(`return new Response(await request.text())`, { concurrency: 64 }), async (h) => {
    const { readFileSync } = await import('node:fs');
    const rss = () => Number(/VmRSS:\s*(\d+)/.exec(readFileSync(`/proc/${h.child.pid}/status`, 'utf8'))[1]) * 1024;
    const round = async (n) => {
      for (let i = 0; i < n; i += 64) await Promise.all(Array.from({ length: 64 }, () => h.call({ method: 'POST', body: 'x' })));
    };
    await round(40000);
    const before = rss();
    await round(60000);
    assert.ok(rss() - before < 16 * MiB, `${((rss() - before) / MiB).toFixed(1)} MiB more`);
  }));
