// fetch handlers: fetch(request, env, ctx) -> Response.

import { Request, Response } from './web.mjs';

class ExecutionContext {
  #call;
  constructor(call) {
    this.#call = call;
  }
  waitUntil(promise) {
    this.#call.waitUntil(promise);
  }
  passThroughOnException() {}
  get requestId() {
    return this.#call.requestId;
  }
}

function send(call, response) {
  let wire;
  try {
    wire = Response.wire(response);
    if (wire === null) {
      const what = response === null ? 'null' : typeof response === 'object' ? response.constructor?.name ?? 'an object' : typeof response;
      throw new TypeError(`fetch must return a Response; it returned ${what}`);
    }
    const { status, flat, data } = wire;
    if (status < 200) throw new RangeError(`a Response with status ${status} cannot be sent`);
    if (data === null || typeof data === 'string' || data instanceof Uint8Array) return call.answer(status, flat, data);
  } catch (error) {
    return call.fail(error);
  }
  return call.answerStream(wire.status, wire.flat, wire.data);
}

/** `envOf`: gives each invocation an env of its own; null: all share `env`. */
export function serveFetch(handler, self, env, envOf = null) {
  return (call) => {
    let result;
    try {
      result = handler.call(self, Request.ofCall(call), envOf === null ? env : envOf(call), new ExecutionContext(call));
    } catch (error) {
      return call.fail(error);
    }
    if (typeof result?.then === 'function') {
      result.then(
        (response) => send(call, response),
        (error) => call.fail(error),
      );
      return undefined;
    }
    return send(call, result);
  };
}
