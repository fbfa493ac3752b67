"""The logging module's records become LOG frames with level and invocation. Installed when logging is imported."""

import sys

from . import channel

DEBUG, INFO, WARN, ERROR = 1, 2, 3, 4


def log_frame(level, stream, text):
    data = text.encode("utf-8", "replace")
    flags = 0
    if len(data) > channel.FRAME_MAX:
        data = data[: channel.FRAME_MAX].decode("utf-8", "ignore").encode()
        flags = channel.TRUNCATED
    return channel.frame(channel.LOG, 0, flags, level, stream, data)


def install_if_imported(send, current_stream):
    """True once the handler sits on the root logger. `current_stream()` names the invocation that logs."""
    logging = sys.modules.get("logging")
    if logging is None or not hasattr(logging, "Handler"):
        return False

    class ChannelHandler(logging.Handler):
        def emit(self, record):
            try:
                level = DEBUG if record.levelno < 20 else INFO if record.levelno < 30 else WARN if record.levelno < 40 else ERROR
                send(log_frame(level, current_stream(), self.format(record)))
            except Exception:
                self.handleError(record)

    logging.getLogger().addHandler(ChannelHandler())
    return True
