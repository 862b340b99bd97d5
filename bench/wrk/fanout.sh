#!/bin/sh
# Fan-out with wrk: how many bytes of events the server delivers a second, and how many events that is.
#
#   SLUICE_HTTP_API_KEY=dev make run
#   bench/wrk/fanout.sh
#   STREAMS=1000 SIZE=512 DURATION=30 bench/wrk/fanout.sh
#
# Environment: URL (http://127.0.0.1:8000), API_KEY (dev), CHANNEL (live:bench), STREAMS (100), SIZE (128, bytes of text
# in the payload), DURATION (10, seconds), THREADS (1).
#
# One wrk publishes as fast as the server answers, over one connection; another holds the streams, which never end. It
# reports no request and no latency for these, but it counts their bytes: Transfer/sec divided by what one event takes
# on the wire is deliveries a second. That size is measured: the difference between a stream of three events and one of
# two (max_events).
#
# It measures throughput with a backlog, not lag, and of a client that does nothing with what it reads. It cannot say
# whether anything was lost or doubled: the channel's namespace (of `make run`) drops the oldest events of streams that
# do not keep up, others end such streams with 3008, and wrk would open new ones. Server, subscribers and publisher share
# the machine. `go run ./bench fan-out` counts, and measures lag and the server's CPU.
set -eu
base=${URL:-http://127.0.0.1:8000}
duration=${DURATION:-10}
streams=${STREAMS:-100}
here=$(dirname "$0")
export CHANNEL="${CHANNEL:-live:bench}"
connect="%7B%22subs%22%3A%7B%22$CHANNEL%22%3A%7B%7D%7D%7D"
stream="$base/connection/uni_sse?cf_connect=$connect"

fail() {
	echo "fanout.sh: $1" >&2
	exit 1
}

curl -sS --max-time 30 -H "X-API-Key: ${API_KEY:-dev}" -d "{\"channel\":\"$CHANNEL\",\"data\":0}" "$base/api/publish" |
	grep -q '"result"' || fail "cannot publish into $CHANNEL: is the server running, and with this API_KEY?"

log=$(mktemp)
body=$(mktemp)
wrk -t1 -c1 -d1h -s "$here/publish.lua" "$base/api/publish" >"$log" 2>&1 &
publisher=$!
stop() { # wrk prints its table when it is interrupted
	[ -z "$publisher" ] || kill -INT "$publisher" 2>/dev/null || true
	wait
	publisher=
}
trap 'stop; rm -f "$log" "$body"' EXIT

wire_bytes() { # of the body of a stream of $1 events, chunk sizes included
	curl -sSN --raw --max-time 30 -o "$body" "$stream&max_events=$1" ||
		fail "a stream of $1 events did not end: does the server allow bounded streams?"
	wc -c <"$body"
}
two=$(wire_bytes 2)
three=$(wire_bytes 3)
event=$((three - two))
[ "$event" -gt 0 ] || fail "cannot take the size of an event on $CHANNEL: a stream of two has $two bytes, one of three $three"

out=$(wrk -t"${THREADS:-1}" -c"$streams" -d"${duration}s" "$stream")
echo "$out"
echo "$out" | awk -v event="$event" -v streams="$streams" '
	$1 == "Transfer/sec:" {
		rate = $2 + 0 # as much of it as is a number
		unit = substr($2, length($2) - 1, 1)
		if (unit == "K") rate *= 1024
		if (unit == "M") rate *= 1024 * 1024
		if (unit == "G") rate *= 1024 * 1024 * 1024
		printf "Event on the wire: %d bytes\n", event
		printf "Deliveries/sec:    %.0f\n", rate / event
		printf "Events/sec/stream: %.1f\n", rate / event / streams
	}'
stop
sed -n '/Requests\/sec/s/Requests\/sec:/Publications\/sec: /p; /refused/p' "$log"
