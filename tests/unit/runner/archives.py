"""Archives for test_unpack, good and hostile: python3 archives.py FOLDER"""
import gzip, io, os, stat, struct, sys, tarfile, zipfile

out = sys.argv[1]


def path(name):
    return os.path.join(out, name)


def tar(name, entries, mode="w", fmt=tarfile.GNU_FORMAT):
    """entries: (path, data or None for a folder, changes to the TarInfo)"""
    with tarfile.open(path(name), mode, format=fmt) as t:
        for entry_path, data, changes in entries:
            info = tarfile.TarInfo(entry_path)
            info.mode = 0o644
            if data is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            else:
                info.size = len(data)
            for key, value in changes.items():
                setattr(info, key, value)
            t.addfile(info, io.BytesIO(data or b""))


def one(name, entry_path, data=b"x", **changes):
    tar(name, [(entry_path, data, changes)])


def zipped(name, entries):
    with zipfile.ZipFile(path(name), "w", zipfile.ZIP_DEFLATED) as z:
        for entry_path, data, mode in entries:
            info = zipfile.ZipInfo(entry_path)
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            z.writestr(info, data)


good = [("./", None, {}), ("./a.txt", b"alpha", {}), ("./bin/", None, {}), ("./bin/run", b"#!/bin/sh\n", {"mode": 0o755}),
        ("./deep/er/file", b"", {}), ("./d\u00e9/\u4e2d", b"utf-8", {}), ("./__MACOSX/._a", b"no", {}),
        ("./bin/.DS_Store", b"no", {})]
tar("good.tar", good)
tar("good.pax", good, fmt=tarfile.PAX_FORMAT)
tar("good.tgz", good, "w:gz")
zipped("good.zip", [("a.txt", b"alpha", 0o100644), ("bin/", b"", 0o40755), ("bin/run", b"#!/bin/sh\n", 0o100755),
                    ("deep/er/file", b"", 0o100644), ("d\u00e9/\u4e2d", b"utf-8", 0o100644), ("__MACOSX/._a", b"no", 0),
                    ("bin/.DS_Store", b"no", 0)])

one("slip.tar", "../evil")
one("slip_inside.tar", "a/../../evil")
one("absolute.tar", "/etc/passwd")
one("dotdot_end.tar", "a/..")
one("double_slash.tar", "a//b")
one("dot_inside.tar", "a/./b")
one("two_dots_in_front.tar", "././a")
one("backslash.tar", "..\\evil")
one("control.tar", "a\nb")
one("escape.tar", "a\x1b[2Jb")
one("latin1.tar", "x")
raw = bytearray(open(path("latin1.tar"), "rb").read())
raw[0:1] = b"\xe9"
raw[148:156] = b" " * 8
raw[148:156] = b"%06o\0 " % sum(raw[:512])
open(path("latin1.tar"), "wb").write(raw)
one("symlink.tar", "link", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd")
one("hardlink.tar", "link", b"", type=tarfile.LNKTYPE, linkname="/etc/passwd")
one("chardev.tar", "dev", b"", type=tarfile.CHRTYPE, devmajor=1, devminor=3)
one("blockdev.tar", "dev", b"", type=tarfile.BLKTYPE, devmajor=8, devminor=0)
one("fifo.tar", "pipe", b"", type=tarfile.FIFOTYPE)
tar("twice.tar", [("a", b"1", {}), ("a", b"2", {})])
tar("twice_prefix.tar", [("a", b"1", {}), ("./a", b"2", {})])
tar("case.tar", [("a", b"1", {}), ("A", b"2", {})])
tar("file_then_folder.tar", [("a", b"1", {}), ("a/b", b"2", {})])
tar("folder_then_file.tar", [("a/b", b"1", {}), ("a", b"2", {})])
tar("folders_twice.tar", [("a", None, {}), ("a/", None, {}), ("a/b", b"", {})])
tar("link_then_through.tar", [("a", b"", {"type": tarfile.SYMTYPE, "linkname": "/tmp"}), ("a/b", b"2", {})])
tar("empty.tar", [])
tar("only_top.tar", [("./", None, {})])
open(path("junk"), "wb").write(b"this is no archive at all, but long enough to be looked at\n" * 40)
open(path("nothing"), "wb").write(b"")
open(path("zeros"), "wb").write(b"\0" * 10240)

deep = "/".join(["d"] * 32)
one("depth_32.tar", deep + "/f")
one("depth_33.tar", deep + "/d/f")
long = "/".join(["n" * 127] * 4)
one("path_511.tar", long)
one("path_512.tar", long + "n")
one("path_513.tar", long + "nn")
one("part_255.tar", "n" * 255)
one("part_256.tar", "n" * 256)

for n in (20000, 20001):
    tar("entries_%d.tgz" % n, [("f%d" % i, b"", {}) for i in range(n)], "w:gz")
tar("entries_with_folders.tgz", [("d%d/f" % i, b"", {}) for i in range(10001)], "w:gz")
tar("left_out_20001.tgz", [("__MACOSX/f%d" % i, b"", {}) for i in range(20001)], "w:gz")


def header(size):
    info = tarfile.TarInfo("big")
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


limit = 262144000
with gzip.open(path("bytes_at_limit.tgz"), "wb", compresslevel=1) as z:
    z.write(header(limit))
    for i in range(limit // 1024000):
        z.write(b"\0" * 1024000)
    z.write(b"\0" * 1024)
open(path("bytes_over.tar"), "wb").write(header(limit + 1) + b"\0" * 4096)
open(path("bytes_huge.tar"), "wb").write(header(1 << 60) + b"\0" * 4096)
open(path("cut.tar"), "wb").write(header(5000) + b"\0" * 1000)
open(path("sum.tar"), "wb").write(header(limit - 512)[:512] + b"\0" * 512)  # cut as well: promises what is not there
data = open(path("good.tgz"), "rb").read()
open(path("cut.tgz"), "wb").write(data[:len(data) // 2])
open(path("crc.tgz"), "wb").write(data[:40] + bytes([data[40] ^ 0xff]) + data[41:])

zipped("zip_slip.zip", [("../evil", b"x", 0o100644)])
zipped("zip_symlink.zip", [("link", b"/etc/passwd", 0o120777)])
zipped("zip_twice.zip", [("a", b"1", 0o100644), ("b", b"2", 0o100644)])
data = bytearray(open(path("zip_twice.zip"), "rb").read())
for at in range(len(data) - 46):
    if data[at:at + 4] == b"PK\3\4" and data[at + 30:at + 31] == b"b":
        data[at + 30] = ord("a")
    if data[at:at + 4] == b"PK\1\2" and data[at + 46:at + 47] == b"b":
        data[at + 46] = ord("a")
open(path("zip_twice.zip"), "wb").write(data)


def lie(name, size):
    """Both headers of the only entry declare `size` bytes."""
    zipped(name, [("big", b"\0" * 100000, 0o100644)])
    raw = bytearray(open(path(name), "rb").read())
    central = raw.index(b"PK\1\2")
    raw[22:26] = struct.pack("<I", size)
    raw[central + 24:central + 28] = struct.pack("<I", size)
    open(path(name), "wb").write(raw)


lie("zip_lie_small.zip", 10)
lie("zip_lie_large.zip", 200000)
lie("zip_lie_huge.zip", 0xfffffff0)
with zipfile.ZipFile(path("bomb.zip"), "w", zipfile.ZIP_DEFLATED) as z:
    for i in range(30):
        z.writestr("z%d" % i, b"\0" * 10000000)
zipped("encrypted.zip", [("secret", b"x" * 40, 0o100644)])
raw = bytearray(open(path("encrypted.zip"), "rb").read())
raw[6] |= 1
raw[raw.index(b"PK\1\2") + 8] |= 1
open(path("encrypted.zip"), "wb").write(raw)
tar("pax_long.tar", [("p" * 100 + "/" + "q" * 200 + "/\u00e9", b"long", {})], fmt=tarfile.PAX_FORMAT)
