// Parse.Cloud.httpRequest, by the runtime's own fetch; the function needs "egress" in hob.json for it.

function withParams(url, params) {
  if (params === undefined) return url;
  const made = new URL(url);
  const pairs = typeof params === 'string' ? new URLSearchParams(params) : new URLSearchParams(Object.entries(params));
  for (const [name, value] of pairs) made.searchParams.append(name, value);
  return made.href;
}

function bodyOf(body, headers) {
  if (body === undefined || typeof body === 'string' || body instanceof Uint8Array) return body;
  const type = Object.entries(headers).find(([name]) => name.toLowerCase() === 'content-type')?.[1] ?? '';
  if (type.includes('x-www-form-urlencoded')) return new URLSearchParams(Object.entries(body)).toString();
  if (type === '') headers['Content-Type'] = 'application/json';
  return JSON.stringify(body);
}

/** {url, method, headers, params, body, followRedirects}; rejects with the answer when its status is 400 or more. */
export async function httpRequest({ url, method = 'GET', headers = {}, params, body, followRedirects = true, success, error }) {
  const sent = { ...headers };
  const data = bodyOf(body, sent);
  const answer = await fetch(withParams(url, params), { method, headers: sent, body: data, redirect: followRedirects ? 'follow' : 'manual' });
  const buffer = Buffer.from(await answer.arrayBuffer());
  const made = {
    status: answer.status,
    headers: Object.fromEntries(answer.headers.entries()),
    buffer,
    get text() {
      return buffer.toString();
    },
    get data() {
      try {
        return JSON.parse(buffer.toString());
      } catch {
        return undefined;
      }
    },
  };
  if (made.status < 200 || made.status >= 400) {
    error?.(made);
    throw made;
  }
  success?.(made);
  return made;
}
