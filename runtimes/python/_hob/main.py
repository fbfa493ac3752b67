"""HELLO -> load the code -> READY, then serve until DRAIN (serial.py, threads.py or aio.py) -> BYE, exit 0."""

import posix
import sys
import time

from . import channel

ASYNC_FLAGS = 0x80 | 0x200  # CO_COROUTINE, CO_ASYNC_GENERATOR
THREADS_MAX = 64


class Secrets:
    def __init__(self, values):
        self._values = values

    def get(self, name):
        if name not in self._values:
            raise KeyError(f"secret '{name}' is not among this function's secrets")
        return self._values[name]

    def list(self):
        return list(self._values)


class Env:
    """What the platform gives: env.secrets.get(name), env.vars."""

    def __init__(self, secrets, variables):
        self.secrets = Secrets(secrets)
        self.vars = variables


class Context:
    """One invocation's context; class attributes are the same for all of this instance."""

    client_context = None
    identity = None

    def __init__(self, call):
        self._call = call
        self.aws_request_id = call.request_id

    def get_remaining_time_in_millis(self):
        return max(0, self._call.deadline_ms - int(time.time() * 1000))

    @property
    def cancelled(self):
        return self._call.cancelled != 0


def _configure(payload):
    posix.chdir(posix.getcwd())  # started ahead: the code was mounted over the folder we are in
    hello, variables, secrets = {}, {}, {}
    for name, value in channel.read_pairs(payload, 0):
        name, value = name.decode(), value.decode("utf-8", "surrogateescape")
        if name.startswith("env."):
            variables[name[4:]] = value
        elif name.startswith("secret."):
            secrets[name[7:]] = value
        else:
            hello[name] = value
    if hello.get("secrets_in_env") == "1":
        variables_and_secrets = {**variables, **secrets}
    else:
        variables_and_secrets = variables
    if variables_and_secrets:
        import os

        os.environ.update(variables_and_secrets)
    version = hello.get("version", "$LATEST")
    Context.env = Env(secrets, variables)
    Context.function_name = hello.get("function", "")
    Context.function_version = version
    Context.memory_limit_in_mb = hello.get("memory_mb", "")
    Context.log_group_name = f"/hob/{hello.get('app', '')}/{Context.function_name}"
    Context.log_stream_name = hello.get("instance", "")
    Context.invoked_function_arn = f"arn:hob:lambda:local:{hello.get('app', '')}:function:{Context.function_name}:{version}"
    return hello


def _is_async(handler):
    for one in (handler, getattr(type(handler), "__call__", None), getattr(handler, "func", None)):
        code = getattr(one, "__code__", None)
        if code is not None and code.co_flags & ASYNC_FLAGS:
            return True
    return False


def _preload():
    from . import load, serial  # noqa: F401


def _start(wire):
    """Waits for HELLO; returns (handler, concurrency, server class's run)."""
    frames = []
    while not frames:
        frames = wire.receive()
        while frames and frames[0][0] == channel.PING:  # started ahead: there is time to load what HELLO will need
            _preload()
            from . import rehearsal

            rehearsal.play()
            wire.send(channel.frame(channel.PONG, arg=frames.pop(0)[4]))
    _preload()  # also here, so that the code cannot tell by its modules
    kind, _, _, _, _, payload = frames[0]
    if kind != channel.HELLO:
        raise channel.Broken(f"a frame of type {kind} before HELLO")
    hello = _configure(payload)
    if "bindings" in hello:
        from . import env

        env.install(Context, wire, hello["bindings"])
    if hello.get("protocol") != "1":
        raise channel.Broken(f"protocol {hello.get('protocol')} is not spoken here, only 1")
    sys.argv = [hello.get("entry", "")]
    try:
        from . import load

        handler = load.find(hello)
    except BaseException as error:
        from . import errors

        name = getattr(error, "kind", None) if isinstance(error, load.InitError) else None
        errors.report(wire.send, channel.INIT_ERROR, 0, error, name)
        sys.stdout.flush()
        sys.exit(1)
    concurrency = min(max(int(hello.get("concurrency", "1")), 1), 1000)
    if _is_async(handler):
        from . import aio as server
    elif concurrency > 1:
        from . import threads as server

        concurrency = min(concurrency, THREADS_MAX)
    else:
        from . import serial as server
    items = ((b"protocol", b"1"), (b"kind", b"lambda"), (b"concurrency", str(concurrency).encode()))
    wire.send(channel.frame(channel.READY, payload=channel.pairs(items)))
    return handler, concurrency, server, frames[1:]


def run():
    sys.stdout.reconfigure(line_buffering=True)
    sys.dont_write_bytecode = True  # /app is read-only
    try:
        wire = channel.Channel()
    except OSError as error:
        sys.exit(f"this is Hob's python runtime: it is started by hob-runner, with a channel on descriptor 3 ({error})")
    try:
        if sys.argv[1:] == ["--zygote"]:
            from . import zygote

            zygote.run(wire)  # returns in a fork
        handler, concurrency, server, early = _start(wire)
        server.serve(wire, handler, concurrency, early)
    except channel.Broken as broken:
        if "hobd closed" not in str(broken):
            print(f"channel: {broken}", file=sys.stderr)
        sys.exit(0 if "hobd closed" in str(broken) else 1)
