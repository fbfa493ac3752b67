// A JSON API with routes: GET and POST /notes, GET, PUT and DELETE /notes/:id. The notes live in this instance's memory
// until it is stopped: an example of routing and validation, not of storage.

const BODY_MAX = 64 * 1024;
const notes = new Map();
let lastId = 0;

class Problem extends Error {
  constructor(status, title, detail, headers = {}) {
    super(detail);
    Object.assign(this, { status, title, headers });
  }
}

function json(value, status = 200, headers = {}) {
  return Response.json(value, { status, headers: { 'cache-control': 'no-store', ...headers } });
}

async function readNote(request) {
  const type = request.headers.get('content-type') ?? '';
  if (!/^application\/([a-z.+-]+\+)?json\b/i.test(type)) {
    throw new Problem(415, 'Unsupported Media Type', `send application/json, not '${type}'`);
  }
  const length = Number(request.headers.get('content-length') ?? 0);
  if (length > BODY_MAX) throw new Problem(413, 'Content Too Large', `a note may have ${BODY_MAX} bytes, not ${length}`);
  const text = await request.text();
  if (text.length > BODY_MAX) throw new Problem(413, 'Content Too Large', `a note may have ${BODY_MAX} bytes`);
  let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Problem(400, 'Bad Request', `the body is not JSON: ${error.message}`);
  }
  return judge(value);
}

function judge(value) {
  const errors = [];
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Problem(422, 'Unprocessable Content', 'a note is an object: {"title": "…", "text": "…", "tags": ["…"]}');
  }
  const { title, text = '', tags = [], ...others } = value;
  if (typeof title !== 'string' || title.trim() === '' || title.length > 200) errors.push('title: 1 to 200 characters');
  if (typeof text !== 'string' || text.length > 20000) errors.push('text: up to 20000 characters');
  if (!Array.isArray(tags) || tags.length > 20 || tags.some((t) => typeof t !== 'string' || !/^[a-z0-9-]{1,30}$/.test(t))) {
    errors.push('tags: up to 20 of a-z, 0-9 and -');
  }
  for (const name of Object.keys(others)) errors.push(`${name}: no such field`);
  if (errors.length) throw new Problem(422, 'Unprocessable Content', errors.join('; '));
  return { title: title.trim(), text, tags };
}

function find(id) {
  const note = notes.get(id);
  if (!note) throw new Problem(404, 'Not Found', `there is no note '${id}'`);
  return note;
}

function whole(query, name, fallback, high) {
  const text = query.get(name);
  if (text === null) return fallback;
  const n = Number(text);
  if (!Number.isInteger(n) || n < 0 || n > high) throw new Problem(400, 'Bad Request', `${name}: a whole number from 0 to ${high}`);
  return n;
}

const routes = [
  ['GET', /^\/notes$/, (request, url) => {
    const limit = whole(url.searchParams, 'limit', 50, 200);
    const skip = whole(url.searchParams, 'skip', 0, 1e9);
    const tag = url.searchParams.get('tag');
    const found = [...notes.values()].filter((n) => tag === null || n.tags.includes(tag));
    return json({ notes: found.slice(skip, skip + limit), total: found.length });
  }],
  ['POST', /^\/notes$/, async (request, url, _, env) => {
    const fields = await readNote(request);
    if (notes.size >= Number(env.vars.NOTES_MAX ?? 1000)) throw new Problem(507, 'Insufficient Storage', 'there are enough notes: delete one first');
    const note = { id: String(++lastId), ...fields, created_at: new Date().toISOString() };
    notes.set(note.id, note);
    return json(note, 201, { location: `/notes/${note.id}` });
  }],
  ['GET', /^\/notes\/([^/]+)$/, (request, url, [id]) => json(find(id))],
  ['PUT', /^\/notes\/([^/]+)$/, async (request, url, [id]) => {
    const old = find(id);
    const note = { ...old, ...(await readNote(request)), updated_at: new Date().toISOString() };
    notes.set(id, note);
    return json(note);
  }],
  ['DELETE', /^\/notes\/([^/]+)$/, (request, url, [id]) => {
    find(id);
    notes.delete(id);
    return new Response(null, { status: 204 });
  }],
];

async function route(request, env) {
  const url = new URL(request.url);
  const method = request.method === 'HEAD' ? 'GET' : request.method;
  const path = url.pathname.length > 1 ? url.pathname.replace(/\/$/, '') : url.pathname;
  const there = routes.filter(([, pattern]) => pattern.test(path));
  if (there.length === 0) throw new Problem(404, 'Not Found', `there is nothing at ${path}; notes are at /notes`);
  const found = there.find(([m]) => m === method);
  if (!found) {
    const allow = there.map(([m]) => m).join(', ');
    throw new Problem(405, 'Method Not Allowed', `${request.method} is not for ${path}: use ${allow}`, { allow });
  }
  const parts = found[1].exec(path).slice(1).map(decodeURIComponent);
  return found[2](request, url, parts, env);
}

export default {
  async fetch(request, env) {
    try {
      return await route(request, env);
    } catch (error) {
      if (error instanceof URIError) error = new Problem(400, 'Bad Request', 'the path has an escape that is no UTF-8');
      if (!(error instanceof Problem)) throw error;
      const { status, title, message: detail, headers } = error;
      return new Response(JSON.stringify({ type: 'about:blank', title, status, detail }), {
        status,
        headers: { 'content-type': 'application/problem+json', ...headers },
      });
    }
  },
};
