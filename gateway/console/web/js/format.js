// Figures for people. Pure functions: numbers in, short texts out. What is no number is an en dash.

export const NONE = '–';

const isNumber = (n) => typeof n === 'number' && Number.isFinite(n);

/** Whole things: 0, 999, 12,345. */
export function whole(n) {
  return isNumber(n) ? Math.round(n).toLocaleString('en-US') : NONE;
}

function scaled(n, base, units, space) {
  let step = 0;
  let value = Math.abs(n);
  while (value >= 999.5 && step < units.length - 1) {
    value /= base;
    step++;
  }
  const digits = step === 0 && Number.isInteger(n) ? 0 : value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  const text = value.toFixed(digits).replace(/(\.\d*?)0+$/, '$1').replace(/\.$/, '');
  return `${n < 0 ? '-' : ''}${text}${units[step] === '' ? '' : space + units[step]}`;
}

/** 0.25, 8.5, 950, 12.3k, 4.56M. */
export function count(n) {
  return isNumber(n) ? scaled(n, 1000, ['', 'k', 'M', 'G', 'T'], '') : NONE;
}

/** 812 B, 4.1 kB, 2.3 MB. */
export function bytes(n) {
  return isNumber(n) ? scaled(n, 1000, ['B', 'kB', 'MB', 'GB', 'TB'], ' ') : NONE;
}

export function bytesPerSecond(n) {
  return isNumber(n) ? `${bytes(n)}/s` : NONE;
}

/** 0.4 ms, 38 ms, 1.24 s. */
export function milliseconds(n) {
  if (!isNumber(n)) return NONE;
  return Math.abs(n) < 999.5 ? `${scaled(n, 1000, [''], '')} ms` : duration(n / 1000);
}

/** 0 s, 59 s, 4 min 5 s, 3 h 12 min, 8 d 4 h; of less than ten seconds one decimal. */
export function duration(seconds) {
  if (!isNumber(seconds)) return NONE;
  const n = Math.abs(seconds);
  if (n < 9.95) return `${Math.round(n * 10) / 10} s`;
  const total = Math.round(n);
  const pair = (big, a, small, b) => (small === 0 ? `${big} ${a}` : `${big} ${a} ${small} ${b}`);
  if (total < 60) return `${total} s`;
  if (total < 3600) return pair(Math.floor(total / 60), 'min', total % 60, 's');
  if (total < 86400) return pair(Math.floor(total / 3600), 'h', Math.floor(total / 60) % 60, 'min');
  return pair(Math.floor(total / 86400), 'd', Math.floor(total / 3600) % 24, 'h');
}

/** in 4 min 5 s, 3 h ago. */
export function fromNow(ms, now = Date.now()) {
  return ms >= now ? `in ${duration((ms - now) / 1000)}` : `${duration((now - ms) / 1000)} ago`;
}

/** 14:05 */
export function hourMinute(ms) {
  const d = new Date(ms);
  return `${two(d.getHours())}:${two(d.getMinutes())}`;
}

/** 14:05:09 */
export function clock(ms) {
  return `${hourMinute(ms)}:${two(new Date(ms).getSeconds())}`;
}

/** 14:05:09.123 */
export function preciseClock(ms) {
  return `${clock(ms)}.${String(new Date(ms).getMilliseconds()).padStart(3, '0')}`;
}

/** 2026-12-01 14:05:09 */
export function date(ms) {
  const d = new Date(ms);
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${clock(ms)}`;
}

const two = (n) => String(n).padStart(2, '0');

/** 1 client, 2 clients. */
export function plural(n, one, many = `${one}s`) {
  return `${whole(n)} ${n === 1 ? one : many}`;
}

/** Ticks of an axis that begins at zero: at most four steps of 1, 2 or 5 times a power of ten. */
export function ticks(peak) {
  if (!(peak > 0)) return [0, 1];
  const rough = peak / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((m) => m * power >= rough * 0.999999) * power;
  const all = [];
  for (let i = 0; i * step < peak + step * 0.999; i++) all.push(Number((i * step).toPrecision(12)));
  return all;
}

/** Times at whole minutes or hours between from and to, in the local zone: at most six. */
export function timeTicks(from, to) {
  const steps = [60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600].map((n) => n * 1000);
  const step = steps.find((n) => (to - from) / n <= 6) ?? steps.at(-1);
  const shift = new Date(to).getTimezoneOffset() * 60000;
  const all = [];
  for (let at = Math.ceil((from - shift) / step) * step + shift; at <= to; at += step) all.push(at);
  return all;
}
