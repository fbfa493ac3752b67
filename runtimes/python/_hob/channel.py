"""Frames over the stream socket on descriptor 3: parsing what comes, building what goes."""

import _socket
from struct import Struct

HELLO, CREDIT, PING, PONG, BYE = 1, 2, 3, 4, 5
INVOKE, BODY, CANCEL, DRAIN, REPLY, RECONFIG, UPGRADED = 16, 17, 18, 19, 20, 21, 22
READY, INIT_ERROR, HEAD, DATA, ERROR, DONE, CALL, LOG = 32, 33, 34, 35, 36, 37, 38, 39
OPTIONAL_FIRST = 128
END, META, TRUNCATED = 1, 2, 8
STREAM_WINDOW = 65536
CONNECTION_WINDOW = 1 << 20
FRAME_MAX = 65536
RECEIVE_MAX = 131072
_BIG = frozenset((HELLO, INVOKE, REPLY, RECONFIG))

_header = Struct("<IBBHII")
_u32 = Struct("<I")
_two = Struct("<II")
_head_meta = Struct("<IHHI")  # meta_n, status, reserved, count of pairs
_invoke = Struct("<BBHIQHHIIQI")
_DONTWAIT = _socket.MSG_DONTWAIT


class Broken(BaseException):
    """The peer broke the protocol, or has gone. Not an Exception: a handler must not catch it by chance."""


def frame(kind, stream=0, flags=0, code=0, arg=0, payload=b""):
    return _header.pack(len(payload), kind, flags, code, stream, arg) + payload


def pairs(items):
    out = [_u32.pack(len(items))]
    for name, value in items:
        out.append(_two.pack(len(name), len(value)))
        out.append(name)
        out.append(value)
    return b"".join(out)


def read_pairs(block, at):
    """A list of (name, value) as bytes."""
    (count,) = _u32.unpack_from(block, at)
    at += 4
    items = []
    for _ in range(count):
        n, v = _two.unpack_from(block, at)
        at += 8 + n
        items.append((block[at - n : at], block[at : at + v]))
        at += v
    return items


def head_frame(stream, flags, status, fields, data=b""):
    """HEAD: fields are (name, value) as bytes."""
    parts = [b""]
    n = 8
    for name, value in fields:
        parts.append(_two.pack(len(name), len(value)) + name + value)
        n += 8 + len(name) + len(value)
    parts[0] = _header.pack(4 + n + len(data), HEAD, flags | META, 0, stream, 0) + _head_meta.pack(n, status, 0, len(fields))
    parts.append(data)
    return b"".join(parts)


class Invocation:
    """What INVOKE said. `body` grows until `is_whole`."""

    __slots__ = (
        "stream", "meta", "kind", "method_n", "target_n", "deadline_ms", "id_n", "fields_n", "chunks", "size",
        "is_whole", "taken", "credit", "cancelled", "is_muted", "is_done", "task", "event", "linger",
    )  # fmt: skip

    def __init__(self, stream, flags, payload):
        (meta_n,) = _u32.unpack_from(payload, 0)
        self.stream = stream
        self.meta = payload[4 : 4 + meta_n]
        (self.kind, _, self.method_n, self.target_n, self.deadline_ms, self.id_n, _, self.fields_n, _, _, _) = (
            _invoke.unpack_from(self.meta, 0)
        )
        first = payload[4 + meta_n :]
        self.chunks = [first] if first else []
        self.size = len(first)
        self.is_whole = bool(flags & END)
        self.taken = 0
        self.credit = STREAM_WINDOW
        self.cancelled = 0
        self.is_muted = False  # the answer is over: END or ERROR sent, or cancelled
        self.is_done = False
        self.task = self.event = self.linger = None

    @property
    def method(self):
        return self.meta[40 : 40 + self.method_n].decode("latin-1")

    @property
    def target(self):
        at = 40 + self.method_n
        return self.meta[at : at + self.target_n].decode("latin-1")

    @property
    def request_id(self):
        at = 40 + self.method_n + self.target_n
        return self.meta[at : at + self.id_n].decode("latin-1")

    def fields(self):
        if not self.fields_n:
            return []
        return read_pairs(self.meta, 40 + self.method_n + self.target_n + self.id_n)

    def extras(self):
        at = 40 + self.method_n + self.target_n + self.id_n + self.fields_n
        return read_pairs(self.meta, at) if len(self.meta) > at else []

    def body(self):
        chunks, self.chunks = self.chunks, []
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


class Channel:
    def __init__(self):
        self.sock = _socket.socket(fileno=3)
        self.sock.setblocking(True)
        self.held = b""
        self.view = memoryview(bytearray(RECEIVE_MAX))
        self.credit = CONNECTION_WINDOW
        self.taken = 0
        self.bindings = self.server = None  # of a function that has some: env.py; the server that runs

    def receive(self, wait=True):
        """Frames that came, as (type, flags, code, stream, arg, payload); blocks when `wait`."""
        try:
            n = self.sock.recv_into(self.view, 0, 0 if wait else _DONTWAIT)
        except BlockingIOError:
            return []
        except OSError as error:
            raise Broken(f"reading: {error}") from None
        if not n:
            raise Broken("hobd closed the channel")
        data = self.held + self.view[:n] if self.held else bytes(self.view[:n])
        frames = []
        at = 0
        end = len(data)
        while end - at >= 16:
            n, kind, flags, code, stream, arg = _header.unpack_from(data, at)
            if n > (1 << 20 if kind in _BIG else FRAME_MAX):
                raise Broken(f"a frame of type {kind} with {n} bytes")
            if end - at - 16 < n:
                break
            frames.append((kind, flags, code, stream, arg, data[at + 16 : at + 16 + n]))
            at += 16 + n
        self.held = data[at:] if at < end else b""
        return frames

    def send(self, data):
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise Broken(f"writing: {error}") from None

    def renew(self, call, n):
        """Credit frames owed for n body bytes taken off the wire (call None: of an invocation that is over)."""
        out = b""
        self.taken += n
        if self.taken >= CONNECTION_WINDOW // 2:
            out = frame(CREDIT, arg=self.taken)
            self.taken = 0
        if call is not None and not call.is_whole:
            call.taken += n
            if call.taken >= STREAM_WINDOW // 2:
                out += frame(CREDIT, call.stream, arg=call.taken)
                call.taken = 0
        return out
