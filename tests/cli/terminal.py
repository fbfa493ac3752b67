#!/usr/bin/env python3
"""terminal.py ROWS COLUMNS PROGRAM ARGS...: runs a program in a real terminal (a pty).

What the program writes goes to stdout as it is. Orders come as lines on stdin: `key TEXT` types, `size ROWS COLUMNS`
resizes, `signal NUMBER` sends one to the program. At its end stderr says `exit CODE` and whether the terminal is as it was.
"""
import fcntl
import os
import select
import struct
import sys
import termios


def resize(fd, rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def obey(line, master, pid):
    word, _, rest = line.partition(" ")
    if word == "key":
        os.write(master, rest.encode())
    elif word == "size":
        resize(master, *map(int, rest.split()))
    elif word == "signal":
        os.kill(pid, int(rest))


def take_orders(orders, master, pid):
    """Obeys the whole lines, returns the rest."""
    *lines, rest = orders.split(b"\n")
    for line in lines:
        obey(line.decode(), master, pid)
    return rest


def pass_on(master, pid):
    """Until the program has ended and all that it wrote was passed on; returns its status."""
    orders, sources, status = b"", [master, 0], None
    while True:
        ready, _, _ = select.select(sources, [], [], 0.02)
        if master in ready:
            os.write(1, os.read(master, 65536))
        elif status is not None:
            return status
        if 0 in ready:
            got = os.read(0, 4096)
            if not got:
                sources.remove(0)
            orders = take_orders(orders + got, master, pid)
        if status is None:
            ended, code = os.waitpid(pid, os.WNOHANG)
            status = code if ended == pid else None


def become(slave, command):
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in (0, 1, 2):
        os.dup2(slave, fd)
    os.execv(command[0], command)


def main():
    rows, columns, *command = sys.argv[1:]
    master, slave = os.openpty()  # ours stays open: the settings outlive the program
    resize(master, int(rows), int(columns))
    before = termios.tcgetattr(slave)
    pid = os.fork()
    if pid == 0:
        os.close(master)
        become(slave, command)
    status = pass_on(master, pid)
    is_same = termios.tcgetattr(slave) == before
    sys.stderr.write(f"exit {os.waitstatus_to_exitcode(status)}\nterminal {'as it was' if is_same else 'changed'}\n")


if __name__ == "__main__":
    main()
