// The fetch contract: a Request comes in, a Response goes out.
export default {
  fetch(request) {
    const name = new URL(request.url).searchParams.get('name') ?? 'world';
    return new Response(`Hello, ${name}, from Node.js!\n`);
  },
};
