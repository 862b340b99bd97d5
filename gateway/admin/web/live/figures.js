// Live figures: message count, rate, lag percentiles and the curve of the last minute. Counting is cheap and immediate;
// writing to the page happens four times a second, whatever the rate.

const BUCKET_MS = 250;
const BUCKETS = 240; // one minute
const PER_SECOND = 1000 / BUCKET_MS;
const LAG_SAMPLES = 1000;

/** Counts without a DOM. All times are milliseconds since 1970. */
export class Counter {
  constructor() {
    this.reset();
  }

  reset() {
    this.total = 0;
    this.buckets = new Uint32Array(BUCKETS);
    this.last = Math.floor(Date.now() / BUCKET_MS);
    this.lags = new Float64Array(LAG_SAMPLES);
    this.lagCount = 0;
  }

  message(now, lag) {
    this.#advance(now);
    this.total++;
    this.buckets[this.last % BUCKETS]++;
    if (lag !== undefined) this.lags[this.lagCount++ % LAG_SAMPLES] = lag;
  }

  /** Messages of the last second. */
  rate(now) {
    this.#advance(now);
    let sum = 0;
    for (let i = 0; i < PER_SECOND; i++) sum += this.buckets[(this.last - i) % BUCKETS];
    return sum;
  }

  /** Messages per second over the last minute, oldest first: for each bucket the second that ends with it. */
  curve(now) {
    this.#advance(now);
    const points = new Float64Array(BUCKETS - PER_SECOND);
    let sum = 0;
    for (let i = 0; i < BUCKETS; i++) {
      const at = this.last + 1 + i; // the oldest bucket stands right after the newest
      sum += this.buckets[at % BUCKETS];
      if (i < PER_SECOND) continue;
      sum -= this.buckets[(at - PER_SECOND) % BUCKETS];
      points[i - PER_SECOND] = sum;
    }
    return points;
  }

  /** Median and 99th percentile of the last lags, or null. */
  lag() {
    const n = Math.min(this.lagCount, LAG_SAMPLES);
    if (n === 0) return null;
    const sorted = this.lags.slice(0, n).sort();
    return { median: sorted[Math.floor((n - 1) * 0.5)], p99: sorted[Math.ceil((n - 1) * 0.99)], samples: n };
  }

  /** Empties the buckets of the time that has passed. A clock set back keeps counting in the newest bucket. */
  #advance(now) {
    const current = Math.floor(now / BUCKET_MS);
    for (let at = Math.max(this.last + 1, current - BUCKETS + 1); at <= current; at++) this.buckets[at % BUCKETS] = 0;
    this.last = Math.max(this.last, current);
  }
}

/** Draws the curve as a water level. The colours come from the style sheet, so that they follow the colour scheme. */
export class Sparkline {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext('2d');
    this.#readColours();
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#readColours());
  }

  draw(points) {
    const { canvas, context } = this;
    const scale = devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * scale);
    const height = Math.round(canvas.clientHeight * scale);
    if (width === 0) return 0;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const peak = points.reduce((a, b) => Math.max(a, b), 0);
    const line = 1.5 * scale;
    const y = (value) => height - line - (peak === 0 ? 0 : (value / peak) * (height - 3 * line));
    context.clearRect(0, 0, width, height);
    context.beginPath();
    points.forEach((value, i) => context.lineTo((i / (points.length - 1)) * width, y(value)));
    context.strokeStyle = this.colour;
    context.lineWidth = line;
    context.lineJoin = 'round';
    context.stroke();
    context.lineTo(width, height);
    context.lineTo(0, height);
    context.globalAlpha = 0.16;
    context.fillStyle = this.colour;
    context.fill();
    context.globalAlpha = 1;
    return peak;
  }

  #readColours() {
    this.colour = getComputedStyle(this.canvas).color;
  }
}
