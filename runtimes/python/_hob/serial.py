"""One invocation at a time, in the main thread, without a thread switch.

While a handler runs nobody reads the channel; a timer interrupts it every 50 ms to answer PING and to see CANCEL,
which is raised inside the handler as Cancelled. The timer stops by itself when the instance is idle."""

import _signal
import sys

from . import channel, event, logs
from .main import Context

TICK_S = 0.05
_generator = type(_ for _ in ())


class Cancelled(BaseException):
    """Raised inside a handler whose client has gone or whose deadline has passed."""


class Server:
    def __init__(self, wire, handler):
        self.wire = wire
        self.handler = handler
        self.call = None
        self.is_in_handler = False
        self.is_reading = False
        self.is_ticking = False
        self.is_draining = False
        self.has_logging = False
        self.backlog = []

    # --- reading ---
    def dispatch(self, item):
        """Everything but INVOKE."""
        kind, flags, code, stream, arg, payload = item
        call = self.call
        is_mine = call is not None and call.stream == stream
        if kind == channel.BODY:
            if flags & channel.META:
                payload = payload[4 + int.from_bytes(payload[:4], "little") :]
            if is_mine:
                call.size += len(payload)
                if call.size <= event.PAYLOAD_MAX:
                    call.chunks.append(payload)
                call.is_whole = bool(flags & channel.END)
            owed = self.wire.renew(call if is_mine else None, len(payload))
            if owed:
                self.wire.send(owed)
        elif kind == channel.CREDIT:
            if stream == 0:
                self.wire.credit += arg
            elif is_mine:
                call.credit += arg
        elif kind == channel.CANCEL:
            if is_mine and not call.cancelled:
                call.cancelled = code or 2
                call.is_muted = True
        elif kind == channel.PING:
            self.wire.send(channel.frame(channel.PONG, arg=arg))
        elif kind == channel.DRAIN:
            self.is_draining = True
        elif kind == channel.BYE:
            raise channel.Broken("hobd closed the channel")
        elif kind < channel.OPTIONAL_FIRST and kind not in (channel.PONG, channel.REPLY, channel.RECONFIG, channel.UPGRADED):
            raise channel.Broken(f"a frame of unknown type {kind}")

    def read(self, wait):
        """Takes what came; an INVOKE waits in the backlog."""
        self.is_reading = True
        try:
            for item in self.wire.receive(wait):
                if item[0] == channel.INVOKE:
                    self.backlog.append(item)
                else:
                    self.dispatch(item)
        finally:
            self.is_reading = False

    def on_tick(self, signum, stack):
        if self.is_reading:
            return
        if self.call is None:
            self.is_ticking = False
            _signal.setitimer(_signal.ITIMER_REAL, 0)
            return
        self.read(False)
        if self.call.cancelled and self.is_in_handler:
            self.is_in_handler = False
            raise Cancelled()

    def on_term(self, signum, stack):
        self.is_draining = True
        if self.call is None:
            self.leave()

    def leave(self):
        sys.stdout.flush()
        self.wire.send(channel.frame(channel.BYE))
        sys.exit(0)

    # --- answering ---
    def send_body(self, call, data, is_last):
        """DATA under credit; False when the invocation was cancelled."""
        at = 0
        while at < len(data) or (is_last and not call.is_muted):
            if call.is_muted:
                return False
            n = min(len(data) - at, call.credit, self.wire.credit, channel.FRAME_MAX)
            if n <= 0 < len(data) - at:
                self.read(True)
                continue
            ends = is_last and at + n == len(data)
            call.credit -= n
            self.wire.credit -= n
            self.wire.send(channel.frame(channel.DATA, call.stream, channel.END if ends else 0, payload=data[at : at + n]))
            at += n
            if ends:
                call.is_muted = True
        return not call.cancelled

    def answer(self, call, result):
        if isinstance(result, _generator):
            return self.answer_stream(call, result)
        if hasattr(result, "__await__") or hasattr(result, "__anext__"):
            import asyncio  # a plain function that returned a coroutine

            if hasattr(result, "__anext__"):
                raise event.BadAnswer("a plain function returned an async generator: define the handler with 'async def'")
            result = asyncio.run(result)
        status, fields, body = event.answer(call, result)
        if call.cancelled:
            return None
        call.is_muted = True
        done = channel.frame(channel.DONE, call.stream)
        n = len(body)
        if n <= call.credit and n <= self.wire.credit:
            self.wire.credit -= n
            call.is_done = True
            return self.wire.send(channel.head_frame(call.stream, channel.END, status, fields, body) + done)
        call.is_muted = False
        self.wire.send(channel.head_frame(call.stream, 0, status, fields))
        return self.send_body(call, body, True)

    def answer_stream(self, call, items):
        is_open = False
        self.is_in_handler = True
        for item in items:
            self.is_in_handler = False
            if not is_open:
                status, fields, item = event.first_of_stream(item)
                self.wire.send(channel.head_frame(call.stream, 0, status, fields))
                is_open = True
            if item is not None and not self.send_body(call, event.chunk(item), False):
                return items.close()
            self.is_in_handler = True
        self.is_in_handler = False
        if not is_open:
            self.wire.send(channel.head_frame(call.stream, 0, 200, [(b"content-type", b"application/octet-stream")]))
        return self.send_body(call, b"", True)

    def make_event(self, call):
        body = call.body()
        if call.kind == 2:
            import json

            return json.loads(body) if body else {}
        return event.http_event(call, body, Context.function_name)

    def refuse_large(self, call):
        if call.kind == 2:
            raise event.TooLarge(f"the event is over {event.PAYLOAD_MAX} bytes")
        problem = {"type": "about:blank", "title": "Content Too Large", "status": 413}
        problem["detail"] = f"the body is over {event.PAYLOAD_MAX} bytes: a handler takes no more"
        headers = {"content-type": "application/problem+json"}
        self.answer(call, {"statusCode": 413, "headers": headers, "body": event.to_json(problem).decode()})

    def run(self, call):
        while not call.is_whole and not call.cancelled and call.size <= event.PAYLOAD_MAX:
            self.read(True)
        if call.cancelled:
            return
        if call.size > event.PAYLOAD_MAX:
            return self.refuse_large(call)
        if not self.has_logging:
            self.has_logging = logs.install_if_imported(self.wire.send, lambda: self.call.stream if self.call else 0)
        happening = self.make_event(call)
        self.is_in_handler = True
        result = self.handler(happening, Context(call))
        self.is_in_handler = False
        self.answer(call, result)

    def invoke(self, item):
        _, flags, _, stream, _, payload = item
        call = self.call = channel.Invocation(stream, flags, payload)
        if not self.is_ticking:
            self.is_ticking = True
            _signal.setitimer(_signal.ITIMER_REAL, TICK_S, TICK_S)
        try:
            self.run(call)
        except Cancelled:
            pass
        except channel.Broken:
            raise
        except Exception as error:
            self.is_in_handler = False
            if not call.is_muted and not call.is_done:
                from . import errors

                name = "Runtime.InvalidResponse" if isinstance(error, event.BadAnswer) else None
                name = "Function.ResponseSizeTooLarge" if isinstance(error, event.TooLarge) else name
                errors.report(self.wire.send, channel.ERROR, stream, error, name)
        self.is_in_handler = False
        if not call.is_done:
            self.wire.send(channel.frame(channel.DONE, stream))
        self.call = None

    def loop(self):
        while True:
            while self.backlog:
                self.invoke(self.backlog.pop(0))
            if self.is_draining:
                self.leave()
            self.read(True)


def serve(wire, handler, concurrency, early):
    server = Server(wire, handler)
    _signal.signal(_signal.SIGALRM, server.on_tick)
    _signal.signal(_signal.SIGTERM, server.on_term)
    for item in early:
        if item[0] == channel.INVOKE:
            server.backlog.append(item)
        else:
            server.dispatch(item)
    server.loop()
