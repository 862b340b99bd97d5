// Fan-out through k6 with xk6-sse: how long a publication takes to its subscribers.
//
//   SLUICE_HTTP_API_KEY=dev make run
//   k6 run bench/k6/fanout.js                  (k6 1.x finds k6/x/sse by itself; older: xk6 build --with github.com/phymbert/xk6-sse)
//   k6 run -e STREAMS=500 -e RATE=20 -e HOLD=60 -e CHANNEL=news bench/k6/fanout.js
//
// It measures
//   delivery_ms     from before the POST of a publication to its event in a subscriber: the clock is read by the same
//                   process, in whole milliseconds
//   first_event_ms  from the request for a stream to its connect push
//   events, lost, duplicates, published: nothing was lost at either end if events = published x STREAMS
//
// It cannot measure a server near its limits: each stream is a virtual user with a JavaScript engine (about 0.4 MB), and
// one thread of it must wake up for each event, so above a few thousand deliveries a second delivery_ms is k6's own
// delay. `lost` counts holes between the first and the last publication that a stream saw, not what it missed before or
// behind them. The extension sends no Last-Event-ID and does not reconnect, so resuming is not tested. Its own
// sse_event counts every blank line, ours only publications. For real load use `go run ./bench fan-out`.
//
// The streams are bounded (max_duration) and so end by themselves: Client.close of the extension reads the body to its
// end, which on an endless stream never comes.
import sse from 'k6/x/sse';
import http from 'k6/http';
import exec from 'k6/execution';
import { check, sleep } from 'k6';
import { Counter, Trend } from 'k6/metrics';

const base = __ENV.URL || 'http://127.0.0.1:8000';
const key = __ENV.API_KEY || 'dev';
const channel = __ENV.CHANNEL || 'bench';
const streams = Number(__ENV.STREAMS || 100);
const rate = Number(__ENV.RATE || 10); // publications per second
const ramp = Number(__ENV.RAMP || 3); // seconds over which the streams are opened
const hold = Number(__ENV.HOLD || 20); // seconds of publishing
const slack = 2; // seconds between the last stream and the first publication, and at the end

const delivery = new Trend('delivery_ms', true);
const first = new Trend('first_event_ms', true);
const events = new Counter('events');
const lost = new Counter('lost');
const duplicates = new Counter('duplicates');
const disconnects = new Counter('disconnects');
const streamErrors = new Counter('stream_errors');
const published = new Counter('published');

export const options = {
  scenarios: {
    subscribers: {
      executor: 'per-vu-iterations', exec: 'subscribe', vus: streams, iterations: 1,
      maxDuration: `${ramp + hold + 60}s`, gracefulStop: '5s',
    },
    publisher: {
      executor: 'constant-arrival-rate', exec: 'publish', startTime: `${ramp + slack}s`,
      rate, timeUnit: '1s', duration: `${hold}s`, preAllocatedVUs: 4, maxVUs: 50,
    },
  },
  thresholds: {
    checks: ['rate==1'],
    events: ['count>0'],
    lost: ['count==0'],
    duplicates: ['count==0'],
    disconnects: ['count==0'],
    stream_errors: ['count==0'],
  },
};

// Tells the publications of this run from others in the channel.
export function setup() {
  return { run: Date.now() };
}

export function subscribe({ run }) {
  const place = exec.scenario.iterationInTest;
  const wait = (ramp * place) / streams;
  sleep(wait);
  const connect = JSON.stringify({ subs: { [channel]: {} } });
  const bound = Math.ceil(ramp - wait + hold + 2 * slack);
  const url = `${base}/connection/uni_sse?max_duration=${bound}s&cf_connect=${encodeURIComponent(connect)}`;
  const seen = new Set();
  let low = Infinity, high = -Infinity;
  const began = Date.now();
  const response = sse.open(url, {}, (client) => {
    client.on('event', (e) => {
      const now = Date.now();
      if (!e.data || e.data === '{}') return; // a blank line, or a ping
      const push = JSON.parse(e.data);
      if (push.connect) first.add(now - began);
      else if (push.disconnect) disconnects.add(1);
      else if (push.pub && push.pub.data && push.pub.data.run === run) {
        const { n, t } = push.pub.data;
        if (seen.has(n)) { duplicates.add(1); return; }
        seen.add(n);
        low = Math.min(low, n);
        high = Math.max(high, n);
        events.add(1);
        delivery.add(now - t);
      }
    });
    client.on('error', (e) => {
      const text = e.error();
      // Every stream begins with a line "\r\n", which the extension does not know.
      if (!text.startsWith('unknown event: \r')) {
        streamErrors.add(1);
        console.error(text);
      }
    });
  });
  if (seen.size > 0) lost.add(high - low + 1 - seen.size);
  check(response, { 'stream answered 200': (r) => r && r.status === 200 });
}

export function publish({ run }) {
  const body = JSON.stringify({ channel, data: { run, n: exec.scenario.iterationInTest, t: Date.now() } });
  const r = http.post(`${base}/api/publish`, body, { headers: { 'X-API-Key': key, 'Content-Type': 'application/json' } });
  if (check(r, { 'published': (r) => r.status === 200 && r.json('result') !== undefined })) published.add(1);
}
