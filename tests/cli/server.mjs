// A small server that answers /v1 as docs/api.md says, keeps what it was sent, and can be told to fail.
import http from 'node:http';
import { gunzipSync } from 'node:zlib';

export const TOKEN = 'test-token-0123456789';

function problem(res, status, reason, detail, more = {}) {
  res.writeHead(status, { 'content-type': 'application/problem+json' });
  res.end(JSON.stringify({ type: 'about:blank', title: http.STATUS_CODES[status], status, detail, reason, request_id: 'req-1', ...more }));
}

function json(res, value, status = 200, headers = {}) {
  res.writeHead(status, { 'content-type': 'application/json', ...headers });
  res.end(JSON.stringify(value));
}

// Names and contents of a plain tar; enough for what the client packs.
export function untar(gz) {
  const tar = gunzipSync(gz);
  const files = {};
  let longName = null;
  for (let at = 0; at + 512 <= tar.length;) {
    const head = tar.subarray(at, at + 512);
    if (head.every((b) => b === 0)) break;
    const text = (from, n) => head.subarray(from, from + n).toString().replace(/\0.*$/s, '');
    const size = parseInt(text(124, 12), 8);
    const type = String.fromCharCode(head[156]);
    const body = tar.subarray(at + 512, at + 512 + size);
    const name = longName ?? (text(345, 155) ? `${text(345, 155)}/${text(0, 100)}` : text(0, 100));
    longName = null;
    if (type === 'x') longName = /\d+ path=([^\n]*)\n/.exec(body.toString())?.[1] ?? null;
    else files[name] = { body: Buffer.from(body), mode: parseInt(text(100, 8), 8), mtime: parseInt(text(136, 12), 8), uid: parseInt(text(108, 8), 8), type };
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return files;
}

const fn = (app, name, more = {}) => ({ app, name, runtime: 'node', version: 7, url: `/fn/${app}/${name}/`, created_at: '2026-11-20T05:22:00.123Z',
  state: 'warm', instances: 1, routes: [], ...more });

export async function startServer() {
  const s = { requests: [], logs: [], logConnections: 0, cutLogsAfter: null, secrets: {}, aliases: { prod: 7 }, env: { A: '1' }, token: TOKEN };
  const functions = [fn('shop', 'checkout'), fn('shop', 'price'), fn('blog', 'post')];

  const routes = [
    ['GET', /^\/v1\/version$/, (q, r) => json(r, { version: '0.1.0', api: 1 })],
    ['GET', /^\/v1\/limits$/, (q, r) => json(r, { limits: [{ name: 'a.limit', value: 5, unit: 'bytes', why: 'because', error: 'too_large' }] })],
    ['GET', /^\/v1\/doctor$/, (q, r) => json(r, { ok: true, checks: [{ status: 'ok', name: 'store', text: 'fine' }] })],
    ['GET', /^\/v1\/apps$/, (q, r) => json(r, { apps: [{ name: 'shop', functions: 2, created_at: '2026-11-20T05:22:00.123Z' }] })],
    ['DELETE', /^\/v1\/apps\/shop$/, (q, r) => json(r, {})],
    ['POST', /^\/v1\/apps\/([^/]+)\/deploy$/, (q, r, m) => {
      s.upload = untar(q.body);
      s.archive = q.body;
      json(r, { app: m[1], digest: 'd'.repeat(64), files: Object.keys(s.upload).length, bytes: 1234,
        functions: [{ name: 'hello', version: 3, is_new: true, url: `/fn/${m[1]}/hello/`,
          routes: [{ host: 'shop.example', path: '/orders/:id', methods: ['GET', 'POST'] }, { host: null, path: '/all', methods: [] }] },
          { name: 'other', version: 1, is_new: false, url: `/fn/${m[1]}/other/`, routes: [] }], removed: [] }, 201);
    }],
    ['GET', /^\/v1\/functions$/, (q, r) => json(r, { functions })],
    ['GET', /^\/v1\/apps\/([^/]+)\/functions$/, (q, r, m) => json(r, { functions: functions.filter((f) => f.app === m[1]) })],
    ['GET', /^\/v1\/apps\/shop\/functions\/checkout$/, (q, r) => json(r, { ...fn('shop', 'checkout'), config: { memory_mb: 128, timeout_ms: 10000 },
      env: { CURRENCY: 'EUR' }, secrets: ['PAY_KEY'], instances: [], aliases: [{ alias: 'prod', version: 7 }], crash: null })],
    ['DELETE', /^\/v1\/apps\/shop\/functions\/checkout$/, (q, r) => json(r, {})],
    ['GET', /^\/v1\/apps\/shop\/functions\/checkout\/versions$/, (q, r) => json(r, { versions: [
      { version: 7, digest: 'a'.repeat(64), created_at: '2026-11-20T05:22:00.123Z', is_live: true, aliases: ['prod', 'next'], why: 'deploy' },
      { version: 6, digest: 'b'.repeat(64), created_at: '2026-11-19T05:22:00.123Z', is_live: false, aliases: [], why: 'env' }] })],
    ['POST', /^\/v1\/apps\/shop\/functions\/checkout\/rollback$/, (q, r) => json(r, { version: JSON.parse(q.body).version ?? 6, previous: 7 })],
    ['GET', /^\/v1\/apps\/shop\/functions\/checkout\/aliases$/, (q, r) => json(r, { aliases: Object.entries(s.aliases).map(([alias, version]) => ({ alias, version })) })],
    ['PUT', /^\/v1\/apps\/shop\/functions\/checkout\/aliases\/([^/]+)$/, (q, r, m) => {
      s.aliases[m[1]] = JSON.parse(q.body).version;
      json(r, { alias: m[1], version: s.aliases[m[1]] });
    }],
    ['DELETE', /^\/v1\/apps\/shop\/functions\/checkout\/aliases\/([^/]+)$/, (q, r, m) => {
      delete s.aliases[m[1]];
      json(r, {});
    }],
    ['GET', /^\/v1\/apps\/shop\/functions\/checkout\/env$/, (q, r) => json(r, { env: s.env })],
    ['PATCH', /^\/v1\/apps\/shop\/functions\/checkout\/env$/, (q, r) => {
      const { set, unset } = JSON.parse(q.body);
      Object.assign(s.env, set);
      for (const name of unset) delete s.env[name];
      json(r, { env: s.env, version: 8 });
    }],
    ['GET', /^\/v1\/apps\/shop\/secrets$/, (q, r) => json(r, { secrets: Object.keys(s.secrets).map((name) => ({ name, updated_at: '2026-11-20T05:22:00.123Z' })) })],
    ['PUT', /^\/v1\/apps\/shop\/secrets\/([^/]+)$/, (q, r, m) => {
      s.secrets[m[1]] = JSON.parse(q.body).value;
      json(r, { name: m[1], updated_at: '2026-11-20T05:22:00.123Z' });
    }],
    ['DELETE', /^\/v1\/apps\/shop\/secrets\/([^/]+)$/, (q, r, m) => {
      delete s.secrets[m[1]];
      json(r, {});
    }],
    ['GET', /^\/v1\/apps\/shop\/functions\/checkout\/logs$/, (q, r) => {
      s.logConnections++;
      r.writeHead(200, { 'content-type': 'application/x-ndjson' });
      r.flushHeaders();
      const lines = typeof s.logs === 'function' ? s.logs(q, s.logConnections) : s.logs;
      for (const l of lines) r.write(JSON.stringify(l) + '\n');
      if (q.url.searchParams.get('follow') !== '1') r.end();
      else if (s.cutLogsAfter && s.logConnections <= s.cutLogsAfter) setTimeout(() => r.destroy(), 100);
    }],
    ['POST', /^\/v1\/apps\/shop\/functions\/checkout\/invoke$/, (q, r) => {
      if (q.body.toString() === '"fail"')
        return problem(r, 502, 'function_failed', 'the function failed', { error: { type: 'TypeError', message: 'x is \u001b[31mnot', stack: 'at a.mjs:1' } });
      r.writeHead(200, { 'content-type': 'application/json', 'server-timing': 'queue;dur=0.2, start;dur=11, init;dur=30.5, run;dur=2.25', 'x-hob-version': '7' });
      r.end(q.body.length ? q.body : 'null');
    }],
    ['GET', /^\/v1\/instances$/, (q, r) => json(r, { instances: [{ id: '17', app: 'shop', function: 'checkout', version: 7, state: 'busy', in_flight: 1,
      age_ms: 61000, idle_ms: 0, invocations: 12 }] })],
    ['POST', /^\/v1\/backup$/, (q, r) => {
      r.writeHead(200, { 'content-type': 'application/vnd.sqlite3' });
      r.end(s.backup ?? Buffer.concat([Buffer.from('SQLite format 3\0'), Buffer.alloc(5000, 7)]));
    }],
  ];

  const server = http.createServer((req, res) => {
    const chunks = [];
    req.on('data', (c) => chunks.push(c));
    req.on('end', () => {
      const url = new URL(req.url, 'http://x');
      const q = { method: req.method, url, path: url.pathname, headers: req.headers, body: Buffer.concat(chunks), socket: req.socket };
      s.requests.push(q);
      if (s.answer) return s.answer(q, res);
      if (url.pathname.startsWith('/fn/')) {
        const status = Number(req.headers['x-status'] ?? 200);
        res.writeHead(status, { 'content-type': 'text/plain', 'x-said': 'yes', 'server-timing': 'run;dur=1' });
        return res.end(`${req.method} ${req.url} ${q.body}`);
      }
      if (url.pathname !== '/v1/version' && req.headers.authorization !== `Bearer ${s.token}`)
        return problem(res, 401, 'unauthorized', 'a token is needed');
      for (const [method, pattern, handle] of routes) {
        const m = pattern.exec(url.pathname);
        if (m && method === req.method) return handle(q, res, m.map((x) => decodeURIComponent(x)));
      }
      return problem(res, 404, 'not_found', `there is no '${url.pathname}' here`);
    });
  });
  server.keepAliveTimeout = 200;
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  s.url = `http://127.0.0.1:${server.address().port}`;
  s.last = () => s.requests[s.requests.length - 1];
  s.close = () => new Promise((done) => {
    server.closeAllConnections();
    server.close(done);
  });
  return s;
}
