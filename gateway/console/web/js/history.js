// The history of a channel, newest first, a page at a time. Data stands as it was published: it is cut out of the
// answer's text, never parsed and printed.

import { call } from './api.js';
import { pretty } from './json.js';
import { bytes, date, plural, whole } from './format.js';
import { part, parts } from './rawjson.js';
import { visibleJSON } from './text.js';
import { choice, copyButton, debounce, field, fill, h, out, say } from './dom.js';

const PAGE = 50;
const SHOWN_CHARS = 20000;

export function history({ name, context }) {
  let page = { rows: [], top: null, epoch: '' };
  let way = 'pretty';
  let controller = null;
  let cut = false; // the page was asked from an offset, not from the top
  let wanted = null; // the offset that was jumped to
  let oldest = null; // the oldest offset that is kept, where a page is empty
  const rows = h('ol', { class: 'events' });
  const note = h('p', { class: 'note', role: 'status' });
  const problem = h('p', { class: 'note bad', role: 'alert' });
  const where = h('span', { class: 'pages' });
  const filter = h('input', { type: 'search', autocomplete: 'off', spellcheck: 'false', oninput: debounce(() => draw(), 120) });
  const jump = h('input', { type: 'number', min: 1, step: 1, inputmode: 'numeric' });
  const turn = choice('How data is shown', [['pretty', 'Pretty'], ['raw', 'Raw']], way, (value) => {
    way = value;
    draw();
  });
  const newest = h('button', { type: 'button', onclick: () => load() }, 'Newest');
  const newer = h('button', { type: 'button', onclick: () => loadNewer() }, '‹ Newer');
  const older = h('button', { type: 'button', onclick: () => load(page.rows.at(-1).offset) }, 'Older ›');
  const remove = h('button', { type: 'button', class: 'small', disabled: !context.admin, title: context.admin ? '' : 'Your role is read only', onclick: () => ask() }, 'Remove history…');

  async function ask() {
    const { confirm } = await import('./dialog.js');
    const done = await confirm({
      title: 'Remove the history?', go: 'Remove it',
      body: [h('p', {}, 'All kept publications of ', out(name), ' are dropped, on all nodes. Clients that come back and have missed some of them are told that they cannot be recovered. Offset and epoch stay.')],
      act: () => call('history_remove', { channel: name }),
    });
    if (done) load();
  }

  async function fetchPage(body) {
    controller?.abort();
    controller = new AbortController();
    const { signal } = controller;
    node.setAttribute('aria-busy', 'true');
    try {
      const { result, text } = await call('history', body, signal);
      const found = parts(part(text, 'result', 'publications') ?? '[]').map(([, raw]) => publication(raw));
      say(problem, '');
      return { rows: body.reverse ? found : found.reverse(), top: result.offset, epoch: result.epoch };
    } catch (error) {
      if (signal.aborted) return null;
      say(note, '');
      say(problem, error.code === 108 ? 'This channel keeps no history (history_size and history_ttl of its namespace).'
        : error.code === 112 ? 'The history began anew meanwhile (another epoch): press Newest.' : error.message);
      return null;
    } finally {
      node.setAttribute('aria-busy', 'false');
    }
  }

  /** The newest publications, or those below an offset; at is where somebody wants to be. */
  async function load(below, at = null) {
    const body = { channel: name, limit: PAGE, reverse: true };
    if (below !== undefined) body.since = { offset: below, epoch: page.epoch };
    const answer = await fetchPage(body);
    if (!answer) return;
    oldest = null;
    if (below !== undefined && answer.rows.length === 0 && answer.top > 0) {
      const first = await fetchPage({ channel: name, limit: 1, since: { offset: 0, epoch: answer.epoch } });
      if (!first) return;
      oldest = first.rows[0]?.offset ?? null;
    }
    cut = below !== undefined;
    wanted = at;
    page = answer;
    draw();
  }

  async function loadNewer() {
    const first = page.rows[0]?.offset ?? 0;
    const answer = await fetchPage({ channel: name, limit: PAGE, since: { offset: first, epoch: page.epoch } });
    if (!answer) return;
    if (answer.rows.length < PAGE) {
      load(); // the last step upwards is the newest page, a full one
      return;
    }
    cut = true;
    wanted = null;
    page = answer;
    draw();
  }

  function draw() {
    const words = filter.value.trim().toLowerCase();
    const shown = words === '' ? page.rows : page.rows.filter((row) => row.raw.toLowerCase().includes(words));
    fill(rows, shown.map((row) => entry(row, way)));
    const { rows: all, top } = page;
    newer.disabled = all.length === 0 ? !cut || oldest === null : all[0].offset >= top;
    older.disabled = all.length < PAGE || all.at(-1).offset <= 1;
    say(where, all.length === 0 ? '' : `${whole(all.at(-1).offset)}–${whole(all[0].offset)}, top ${whole(top)}`);
    say(note, words !== '' ? `${whole(shown.length)} of the ${whole(all.length)} on this page have “${filter.value.trim()}”. Other pages are not searched.`
      : emptyText({ some: all.length > 0, top, oldest, wanted }));
  }

  const form = h('form', { class: 'line jump', onsubmit: (event) => {
    event.preventDefault();
    const at = Math.trunc(Number(jump.value));
    if (at >= 1) load(at + 1, at);
    else jump.focus();
  } }, field('Jump to offset', jump), h('button', { type: 'submit' }, 'Go'));

  const node = h('div', { class: 'history' },
    h('div', { class: 'filters' }, field('Filter this page', filter), form, turn.node),
    h('div', { class: 'pager' }, where, h('span', { class: 'joined' }, newest, newer, older), remove), h('div', { class: 'notes' }, problem, note), rows);

  return { node, show: () => load(), hide: () => controller?.abort(), stop: () => controller?.abort() };
}

/**
 * What is to be said of a page without a filter: some tells whether it has rows, wanted is the offset that was jumped to,
 * oldest the first that is kept where the page has none.
 */
export function emptyText({ some, top, oldest, wanted }) {
  if (some) return wanted > top ? `#${whole(wanted)} is not published yet: the newest is #${whole(top)}.` : '';
  if (top === null) return 'Looking…';
  if (!(top > 0)) return 'Nothing has been published with history here yet.';
  if (oldest === null) return `Nothing is kept: the history has expired, or was removed. The position is ${whole(top)}.`;
  return `${wanted === null ? 'What is older' : `#${whole(wanted)}`} is not kept any more. Kept: ${whole(oldest)}–${whole(top)}.`;
}

/** {offset, tags, info, time, data, raw} of a publication's text. */
function publication(raw) {
  const found = Object.fromEntries(parts(raw));
  return { raw, offset: Number(found.offset ?? 0), data: found.data, tags: found.tags, info: found.info, time: Number(found.time ?? 0) };
}

/** One publication: what names it, then its data. */
export function entry(row, way) {
  return h('li', { class: 'event' }, h('div', { class: 'event-head' },
    h('b', { class: 'figure' }, row.offset ? `#${row.offset}` : 'no offset'),
    row.time > 0 && h('span', { class: 'quiet figure' }, date(row.time)),
    tagChips(row.tags), h('span', { class: 'quiet figure' }, bytes(new Blob([row.data ?? '']).size)),
    row.data !== undefined && copyButton(() => row.data)),
  dataBlock(row.data, way), row.info && h('details', {}, h('summary', {}, 'Info of the publisher'), dataBlock(row.info, way)));
}

export function tagChips(tags) {
  return parts(tags ?? '').map(([key, value]) => h('span', { class: 'chip' }, out(`${key}=${unquote(value)}`)));
}

function unquote(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === 'string' ? value : text;
  } catch {
    return text;
  }
}

/** JSON text as it is or indented; very long text is cut on show, and says so. */
export function dataBlock(text, way) {
  if (text === undefined) return h('p', { class: 'quiet' }, 'No data.');
  const whole = way === 'raw' ? text : pretty(text);
  const long = whole.length > SHOWN_CHARS;
  return [h('pre', { tabindex: '0', 'aria-label': 'Data' }, visibleJSON(long ? whole.slice(0, SHOWN_CHARS) : whole)),
    long && h('p', { class: 'quiet' }, `The first ${plural(SHOWN_CHARS, 'character')} of ${whole.length.toLocaleString('en-US')}; Copy takes all.`)];
}
