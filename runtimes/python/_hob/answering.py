"""What all three servers share: frames that came, the event of an invocation, its answer under credit.

A server says where invocations are found (find), what INVOKE does (on_invoke) and how to wait for the channel to
bring more (wait); it may guard state shared by threads with `lock`."""

from . import channel, event
from .main import Context

generator = type(_ for _ in ())
_IGNORED = frozenset((channel.PONG, channel.RECONFIG, channel.UPGRADED))


class _NoLock:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


async def awaited(thing):
    return await thing


class Frames:
    lock = _NoLock()

    def __init__(self, wire):
        self.wire = wire
        wire.server = self
        self.is_draining = False

    # --- frames ---
    def dispatch(self, item):
        kind, flags, code, stream, arg, payload = item
        if kind == channel.INVOKE:
            self.on_invoke(item)
        elif kind == channel.BODY:
            self.on_body(self.find(stream), flags, payload)
        elif kind == channel.CREDIT:
            call = self.find(stream) if stream else self.wire
            if call is not None:
                call.credit += arg
        elif kind == channel.CANCEL:
            call = self.find(stream)
            if call is not None and not call.cancelled:
                call.cancelled = code or 2
                call.is_muted = True
                self.on_cancel(call)
        elif kind == channel.PING:
            self.wire.send(channel.frame(channel.PONG, arg=arg))
        elif kind == channel.REPLY:
            if self.wire.bindings is not None:
                self.wire.bindings.on_reply(flags, code, stream, payload)
        elif kind == channel.DRAIN:
            self.is_draining = True
        elif kind == channel.BYE:
            raise channel.Broken("hobd closed the channel")
        elif kind < channel.OPTIONAL_FIRST and kind not in _IGNORED:
            raise channel.Broken(f"a frame of unknown type {kind}")

    def on_body(self, call, flags, payload):
        if flags & channel.META:  # trailers: an event has no place for them
            payload = payload[4 + int.from_bytes(payload[:4], "little") :]
        if call is not None:
            call.size += len(payload)
            if call.size <= event.PAYLOAD_MAX:
                call.chunks.append(payload)
            call.is_whole = bool(flags & channel.END)
        owed = self.wire.renew(call, len(payload))
        if owed:
            self.wire.send(owed)

    def on_cancel(self, call):
        pass

    # --- the event ---
    def make_event(self, call):
        body = call.body()
        if call.kind == 2:
            import json

            return json.loads(body) if body else {}
        return event.http_event(call, body, Context.function_name)

    def event_of(self, call):
        """The event once the body is whole; None when the invocation is over already."""
        with self.lock:
            while not call.is_whole and not call.cancelled and call.size <= event.PAYLOAD_MAX:
                self.wait(call)
        if call.cancelled:
            return None
        if call.size > event.PAYLOAD_MAX:
            self.answer(call, self.too_large(call))
            return None
        return self.make_event(call)

    def too_large(self, call):
        if call.kind == 2:
            raise event.TooLarge(f"the event is over {event.PAYLOAD_MAX} bytes")
        problem = {"type": "about:blank", "title": "Content Too Large", "status": 413}
        problem["detail"] = f"the body is over {event.PAYLOAD_MAX} bytes: a handler takes no more"
        headers = {"content-type": "application/problem+json"}
        return {"statusCode": 413, "headers": headers, "body": event.to_json(problem).decode()}

    # --- the answer ---
    def room(self, call, n):
        """How much of n bytes may be sent now; the credit is taken."""
        n = min(n, call.credit, self.wire.credit, channel.FRAME_MAX)
        if n > 0:
            call.credit -= n
            self.wire.credit -= n
        return n

    def data(self, call, part, is_last):
        self.wire.send(channel.frame(channel.DATA, call.stream, channel.END if is_last else 0, payload=part))
        if is_last:
            call.is_muted = True

    def send_body(self, call, data, is_last):
        """DATA under credit, blocking; False when the invocation was cancelled."""
        at = 0
        with self.lock:
            while at < len(data) and not call.is_muted:
                n = self.room(call, len(data) - at)
                if n <= 0:
                    self.wait(call)
                    continue
                self.data(call, data[at : at + n], is_last and at + n == len(data))
                at += n
            if is_last and not data and not call.is_muted:
                self.data(call, b"", True)
        return not call.cancelled

    def send_head(self, call, status, fields):
        with self.lock:
            if not call.is_muted:
                self.wire.send(channel.head_frame(call.stream, 0, status, fields))

    def answer_at_once(self, call, status, fields, body):
        """HEAD with the whole body and DONE, when credit allows; False: it must go piece by piece."""
        with self.lock:
            if call.is_muted:
                return True
            n = len(body)
            if n > call.credit or n > self.wire.credit:
                return False
            self.wire.credit -= n
            call.is_muted = call.is_done = True
            head = channel.head_frame(call.stream, channel.END, status, fields, body)
            self.wire.send(head + channel.frame(channel.DONE, call.stream))
            return True

    def answer(self, call, result):
        status, fields, body = event.answer(call, result)
        if not self.answer_at_once(call, status, fields, body):
            self.send_head(call, status, fields)
            self.send_body(call, body, True)

    def answer_stream(self, call, items):
        is_open = False
        for item in items:
            if not is_open:
                status, fields, item = event.first_of_stream(item)
                self.send_head(call, status, fields)
                is_open = True
            if item is not None and not self.send_body(call, event.chunk(item), False):
                return
        if not is_open:
            self.send_head(call, 200, event.OCTETS)
        self.send_body(call, b"", True)

    def fail(self, call, error):
        from . import errors

        name = None
        if isinstance(error, event.TooLarge):
            name = "Function.ResponseSizeTooLarge"
        elif isinstance(error, event.BadAnswer):
            name = "Runtime.InvalidResponse"
        with self.lock:
            if not call.is_muted:
                call.is_muted = True
                errors.report(self.wire.send, channel.ERROR, call.stream, error, name)

    def done(self, call):
        with self.lock:
            if not call.is_done:
                call.is_done = True
                self.wire.send(channel.frame(channel.DONE, call.stream))
