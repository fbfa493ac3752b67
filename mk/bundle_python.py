"""Writes the python adapter's modules as one file of code: importing them one by one costs 20 system calls and a check
of the source each.   python3 -OO -X no_debug_ranges mk/bundle_python.py FOLDER OUT

Without docstrings and column tables, which nobody sees of it. For one version of Python: its magic number stands first
(runtimes/python/_hob/__init__.py)."""

import importlib.util
import marshal
import os
import sys

folder, out = sys.argv[1:]
codes = {}
for name in sorted(os.listdir(folder)):
    stem, dot, suffix = name.rpartition(".")
    if suffix == "py" and stem != "__init__":
        with open(f"{folder}/{name}", "rb") as source:
            codes[f"_hob.{stem}"] = marshal.dumps(compile(source.read(), f"/hob/runtime/_hob/{name}", "exec", dont_inherit=True))
with open(f"{out}.new", "wb") as file:
    file.write(importlib.util.MAGIC_NUMBER + marshal.dumps(codes))
os.rename(f"{out}.new", out)
