"""The python adapter: speaks the channel (base/frame.h of the platform) on descriptor 3. Standard library only;
what costs time to import (json, logging, traceback, threading, asyncio) is imported when it is needed.

Its modules are kept compiled in one file (mk/bundle_python.py): reading that is cheaper than importing one of them. A
Python that is not the one it was made for imports them the usual way."""

import marshal
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import MAGIC_NUMBER


class _Bundle:
    def __init__(self, codes):
        self.codes = codes

    def find_spec(self, name, path=None, target=None):
        return ModuleSpec(name, self) if name in self.codes else None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        exec(marshal.loads(self.codes.pop(module.__name__)), module.__dict__)


def _open_bundle():
    try:
        with open(f"{__path__[0]}.bundle", "rb", 0) as file:
            data = file.read()
    except OSError:
        return
    if data[: len(MAGIC_NUMBER)] == MAGIC_NUMBER:
        sys.meta_path.insert(0, _Bundle(marshal.loads(memoryview(data)[len(MAGIC_NUMBER) :])))


_open_bundle()
