// The message list: rows as real elements, at most MAX_ROWS of them, added once per animation frame within a budget, so
// that a burst costs a few frames and a long evening no memory. Data reaches the page as text nodes only.

import { copyWith } from './copy.js';
import { pretty, valueAt } from './json.js';
import { visible } from './text.js';

const MAX_ROWS = 2000;
const FRAME_BUDGET_MS = 6; // spent on rows per animation frame; the rest belongs to input and painting
const PREVIEW_CHARS = 400;
const DATA_START = '"pub":{"data":';
const KEPT_CHARS = 65536; // of an event's text, for the opened row
const NEAR_EDGE_PX = 4;

const clock = new Intl.DateTimeFormat(undefined, {
  hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3, hourCycle: 'h23',
});

/** Bytes for people: 812 B, 4.1 kB, 2.3 MB. */
function formatBytes(n) {
  if (n < 1000) return `${n} B`;
  if (n < 1e6) return `${(n / 1000).toFixed(n < 1e4 ? 1 : 0)} kB`;
  return `${(n / 1e6).toFixed(1)} MB`;
}

/** Milliseconds for people: 3 ms, 840 ms, 12.4 s. */
export function formatLag(ms) {
  if (Math.abs(ms) < 1000) return `${Math.round(ms)} ms`;
  if (Math.abs(ms) < 1e5) return `${(ms / 1000).toFixed(1)} s`;
  return `${Math.round(ms / 60000)} min`;
}

/**
 * A copy of the text that is short enough to keep. Why encode: a slice would hold the whole original in memory, which
 * for 2000 rows of 1 MB is too much.
 */
export function keepText(text) {
  if (text.length <= KEPT_CHARS) return text;
  return new TextDecoder().decode(new TextEncoder().encode(text.slice(0, KEPT_CHARS)));
}

/** Elements: list (ol), scroller (its scrolling parent), template (one row), empty, jump (button), held, said (live region). */
export class MessageList {
  constructor(elements) {
    Object.assign(this, elements);
    this.pending = []; // records not drawn yet, oldest first
    this.records = new WeakMap(); // row element -> record
    this.newestFirst = true;
    this.paused = false;
    this.frame = 0;
    this.unseen = 0;
    this.following = true;
    this.scroller.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    this.list.addEventListener('click', (event) => this.#clicked(event));
    this.scroller.addEventListener('keydown', (event) => this.#key(event));
    this.jump.addEventListener('click', () => this.toNewest());
  }

  /** Queues a record {at, kind, channel, data, text, chars, bytes, offset, id, lag, note, recovered}; drawn with the next frame. */
  add(record) {
    record.note = record.note ?? preview(record);
    record.data = undefined; // a row must not keep a large object alive
    this.pending.push(record);
    // A hidden tab gets no frames: keep what could still be shown, forget the rest.
    if (this.pending.length > 2 * MAX_ROWS) this.pending.splice(0, this.pending.length - MAX_ROWS);
    this.#schedule();
  }

  setPaused(paused) {
    this.paused = paused;
    this.#schedule();
  }

  setNewestFirst(newestFirst) {
    if (newestFirst === this.newestFirst) return;
    this.newestFirst = newestFirst;
    this.list.replaceChildren(...[...this.list.children].reverse());
    this.toNewest();
  }

  clear() {
    this.pending.length = 0;
    this.list.replaceChildren();
    this.empty.hidden = false;
    this.toNewest();
    this.#schedule();
  }

  toNewest() {
    this.following = true;
    this.scroller.scrollTop = this.newestFirst ? 0 : this.scroller.scrollHeight;
    this.#showUnseen(0);
  }

  #schedule() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.#draw();
    });
  }

  #draw() {
    this.held.textContent = this.paused && this.pending.length > 0 ? `${Math.min(this.pending.length, MAX_ROWS)} held` : '';
    if (!this.paused && this.pending.length > 0) {
      if (this.pending.length > MAX_ROWS) this.pending.splice(0, this.pending.length - MAX_ROWS);
      const rows = this.#rows();
      this.#insert(rows);
      if (this.pending.length > 0) this.#schedule();
    }
  }

  /** Makes as many rows as the frame's budget allows. */
  #rows() {
    const until = performance.now() + FRAME_BUDGET_MS;
    const rows = [];
    do {
      rows.push(this.#fill(this.template.content.firstElementChild.cloneNode(true), this.pending[rows.length]));
    } while (rows.length < this.pending.length && performance.now() < until);
    this.pending.splice(0, rows.length);
    return rows;
  }

  #insert(rows) {
    const { list, scroller } = this;
    const top = scroller.scrollTop;
    const before = this.following ? 0 : scroller.scrollHeight;
    if (this.newestFirst) list.prepend(...rows.reverse());
    if (!this.following && this.newestFirst) scroller.scrollTop = top + scroller.scrollHeight - before;
    let surplus = list.childElementCount + (this.newestFirst ? 0 : rows.length) - MAX_ROWS;
    for (; surplus > 0; surplus--) this.#drop(this.newestFirst ? list.lastElementChild : list.firstElementChild);
    if (!this.newestFirst) {
      if (!this.following) scroller.scrollTop = top + scroller.scrollHeight - before;
      list.append(...rows);
    }
    if (this.following) scroller.scrollTop = this.newestFirst ? 0 : scroller.scrollHeight;
    else this.#showUnseen(this.unseen + rows.length);
  }

  #drop(row) {
    if (row.contains(document.activeElement)) this.scroller.focus({ preventScroll: true });
    row.remove();
  }

  #fill(row, record) {
    this.records.set(row, record);
    row.dataset.kind = record.kind;
    if (record.kind === 'pub') this.empty.hidden = true;
    const [time, kind, channel, data, offset, id, size, lag] = row.firstElementChild.children;
    time.textContent = clock.format(record.at);
    kind.textContent = record.recovered ? 'resumed' : record.kind;
    if (record.recovered) row.dataset.recovered = '';
    channel.textContent = visible(record.channel);
    data.textContent = visible(record.note);
    offset.textContent = record.offset === undefined ? '' : `#${record.offset}`;
    id.textContent = visible(record.id);
    size.textContent = formatBytes(record.bytes);
    lag.textContent = record.lag === undefined ? '' : formatLag(record.lag);
    return row;
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    const distance = this.newestFirst ? scrollTop : scrollHeight - clientHeight - scrollTop;
    this.following = distance <= NEAR_EDGE_PX;
    if (this.following) this.#showUnseen(0);
  }

  #showUnseen(n) {
    this.unseen = n;
    this.jump.hidden = n === 0;
    this.jump.textContent = `${n.toLocaleString()} newer ${this.newestFirst ? '↑' : '↓'}`;
  }

  #clicked(event) {
    const button = event.target.closest('button');
    if (!button) return;
    const row = button.closest('li');
    const record = this.records.get(row);
    if (button.dataset.copy !== undefined) {
      copyWith(button, record.text, row.querySelector('pre'), this.said);
      return;
    }
    const open = button.getAttribute('aria-expanded') !== 'true';
    button.setAttribute('aria-expanded', String(open));
    if (open) {
      row.append(this.#detail(record));
      this.following = false; // what is being read stays where it is; the jump button leads back
    } else {
      row.lastElementChild.remove();
    }
  }

  #detail(record) {
    const box = document.getElementById('detail-template').content.firstElementChild.cloneNode(true);
    const [facts, text] = box.children;
    const cut = record.chars > record.text.length ? `first ${record.text.length.toLocaleString()} of ${record.chars.toLocaleString()} characters` : '';
    facts.firstElementChild.textContent = visible([
      record.kind, record.recovered && 'published while the stream was away', record.channel, record.offset === undefined ? '' : `offset ${record.offset}`,
      record.id && `event id ${record.id}`, `${record.bytes.toLocaleString()} bytes`, record.problem, cut,
    ].filter(Boolean).join(' · '));
    text.textContent = visible(cut || record.kind === 'malformed' ? record.text : pretty(record.text));
    return box;
  }

  /** Arrow keys walk the rows; they are not tab stops, or leaving the list would take 2000 presses. */
  #key(event) {
    const current = document.activeElement.closest?.('#messages > li');
    const { firstElementChild: first, lastElementChild: last } = this.list;
    const target = {
      ArrowDown: current ? current.nextElementSibling : first,
      ArrowUp: current ? current.previousElementSibling : last,
      Home: first,
      End: last,
    }[event.key];
    if (event.key === 'Escape' && current) this.scroller.focus();
    if (!target || event.target.closest('pre')) return;
    event.preventDefault();
    target.firstElementChild.focus();
  }
}

/** One line for the row. Data stands as the event wrote it, or, in a recovered message, as the browser writes it. */
function preview({ data, kind, text }) {
  const start = text.indexOf(DATA_START);
  if (start >= 0) return valueAt(text, start + DATA_START.length, PREVIEW_CHARS);
  if (kind === 'pub' && data === undefined) return '(empty)';
  return text.slice(0, PREVIEW_CHARS);
}
