// The Lambda contract, CommonJS: an event comes in, an object with statusCode goes out.
exports.handler = async (event) => {
  const name = event.queryStringParameters?.name ?? event.name ?? 'world';
  return { statusCode: 200, headers: { 'content-type': 'text/plain; charset=utf-8' }, body: `Hello, ${name}, from a Lambda handler!\n` };
};
