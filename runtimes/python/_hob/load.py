"""Finds the handler in the code."""

import _frozen_importlib
import posix
import sys
from _frozen_importlib_external import spec_from_file_location


def _is(path, kind):
    """Whether it is a folder (0o040000) or a file (0o100000)."""
    try:
        return posix.stat(path).st_mode & 0o170000 == kind
    except (OSError, ValueError):
        return False


def _is_file(path):
    return _is(path, 0o100000)


def _stem(path):
    """Its last name, without the last suffix."""
    name = path.rpartition("/")[2]
    return name.rpartition(".")[0] or name if name[:1] != "." else name


class InitError(Exception):
    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind


def _import(name):
    try:
        __import__(name)
    except ModuleNotFoundError as error:
        if error.name == name or name.startswith(f"{error.name}."):
            raise InitError("Runtime.ImportModuleError", f"there is no module '{name}' in the code") from None
        raise
    return sys.modules[name]


def _load(name, path):
    """As import would, but the file is known: nobody looks through the folders of sys.path."""
    try:
        return _frozen_importlib._load(spec_from_file_location(name, path))
    except ModuleNotFoundError as error:
        if error.name == name:
            raise InitError("Runtime.ImportModuleError", f"there is no module '{name}' in the code") from None
        raise


def _import_file(path):
    name = _stem(path)
    folder = f"{posix.getcwd()}/{path}".rpartition("/")[0]
    if "/." in folder or "//" in folder or path.startswith("/"):
        import os

        folder = os.path.dirname(os.path.abspath(path))
    if name.isidentifier() and name not in sys.builtin_module_names:
        if folder not in sys.path:
            sys.path.insert(0, folder)
        if name not in sys.modules:
            return _load(name, f"{folder}/{path.rpartition('/')[2]}")
    import importlib.util  # a name that import cannot say, or one that the standard library has taken

    spec = importlib.util.spec_from_file_location(f"hob_entry_{name}" if name in sys.modules else name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _seen(module):
    names = [n for n in vars(module) if not n.startswith("_")]
    return f"names seen: {', '.join(names[:30])}" if names else "it defines nothing"


def _by_handler(handler, entry):
    module_name, dot, attribute = handler.rpartition(".")
    if not dot:
        module = _import_file(entry)
        attribute = handler
    else:
        module_name = module_name.replace("/", ".").lstrip(".")
        if module_name in sys.builtin_module_names:
            raise InitError("Runtime.MalformedHandlerName", f"handler '{handler}': '{module_name}' is a built-in module")
        stem = _stem(entry) if entry else ""
        if stem == module_name and not _is_file(f"{module_name.replace('.', '/')}.py"):
            module = _import_file(entry)
        else:
            module = _import(module_name)
    found = getattr(module, attribute, None)
    if found is None:
        raise InitError("Runtime.HandlerNotFound", f"handler '{handler}' is not defined; {_seen(module)}")
    if not callable(found):
        raise InitError("Runtime.HandlerNotFound", f"handler '{handler}' is not callable")
    return found


def find(hello):
    """Returns the handler; raises InitError or what the code raised."""
    root = posix.getcwd()
    entry = hello.get("entry", "")
    stem = _stem(entry)
    if stem in getattr(sys, "stdlib_module_names", ()):
        __import__(stem)  # a json.py must not stand in the way of everybody's json
    for folder in ("", "python_modules", "vendor", "site-packages"):
        path = f"{root}/{folder}" if folder else root
        if not folder or _is(path, 0o040000):
            sys.path.insert(1 if folder else 0, path)
    sys.path.append("/usr/lib/python3/dist-packages")  # Debian's packages, such as Pillow, behind everything else
    kind = hello.get("kind", "")
    if kind not in ("", "auto", "lambda"):
        raise InitError("Runtime.KindUnsupported", f"kind '{kind}' is not supported yet by the python runtime: define handler(event, context)")
    if hello.get("handler"):
        return _by_handler(hello["handler"], entry)
    if not _is_file(entry):
        raise InitError("Runtime.ImportModuleError", f"the entry '{entry}' is not a file of the code")
    module = _import_file(entry)
    for name in ("handler", "lambda_handler"):
        if callable(getattr(module, name, None)):
            return getattr(module, name)
    for name in ("app", "application"):
        if callable(getattr(module, name, None)):
            raise InitError(
                "Runtime.KindUnsupported",
                f"{entry} has '{name}' (ASGI or WSGI), which is not supported yet: define handler(event, context)",
            )
    raise InitError("Runtime.HandlerNotFound", f"{entry} has no handler(event, context) or lambda_handler; {_seen(module)}")
