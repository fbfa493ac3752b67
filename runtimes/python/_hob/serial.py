"""One invocation at a time, in the main thread, without a thread switch.

While a handler runs nobody reads the channel; a timer interrupts it every 50 ms to answer PING and to see CANCEL,
which is raised inside the handler as Cancelled. The timer stops by itself when the instance is idle."""

import _signal
import sys

from . import answering, channel, logs
from .main import Context

TICK_S = 0.05


class Cancelled(BaseException):
    """Raised inside a handler whose client has gone or whose deadline has passed."""


class Server(answering.Frames):
    def __init__(self, wire, handler):
        super().__init__(wire)
        self.handler = handler
        self.call = None
        self.is_in_handler = False
        self.is_ticking = False
        self.has_logging = False
        self.backlog = []

    # --- reading ---
    def on_invoke(self, item):
        _, flags, _, stream, _, payload = item
        self.backlog.append(channel.Invocation(stream, flags, payload))

    def find(self, stream):
        call = self.call
        if call is not None and call.stream == stream:
            return call
        for call in self.backlog:  # its body may come in one read with its INVOKE
            if call.stream == stream:
                return call
        return None

    def read(self, wait):
        for item in self.wire.receive(wait):
            self.dispatch(item)

    def wait(self, call):
        self.read(True)

    def on_tick(self, signum, stack):
        if self.call is None:
            self.is_ticking = False
            _signal.setitimer(_signal.ITIMER_REAL, 0)
            return
        if not self.is_in_handler:
            return  # our own code is at work on the channel: it must not be interrupted half-way
        self.is_in_handler = False
        self.read(False)
        if self.call.cancelled:
            raise Cancelled()
        self.is_in_handler = True

    def send_log(self, data):
        was_in_handler, self.is_in_handler = self.is_in_handler, False
        self.wire.send(data)
        self.is_in_handler = was_in_handler

    def on_term(self, signum, stack):
        self.is_draining = True
        if self.call is None:
            self.leave()

    def ask(self, calls, call, op, args, data, shape):
        """A call of a binding, from inside the handler: nobody else reads meanwhile."""
        was_in_handler, self.is_in_handler = self.is_in_handler, False
        stream = calls.send(call, op, args, data)
        while stream not in calls.replies and not call.cancelled:
            self.read(True)
        if call.cancelled:
            raise Cancelled()
        self.is_in_handler = was_in_handler
        return shape(calls.read(calls.replies.pop(stream)))

    # --- one invocation ---
    def stream_items(self, items):
        """The generator's items, its code marked as the function's own."""
        while True:
            self.is_in_handler = True
            try:
                item = next(items)
            except StopIteration:
                return
            finally:
                self.is_in_handler = False
            yield item

    def run(self, call):
        happening = self.event_of(call)
        if happening is None:
            return
        if not self.has_logging:
            self.has_logging = logs.install_if_imported(self.send_log, lambda: self.call.stream if self.call else 0)
        self.is_in_handler = True
        result = self.handler(happening, Context(call))
        self.is_in_handler = False
        if hasattr(result, "__await__"):
            import asyncio  # a plain function that returned a coroutine

            self.is_in_handler = True
            result = asyncio.run(answering.awaited(result))
            self.is_in_handler = False
        if isinstance(result, answering.generator):
            self.answer_stream(call, self.stream_items(result))
            result.close()
        else:
            self.answer(call, result)

    def invoke(self, call):
        self.call = call
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
            self.fail(call, error)
        self.is_in_handler = False
        self.done(call)
        self.call = None

    def loop(self, early):
        for item in early:
            self.dispatch(item)
        while True:
            while self.backlog:
                self.invoke(self.backlog.pop(0))
            if self.is_draining:
                self.leave()
            self.read(True)

    def leave(self):
        sys.stdout.flush()
        self.wire.send(channel.frame(channel.BYE))
        sys.exit(0)


def serve(wire, handler, concurrency, early):
    server = Server(wire, handler)
    _signal.signal(_signal.SIGALRM, server.on_tick)
    _signal.signal(_signal.SIGTERM, server.on_term)
    try:
        server.loop(early)
    finally:
        _signal.setitimer(_signal.ITIMER_REAL, 0)  # Python's end takes the handler away, and SIGALRM would kill
