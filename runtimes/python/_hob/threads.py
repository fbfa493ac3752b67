"""Several plain handlers at a time: the main thread reads the channel, each invocation runs in a thread of its own.

A thread cannot be interrupted: after CANCEL its slot is given back when it ends, or after 800 ms, and it goes on in
the background (context.cancelled tells it)."""

import os
import signal
import sys
import threading

from . import answering, channel, logs
from .main import Context

LINGER_S = 0.8


class Server(answering.Frames):
    def __init__(self, wire, handler):
        super().__init__(wire)
        self.handler = handler
        self.lock = threading.Condition(threading.RLock())
        self.calls = {}
        self.idle = []
        self.mine = threading.local()
        self.has_logging = False

    def find(self, stream):
        return self.calls.get(stream)

    def wait(self, call):
        self.lock.wait()

    def on_cancel(self, call):
        timer = threading.Timer(LINGER_S, self.linger, (call,))
        timer.daemon = True
        timer.start()

    def linger(self, call):
        if not call.is_done:
            print("the handler went on after its invocation was cancelled; its slot is given back", file=sys.stderr)
            self.done(call)

    def send_log(self, data):
        with self.lock:
            self.wire.send(data)

    def ask(self, calls, call, op, args, data, shape):
        """A call of a binding, from inside a handler's thread."""
        with self.lock:
            stream = calls.send(call, op, args, data)
            while stream not in calls.replies and not call.cancelled:
                self.lock.wait()
            reply = calls.replies.pop(stream, None)
        if reply is None:
            raise InterruptedError("the invocation was cancelled")
        return shape(calls.read(reply))

    def on_invoke(self, item):
        _, flags, _, stream, _, payload = item
        call = self.calls[stream] = channel.Invocation(stream, flags, payload)
        if self.idle:
            worker = self.idle.pop()
            worker.call = call
            worker.go.release()
        else:
            worker = Worker(self, call)
            worker.start()

    def run(self, call):
        self.mine.call = call
        try:
            happening = self.event_of(call)
            if happening is None:
                return
            if not self.has_logging:
                self.has_logging = logs.install_if_imported(self.send_log, lambda: self.mine.call.stream)
            result = self.handler(happening, Context(call))
            if hasattr(result, "__await__"):
                import asyncio

                result = asyncio.run(answering.awaited(result))
            if isinstance(result, answering.generator):
                self.answer_stream(call, result)
                result.close()
            else:
                self.answer(call, result)
        except channel.Broken:
            pass  # the reader ends the process
        except SystemExit as end:  # of the whole process, as without threads
            sys.stdout.flush()
            os._exit(end.code if isinstance(end.code, int) else 0 if end.code is None else 1)
        except Exception as error:
            self.fail(call, error)

    def finish(self, call):
        self.done(call)
        with self.lock:
            del self.calls[call.stream]
            self.leave_if_done()

    def leave_if_done(self):
        if self.is_draining and not self.calls:
            self.wire.send(channel.frame(channel.BYE))
            self.wire.sock.shutdown(0)  # wakes the reader, which ends the process

    def loop(self, early):
        frames = early
        try:
            while True:
                with self.lock:
                    for item in frames:
                        self.dispatch(item)
                    self.leave_if_done()
                    self.lock.notify_all()
                frames = self.wire.receive()
        except channel.Broken:
            if not self.is_draining:
                raise
        sys.stdout.flush()


class Worker(threading.Thread):
    """Runs one invocation after the other; between them it lies among the server's idle ones."""

    def __init__(self, server, call):
        super().__init__(daemon=True)
        self.server = server
        self.call = call
        self.go = threading.Semaphore(0)

    def run(self):
        while True:
            call = self.call
            try:
                self.server.run(call)
            finally:
                with self.server.lock:
                    self.server.idle.append(self)
                    try:
                        self.server.finish(call)
                    except channel.Broken:
                        return
            self.go.acquire()


def serve(wire, handler, concurrency, early):
    server = Server(wire, handler)

    def on_term(signum, stack):
        server.is_draining = True
        threading.Thread(target=lambda: server.lock.acquire() and (server.leave_if_done(), server.lock.release())).start()

    signal.signal(signal.SIGTERM, on_term)
    server.loop(early)
