#!/bin/sh
# Connect churn with wrk: streams that end after their connect push (max_events=1).
#
#   SLUICE_HTTP_API_KEY=dev make run
#   bench/wrk/connect.sh
#   CONNECTIONS=200 DURATION=30 CHANNEL=live:bench bench/wrk/connect.sh
#
# Environment: URL (http://127.0.0.1:8000), CHANNEL (bench), CONNECTIONS (50), THREADS (2), DURATION (10, seconds),
# TIMEOUT (5, seconds after which wrk reports a stream as an error).
#
# It measures connects: Requests/sec is streams opened and ended per second, Latency is from the request to the last
# byte of the stream. The TCP handshake is not part of it. The load is closed: each connection opens its next stream
# when the one before has ended.
#
# It cannot measure open streams: wrk counts an answer when it is complete, so an endless stream is no request at all.
# The streams must be chunked (uni_sse.framing, the default): wrk counts one that ends with its connection twice, the
# second time as a read error. Bounded streams must be allowed (uni_sse.bounded_streams; `make run` allows them).
set -eu
base=${URL:-http://127.0.0.1:8000}
connect="%7B%22subs%22%3A%7B%22${CHANNEL:-bench}%22%3A%7B%7D%7D%7D"
exec wrk -t"${THREADS:-2}" -c"${CONNECTIONS:-50}" -d"${DURATION:-10}s" --timeout "${TIMEOUT:-5}s" --latency \
	-H 'Accept: text/event-stream' \
	"$base/connection/uni_sse?max_events=1&cf_connect=$connect"
