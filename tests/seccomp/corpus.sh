#!/bin/sh
# The corpus: ordinary work of shell scripts and the tools they call.
set -eu
d=$(mktemp -d)
cd "$d"
trap 'cd /; rm -rf "$d"' EXIT
umask 022
echo hello >a
cp -a a b; mv b c; ln -s c s; ln c h; mkdir -p x/y; rmdir x/y x
[ "$(cat a | tr a-z A-Z | sed s/H/J/)" = JELLO ]
ls -la >/dev/null; stat a >/dev/null; df . >/dev/null; du -s . >/dev/null; touch -d @1 a; truncate -s 3 a; chmod 600 a
head -c 100000 /dev/zero | gzip | gunzip | wc -c | grep -q 100000
tar -cf t.tar a c s; tar -xf t.tar; sort a | uniq | cut -c1 >/dev/null
dd if=/dev/zero of=big bs=4096 count=4 conv=fsync 2>/dev/null; sync big; cmp big big
find . -type f -print0 | xargs -0 cat >/dev/null; date >/dev/null; id >/dev/null; uname -a >/dev/null; nproc >/dev/null; hostname >/dev/null
timeout 5 sleep 0.01; nice -n 1 true; nohup true >/dev/null 2>&1; env true; tail -n 1 a >/dev/null; (sleep 5 & kill $!; wait $! 2>/dev/null || true) 2>/dev/null
flock a true; shuf -i 1-3 >/dev/null; split -b 1000 big part; readlink -f s >/dev/null
