// The socket on descriptor 3 as libuv's own pipe handle: node:net and the streams below it take 2 ms of a start to load,
// and most functions never need them. The door to it, process.binding, is one that Node may close: without it the same
// is done by node:net.

import * as net from 'node:net'; // lazy

/** One of Node's inner modules with all of these names, or null: there is no such door, or another room behind it. Node's
 *  warning about the door is for those who write functions, not for those who run them. */
export function inner(name, ...names) {
  const warns = Object.getOwnPropertyDescriptor(process, 'noDeprecation');
  process.noDeprecation = true;
  try {
    const found = process.binding(name);
    return names.every((n) => found[n] !== undefined) ? found : null;
  } catch {
    return null;
  } finally {
    if (warns) Object.defineProperty(process, 'noDeprecation', warns);
    else delete process.noDeprecation;
  }
}

function openHandle(wrap, { Pipe, constants }, fd, buffer, onBytes, onEnd) {
  const handle = new Pipe(constants.SOCKET);
  handle.open(fd);
  handle.onread = () => {
    const n = wrap.streamBaseState[wrap.kReadBytesOrError];
    if (n > 0) onBytes(n);
    else if (n < 0) onEnd(); // the end, or an error
  };
  handle.useUserBuffer(buffer);
  handle.readStart();
  return (bytes, onWritten) => {
    const request = new wrap.WriteWrap();
    request.bytes = bytes; // kept alive until then
    request.oncomplete = onWritten;
    if (handle.writeBuffer(request, bytes) !== 0) onWritten(-1);
    else if (!wrap.streamBaseState[wrap.kLastWriteWasAsync]) onWritten(0);
  };
}

function openSocket(fd, buffer, onBytes, onEnd) {
  const callback = (n) => {
    onBytes(n);
    return true; // go on reading
  };
  const socket = new net.Socket({ fd, onread: { buffer, callback } });
  socket.on('error', onEnd).on('end', onEnd);
  return (bytes, onWritten) => socket.write(bytes, (error) => onWritten(error ? -1 : 0));
}

/** Reads into `buffer`: onBytes(n) says how many are there, onEnd() that none will come. Returns write(bytes,
 *  onWritten(status)): in order, status < 0 when nobody reads any more. */
export function openPipe(fd, buffer, onBytes, onEnd) {
  const wrap = inner('stream_wrap', 'WriteWrap', 'streamBaseState', 'kReadBytesOrError', 'kLastWriteWasAsync');
  const pipes = inner('pipe_wrap', 'Pipe', 'constants');
  if (wrap === null || pipes === null) return openSocket(fd, buffer, onBytes, onEnd);
  return openHandle(wrap, pipes, fd, buffer, onBytes, onEnd);
}
