// Tail: what is published in the channel now, through a stream of the gateway like any client's. At most MAX_ROWS are
// kept; what is left out is counted and told.

import { BASE, HEADERS } from './api.js';
import { preciseClock, whole, bytes } from './format.js';
import { dataBlock, tagChips } from './history.js';
import { parts, part } from './rawjson.js';
import { Parser, read } from './sse.js';
import { debounce, field, fill, h, say } from './dom.js';
import { visible } from './text.js';

const MAX_ROWS = 500;
const PREVIEW = 300;
const RETRY_MS = 3000;

export function tail({ name }) {
  let running = null; // an AbortController
  let paused = false;
  let held = []; // rows that wait for the next frame, or for the end of a pause; oldest first
  let frame = 0;
  const counts = { seen: 0, dropped: 0, gaps: 0 };
  const state = { lastId: '', retry: RETRY_MS };
  const list = h('ol', { class: 'events dense' });
  const status = h('span', { class: 'pill', data: { state: 'off' }, role: 'status' }, 'stopped');
  const told = h('span', { class: 'quiet figure' });
  const empty = h('p', { class: 'empty' }, 'Start the tail to see what is published from then on.');
  const filter = h('input', { type: 'search', autocomplete: 'off', spellcheck: 'false', oninput: debounce(() => sift(), 120) });
  const start = h('button', { type: 'button', class: 'primary', onclick: () => (running ? stop() : run()) }, 'Start');
  const pause = h('button', { type: 'button', 'aria-pressed': 'false', disabled: true, onclick: () => {
    paused = !paused;
    pause.setAttribute('aria-pressed', String(paused));
    schedule();
  } }, 'Pause');
  const clear = h('button', { type: 'button', onclick: () => {
    list.replaceChildren();
    held = [];
    Object.assign(counts, { seen: 0, dropped: 0, gaps: 0 });
    schedule();
  } }, 'Clear');

  function set(word, text) {
    status.dataset.state = word;
    say(status, text);
    say(start, running ? 'Stop' : 'Start');
    start.className = running ? '' : 'primary';
    pause.disabled = !running;
  }

  async function run() {
    const mine = running = new AbortController();
    say(empty, 'Nothing was published since the start.');
    while (running === mine) {
      set('wait', state.lastId ? 'connecting again' : 'connecting');
      try {
        const response = await fetch(`${BASE}stream`, { method: 'POST', cache: 'no-store', signal: mine.signal,
          headers: state.lastId ? { ...HEADERS, 'Last-Event-ID': state.lastId } : HEADERS, body: JSON.stringify({ channels: [name] }) });
        if (!response.ok) {
          const answer = await response.json().catch(() => null);
          stop(answer?.error ?? `refused with ${response.status}`);
          return;
        }
        const parser = new Parser({ event, retry: (ms) => { state.retry = Math.min(10000, ms); } }, state.lastId);
        await read(response, parser);
      } catch (error) {
        if (mine.signal.aborted) return;
      }
      if (running !== mine) return;
      set('wait', 'cut, connecting again soon');
      await new Promise((resolve) => setTimeout(resolve, Math.max(500, state.retry)));
    }
  }

  function stop(why) {
    running?.abort();
    running = null;
    paused = false;
    pause.setAttribute('aria-pressed', 'false');
    set(why ? 'bad' : 'off', why || 'stopped');
    schedule();
  }

  function event({ data, lastId }) {
    state.lastId = lastId;
    const push = Object.fromEntries(parts(data));
    if (push.connect !== undefined) {
      set('live', 'live');
      for (const [, raw] of parts(part(push.connect, 'subs', name, 'publications') ?? '')) add({ kind: 'recovered', raw });
    } else if (push.pub !== undefined) {
      add({ kind: '', raw: push.pub });
    } else if (push.gap !== undefined) {
      counts.gaps++;
      add({ kind: 'gap', raw: push.gap });
    } else if (push.disconnect !== undefined) {
      add({ kind: 'disconnect', raw: push.disconnect });
    } else if (push.join !== undefined || push.leave !== undefined) {
      add({ kind: push.join !== undefined ? 'join' : 'leave', raw: push.join ?? push.leave });
    }
  }

  function add(row) {
    counts.seen++;
    held.push({ ...row, at: Date.now() });
    if (held.length > MAX_ROWS) {
      counts.dropped += held.length - MAX_ROWS;
      held.splice(0, held.length - MAX_ROWS);
    }
    schedule();
  }

  function schedule() {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      if (!paused && held.length > 0) {
        list.prepend(...held.map(line).reverse());
        held = [];
        for (; list.childElementCount > MAX_ROWS; counts.dropped++) list.lastElementChild.remove();
        sift();
      }
      empty.hidden = list.childElementCount > 0;
      say(told, `${whole(counts.seen)} seen${counts.dropped > 0 ? `, the oldest ${whole(counts.dropped)} dropped here (${MAX_ROWS} are kept)` : ''}${paused ? `, ${whole(held.length)} held by the pause` : ''}`);
    });
  }

  function line({ kind, raw, at }) {
    const found = Object.fromEntries(parts(raw));
    const data = kind === '' || kind === 'recovered' ? found.data : raw;
    const detail = h('details', { data: { kind }, ontoggle: () => {
      if (detail.open && detail.childElementCount === 1) detail.append(...[dataBlock(data, 'pretty')].flat(2).filter(Boolean));
    } }, h('summary', {}, h('span', { class: 'figure quiet' }, preciseClock(at)), h('b', { class: 'figure' }, found.offset && !kind.includes('gap') ? `#${found.offset}` : kind),
      kind === 'recovered' && h('span', { class: 'chip' }, kind), tagChips(found.tags),
      h('span', { class: 'preview' }, visible((data ?? '').slice(0, PREVIEW))), h('span', { class: 'figure quiet' }, bytes((data ?? '').length))));
    return h('li', { data: { text: raw.slice(0, 5000).toLowerCase() } }, detail);
  }

  function sift() {
    const words = filter.value.trim().toLowerCase();
    for (const row of list.children) row.hidden = words !== '' && !row.dataset.text.includes(words);
  }

  return {
    node: h('div', { class: 'tail' }, h('div', { class: 'filters' }, h('div', { class: 'line' }, start, pause, clear), field('Filter', filter)),
      h('p', { class: 'status-line' }, status, told), fill(h('div', { class: 'frame', tabindex: '0', role: 'region', 'aria-label': 'What was published, newest first' }), empty, list)),
    stop,
  };
}
