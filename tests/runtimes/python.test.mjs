// The python runtime over real frames: plain handlers one at a time, in threads, and async.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { test } from 'node:test';
import { T, END, frame, initError, withHost } from './host.mjs';

const MiB = 1 << 20;
const python = (source, options = {}) => ({ runtime: 'python', entry: 'main.py', ...options, files: { 'main.py': source, ...options.files } });
/** The same handler, plain and async, at concurrency 1 and above. */
const WAYS = [
  ['one at a time', 'def', 1],
  ['in threads', 'def', 8],
  ['async', 'async def', 1],
  ['async, several', 'async def', 8],
];
const everyWay = (name, source, body, options = {}) => {
  for (const [way, def, concurrency] of WAYS) {
    test(`${name} (${way})`, () =>
      withHost(python(source.replaceAll('DEF', def).replaceAll('SLEEP', def === 'def' ? 'time.sleep' : 'await asyncio.sleep'), { concurrency, ...options }), (h) => body(h, def, concurrency)));
  }
};
const IMPORTS = 'import time, asyncio\n';

everyWay('the event has payload format 2.0', 'DEF handler(event, context):\n  return event\n', async (h) => {
  const headers = [['host', 'fn.example:7070'], ['user-agent', 'probe/1'], ['x-a', '1'], ['x-a', '2'], ['cookie', 'a=1; b=2'], ['content-type', 'application/json']];
  const c = await h.call({ method: 'POST', target: '/pa2%Fth/%C3%A9%2Fx?q=a+b&q=c&e=%26&f', headers, body: '{"x":"é"}', id: 'id-1', extras: [['remote', '192.0.2.7:99'], ['param.id', '42']] });
  const e = c.json;
  assert.match(e.requestContext.time, /^\d\d\/[A-Z][a-z]{2}\/\d{4}:\d\d:\d\d:\d\d \+0000$/);
  assert.ok(Math.abs(e.requestContext.timeEpoch - Date.now()) < 5000);
  delete e.requestContext.time;
  delete e.requestContext.timeEpoch;
  assert.deepEqual(e, {
    version: '2.0', routeKey: '$default', rawPath: '/pa2%Fth/é%2Fx', rawQueryString: 'q=a+b&q=c&e=%26&f', cookies: ['a=1', 'b=2'],
    headers: { host: 'fn.example:7070', 'user-agent': 'probe/1', 'x-a': '1,2', 'content-type': 'application/json' },
    queryStringParameters: { q: 'a b,c', e: '&', f: '' },
    requestContext: {
      accountId: 'anonymous', apiId: 'fn', domainName: 'fn.example', domainPrefix: 'fn', requestId: 'id-1', routeKey: '$default', stage: '$default',
      http: { method: 'POST', path: '/pa2%Fth/é%2Fx', protocol: 'HTTP/1.1', sourceIp: '192.0.2.7', userAgent: 'probe/1' },
    },
    pathParameters: { id: '42' }, isBase64Encoded: false, body: '{"x":"é"}',
  });
});

test('a body is text only when type and bytes say so', () =>
  withHost(python('def handler(event, context):\n  return [event.get("body"), event["isBase64Encoded"]]\n'), async (h) => {
    const post = async (type, body) => (await h.call({ method: 'POST', body, headers: [['host', 'h'], ...(type ? [['content-type', type]] : [])] })).json;
    assert.deepEqual(await post('text/plain', 'a'), ['a', false]);
    assert.deepEqual(await post('application/x-www-form-urlencoded', 'a=1'), ['YT0x', true]);
    assert.deepEqual(await post(null, 'a'), ['YQ==', true]);
    assert.deepEqual(await post('text/plain', Buffer.from([0xff, 0x41])), ['/0E=', true]);
    assert.deepEqual(await post('text/plain', ''), [null, false]);
  }));

everyWay(
  'what a handler returns becomes the answer',
  `DEF handler(event, context):
  p = event.get("rawPath")
  if p == "/full": return {"statusCode": "201", "headers": {"X-A": 5, "Content-Type": "text/x"}, "cookies": ["a=1", "b=2"], "body": "hé"}
  if p == "/b64": return {"statusCode": 200, "body": "AP8=", "isBase64Encoded": True}
  if p == "/bytes": return {"statusCode": 200, "body": b"\\x00\\xff"}
  if p == "/dict": return {"a": 1}
  if p == "/string": return "plain text"
  if p == "/none": return None
  if p == "/204": return {"statusCode": 204, "body": "ignored"}
  if p == "/bad": return {"statusCode": 99}
  if p == "/inject": return {"statusCode": 200, "headers": {"a": "x\\r\\nb: c"}}
  if p == "/set": return {1, 2}
  if p == "/big": return "x" * (6 * 1024 * 1024 + 1)
  if p == "/most": return "x" * (6 * 1024 * 1024)
`,
  async (h) => {
    const full = await h.call({ target: '/full' });
    assert.equal(full.status, 201);
    assert.deepEqual(full.headers, [['x-a', '5'], ['content-type', 'text/x'], ['set-cookie', 'a=1'], ['set-cookie', 'b=2']]);
    assert.equal(full.text, 'hé');
    assert.deepEqual([...(await h.call({ target: '/b64' })).body], [0, 255]);
    assert.deepEqual([...(await h.call({ target: '/bytes' })).body], [0, 255]);
    const dict = await h.call({ target: '/dict' });
    assert.equal(dict.header('content-type'), 'application/json');
    assert.deepEqual(dict.json, { a: 1 });
    assert.equal((await h.call({ target: '/string' })).text, 'plain text');
    assert.equal((await h.call({ target: '/none' })).text, 'null');
    const empty = await h.call({ target: '/204' });
    assert.equal(empty.status, 204);
    assert.equal(empty.text, '');
    for (const target of ['/bad', '/inject', '/set']) assert.equal((await h.call({ target })).error?.errorType, 'Runtime.InvalidResponse', target);
    assert.equal((await h.call({ target: '/big' })).error.errorType, 'Function.ResponseSizeTooLarge');
    assert.equal((await h.call({ target: '/most' })).body.length, 6 * MiB);
    const head = await h.call({ target: '/string', method: 'HEAD' });
    assert.equal(head.text, '');
    assert.equal(head.header('content-length'), '10');
  },
);

everyWay('an exception gives class name, message and the stack of the own code', 'DEF handler(event, context):\n  if event.get("deep"):\n    helper()\n  raise ValueError("bad é")\ndef helper():\n  raise KeyError("k")\n', async (h) => {
  const c = await h.call({ event: {} });
  assert.equal(c.status, null);
  assert.equal(c.error.errorType, 'ValueError');
  assert.equal(c.error.errorMessage, 'bad é');
  assert.match(c.error.stackTrace, /main\.py", line 4, in handler/);
  assert.doesNotMatch(c.error.stackTrace, /_hob/);
  assert.match((await h.call({ event: { deep: 1 } })).error.stackTrace, /in handler[\s\S]*in helper/);
  assert.equal((await h.call({ event: '{bad' })).error.errorType, 'JSONDecodeError');
});

everyWay(
  'a generator streams, with a prelude or without',
  `${IMPORTS}DEF handler(event, context):
  p = event["rawPath"]
  if p == "/prelude": yield {"statusCode": 202, "headers": {"content-type": "text/event-stream"}, "cookies": ["a=1"]}
  if p == "/none": return
  if p == "/wrong": yield 5
  if p == "/late":
    yield "one"
    raise ValueError("late")
  if p == "/much":
    for i in range(400): yield bytes([i % 256]) * 1000
    return
  for i in range(3):
    yield f"part{i}"
    SLEEP(0.05)
`,
  async (h) => {
    const c = h.invoke();
    await c.until((x) => x.text === 'part0');
    assert.equal(c.ended, false);
    await c.done;
    assert.equal(c.text, 'part0part1part2');
    const p = await h.call({ target: '/prelude' });
    assert.equal(p.status, 202);
    assert.deepEqual(p.headers, [['content-type', 'text/event-stream'], ['set-cookie', 'a=1']]);
    assert.equal(p.text, 'part0part1part2');
    assert.equal((await h.call({ target: '/none' })).text, '');
    assert.match((await h.call({ target: '/wrong' })).error.errorMessage, /must yield str or bytes/);
    const late = await h.call({ target: '/late' });
    assert.equal(late.text, 'one');
    assert.equal(late.error.errorMessage, 'late');
    const much = await h.call({ target: '/much' });
    assert.ok(much.body.equals(Buffer.concat(Array.from({ length: 400 }, (_, i) => Buffer.alloc(1000, i % 256)))));
  },
);

everyWay(
  'bodies of 6 MiB go through byte-exact both ways under credit in crumbs, beyond is 413',
  `import base64
DEF handler(event, context):
  if event.get("body") is None: return {"statusCode": 200, "body": b""}
  return {"statusCode": 200, "body": base64.b64decode(event["body"])}
`,
  async (h) => {
    const body = crypto.randomBytes(6 * MiB);
    assert.ok((await h.call({ method: 'POST', body })).body.equals(body));
    const c = await h.call({ method: 'POST', body: Buffer.concat([body, Buffer.from('x')]) });
    assert.equal(c.status, 413);
    assert.equal(c.header('content-type'), 'application/problem+json');
    assert.equal((await h.call({ method: 'POST', body: 'small' })).text, 'small');
  },
  { renewBytes: 3000, piece: 9000 },
);

test('10 MiB stream out of a generator byte-exact', () =>
  withHost(python('import hashlib\ndef handler(event, context):\n  for i in range(160):\n    yield hashlib.sha256(str(i).encode()).digest() * 2048\n'), async (h) => {
    const expected = Buffer.concat(Array.from({ length: 160 }, (_, i) => Buffer.concat(Array(2048).fill(crypto.createHash('sha256').update(String(i)).digest()))));
    assert.ok((await h.call()).body.equals(expected));
  }));

everyWay('frames split into single bytes are understood', 'DEF handler(event, context):\n  return event.get("body", "none")\n', async (h) => {
  const c = await h.call({ method: 'POST', body: 'one byte a write', headers: [['host', 'h'], ['content-type', 'text/plain']] });
  assert.equal(c.text, 'one byte a write');
}, { split: 1 });

everyWay(
  'CANCEL ends a handler that waits, and the slot comes back within a second',
  `${IMPORTS}DEF handler(event, context):
  if event.get("quick"): return "quick"
  try:
    SLEEP(5)
  finally:
    print("cleaned up")
`,
  async (h, def, concurrency) => {
    for (const code of [1, 2]) {
      const c = h.invoke({ event: {} });
      await new Promise((r) => setTimeout(r, 80));
      const at = Date.now();
      c.cancel(code);
      await c.done;
      const took = Date.now() - at;
      assert.ok(c.isDone && took < (def === 'def' && concurrency > 1 ? 1000 : 250), `took ${took} ms`);
      assert.equal(c.error, null);
    }
    assert.equal((await h.call({ event: { quick: 1 } })).json, 'quick');
  },
);

everyWay('a client that goes in the middle of a stream ends the generator', `${IMPORTS}DEF handler(event, context):
  try:
    while True:
      yield b"x" * 1000
      SLEEP(0.005)
  finally:
    print("closed", flush=True)
`, async (h) => {
  const c = h.invoke();
  await c.until((x) => x.body.length > 5000);
  c.cancel(2);
  await c.done;
  await h.until((x) => x.stdout.includes('closed'));
});

test('PING is answered while a plain handler is busy', () =>
  withHost(python('import time\ndef handler(event, context):\n  end = time.time() + 0.6\n  while time.time() < end: pass\n  return "done"\n'), async (h) => {
    const c = h.invoke({ event: {} });
    await new Promise((r) => setTimeout(r, 100));
    const at = Date.now();
    h.send(frame(T.PING, { arg: 9 }));
    await h.until(() => h.pongs.includes(9));
    assert.ok(Date.now() - at < 200);
    assert.equal(c.isDone, false);
    assert.equal((await c.done).json, 'done');
  }));

test('the timer of a busy handler stops when the instance is idle', () =>
  withHost(python('def handler(event, context):\n  return 1\n'), async (h) => {
    await h.call({ event: {} });
    await new Promise((r) => setTimeout(r, 200));
    const { readFileSync } = await import('node:fs');
    const switches = () => Number(/nonvoluntary_ctxt_switches:\s*\d+|voluntary_ctxt_switches:\s*(\d+)/.exec(readFileSync(`/proc/${h.child.pid}/status`, 'utf8'))[1]);
    const before = switches();
    await new Promise((r) => setTimeout(r, 500));
    assert.ok(switches() - before <= 2, 'an idle instance does not wake');
  }));

for (const [way, def] of [['in threads', 'def'], ['async', 'async def']]) {
  test(`50 invocations run at a time (${way})`, () =>
    withHost(python(`${IMPORTS}${def} handler(event, context):\n  ${def === 'def' ? 'time.sleep' : 'await asyncio.sleep'}(0.2)\n  return event["n"]\n`, { concurrency: 50 }), async (h) => {
      assert.equal(h.readyInfo.concurrency, '50');
      const at = Date.now();
      const calls = Array.from({ length: 50 }, (_, n) => h.invoke({ event: { n } }));
      await Promise.all(calls.map((c) => c.done));
      calls.forEach((c, n) => assert.equal(c.json, n));
      assert.ok(Date.now() - at < 2000, 'not one after the other');
    }));
}

test('1,000 async invocations run at a time', () =>
  withHost(python('import asyncio\nasync def handler(event, context):\n  await asyncio.sleep(0.05)\n  return event["n"]\n', { concurrency: 1000 }), async (h) => {
    const calls = Array.from({ length: 1000 }, (_, n) => h.invoke({ event: { n } }));
    await Promise.all(calls.map((c) => c.done));
    calls.forEach((c, n) => assert.equal(c.json, n));
  }));

everyWay(
  'logging goes to LOG frames with level and invocation, print to stdout',
  `import logging, sys
log = logging.getLogger("mine")
log.setLevel(logging.DEBUG)
DEF handler(event, context):
  log.debug("d"); log.info("i %d", 1); log.warning("w"); log.error("e")
  try: 1 / 0
  except ZeroDivisionError: log.exception("x")
  print("printed")
  print("to stderr", file=sys.stderr)
`,
  async (h) => {
    const c = await h.call({ event: {} });
    await h.until((x) => x.stdout.includes('printed') && x.stderr.includes('to stderr'));
    assert.deepEqual(h.logs.slice(0, 4).map((l) => [l.level, l.text]), [[1, 'd'], [2, 'i 1'], [3, 'w'], [4, 'e']]);
    assert.match(h.logs[4].text, /^x\nTraceback[\s\S]*ZeroDivisionError/);
    assert.ok(h.logs.every((l) => l.stream === c.stream));
  },
);

everyWay(
  'the context tells what Lambda tells, and env and secrets',
  `import os
DEF handler(event, context):
  c = context
  return dict(id=c.aws_request_id, name=c.function_name, version=c.function_version, memory=c.memory_limit_in_mb, arn=c.invoked_function_arn,
    left=c.get_remaining_time_in_millis(), color=os.environ["COLOR"], var=c.env.vars["COLOR"], secret=c.env.secrets.get("KEY"), names=c.env.secrets.list(), leaked=os.environ.get("KEY"))
`,
  async (h) => {
    const c = (await h.call({ event: {}, id: 'r-9', timeoutMs: 3000 })).json;
    assert.ok(c.left > 2000 && c.left <= 3000);
    delete c.left;
    assert.deepEqual(c, { id: 'r-9', name: 'fn', version: '7', memory: '256', arn: 'arn:hob:lambda:local:test:function:fn:7', color: 'blue', var: 'blue', secret: 'hush', names: ['KEY'], leaked: null });
  },
  { hello: [['env.COLOR', 'blue'], ['secret.KEY', 'hush']] },
);

everyWay('DRAIN and SIGTERM let the running invocation finish, say BYE and exit 0', `${IMPORTS}DEF handler(event, context):\n  SLEEP(0.15)\n  return "done"\n`, async (h) => {
  const c = h.invoke({ event: {} });
  await new Promise((r) => setTimeout(r, 50));
  const exit = await h.drain();
  assert.equal(c.json, 'done');
  assert.ok(c.isDone && h.isBye);
  assert.equal(exit.code, 0);
});
for (const [way, def, concurrency] of WAYS) {
  test(`SIGTERM ends an idle and a busy instance with BYE and exit 0 (${way})`, async () => {
    const source = python(`${IMPORTS}${def} handler(event, context):\n  ${def === 'def' ? 'time.sleep' : 'await asyncio.sleep'}(0.15)\n  return "done"\n`, { concurrency });
    await withHost(source, async (h) => {
      await h.call({ event: {} });
      h.child.kill('SIGTERM');
      assert.deepEqual(await h.exited, { code: 0, signal: null });
      assert.ok(h.isBye);
    });
    await withHost(source, async (h) => {
      const c = h.invoke({ event: {} });
      await new Promise((r) => setTimeout(r, 50));
      h.child.kill('SIGTERM');
      assert.deepEqual(await h.exited, { code: 0, signal: null });
      assert.equal(c.json, 'done');
      assert.ok(h.isBye);
    });
  });
}

everyWay('sys.exit ends the instance with its code', 'import sys\nDEF handler(event, context):\n  print("last words")\n  sys.exit(42)\n', async (h) => {
  h.invoke({ event: {} });
  assert.equal((await h.exited).code, 42);
  assert.match(h.stdout, /last words/);
});

test('frames of an invocation that is over are harmless, unknown optional ones are skipped', () =>
  withHost(python('def handler(event, context):\n  return 1\n'), async (h) => {
    const c = await h.call({ event: {} });
    h.send(Buffer.concat([frame(200, { payload: Buffer.from('new') }), frame(T.BODY, { stream: c.stream, flags: END, payload: Buffer.alloc(9) }), frame(T.CREDIT, { stream: c.stream, arg: 5 }), frame(T.CANCEL, { stream: c.stream })]));
    assert.equal((await h.call({ event: {} })).json, 1);
    h.send(frame(99));
    assert.equal((await h.exited).code, 1);
  }));

const works = (options, expected) => withHost({ runtime: 'python', ...options }, async (h) => assert.equal((await h.call({ event: {} })).json, expected));

test('handlers are found by handler string, by name, in packages and with modules beside them', async () => {
  await works({ entry: 'main.py', files: { 'main.py': 'def lambda_handler(e, c):\n  return "lh"\n' } }, 'lh');
  await works({ entry: 'main.py', handler: 'pkg/mod.run', files: { 'pkg/__init__.py': '', 'pkg/mod.py': 'def run(e, c):\n  return "pkg"\n' } }, 'pkg');
  await works({ entry: 'jobs/nightly.py', handler: 'main', files: { 'jobs/nightly.py': 'import side\ndef main(e, c):\n  return side.x\n', 'jobs/side.py': 'x = "side"\n' } }, 'side');
  await works({ entry: 'jobs/nightly.py', handler: 'nightly.main', files: { 'jobs/nightly.py': 'def main(e, c):\n  return "by entry"\n' } }, 'by entry');
  for (const folder of ['python_modules', 'vendor', 'site-packages']) {
    await works({ entry: 'main.py', files: { 'main.py': 'import dep\ndef handler(e, c):\n  return dep.x\n', [`${folder}/dep.py`]: `x = "${folder}"\n` } }, folder);
  }
  await works({ entry: 'json.py', files: { 'json.py': 'def handler(e, c):\n  return "named like the library"\n' } }, 'named like the library');
  await works({ entry: 'my-fn.py', files: { 'my-fn.py': 'class H:\n  def __call__(self, e, c):\n    return "callable"\nhandler = H()\n' } }, 'callable');
  await works({ entry: 'm.py', files: { 'm.py': 'import functools\nasync def h(e, c, x):\n  return x\nhandler = functools.partial(h, x="partial")\n' } }, 'partial');
  await works({ entry: 'm.py', files: { 'm.py': 'async def inner():\n  return "coroutine"\ndef handler(e, c):\n  return inner()\n' } }, 'coroutine');
});

test('code that cannot be loaded gives INIT_ERROR with type, message and stack, and exit 1', async () => {
  const error = async (source, options = {}) => {
    const e = await initError({ runtime: 'python', entry: 'main.py', ...options, files: { ...(source === null ? {} : { 'main.py': source }), ...options.files } });
    assert.equal(e.exit.code, 1);
    return e;
  };
  const thrown = await error('raise ValueError("at import")\n');
  assert.equal(thrown.errorType, 'ValueError');
  assert.match(thrown.stackTrace, /main\.py", line 1/);
  const syntax = await error('def handler(:\n');
  assert.equal(syntax.errorType, 'SyntaxError');
  assert.match(syntax.stackTrace, /def handler\(:/);
  assert.match((await error('a = 1\nb = 2\n')).errorMessage, /no handler\(event, context\).*names seen: a, b/);
  assert.equal((await error(null)).errorType, 'Runtime.ImportModuleError');
  assert.equal((await error('import nowhere\n')).errorType, 'ModuleNotFoundError');
  assert.match((await error('async def app(scope, receive, send): pass\n')).errorMessage, /ASGI or WSGI\), which is not supported yet/);
  assert.match((await error('x = 1\n', { handler: 'main.nope' })).errorMessage, /'main\.nope' is not defined; names seen: x/);
  assert.match((await error('x = 1\n', { handler: 'nope.x' })).errorMessage, /no module 'nope'/);
  assert.equal((await error('x = 1\n', { handler: 'sys.exit' })).errorType, 'Runtime.MalformedHandlerName');
  assert.match((await error('', { kind: 'http' })).errorMessage, /not supported yet/);
  assert.equal((await error('import sys\nsys.exit(5)\n')).errorType, 'SystemExit');
});
