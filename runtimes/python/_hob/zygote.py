"""For instances that share their version's sandbox: a process that has imported what most functions need and none of the
function's own, and forks when hob-launcher asks it to (sandbox/fork/forks.h of the platform). run() returns in a child,
which is then an instance like any other; the zygote itself stays in it until its channel ends."""

import _signal
import _socket
import gc
import posix
import select
import sys
from struct import Struct

from . import channel

FORK, ENTERED, ENDED = 1, 2, 3
STREAMS = 3
_message = Struct("<IiQ")
_descriptor = Struct("i")
DESCRIPTORS_MAX = 16
PR_SET_DUMPABLE = 4
# Nothing that looks at the environment or draws numbers while it is imported, and no OpenSSL, which reads a configuration
# that the function may name: what the function would see differently if it were imported by itself stays out.
COMMON = (
    "json", "re", "datetime", "base64", "random", "functools", "collections", "itertools", "operator", "math", "string",
    "copy", "enum", "dataclasses", "typing", "contextlib", "urllib.parse", "traceback", "linecache", "threading", "os",
)  # fmt: skip


def _load():
    for name in COMMON:
        __import__(name)
    from . import errors, load, rehearsal, serial, threads  # noqa: F401

    rehearsal.play()
    _be_private()
    gc.collect()
    gc.freeze()  # a collection in a child would write to every object's page
    pid = posix.fork()  # the first one takes longer
    if not pid:
        posix._exit(0)
    posix.waitpid(pid, 0)


def _be_private():
    """Neither this process nor a fork of it can be read or traced by others of its user, nor is it seen in /proc; what it
    executes can be again."""
    before = set(sys.modules)
    import ctypes

    if ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0):
        sys.exit("zygote: cannot be made private")
    for name in set(sys.modules) - before:
        del sys.modules[name]


class Zygote:
    def __init__(self, wire):
        self.wire = wire
        self.control = _socket.socket(fileno=posix.dup(0))
        self.wake, self.waker = _socket.socketpair()
        self.serials = {}

    def start(self):
        null = posix.open("/dev/null", posix.O_RDONLY)
        posix.dup2(null, 0)
        posix.close(null)
        for end in (self.wake, self.waker):
            end.setblocking(False)
        _signal.signal(_signal.SIGCHLD, lambda signum, stack: None)
        _signal.set_wakeup_fd(self.waker.fileno(), warn_on_full_buffer=False)

    def send(self, kind, status, serial):
        self.control.send(_message.pack(kind, status, serial))

    def bury(self):
        """Tells of every child that has ended."""
        try:
            self.wake.recv(4096)
        except BlockingIOError:
            pass
        while self.serials:
            pid, status = posix.waitpid(-1, posix.WNOHANG)
            if not pid:
                return
            self.send(ENDED, status, self.serials.pop(pid))

    def take(self):
        """The next request: its serial and descriptors. None when the launcher has gone."""
        flags = _socket.MSG_CMSG_CLOEXEC
        data, extra, _, _ = self.control.recvmsg(64, _socket.CMSG_SPACE(DESCRIPTORS_MAX * _descriptor.size), flags)
        if not data:
            return None
        _, _, serial = _message.unpack(data)
        fds = []
        for level, kind, block in extra:
            if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
                fds += (fd for (fd,) in _descriptor.iter_unpack(block))
        return serial, fds

    def fork(self, serial, fds):
        """True in the child, which has become the new instance."""
        try:
            pid = posix.fork()
        except OSError as error:
            print(f"zygote: cannot fork: {error}", file=sys.stderr)
            self.send(ENDED, 127 << 8, serial)
            pid = -1
        if not pid:
            return self.become(serial, fds)
        if pid > 0:
            self.serials[pid] = serial
        for fd in fds:
            posix.close(fd)
        return False

    def become(self, serial, fds):
        _signal.set_wakeup_fd(-1)
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        for door in fds[STREAMS:]:
            posix.write(door, b"0")
        posix.setsid()
        for fd, target in zip(fds, (3, 1, 2)):
            posix.dup2(fd, target)
        self.send(ENTERED, 0, serial)
        for end in (self.control, self.wake, self.waker):
            end.detach()
        posix.closerange(4, posix.sysconf("SC_OPEN_MAX"))
        self.serials.clear()
        return True

    def on_channel(self):
        for kind, _, _, _, arg, _ in self.wire.receive():
            if kind == channel.PING:
                self.wire.send(channel.frame(channel.PONG, arg=arg))

    def serve(self):
        """Returns in a child; ends the process when the channel or the control socket has."""
        poll = select.poll()
        control, wake, wire = self.control.fileno(), self.wake.fileno(), self.wire.sock.fileno()
        for fd in (control, wake, wire):
            poll.register(fd, select.POLLIN)
        while True:
            ready = [fd for fd, _ in poll.poll()]
            if wake in ready:
                self.bury()
            if wire in ready:
                self.on_channel()
            if control in ready:
                request = self.take()
                if request is None:
                    sys.exit(0)
                if self.fork(*request):
                    return


def run(wire):
    zygote = Zygote(wire)
    zygote.start()
    _load()
    zygote.serve()
    del sys.argv[1:]
    for name in ("rehearsal", "zygote"):
        sys.modules.pop(f"_hob.{name}", None)
