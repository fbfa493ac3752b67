#!/bin/sh
# Inside the machine of tools/vm --systemd: the unit of docs/operations.md as it stands there, an ordinary user's with and
# without a delegated group. Prints TAP.
B=${B:-build}
n=0 failed=0
group=/sys/fs/cgroup/system.slice/hob.service
export HOB_URL=http://127.0.0.1:7070 HOB_TOKEN=
try() { # what seconds command: again and again until it succeeds
    what=$1 end=$(($(date +%s) + $2))
    shift 2
    n=$((n + 1))
    until sh -c "$*" >/tmp/out 2>&1; do
        if [ "$(date +%s)" -ge $end ]; then
            failed=$((failed + 1))
            echo "not ok $n - $what"
            tail -n 20 /tmp/out | sed 's/^/# /'
            systemctl status hob --no-pager 2>&1 | tail -n 20 | sed 's/^/# /'
            tail -n 10 /tmp/hobd.log | sed 's/^/# /'
            return
        fi
        sleep 1
    done
    echo "ok $n - $what"
}
unit() { # home, then lines to put into [Service]
    home=$1
    shift
    mkdir -p /run/systemd/system
    sed -n '/^\[Unit\]/,/^```/p' docs/operations.md | grep -v '^```' |
        sed -e "s,^ExecStart=.*,ExecStart=$PWD/$B/bin/hobd --home $home --listen 127.0.0.1:7070 --runtimes $PWD/runtimes," \
            -e 's,^\[Unit\],&\nDefaultDependencies=no,' -e 's,^After=.*,,' \
            -e 's,^\[Service\],&\nStandardOutput=append:/tmp/hobd.log\nStandardError=append:/tmp/hobd.log,' >/run/systemd/system/hob.service
    for line in "$@"; do
        case $line in
        -*) sed -i "/^${line#-}=/d" /run/systemd/system/hob.service ;;
        *) sed -i "s,^\[Service\],&\n$line," /run/systemd/system/hob.service ;;
        esac
    done
    systemctl daemon-reload
    systemctl start hob
}
ready() {
    try "$1" 180 "curl -fsS -m 20 $HOB_URL/readyz"
    HOB_TOKEN=$(cat "$2/admin.token" 2>/dev/null)
    export HOB_TOKEN
    try "a function is deployed and answers: $1" 240 "cd /tmp/fn && $PWD/$B/bin/hob deploy && curl -fsS -m 100 $HOB_URL/fn/vm/hello/ | grep -q hello"
}
main_pid() { systemctl show -p MainPID --value hob; }

mkdir -p /tmp/fn
cat >/tmp/fn/hob.json <<'JSON'
{"app": "vm", "functions": {"hello": {"entry": "hello.py", "memory_mb": 64, "timeout_ms": 60000, "queue_timeout_ms": 60000}}}
JSON
printf 'def handler(event, context):\n    if isinstance(event, dict) and event.get("eat"):\n        b = bytearray(256 << 20)\n    return "hello\\n"\n' >/tmp/fn/hello.py
doctor="$PWD/$B/bin/hob doctor"
limited="find $group -name memory.max | xargs grep -lx 67108864 | grep -q ."

echo "# $(/usr/lib/systemd/systemd --version | head -n 1), Linux $(uname -r)"
unit /var/lib/hob-vm
ready "the unit of docs/operations.md starts" /var/lib/hob-vm
try "the doctor misses nothing" 60 "$doctor; ! $doctor | grep -E '^fail'"
try "the daemon lives in a leaf of its delegated group" 30 "grep -qx $(main_pid) $group/hob-main/cgroup.procs"
try "its instances' limits stand below the unit's group" 30 "$limited"
try "an instance that wants more is ended, and its caller told why" 120 "curl -sS -m 100 -X POST -H 'authorization: Bearer $HOB_TOKEN' -d '{\"eat\":1}' $HOB_URL/v1/apps/vm/functions/hello/invoke | grep -qi 'out_of_memory'"
old=$(main_pid)
kill -KILL "$old"
try "killed, it is started again by systemd" 120 "p=\$(systemctl show -p MainPID --value hob); [ \$p != 0 ] && [ \$p != $old ] && curl -fsS -m 20 $HOB_URL/readyz"
try "and answers" 200 "curl -fsS -m 100 $HOB_URL/fn/vm/hello/ | grep -q hello"
systemctl stop hob
try "stopped, nothing of it is left" 60 "! systemctl is-active -q hob && ! [ -e $group ] && ! find /sys/fs/cgroup -name 'hob-*' -type d | grep -v hob-vm.service | grep -q . && ! pgrep -x hob-launcher"

install -d -o nobody /var/lib/hob-user
unit /var/lib/hob-user User=nobody
ready "an ordinary user's unit with Delegate=yes" /var/lib/hob-user
try "has limits of memory, processes and CPU" 60 "$doctor; ! $doctor | grep -E '^fail +(memory|pids|cpu)' && $limited"
systemctl stop hob
install -d -o nobody /var/lib/hob-plain
unit /var/lib/hob-plain User=nobody -Delegate
ready "an ordinary user's unit without" /var/lib/hob-plain
try "has none, and the doctor says so" 60 "$doctor | grep -E 'fail' | grep -q memory && ! $limited"
systemctl stop hob
echo "1..$n"
[ "$failed" -eq 0 ]
