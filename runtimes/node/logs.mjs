// console.* becomes LOG frames with a level and the invocation they belong to.

import { format, inspect } from 'node:util';

export const LEVEL = { debug: 1, info: 2, warn: 3, error: 4 };

/** `send(level, text)`: the caller knows the current invocation. */
export function takeConsole(send) {
  let indent = '';
  const put = (level) => (...args) => {
    let text = format(...args);
    if (indent) text = indent + text.replaceAll('\n', '\n' + indent);
    send(level, text);
  };
  const { console } = globalThis;
  console.debug = put(LEVEL.debug);
  console.log = console.info = console.dirxml = put(LEVEL.info);
  console.warn = put(LEVEL.warn);
  console.error = put(LEVEL.error);
  console.dir = (value, options) => console.log(inspect(value, { customInspect: false, ...options }));
  console.trace = (...args) => {
    const trace = { name: 'Trace', message: format(...args) };
    Error.captureStackTrace(trace, console.trace);
    console.error(trace.stack);
  };
  console.assert = (condition, ...args) => {
    if (condition) return;
    if (typeof args[0] === 'string') args[0] = `Assertion failed: ${args[0]}`;
    else args.unshift('Assertion failed');
    console.warn(...args);
  };
  console.group = console.groupCollapsed = (...args) => {
    if (args.length) console.log(...args);
    indent += '  ';
  };
  console.groupEnd = () => {
    indent = indent.slice(2);
  };
}
