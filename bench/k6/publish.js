// Publish load with stock k6: how many calls of POST /api/publish are answered, and how soon.
//
//   SLUICE_HTTP_API_KEY=dev make run
//   k6 run bench/k6/publish.js
//   k6 run -e RATE=5000 -e SIZE=1024 -e CHANNELS=100 -e DURATION=60s -e P99_MS=50 bench/k6/publish.js
//
// It measures the server API: http_req_duration is from the request to the reply, which is sent when the engine has
// the publication. The load is open (RATE a second, whatever the answers take), so waiting shows: a dropped_iterations
// in the summary says that k6 or the server did not keep up.
//
// It cannot measure delivery (fanout.js does), and k6 itself takes several times the CPU that the server does for a
// call: on one machine the rate it reaches is k6's. For the server's own limit use bench/wrk/publish.lua or
// `go run ./bench publish`.
import http from 'k6/http';
import exec from 'k6/execution';
import { check } from 'k6';
import { Counter } from 'k6/metrics';

const base = __ENV.URL || 'http://127.0.0.1:8000';
const key = __ENV.API_KEY || 'dev';
const channels = Number(__ENV.CHANNELS || 10);
const text = 'x'.repeat(Number(__ENV.SIZE || 128));

const errors = new Counter('publish_errors');

export const options = {
  scenarios: {
    publish: {
      executor: 'constant-arrival-rate', rate: Number(__ENV.RATE || 500), timeUnit: '1s',
      duration: __ENV.DURATION || '15s', preAllocatedVUs: 50, maxVUs: 500,
    },
  },
  thresholds: {
    http_req_failed: ['rate==0'],
    publish_errors: ['count==0'],
    http_req_duration: [`p(99)<${__ENV.P99_MS || 500}`],
  },
};

export default function () {
  const n = exec.scenario.iterationInTest;
  const body = JSON.stringify({ channel: `bench-${n % channels}`, data: { n, text } });
  const r = http.post(`${base}/api/publish`, body, { headers: { 'X-API-Key': key, 'Content-Type': 'application/json' } });
  // Errors of the API are told with status 200.
  if (!check(r, { 'has a result': (r) => r.status === 200 && r.json('result') !== undefined })) errors.add(1);
}
