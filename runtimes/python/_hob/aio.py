"""async handlers: one asyncio loop in the main thread reads the channel and runs every invocation as a task.

CANCEL cancels the task; one that does not end loses its slot after 800 ms."""

import asyncio
import contextvars
import os
import signal
import sys

from . import answering, channel, event, logs
from .main import Context

LINGER_S = 0.8


class Server(answering.Frames):
    def __init__(self, wire, handler):
        super().__init__(wire)
        self.handler = handler
        self.calls = {}
        self.current = contextvars.ContextVar("hob_invocation", default=0)
        self.has_logging = False
        self.loop = None
        self.over = None

    def find(self, stream):
        return self.calls.get(stream)

    async def ask(self, calls, call, op, args, data, shape):
        """A call of a binding: awaited."""
        stream = calls.send(call, op, args, data)
        calls.futures[stream] = future = self.loop.create_future()
        return shape(calls.read(await future))

    def on_invoke(self, item):
        _, flags, _, stream, _, payload = item
        call = self.calls[stream] = channel.Invocation(stream, flags, payload)
        call.event = asyncio.Event()  # set whenever something came for it
        call.task = self.loop.create_task(self.run(call))

    def on_cancel(self, call):
        call.task.cancel()
        call.linger = self.loop.call_later(LINGER_S, self.linger, call)

    def linger(self, call):
        print("the handler went on after its invocation was cancelled; its slot is given back", file=sys.stderr)
        self.finish(call)

    def on_readable(self):
        try:
            for item in self.wire.receive(False):
                self.dispatch(item)
                stream = item[3]
                for call in self.calls.values() if stream == 0 else (self.calls.get(stream),):
                    if call is not None:
                        call.event.set()
            self.leave_if_done()
        except channel.Broken as broken:
            if not self.over.done():
                self.over.set_exception(broken)

    async def more(self, call):
        call.event.clear()
        await call.event.wait()

    async def send_body_async(self, call, data, is_last):
        at = 0
        while at < len(data) and not call.is_muted:
            n = self.room(call, len(data) - at)
            if n <= 0:
                await self.more(call)
                continue
            self.data(call, data[at : at + n], is_last and at + n == len(data))
            at += n
        if is_last and not data and not call.is_muted:
            self.data(call, b"", True)
        return not call.cancelled

    async def stream_async(self, call, items):
        is_open = False
        async for item in items:
            if not is_open:
                status, fields, item = event.first_of_stream(item)
                self.send_head(call, status, fields)
                is_open = True
            if item is not None and not await self.send_body_async(call, event.chunk(item), False):
                return
        if not is_open:
            self.send_head(call, 200, event.OCTETS)
        await self.send_body_async(call, b"", True)

    async def serve_one(self, call):
        while not call.is_whole and call.size <= event.PAYLOAD_MAX:
            await self.more(call)
        if not self.has_logging:
            self.has_logging = logs.install_if_imported(self.wire.send, self.current.get)
        if call.size > event.PAYLOAD_MAX:
            result = self.too_large(call)
        else:
            result = self.handler(self.make_event(call), Context(call))
        if hasattr(result, "__anext__"):
            try:
                return await self.stream_async(call, result)
            finally:
                await result.aclose()
        if hasattr(result, "__await__"):
            result = await result
        status, fields, body = event.answer(call, result)
        if not self.answer_at_once(call, status, fields, body):
            self.send_head(call, status, fields)
            await self.send_body_async(call, body, True)

    async def run(self, call):
        self.current.set(call.stream)
        try:
            await self.serve_one(call)
        except asyncio.CancelledError:
            if not call.cancelled:
                self.fail(call, RuntimeError("the handler was cancelled by its own code"))
        except channel.Broken:
            pass
        except Exception as error:
            self.fail(call, error)
        except BaseException as end:  # SystemExit: the process is to end with its code
            if not self.over.done():
                self.over.set_exception(end)
        self.finish(call)

    def finish(self, call):
        if call.linger is not None:
            call.linger.cancel()
        if self.calls.pop(call.stream, None) is not None:
            self.done(call)
            self.leave_if_done()

    def leave_if_done(self):
        if self.is_draining and not self.calls and not self.over.done():
            sys.stdout.flush()
            self.wire.send(channel.frame(channel.BYE))
            self.over.set_result(None)

    def on_term(self):
        self.is_draining = True
        self.leave_if_done()

    async def main(self, early):
        self.loop = asyncio.get_running_loop()
        self.over = self.loop.create_future()
        self.loop.add_signal_handler(signal.SIGTERM, self.on_term)
        self.loop.add_reader(self.wire.sock.fileno(), self.on_readable)
        for item in early:
            self.dispatch(item)
        await self.over


def serve(wire, handler, concurrency, early):
    try:
        asyncio.run(Server(wire, handler).main(early))
    except SystemExit as end:
        sys.stdout.flush()
        os._exit(end.code if isinstance(end.code, int) else 0 if end.code is None else 1)
