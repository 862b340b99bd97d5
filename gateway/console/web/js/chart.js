// Charts of figures over time, in SVG: axis from zero, units, gaps where nothing is known, a readout under the pointer or by
// arrow keys. All charts of a group have one cursor, so that a moment is read across them.

import { clock, date, hourMinute, NONE, ticks, timeTicks } from './format.js';
import { h, s, say } from './dom.js';

const HEIGHT = 132;
const TOP = 8;
const BOTTOM = 18;
const LEFT = 46;
const RIGHT = 8;

/** Charts that share their times and their cursor. */
export class Group {
  constructor() {
    this.charts = [];
    this.times = { from: 0, step: 1, length: 0 };
    this.cursor = null;
    this.resize = new ResizeObserver((entries) => {
      for (const { target } of entries) this.charts.find((chart) => chart.plot === target)?.draw();
    });
  }

  add(chart) {
    chart.group = this;
    this.charts.push(chart);
    this.resize.observe(chart.plot);
    return chart;
  }

  /** times: {from, step, length} in ms. */
  show(times, series) {
    this.times = times;
    for (const chart of this.charts) chart.set(series);
    if (this.cursor !== null) this.point(Math.min(this.cursor, times.length - 1));
  }

  point(index) {
    this.cursor = index;
    for (const chart of this.charts) chart.point(index);
  }

  stop() {
    this.resize.disconnect();
  }
}

/** title; unit: a short text; format and, where the axis is to be shorter, axis: functions; lines: [{key, label}], three at most. Texts are the console's own. */
export class Chart {
  constructor({ title, unit, format, axis = format, lines, hint }) {
    Object.assign(this, { title, unit, format, axis, lines, values: {}, group: null, x: null, y: null });
    this.svg = s('svg', { class: 'plot', 'aria-hidden': 'true' });
    this.plot = h('div', {
      class: 'chart-plot', tabindex: '0', role: 'group',
      onpointermove: (e) => this.#pointed(e), onpointerdown: (e) => this.#pointed(e),
      onpointerleave: () => this.group.point(null), onblur: () => this.group.point(null),
      onkeydown: (e) => this.#key(e),
    }, this.svg);
    this.when = h('span', { class: 'when' });
    this.figures = lines.map(() => h('b', {}, NONE));
    const legend = h('p', { class: 'legend' }, lines.map(({ label }, i) =>
      h('span', { data: { line: i } }, s('svg', { viewBox: '0 0 16 8', 'aria-hidden': 'true' }, s('path', { d: 'M1 4h14' })), `${label} `, this.figures[i])));
    this.spoken = h('p', { class: 'unseen', 'aria-live': 'polite' });
    this.node = h('figure', { class: 'chart' },
      h('figcaption', { title: hint }, h('h3', {}, title), ' ', h('span', { class: 'quiet' }, unit), this.when), legend, this.plot, this.spoken);
  }

  set(series) {
    this.values = Object.fromEntries(this.lines.map(({ key }) => [key, series[key] ?? []]));
    this.draw();
    this.point(this.group.cursor);
  }

  draw() {
    const width = this.plot.clientWidth;
    const { from, step, length } = this.group.times;
    if (width < 60 || length === 0) return;
    let peak = 0;
    for (const { key } of this.lines) for (const v of this.values[key]) if (v > peak) peak = v;
    const marks = ticks(peak);
    const top = marks.at(-1);
    const x = this.x = (i) => LEFT + (i / Math.max(1, length - 1)) * (width - LEFT - RIGHT);
    const y = this.y = (v) => TOP + (1 - v / top) * (HEIGHT - TOP - BOTTOM);
    const to = from + (length - 1) * step;
    const time = (ms) => LEFT + ((ms - from) / Math.max(1, to - from)) * (width - LEFT - RIGHT);
    const label = (ms) => hourMinute(ms);
    this.cross = s('g', { class: 'cross', visibility: 'hidden' }, s('path', { d: `M0 ${TOP}V${HEIGHT - BOTTOM}` }),
      this.lines.map((_, i) => s('circle', { r: 3.5, data: { line: i } })));
    this.svg.setAttribute('viewBox', `0 0 ${width} ${HEIGHT}`);
    this.svg.replaceChildren(
      ...marks.map((v) => s('g', { class: 'grid' }, s('path', { d: `M${LEFT} ${y(v)}H${width - RIGHT}` }),
        s('text', { x: LEFT - 6, y: y(v) + 3.5, 'text-anchor': 'end' }, v === 0 ? '0' : this.axis(v)))),
      ...timeTicks(from, to).filter((ms) => time(ms) > LEFT + 12 && time(ms) < width - RIGHT - 12).map((ms) => s('text', {
        class: 'time', x: time(ms), y: HEIGHT - 3, 'text-anchor': 'middle' }, label(ms))),
      ...this.lines.map(({ key }, i) => {
        const { line, area } = paths(this.values[key], x, y);
        return s('g', { class: 'line', data: { line: i } }, this.lines.length === 1 && s('path', { class: 'area', d: area }), s('path', { d: line }));
      }).reverse(),
      this.cross);
    this.plot.setAttribute('aria-label', this.#summary(peak));
  }

  #summary(peak) {
    const latest = this.lines.map(({ key, label }) => `${label} ${this.format(last(this.values[key]))}`).join(', ');
    return `${this.title}, ${this.unit}: ${latest}; peak ${this.format(peak)}. Arrow keys read the moments.`;
  }

  /** Shows the values of a moment, or, with null, the latest ones. */
  point(index) {
    const { from, step } = this.group.times;
    say(this.when, index === null ? '' : clock(from + index * step));
    this.lines.forEach(({ key }, i) => {
      const v = index === null ? last(this.values[key] ?? []) : this.values[key]?.[index];
      say(this.figures[i], this.format(v));
      const dot = this.cross?.children[i + 1];
      if (!dot) return;
      const there = index !== null && typeof v === 'number';
      dot.setAttribute('visibility', there ? 'inherit' : 'hidden');
      if (there) dot.setAttribute('cy', this.y(v));
    });
    if (!this.cross) return;
    this.cross.setAttribute('visibility', index === null ? 'hidden' : 'visible');
    if (index !== null) {
      const at = this.x(index);
      this.cross.firstChild.setAttribute('d', `M${at} ${TOP}V${HEIGHT - BOTTOM}`);
      for (const dot of [...this.cross.children].slice(1)) dot.setAttribute('cx', at);
    }
  }

  #pointed(event) {
    const box = this.plot.getBoundingClientRect();
    const { length } = this.group.times;
    if (length === 0) return;
    const part = (event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT);
    this.group.point(Math.round(Math.min(1, Math.max(0, part)) * (length - 1)));
  }

  #key(event) {
    const { length, from, step } = this.group.times;
    const at = this.group.cursor ?? length - 1;
    const big = Math.max(1, Math.round(length / 20));
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, PageUp: at - big, PageDown: at + big, Home: 0, End: length - 1 }[event.key];
    if (event.key === 'Escape') this.group.point(null);
    if (to === undefined || length === 0) return;
    event.preventDefault();
    const index = Math.min(length - 1, Math.max(0, to));
    this.group.point(index);
    say(this.spoken, `${date(from + index * step)}: ${this.lines.map(({ key, label }) => `${label} ${this.format(this.values[key]?.[index])}`).join(', ')}`);
  }
}

/** The latest figure that is known among the last three, so that one late step is no hole. */
export function last(values) {
  for (let i = values.length - 1; i >= Math.max(0, values.length - 3); i--) if (typeof values[i] === 'number') return values[i];
  return null;
}

function paths(values, x, y) {
  let line = '', area = '', begun = -1;
  const end = (i) => {
    if (begun < 0) return;
    if (i - begun === 1) line += 'h0.01'; // one figure alone is a dot
    area += `V${y(0)}H${x(begun).toFixed(1)}Z`;
    begun = -1;
  };
  values.forEach((v, i) => {
    if (typeof v !== 'number') {
      end(i);
      return;
    }
    const point = `${x(i).toFixed(1)} ${y(v).toFixed(1)}`;
    line += `${begun < 0 ? 'M' : 'L'}${point}`;
    area += `${begun < 0 ? `M${x(i).toFixed(1)} ${y(0)}L` : 'L'}${point}`;
    if (begun < 0) begun = i;
  });
  end(values.length);
  return { line, area };
}

/** A line without axes, for a tile. */
export class Spark {
  constructor() {
    this.node = s('svg', { class: 'spark', viewBox: '0 0 100 24', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
      s('path', { class: 'area' }), s('path', { class: 'stroke', 'vector-effect': 'non-scaling-stroke' }));
  }

  draw(values) {
    const peak = Math.max(0, ...values.filter((v) => typeof v === 'number')) || 1;
    const { line, area } = paths(values, (i) => (i / Math.max(1, values.length - 1)) * 100, (v) => 23 - (v / peak) * 21);
    this.node.firstChild.setAttribute('d', area);
    this.node.lastChild.setAttribute('d', line);
  }
}

/** How full something is: label, used and size with a format. Over four fifths it is a warning, said in words too. */
export class Meter {
  constructor(label, format, hint) {
    this.format = format;
    this.text = h('span', { class: 'figure' }, NONE);
    this.bar = s('svg', { class: 'meter', viewBox: '0 0 100 6', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
      s('rect', { class: 'track', width: 100, height: 6 }), s('rect', { class: 'fill', height: 6, width: 0 }));
    this.node = h('div', { class: 'fullness', title: hint }, h('span', {}, label), this.text, this.bar);
  }

  set(used, size) {
    const known = typeof used === 'number' && typeof size === 'number' && size > 0;
    const part = known ? Math.min(1, used / size) : 0;
    this.bar.lastChild.setAttribute('width', part * 100);
    this.node.dataset.level = part > 0.8 ? 'high' : '';
    say(this.text, known ? `${this.format(used)} of ${this.format(size)} · ${part > 0 && part < 0.01 ? '<1' : Math.round(part * 100)} %${part > 0.8 ? ', nearly full' : ''}`
      : typeof used === 'number' ? `${this.format(used)}, no limit` : NONE);
  }
}
