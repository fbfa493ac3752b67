"""Exceptions as ERROR and INIT_ERROR frames: class name, message, stack. Only imported when something failed."""

import traceback

from . import channel


def error_pairs(error, kind=None):
    lines = []
    tb = error.__traceback__
    while tb is not None and "/_hob/" in tb.tb_frame.f_code.co_filename:
        tb = tb.tb_next  # our own frames say nothing to the function's author
    try:
        lines = traceback.format_list(traceback.extract_tb(tb))
        if isinstance(error, SyntaxError) or error.__cause__ is not None:
            lines += traceback.format_exception(type(error), error, None)
    except Exception as wrong:  # a hostile __str__ or a source that changed
        lines = [f"(the stack cannot be shown: {wrong!r})"]
    try:
        message = str(error)
    except Exception:
        message = "an exception whose message cannot be shown"
    items = (("errorType", kind or type(error).__name__, 256), ("errorMessage", message, 32768))
    items += (("stackTrace", "".join(lines), 65536),)
    return channel.pairs([(n.encode(), v.encode("utf-8", "replace")[:limit]) for n, v, limit in items])


def report(send, kind, stream, error, name=None):
    send(channel.frame(kind, stream, payload=error_pairs(error, name)))
