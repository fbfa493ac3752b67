"""The corpus: ordinary work of Python programs. Any failure is an exception."""
import asyncio, ctypes, errno, fcntl, glob, mmap, multiprocessing, os, resource, sched, select, shutil, signal, socket, sqlite3, stat, subprocess
import sys, tempfile, threading, time


def files(d):
    p = lambda name: os.path.join(d, name)
    with open(p("a"), "w") as f:
        f.write("hello")
        f.flush()
        os.fsync(f.fileno())
        os.fdatasync(f.fileno())
        fcntl.flock(f, fcntl.LOCK_EX)
        fcntl.lockf(f, fcntl.LOCK_UN)
    shutil.copy(p("a"), p("b"))
    shutil.copytree(d, d + "2")
    shutil.rmtree(d + "2")
    os.rename(p("b"), p("c"))
    os.replace(p("c"), p("b"))
    os.symlink("a", p("s"))
    os.link(p("a"), p("l"))
    assert os.readlink(p("s")) == "a"
    os.chmod(p("a"), 0o640)
    os.utime(p("a"), (1, 2))
    os.truncate(p("a"), 2)
    os.makedirs(p("x/y"))
    os.removedirs(p("x/y"))
    os.chown(p("a"), os.getuid(), os.getgid())
    os.lchown(p("s"), os.getuid(), os.getgid())
    fd = os.open(p("a"), os.O_RDWR)
    assert os.pread(fd, 1, 0) and os.pwrite(fd, b"x", 1)
    os.preadv(fd, [bytearray(2)], 0), os.pwritev(fd, [b"y"], 0), os.readv(fd, [bytearray(1)]), os.writev(fd, [b"z"])
    os.posix_fallocate(fd, 0, 8192)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_WILLNEED)
    os.ftruncate(fd, 4096), os.fchmod(fd, 0o600), os.fchown(fd, -1, -1), os.lseek(fd, 0, os.SEEK_END), os.fstatvfs(fd)
    os.fchdir(os.open(d, os.O_RDONLY)), os.chdir(d)
    m = mmap.mmap(fd, 4096)
    m[0] = 1
    m.flush()
    m.madvise(mmap.MADV_DONTNEED)
    m.resize(8192)
    m.close()
    out = os.open(p("o"), os.O_RDWR | os.O_CREAT)
    os.sendfile(out, fd, 0, 100)
    os.copy_file_range(fd, out, 100)
    r, w = os.pipe()
    os.splice(fd, w, 100, offset_src=0) if hasattr(os, "splice") else None
    try:
        os.setxattr(p("a"), "user.x", b"1")
    except OSError as e:
        assert e.errno in (errno.ENOTSUP, errno.ENOSYS, errno.EPERM)
    for read in (lambda: os.getxattr(p("a"), "user.x"), lambda: os.listxattr(p("a"))):
        try:
            read()
        except OSError as e:
            assert e.errno != errno.ENOSYS, "xattr"
    os.memfd_create("m")
    os.mkfifo(p("fifo")) if False else None
    assert sorted(glob.glob(p("*")))
    os.access(p("a"), os.R_OK), os.stat(p("a")), os.lstat(p("s")), os.statvfs(d), list(os.scandir(d)), os.umask(0o22)
    tempfile.TemporaryFile(dir=d).close()
    db = sqlite3.connect(p("db"))
    db.execute("pragma journal_mode=wal")
    db.execute("create table t(x)")
    db.commit()
    db.close()


def processes():
    assert subprocess.run(["/bin/sh", "-c", "echo a | cat; exec 3</dev/null; kill -0 $$; sleep 0.01"], stdout=subprocess.PIPE).stdout == b"a\n"
    pid = os.fork()
    if pid == 0:
        os.setsid()
        os.setpgid(0, 0) if os.getpgrp() != os.getpid() else None
        os._exit(3)
    assert os.waitpid(pid, 0)[1] == 3 << 8
    child = subprocess.Popen(["/bin/sleep", "10"], process_group=None)
    fd = os.pidfd_open(child.pid)
    signal.pidfd_send_signal(fd, signal.SIGTERM)
    os.waitid(os.P_PIDFD, fd, os.WEXITED)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(abs, [-1, 2]) == [1, 2]
    threads = [threading.Thread(target=time.sleep, args=(0.001,)) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    os.getpgid(0), os.getsid(0), os.getpriority(os.PRIO_PROCESS, 0), os.nice(1), os.getloadavg(), os.times(), os.getresuid(), os.getresgid()
    os.sched_getaffinity(0), os.sched_setaffinity(0, os.sched_getaffinity(0)), os.sched_yield(), os.sched_getscheduler(0)
    os.sched_get_priority_max(0), os.sched_get_priority_min(0), os.sched_getparam(0), os.getgroups(), os.uname(), os.sysconf("SC_NPROCESSORS_ONLN")
    resource.getrusage(resource.RUSAGE_SELF), resource.getrlimit(resource.RLIMIT_NOFILE), resource.setrlimit(resource.RLIMIT_NOFILE, (512, 512))
    resource.prlimit(0, resource.RLIMIT_NOFILE)
    time.sleep(0.001), time.monotonic(), time.clock_getres(time.CLOCK_MONOTONIC), time.process_time()


def signals():
    got = []
    signal.signal(signal.SIGALRM, lambda *a: got.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.005)
    signal.getitimer(signal.ITIMER_REAL)
    signal.pause()
    signal.alarm(0)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    os.kill(os.getpid(), signal.SIGUSR1)
    assert signal.SIGUSR1 in signal.sigpending()
    assert signal.sigwait([signal.SIGUSR1])
    signal.pthread_kill(threading.get_ident(), 0)
    signal.sigtimedwait([signal.SIGUSR1], 0.001)
    assert got


def sockets(d):
    s = socket.create_server(("127.0.0.1", 0))
    c = socket.create_connection(s.getsockname())
    p, _ = s.accept()
    c.sendall(b"x"), p.recv(1), p.getpeername(), p.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), p.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    c.sendmsg([b"a", b"b"]), p.recvmsg(2), p.shutdown(socket.SHUT_RDWR)
    a, b = socket.socketpair()
    socket.send_fds(a, [b"f"], [0])
    socket.recv_fds(b, 1, 1)
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    u.bind(("127.0.0.1", 0))
    u.sendto(b"x", u.getsockname())
    u.recvfrom(1)
    select.select([u], [], [], 0), select.poll().poll(0)
    e = select.epoll()
    e.register(u.fileno())
    e.poll(0)
    os.eventfd(0) if hasattr(os, "eventfd") else None

    async def main():
        server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
        r, w = await asyncio.open_connection(*server.sockets[0].getsockname())
        await r.read()
        proc = await asyncio.create_subprocess_exec("/bin/true")
        await proc.wait()
        server.close()

    asyncio.run(main())


d = tempfile.mkdtemp()
try:
    files(d)
    processes()
    signals()
    sockets(d)
finally:
    os.chdir("/")
    shutil.rmtree(d)
