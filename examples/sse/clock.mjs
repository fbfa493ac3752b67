// Server-sent events: numbers that go on where the browser's Last-Event-ID left off.
// ?every=MS (20 to 10000, default 1000), ?count=N (1 to 100000; without: until the client goes).

const encoder = new TextEncoder();
const sleep = (ms, signal) =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
  });

function number(text, fallback, low, high) {
  if (text === null || text === '') return fallback;
  const n = Number(text);
  if (!Number.isInteger(n) || n < low || n > high) throw new RangeError(`use a whole number from ${low} to ${high}, not '${text}'`);
  return n;
}

function events(id, every, count, signal) {
  let left = count;
  const first = `retry: 2000\n\n`;
  return new ReadableStream({
    start(controller) {
      controller.enqueue(encoder.encode(first));
    },
    async pull(controller) {
      if (left-- === 0) {
        controller.enqueue(encoder.encode('event: end\ndata: {}\n\n'));
        return controller.close();
      }
      if (left < count - 1) await sleep(every, signal);
      if (signal.aborted) return undefined;
      id += 1;
      const data = JSON.stringify({ number: id, time: new Date().toISOString() });
      controller.enqueue(encoder.encode(`id: ${id}\nevent: tick\ndata: ${data}\n\n`));
      return undefined;
    },
    cancel() {
      console.log(`the client left after event ${id}`);
    },
  });
}

export default {
  fetch(request) {
    const query = new URL(request.url).searchParams;
    let id, every, count;
    try {
      id = number(request.headers.get('last-event-id'), 0, 0, Number.MAX_SAFE_INTEGER - 1e6);
      every = number(query.get('every'), 1000, 20, 10000);
      count = number(query.get('count'), Infinity, 1, 100000);
    } catch (error) {
      const problem = { type: 'about:blank', title: 'Bad Request', status: 400, detail: error.message };
      return new Response(JSON.stringify(problem), { status: 400, headers: { 'content-type': 'application/problem+json' } });
    }
    return new Response(events(id, every, count, request.signal), {
      headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-store' },
    });
  },
};
