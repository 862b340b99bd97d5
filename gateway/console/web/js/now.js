// Now: what the gateway does at the moment, and did in the last hours.

import { get } from './api.js';
import { Chart, Group, Meter, Spark } from './chart.js';
import { bytes, bytesPerSecond, clock, count, duration, milliseconds, NONE, whole } from './format.js';
import { Freshness, Poll } from './poll.js';
import { reason } from './reasons.js';
import { visible } from './text.js';
import { choice, fill, h, out, s, say } from './dom.js';

const EVERY_MS = 5000;
const LIST_MS = 10000;
const LIST_ROWS = 6;
const FEWEST = 36; // steps of a chart
const RANGES = [['30m', '30 min'], ['6h', '6 h'], ['24h', '24 h']];

const TILES = [
  ['streams', 'Streams', whole], ['connects', 'Connects/s', count], ['publications', 'Publications/s', count],
  ['deliveries', 'Deliveries/s', count], ['lag_p99_ms', 'Lag (99th)', milliseconds], ['memory_bytes', 'Memory', bytes],
];

const CHARTS = [
  { title: 'Streams', unit: 'open', format: count, lines: [{ key: 'streams', label: 'Streams' }, { key: 'users', label: 'Users' }] },
  { title: 'Coming and going', unit: 'per second', format: count, hint: 'Refused: connects that became no stream',
    lines: [{ key: 'connects', label: 'Connects' }, { key: 'closes', label: 'Closes' }, { key: 'refused', label: 'Refused' }] },
  { title: 'Publications', unit: 'per second', format: count, lines: [{ key: 'publications', label: 'Publications' }] },
  { title: 'Deliveries', unit: 'per second', format: count, lines: [{ key: 'deliveries', label: 'Deliveries' }] },
  { title: 'Sent', unit: 'bytes per second', format: bytesPerSecond, axis: bytes, lines: [{ key: 'sent_bytes', label: 'Sent' }] },
  { title: 'Lag', unit: 'from publish to socket', format: milliseconds, hint: 'Of several nodes: the worst',
    lines: [{ key: 'lag_p50_ms', label: 'Median' }, { key: 'lag_p99_ms', label: '99th' }] },
  { title: 'Memory', unit: 'bytes', format: bytes, hint: 'RSS: all the process has of the machine. Heap: what Go keeps. Queues: what waits for clients',
    lines: [{ key: 'memory_bytes', label: 'RSS' }, { key: 'heap_bytes', label: 'Heap' }, { key: 'queue_bytes', label: 'Queues' }] },
  { title: 'Processor', unit: 'cores', format: count, lines: [{ key: 'cpu', label: 'Used' }] },
  { title: 'Channels', unit: 'with subscribers', format: count, lines: [{ key: 'channels', label: 'Channels' }, { key: 'subscriptions', label: 'Subscriptions' }] },
];

const PLAIN = [
  ['channels', 'Channels', whole, 'Channels with a subscriber'], ['subscriptions', 'Subscriptions', whole],
  ['queue_bytes', 'Waiting in queues', bytes, 'What streams have not been sent yet'], ['heap_bytes', 'Heap', bytes, 'What Go keeps of the memory'],
  ['blocked', 'Streams with a full socket', whole, 'They take nothing at the moment'],
  ['lane_backlog', 'Publications before encoding', whole, 'Backlog of the lanes'], ['loop_backlog', 'Deliveries before writing', whole, 'Backlog of the loops'],
];

export function now(context) {
  const fresh = new Freshness();
  const group = new Group();
  let params = {};
  let closesShown = '';

  const range = choice('Range', RANGES, '30m', (value) => context.go('now', { ...params, range: value === '30m' ? '' : value }));
  const node = h('select', { 'aria-label': 'Node', onchange: () => context.go('now', { ...params, node: node.value }) }, h('option', { value: '' }, 'All nodes, summed'));
  const at = h('span', { class: 'quiet at' });
  const quiet = h('p', { class: 'note warn' });

  const tiles = TILES.map(([key, label, format]) => {
    const figure = h('dd', {}, NONE);
    const spark = new Spark();
    return { key, format, figure, spark, node: h('div', { class: 'tile' }, h('dt', {}, label), figure, spark.node) };
  });
  const charts = CHARTS.map((options) => group.add(new Chart(options)));

  const credit = new Meter('Publish credit in use', bytes, 'http_api.publish_inflight_max_bytes: publishers wait when it is used up');
  const held = new Meter('Held for slow clients', bytes, 'client.queues_max_total: over it the slowest are closed');
  const plain = PLAIN.map(([key, label, format, hint]) => {
    const value = h('dd', {}, NONE);
    return { key, format, value, node: h('div', { title: hint }, h('dt', {}, label), value) };
  });

  const closes = h('ul', { class: 'closes' });
  const hottest = list('Hottest channels', 'No channel has a publication at the moment.', context.link('channels', { order: 'rate', desc: 1 }));
  const largest = list('Largest queues', 'Nothing waits for any client.', context.link('clients', { order: 'queue', desc: 1 }));
  const slowest = list('Slowest streams', 'No client lets its stream wait.', context.link('clients', { order: 'lag', desc: 1 }));

  function showNodes(nodes = []) {
    const wanted = nodes.length === 1 ? [['', nodes[0].name]] : [['', `All ${nodes.length} nodes, summed`], ...nodes.map((n) => [n.uid,
      `${n.name}${n.self ? ' (this one)' : ''}${n.silent ? ': silent' : n.series === false ? ': no figures' : ''}`])];
    const text = JSON.stringify(wanted);
    if (node.dataset.shown !== text) {
      node.dataset.shown = text;
      fill(node, wanted.map(([value, label]) => h('option', { value }, visible(label))));
    }
    node.value = params.node ?? '';
    if (node.selectedIndex < 0) node.value = '';
    const without = nodes.filter((n) => n.silent || n.series === false).map((n) => n.name);
    say(quiet, without.length > 0 ? `Without ${without.join(', ')}: no figures came from there.` : '');
    const one = nodes.find((n) => n.uid === (params.node ?? '')) ?? (nodes.length === 1 ? nodes[0] : null);
    return since(one ? [one] : nodes, params.range) || (one ? `, up ${duration(one.uptime_s)}` : '');
  }

  function showCloses(all = {}) {
    const entries = Object.entries(all).filter(([, n]) => n > 0).sort((a, b) => b[1] - a[1]);
    const text = JSON.stringify(entries);
    if (text === closesShown) return;
    closesShown = text;
    const most = Math.max(1, ...entries.map(([, n]) => n));
    const sum = entries.reduce((n, [, m]) => n + m, 0);
    fill(closes, entries.map(([name, n]) => {
      const { kind, title, text: meaning } = reason(name);
      return h('li', { data: { kind } }, h('span', { class: 'close-title' }, title, ' ', h('code', {}, name)),
        h('span', { class: 'figure' }, `${whole(n)} · ${n / sum < 0.01 ? '<1' : Math.round((n / sum) * 100)} %`),
        s('svg', { class: 'meter', viewBox: '0 0 100 6', preserveAspectRatio: 'none', 'aria-hidden': 'true' }, s('rect', { class: 'fill', height: 6, width: (n / most) * 100 })),
        h('small', { class: 'quiet' }, meaning));
    }), entries.length === 0 && h('li', { class: 'empty' }, 'No stream ended in this time.'));
  }

  const figures = new Poll(EVERY_MS, async (signal) => {
    const answer = await get('now', { range: params.range || '30m', node: params.node }, signal);
    const { latest = {} } = answer;
    const { series, length, from } = begun(answer);
    group.show({ from, step: answer.step_ms, length }, series);
    for (const tile of tiles) {
      say(tile.figure, tile.format(latest[tile.key]));
      tile.spark.draw(series[tile.key] ?? []);
    }
    credit.set(latest.credit_used_bytes, latest.credit_size_bytes);
    held.set(latest.held_bytes, latest.held_max_bytes);
    for (const one of plain) say(one.value, one.format(latest[one.key]));
    showCloses(answer.closes);
    say(at, `${clock(answer.at)}${showNodes(answer.nodes)}`);
  }, { good: () => fresh.good(), bad: (failure) => fresh.bad(failure) });

  const lists = new Poll(LIST_MS, async (signal) => {
    const hot = await get('channels', { order: 'rate', desc: 1, limit: LIST_ROWS }, signal);
    hottest.show(hot.rows.filter((row) => row.rate > 0).map((row) => [context.link('channel', { name: row.channel }), row.channel, `${count(row.rate)}/s`]));
    const client = (row, figure) => [context.link('client', { client: row.client }), row.user ? `${row.user}` : `anonymous, ${row.address}`, figure];
    const large = await get('clients', { order: 'queue', desc: 1, limit: LIST_ROWS }, signal);
    largest.show(large.rows.filter((row) => row.queue_bytes > 0).map((row) => client(row, bytes(row.queue_bytes))));
    const slow = await get('clients', { order: 'lag', desc: 1, limit: LIST_ROWS }, signal);
    slowest.show(slow.rows.filter((row) => row.lag_ms > 0).map((row) => client(row, milliseconds(row.lag_ms))));
  });

  return {
    node: h('div', { class: 'now' },
      h('div', { class: 'head' }, h('h1', {}, 'Now'), at, h('div', { class: 'tools' }, node, range.node)), quiet,
      h('dl', { class: 'tiles' }, tiles.map((tile) => tile.node)),
      h('section', { class: 'charts', 'aria-label': 'Charts' }, charts.map((chart) => chart.node)),
      h('div', { class: 'panels' },
        h('section', { class: 'panel' }, h('h2', {}, 'Room'), credit.node, held.node, h('dl', { class: 'facts' }, plain.map((one) => one.node))),
        h('section', { class: 'panel closes-panel' }, h('h2', {}, 'Why streams ended'), closes),
        hottest.node, largest.node, slowest.node)),
    show(next) {
      const begin = !params.shown;
      params = { range: next.range, node: next.node };
      range.set(next.range || '30m');
      Object.defineProperty(params, 'shown', { value: true });
      figures.now();
      if (begin) lists.now();
    },
    stop() {
      figures.stop();
      lists.stop();
      group.stop();
      fresh.hide();
    },
  };
}

/**
 * The figures without the time before there were any: a process that is young fills its charts, and the axis says since
 * when. At least FEWEST steps stay.
 */
export function begun({ series = {}, from, step_ms: step }) {
  const all = Object.values(series);
  const length = Math.max(0, ...all.map((values) => values.length));
  const firsts = all.map((values) => values.findIndex((v) => typeof v === 'number')).filter((i) => i >= 0);
  const cut = firsts.length === 0 ? 0 : Math.max(0, Math.min(Math.min(...firsts) - 1, length - FEWEST));
  return { from: from + cut * step, length: length - cut, series: Object.fromEntries(Object.entries(series).map(([key, values]) => [key, values.slice(cut)])) };
}

/** Says that the range is longer than any of the nodes is up. */
export function since(nodes, range = '30m') {
  const up = Math.max(0, ...nodes.map((n) => n.uptime_s).filter(Number.isFinite));
  return up > 0 && up < { '30m': 1800, '6h': 21600, '24h': 86400 }[range] ? `, since the start, ${duration(up)} ago` : '';
}

/** A short list of links with a figure each, of a fixed height. */
function list(title, empty, more) {
  const items = h('ol', { class: 'short' });
  const wait = h('li', { class: 'empty' }, 'Looking…');
  items.append(wait);
  let shown = '';
  return {
    node: h('section', { class: 'panel' }, h('h2', {}, title, h('a', { href: more, class: 'more', 'aria-label': `All: ${title}` }, 'All')), items),
    show(rows) {
      const text = JSON.stringify(rows);
      if (text === shown) return;
      shown = text;
      const focused = items.contains(document.activeElement) ? document.activeElement.getAttribute('href') : null;
      fill(items, rows.map(([href, name, figure]) => h('li', {}, h('a', { href, title: name }, out(name)), h('span', { class: 'figure' }, figure))),
        rows.length === 0 && h('li', { class: 'empty' }, empty));
      if (focused) [...items.querySelectorAll('a')].find((a) => a.getAttribute('href') === focused)?.focus();
    },
  };
}
