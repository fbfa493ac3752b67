#!/bin/sh
# The law of the house, judged over every tracked file: includes go one way, sizes, banned calls, documented doors.
# Prints TAP.
cd "$(dirname "$0")/../.." || exit 1
sources=$(git ls-files --cached --others --exclude-standard '*.c' '*.h' | grep -vE '^(examples|runtimes)/' | sort -u) # runtimes/c/hob.h is a one-header library, its users' code follows their own rules
n=0
verdict() { # name, findings (empty: fine)
    n=$((n + 1))
    if [ -z "$2" ]; then echo "ok $n - $1"; else echo "not ok $n - $1"; printf '%s\n' "$2" | sed 's/^/#   /'; fi
}

# --- the include law: room -> rooms it may include ---
allowed() {
    case "$1" in
    base) echo base ;;
    manifest) echo "manifest base" ;;
    store) echo "store base" ;;
    bindings) echo "bindings store base" ;;
    controller) echo "controller bindings manifest store base" ;;
    api) echo "api controller bindings manifest store base" ;;
    runner) echo "runner base" ;;
    sandbox) echo "sandbox base" ;;
    cli) echo "cli manifest base" ;;
    daemon) echo "daemon api controller bindings manifest store base" ;;
    esac
}
bad=""
for room in base manifest store bindings controller api runner sandbox cli daemon; do
    may=$(allowed $room)
    for hit in $(printf '%s\n' "$sources" | grep "^$room/" | xargs -r grep -Ho '^#include "[a-z]*/' | sed 's/:#include "/:/; s,/$,,'); do
        to=${hit##*:}
        case " $may " in *" $to "*) ;; *) bad="$bad${hit%%:*} includes $to/
" ;; esac
    done
done
verdict "includes go one way between the rooms" "$bad"

bad=$(printf '%s\n' "$sources" | grep -E '^(base|manifest|bindings|controller|api|runner|sandbox|cli|daemon)/' | xargs -r grep -l 'sqlite3\.h' )
verdict "SQLite is included only in store/" "$bad"
bad=$(printf '%s\n' "$sources" | grep -E '/[a-z_0-9]*_priv\.h$' | while read -r h; do
    room=${h%%/*}; grep -l "$h" $(printf '%s\n' "$sources" | grep -v "^$room/" | grep -vE '^(tests|bench)/') /dev/null; done)
verdict "private headers stay in their room" "$bad"
bad=$(printf '%s\n' "$sources" | grep -v '^base/map.h' | xargs -r grep -ln '#include <uthash.h>')
verdict "hash tables are the seeded ones of base/map.h" "$bad"

# --- sizes ---
bad=$(printf '%s\n' "$sources" | grep -v '^tests/' | xargs -r wc -l | awk '$2!="total" && $1>600{print $2": "$1" lines, 600 at most"}')
verdict "no file is longer than 600 lines" "$bad"
if command -v ctags >/dev/null 2>&1; then
    bad=$(printf '%s\n' "$sources" | grep '\.c$' | grep -v '^tests/' | xargs -r ctags -x --c-kinds=f --fields=+ne --_xformat='%{end} %n %N %F' 2>/dev/null |
        awk '$1-$2>70{print $4": "$3" has "$1-$2" lines, 70 at most"}')
    verdict "no function is longer than 70 lines" "$bad"
else
    n=$((n + 1)); echo "ok $n - no function is longer than 70 lines # SKIP ctags is not installed"
fi
bad=$(for d in $(printf '%s\n' "$sources" | grep -v '^tests/' | grep '\.c$' | xargs -r -n1 dirname | sort -u); do
    k=$(printf '%s\n' "$sources" | grep -c "^$d/[^/]*\.c$"); [ "$k" -gt 20 ] && echo "$d: $k .c files, 20 at most"; done)
verdict "no room holds more than 20 source files" "$bad"

# --- banned calls (the macro header poisons them; this also catches files that do not include it) ---
bad=$(printf '%s\n' "$sources" | grep '\.c$' | grep -v '^tests/' | grep -v '^runner/init/' |
    xargs -r grep -nE '(^|[^a-zA-Z_0-9>.])(strcpy|strcat|sprintf|strncpy|strtok|atoi|atol|alloca|system|popen|gmtime|localtime|ctime|strerror)\(' | grep -vE ':[0-9]+: *(/?\*|//)' | grep -v 'strerror_r')
verdict "no banned function is called" "$bad"
bad=$(printf '%s\n' "$sources" | grep '\.c$' | grep -v '^tests/' | xargs -r grep -nE '[^a-z_]open(at)?\(' | grep -vE 'O_CLOEXEC|NOLINT' | grep -E 'O_(RD|WR|PATH)')
verdict "every descriptor is opened close-on-exec" "$bad"

# --- doors ---
bad=$(printf '%s\n' "$sources" | grep '\.h$' | grep -v '^tests/' | while read -r h; do
    head -n 1 "$h" | grep -q '^/\*' || echo "$h: begins without a head comment"
    grep -q '^#pragma once' "$h" || echo "$h: no #pragma once"; done)
verdict "every header says first what it is" "$bad"
bad=$(printf '%s\n' "$sources" | xargs -r grep -nE '\b(TODO|FIXME|XXX|HACK)\b')
verdict "no unfinished work is left in comments" "$bad"
# --- pages ---
pages=$(git ls-files --cached --others --exclude-standard 'README.md' 'docs/*.md' 'examples/*.md')
bad=$(for page in $pages; do grep -oE '\]\([^)#: ]+' "$page" | sed 's/^](//' | while read -r to; do
    [ -e "$(dirname "$page")/$to" ] || echo "$page links to $to, which is not there"; done; done)
verdict "every link of the docs leads somewhere" "$bad"
bad=$(for page in docs/*.md; do grep -q "](${page#docs/})" docs/README.md || [ "$page" = docs/README.md ] || echo "docs/README.md does not name $page"; done)
verdict "every page of the docs is named in their index" "$bad"

bad=$(git ls-files | xargs -r grep -lIE '(^|[^a-z])/work/(main|steering|shared)' 2>/dev/null)
verdict "no path of one machine is in the project" "$bad"
echo "1..$n"
