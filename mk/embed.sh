#!/bin/sh
# Writes a C file with the contents of every runtimes/NAME/template (cli/templates.h); for c, its header beside them.
# Arguments: the files, as runtimes/NAME/template/PATH or runtimes/c/hob.h.
set -eu
echo '#include "cli/templates.h"'
n=0
rows=
for f in "$@"; do
    name=${f#runtimes/}
    name=${name%%/*}
    path=${f#"runtimes/$name/"}
    path=${path#template/}
    mode=0
    [ -x "$f" ] && mode=1
    echo "static const unsigned char file_$n[] = {"
    od -An -v -tx1 "$f" | sed 's/ \([0-9a-f][0-9a-f]\)/0x\1,/g'
    echo "0x00};"
    rows="$rows    {\"$name\", \"$path\", file_$n, sizeof file_$n - 1, $mode},
"
    n=$((n + 1))
done
echo 'const struct template_file template_files[] = {'
printf '%s' "$rows"
echo '    {0, 0, 0, 0, 0},'
echo '};'
echo "const size_t template_files_n = $n;"
