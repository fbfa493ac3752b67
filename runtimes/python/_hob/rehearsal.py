"""For a process that was started ahead: what HELLO and the first invocation will need is loaded and gone through once, so
that its code and its memory are there. Nothing of it stays to be seen but json."""

import gc
import json  # noqa: F401  most functions do, and it takes as long as all of us
import sys

from . import channel, load, serial
from .main import Context

_folder = sys.modules["_hob"].__path__[0]
_META = bytes((1, 1, 3, 0, 1)) + bytes(15) + (0).to_bytes(20, "little") + b"GET/"


class _Wire:
    """A channel on which one invocation comes, and what is said goes nowhere."""

    credit = channel.CONNECTION_WINDOW

    def __init__(self):
        invoke = len(_META).to_bytes(4, "little") + _META
        self.frames = [(channel.INVOKE, channel.END, 0, 1, 10000, invoke)]

    def receive(self, wait=True):
        if not self.frames:
            raise channel.Broken("the rehearsal is over")
        return [self.frames.pop()]

    def send(self, data):
        pass


def _answer(event, context):
    return {"statusCode": 200, "headers": {"content-type": "text/plain"}, "body": event["rawPath"]}


def _import_something():
    """A module is found, compiled and run, as the function's will be, and forgotten."""
    name = "_hob_rehearsal"
    path = f"{_folder}/sample.py"
    load._load(name, path)
    del sys.modules[name]
    with open(path, "rb") as file:  # that one is kept compiled
        compile(file.read(), path, "exec")


def play():
    channel.pairs(((b"protocol", b"1"),))
    _import_something()
    server = serial.Server(_Wire(), _answer)
    server.is_ticking = True  # no timer
    Context.function_name = ""
    try:
        server.loop([])
    except channel.Broken:
        pass
    del sys.modules[__name__]
    gc.freeze()
