// The php runtime, the smallest: a runtime is only a folder.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { ROOT, T, END, frame, initError, withHost } from './host.mjs';

const MiB = 1 << 20;
const php = (body, options = {}) => ({ runtime: 'php', entry: 'index.php', ...options, files: { 'index.php': `<?php\nreturn function (array $event, object $context) {\n${body}\n};\n` } });

test('the adapter has fewer than 150 lines in all', () => {
  const text = readFileSync(path.join(ROOT, 'runtimes/php/adapter.php'), 'utf8');
  assert.ok(text.split('\n').length <= 150);
});

test('the event has payload format 2.0', () =>
  withHost(php('return $event;'), async (h) => {
    const headers = [['host', 'fn.example:7070'], ['user-agent', 'probe/1'], ['x-a', '1'], ['x-a', '2'], ['cookie', 'a=1; b=2'], ['content-type', 'application/json']];
    const c = await h.call({ method: 'POST', target: '/pa2%Fth/%C3%A9%2Fx?q=a+b&q=c&e=%26', headers, body: '{"x":"é"}', id: 'id-1', extras: [['remote', '192.0.2.7:99'], ['param.id', '42']] });
    const e = c.json;
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

test('answers: object with statusCode, cookies, base64, bare values, events, HEAD', () =>
  withHost(
    php(`switch ($event['rawPath'] ?? '') {
      case '/full': return ['statusCode' => '201', 'headers' => ['X-A' => 5], 'cookies' => ['a=1', 'b=2'], 'body' => 'hé'];
      case '/b64': return ['statusCode' => 200, 'body' => 'AP8=', 'isBase64Encoded' => true];
      case '/string': return 'plain';
      case '/null': return null;
      case '/204': return ['statusCode' => 204, 'body' => 'x'];
      case '/bad': return ['statusCode' => 99];
    } return $event + ['left' => ($context->getRemainingTimeInMillis)() > 1000, 'id' => $context->awsRequestId, 'env' => getenv('COLOR')];`, { hello: [['env.COLOR', 'blue']] }),
    async (h) => {
      const full = await h.call({ target: '/full' });
      assert.deepEqual([full.status, full.text, full.header('x-a'), full.all('set-cookie'), full.header('content-type')], [201, 'hé', '5', ['a=1', 'b=2'], 'application/json']);
      assert.deepEqual([...(await h.call({ target: '/b64' })).body], [0, 255]);
      assert.equal((await h.call({ target: '/string' })).text, 'plain');
      assert.equal((await h.call({ target: '/null' })).text, 'null');
      assert.equal((await h.call({ target: '/204' })).text, '');
      assert.equal((await h.call({ target: '/bad' })).error.errorType, 'RangeException');
      assert.deepEqual((await h.call({ event: { a: 'é' } })).json, { a: 'é', left: true, id: h.next - 2 && `req-${h.next - 2}`, env: 'blue' });
      const head = await h.call({ method: 'HEAD', target: '/string' });
      assert.deepEqual([head.text, head.header('content-length')], ['', '5']);
    },
  ));

test('6 MiB both ways byte-exact, crumbs of credit, single bytes, 413 beyond', async () => {
  const echo = php(`return ['statusCode' => 200, 'body' => $event['body'] ?? '', 'isBase64Encoded' => $event['isBase64Encoded']];`);
  await withHost({ ...echo, renewBytes: 5000, piece: 7777 }, async (h) => {
    const body = crypto.randomBytes(6 * MiB);
    assert.ok((await h.call({ method: 'POST', body })).body.equals(body));
    assert.equal((await h.call({ method: 'POST', body: Buffer.concat([body, body.subarray(0, 1)]) })).status, 413);
    assert.equal((await h.call({ method: 'POST', body: 'after' })).text, 'after');
  });
  await withHost({ ...echo, split: 1 }, async (h) => assert.equal((await h.call({ method: 'POST', body: 'single bytes' })).text, 'single bytes'));
});

test('errors, PING, CANCEL while it waits for credit, DRAIN', () =>
  withHost(php(`if (isset($event['n'])) return str_repeat('x', $event['n']); throw new LogicException('boom');`), async (h) => {
    const c = await h.call({});
    assert.deepEqual([c.error.errorType, c.error.errorMessage], ['LogicException', 'boom']);
    assert.match(c.error.stackTrace, /index\.php:3/);
    h.send(frame(T.PING, { arg: 5 }));
    await h.until(() => h.pongs.includes(5));
    const big = h.invoke({ event: { n: 200000 }, noCredit: true });
    await big.until((x) => x.body.length === 65536);
    big.cancel(2);
    await big.done;
    assert.ok(big.isDone);
    const exit = await h.drain();
    assert.ok(h.isBye && exit.code === 0);
  }));

test('code that cannot be loaded gives INIT_ERROR and exit 1', async () => {
  for (const [source, type, text] of [['<?php throw new DomainException("at load");', 'DomainException', /at load/], ['<?php $x = 1;', 'RuntimeException', /must return a callable/], ['<?php function {', 'ParseError', /syntax error/]]) {
    const e = await initError({ runtime: 'php', entry: 'i.php', files: { 'i.php': source } });
    assert.deepEqual([e.errorType, e.exit.code], [type, 1]);
    assert.match(e.errorMessage, text);
  }
});
