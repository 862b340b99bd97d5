// Connect churn with stock k6: streams that end after their connect push (max_events=1).
//
//   SLUICE_HTTP_API_KEY=dev make run
//   k6 run bench/k6/connect.js
//   k6 run -e VUS=50 -e DURATION=60s -e CHANNELS=10 -e TOKEN=<JWT> bench/k6/connect.js
//
// It measures connects: `iterations` a second, http_req_connecting for the TCP handshake, http_req_waiting from the
// request to the head of the stream (with the connect push behind it: they leave in one write), http_req_duration to
// the end of the stream. The load is closed: each virtual user opens its next stream when the one before has ended.
//
// It cannot measure open streams: k6/http waits for the end of a body, so without max_events each request would run
// into its timeout. Subscriptions are made and ended with each stream, so the rate is that of connects and disconnects.
// Bounded streams must be allowed (uni_sse.bounded_streams; `make run` allows them).
import http from 'k6/http';
import { check } from 'k6';
import { Counter } from 'k6/metrics';

const base = __ENV.URL || 'http://127.0.0.1:8000';
const count = Number(__ENV.CHANNELS || 1);

const errors = new Counter('connect_errors');

export const options = {
  vus: Number(__ENV.VUS || 20),
  duration: __ENV.DURATION || '15s',
  thresholds: {
    http_req_failed: ['rate==0'],
    connect_errors: ['count==0'],
  },
};

const request = { subs: {} };
for (let i = 0; i < count; i++) request.subs[`bench-${i}`] = {};
if (__ENV.TOKEN) request.token = __ENV.TOKEN;
const url = `${base}/connection/uni_sse?max_events=1&cf_connect=${encodeURIComponent(JSON.stringify(request))}`;

export default function () {
  const r = http.get(url, { headers: { Accept: 'text/event-stream' }, timeout: '10s' });
  const ok = check(r, {
    'is a stream': (r) => r.status === 200 && r.headers['Content-Type'].startsWith('text/event-stream'),
    'has a connect push': (r) => r.body !== null && r.body.includes('data: {"connect":{"client":'),
  });
  if (!ok) errors.add(1);
}
