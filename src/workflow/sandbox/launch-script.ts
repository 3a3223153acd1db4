/**
 * Two small shell scripts around a sandboxed program. They are constant: what differs from run to run reaches them
 * as arguments, never as text of a script. The first starts bubblewrap, with what only a process itself can do (join a control
 * group, hold a file open, ignore signals); the second runs inside and puts the way to the proxy before the program.
 */

/** The port on which programs inside find the proxy. */
export const PROXY_PORT = 3128;

/**
 * Arguments: the filter of system calls, files of control groups to join, `--`, bubblewrap and its arguments. Signals to the
 * group end the program inside, as it likes; bubblewrap itself, which would take it along at once, ignores them. Files that Robson itself was handed open by whoever
 * started it are closed (only bash can close all of them).
 */
export const OUTER_SCRIPT = `
read -r a b c d e f terminal rest </proc/self/stat
if [ "$terminal" != 0 ]; then echo "robson: a sandboxed program is not started on a terminal" >&2; exit 125; fi
filter=$1
shift
while [ "$1" != -- ]; do
  echo $$ >"$1" || exit 125
  shift
done
shift
if [ -n "$BASH_VERSION" ]; then
  for path in /proc/self/fd/*; do
    number=\${path##*/}
    if [ "$number" -gt 2 ]; then exec {number}>&-; fi
  done
else
  exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
fi
trap "" HUP INT TERM
exec "$@" 9<"$filter"
`;

/**
 * Arguments: pairs of a port and a socket file, `--`, the program and its arguments. Each port of the sandbox's own loopback
 * leads to the socket; the program starts once all of them listen. A relay is nobody's child but of the first process.
 */
export const INNER_SCRIPT = `
while [ "$1" != -- ]; do
  relay=$(PATH=/usr/bin:/usr/local/bin:/bin socat -t 60 "TCP-LISTEN:$1,bind=127.0.0.1,reuseaddr,fork,backlog=128" "UNIX-CONNECT:$2" </dev/null >/dev/null 2>&1 & echo $!)
  listening=$(printf "0100007F:%04X" "$1")
  until PATH=/usr/bin:/bin grep -q " $listening 00000000:0000 0A " /proc/net/tcp; do
    kill -0 "$relay" 2>/dev/null || { echo "robson: the way to the proxy cannot be made" >&2; exit 125; }
  done
  shift 2
done
shift
exec "$@"
`;
