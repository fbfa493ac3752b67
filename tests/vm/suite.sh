#!/bin/sh
# Inside the machine of tools/vm: the sandbox's unit tests and a first deploy, under cgroup v2 alone. Prints TAP.
B=${B:-build}
n=0 failed=0
report() { # status what log
    n=$((n + 1))
    if [ "$1" -eq 0 ]; then echo "ok $n - $2"; else
        failed=$((failed + 1))
        echo "not ok $n - $2"
        grep -E 'FAILED|ERROR|LINE|error|died' "$3" | sed 's/^/# /' | tail -n 40
    fi
}
try() { # what seconds command...
    what=$1 seconds=$2
    shift 2
    timeout -k 5 "$seconds" "$@" >/tmp/out 2>&1
    code=$?
    [ $code -lt 124 ] || echo "error: ended by its watchdog ($code): the machine was too slow, or it hangs" >>/tmp/out
    report $code "$what" /tmp/out
}

echo "# Linux $(uname -r), cgroup: $(cut -c1-40 /proc/self/cgroup), controllers: $(cat /sys/fs/cgroup/cgroup.controllers)"
for name in test_seccomp test_launch test_stems test_forks test_life test_rules test_runtimes test_networks; do
    [ -x "$B/tests/sandbox/$name" ] && try "$name" 900 "$B/tests/sandbox/$name"
done

# A daemon, a function, its limit in the group's own file, its end.
find /sys/fs/cgroup -name 'hob-*' -type d | sort >/tmp/groups # what a test ended by its watchdog left
home=/tmp/home
fn=/tmp/fn
mkdir -p "$fn"
cat >"$fn/hob.json" <<'JSON'
{"app": "vm", "functions": {
  "shared": {"entry": "shared.py", "isolation": "version", "timeout_ms": 60000, "queue_timeout_ms": 60000},
  "hello": {"entry": "hello.py", "memory_mb": 64, "timeout_ms": 60000, "queue_timeout_ms": 60000},
  "ballast": {"entry": "ballast.py", "memory_mb": 64, "timeout_ms": 60000, "queue_timeout_ms": 60000, "scale": {"keep_s": 3600}}}}
JSON
printf 'import os\ndef handler(event, context):\n    return "%%d of %%d\\n" %% (os.getpid(), os.getppid())\n' >"$fn/shared.py"
cat >"$fn/ballast.py" <<'PYTHON'
import random, zlib
ballast = random.Random(1).randbytes(8 << 20)
first = zlib.crc32(ballast)
def handler(event, context):
    return "whole\n" if zlib.crc32(ballast) == first else "torn\n"
PYTHON
printf 'def handler(event, context):\n    if event.get("eat"):\n        b = bytearray(256 << 20)\n    return "hello\\n"\n' >"$fn/hello.py"
"$B/bin/hobd" --home "$home" --listen 127.0.0.1:7070 --runtimes "$PWD/runtimes" >/tmp/hobd.out 2>/tmp/hobd.err &
daemon=$!
export HOB_URL=http://127.0.0.1:7070 HOB_TOKEN=
i=0
until grep -q 'hobd ready' /tmp/hobd.out || [ $i -gt 300 ]; do i=$((i + 1)); sleep 1; done
HOB_TOKEN=$(cat "$home/admin.token")
export HOB_TOKEN
try "deploys" 300 sh -c "cd $fn && $PWD/$B/bin/hob deploy"
try "answers" 300 sh -c "$PWD/$B/bin/hob invoke hello --app vm -d '{}' | grep -q hello || curl -sS -m 100 $HOB_URL/fn/vm/hello/ | grep -q hello"
try "has its memory limit in memory.max" 20 sh -c "find /sys/fs/cgroup -path '*hob-*' -name memory.max | xargs grep -lx 67108864 | grep -q ."
try "is ended by the kernel when it wants more, and says so" 300 sh -c "curl -sS -m 100 -X POST -H 'authorization: Bearer $HOB_TOKEN' -d '{\"eat\":1}' $HOB_URL/v1/apps/vm/functions/hello/invoke | tee /dev/stderr | grep -qi 'out of memory\|out_of_memory'"
try "answers by a fork of its version's zygote" 300 sh -c "curl -sS -m 100 $HOB_URL/fn/vm/shared/ | tee /dev/stderr | grep -qx '[0-9]* of 2'"
try "answers again" 300 sh -c "curl -sS -m 100 $HOB_URL/fn/vm/hello/ | grep -q hello"

# Frozen memory goes to swap (zram), and comes back with the next request.
swapped() { # the group of an instance that has more than N bytes in swap
    find /sys/fs/cgroup -path '*hob-*/i*/memory.swap.current' | while read -r file; do [ "$(cat "$file")" -le "$1" ] || dirname "$file"; done
}
swap() {
    modprobe -d "$PWD/$B/vm/kernel" zram && echo 256M >/sys/block/zram0/disksize && mkswap /dev/zram0 && swapon /dev/zram0
}
ask_ballast() { curl -sS -m 100 -D /tmp/head -H 'x-hob-timing: 1' "$HOB_URL/fn/vm/ballast/" >/tmp/body; cat /tmp/head /tmp/body; }
reclaimed() { # ten seconds after it froze; its group is charged next to nothing then
    i=0
    until group=$(swapped 8000000) && [ -n "$group" ] || [ $i -gt 150 ]; do i=$((i + 1)); sleep 1; done
    echo "$group" >/tmp/group
    head -n 9 "$group/memory.current" "$group/memory.swap.current" "$group/memory.swap.max" "$group/cgroup.freeze"
    [ "$(cat "$group/memory.current")" -lt 4000000 ] && [ "$(cat "$group/memory.swap.max")" = 0 ] && [ "$(cat "$group/cgroup.freeze")" = 1 ]
}
back() {
    before=$(cat "$(cat /tmp/group)/memory.swap.current")
    ask_ballast && grep -qi '^x-hob-start: thawed' /tmp/head && grep -qx whole /tmp/body &&
        [ "$(cat "$(cat /tmp/group)/memory.current")" -gt 8000000 ] && echo "swap was $before"
}
try_here() { # what function: one that sees this shell's variables
    "$2" >/tmp/out 2>&1
    report $? "$1" /tmp/out
    sed 's/^/# /' /tmp/out | head -n 20
}
try_here "has swap" swap
try_here "a function with eight megabytes that it holds answers" ask_ballast
try_here "frozen for ten seconds, its memory is in swap and no longer charged" reclaimed
try_here "thawed, it answers with every byte where it was" back
try "the doctor says that frozen instances go to swap" 100 sh -c "$PWD/$B/bin/hob doctor | grep 'reclaim' | grep -q swap"
kill -TERM "$daemon"
timeout 180 tail --pid="$daemon" -f /dev/null
try "leaves no cgroup behind" 120 sh -c "while find /sys/fs/cgroup -name 'hob-*' -type d | grep -v hob-main | grep -vxFf /tmp/groups | grep .; do sleep 1; done"
[ "$failed" -eq 0 ] || tail -n 20 /tmp/hobd.err | sed 's/^/# hobd: /'
echo "1..$n"
[ "$failed" -eq 0 ]
