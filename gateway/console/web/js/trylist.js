// The events of the debugger: at most MAX_ROWS of them, newest at the bottom, drawn once per animation frame.

import { bytes, plural, preciseClock } from './format.js';
import { dataBlock } from './history.js';
import { fill, h, say } from './dom.js';
import { part } from './rawjson.js';
import { visible } from './text.js';

const MAX_ROWS = 500;
const PREVIEW = 300;
const NEAR_PX = 24;

export class EventList {
  constructor() {
    this.list = h('ol', { class: 'events dense' });
    this.empty = h('p', { class: 'empty' }, 'Connect, and each event of the stream stands here with its id, size and offset.');
    this.frame = h('div', { class: 'frame', tabindex: '0', role: 'region', 'aria-label': 'Events, newest last' }, this.empty, this.list);
    this.told = h('p', { class: 'note quiet' });
    this.follow = h('button', { type: 'button', class: 'small follow', hidden: true, onclick: () => this.#follow(true) }, 'Follow the newest');
    this.node = h('div', {}, this.frame, this.follow, this.told);
    // Rows become higher when they come into sight: only who scrolls upwards does not follow any more.
    this.following = true;
    this.last = 0; // where the frame was scrolled to
    this.frame.addEventListener('scroll', () => {
      const top = this.frame.scrollTop;
      if (this.#atEnd()) this.#follow(true);
      else if (top < this.last) this.#follow(false);
      this.last = top;
    }, { passive: true });
    new ResizeObserver(() => this.#toEnd()).observe(this.list);
    this.waiting = [];
    this.dropped = 0;
    this.number = 0;
    this.timer = 0;
  }

  clear() {
    this.waiting = [];
    this.dropped = this.number = 0;
    this.list.replaceChildren();
    this.#follow(true);
    this.#schedule();
  }

  /** A line of the debugger's own. */
  mark(text) {
    this.#push({ mark: text, at: Date.now() });
  }

  /** An event: {data, event, id, chars, kind, channel, offset, gap, doubled}. */
  add(event) {
    this.#push({ ...event, at: Date.now(), n: ++this.number });
  }

  #atEnd() {
    return this.frame.scrollHeight - this.frame.clientHeight - this.frame.scrollTop <= NEAR_PX;
  }

  #follow(on) {
    this.following = on;
    this.follow.hidden = on;
    this.#toEnd();
  }

  #toEnd() {
    if (!this.following) return;
    if (!this.#atEnd()) this.frame.scrollTop = this.frame.scrollHeight;
    this.last = this.frame.scrollTop; // rows that leave at the top move it back, and nobody scrolled
  }

  #push(row) {
    this.waiting.push(row);
    if (this.waiting.length > MAX_ROWS) {
      this.dropped += this.waiting.length - MAX_ROWS;
      this.waiting.splice(0, this.waiting.length - MAX_ROWS);
    }
    this.#schedule();
  }

  #schedule() {
    this.timer ||= requestAnimationFrame(() => {
      this.timer = 0;
      const { list } = this;
      list.append(...this.waiting.map((row) => (row.mark === undefined ? line(row) : mark(row))));
      this.waiting = [];
      for (; list.childElementCount > MAX_ROWS; this.dropped++) list.firstElementChild.remove();
      this.empty.hidden = list.childElementCount > 0;
      say(this.told, this.dropped > 0 ? `${plural(this.dropped, 'older row')} dropped here: ${MAX_ROWS} are kept.` : '');
      this.#toEnd();
    });
  }
}

function mark({ mark: text, at }) {
  return h('li', { class: 'mark' }, h('span', { class: 'figure' }, preciseClock(at)), ' ', visible(text));
}

function line({ n, at, data, event, id, chars, kind, channel, offset, gap, doubled }) {
  const detail = h('details', { data: { kind: gap || doubled || kind === 'gap' ? 'gap' : kind }, ontoggle: () => {
    if (detail.open && detail.childElementCount === 1) detail.append(...[facts({ event, id, chars }), dataBlock(data, 'pretty')].flat(2).filter(Boolean));
  } }, h('summary', {}, h('span', { class: 'figure quiet' }, preciseClock(at)), h('b', {}, kind), channel && h('span', { class: 'channel' }, visible(channel)),
    offset !== undefined && h('span', { class: 'figure' }, `#${offset}`), gap && h('span', { class: 'chip', data: { level: 'error' } }, `missing #${gap[0]}–#${gap[1]}`),
    doubled && h('span', { class: 'chip', data: { level: 'error' } }, 'came twice'),
    h('span', { class: 'preview' }, visible((part(data, kind, 'data') ?? part(data, kind) ?? data).slice(0, PREVIEW))), id !== '' && h('span', { class: 'id', title: id }, `id ${id.length > 12 ? `…${id.slice(-8)}` : id}`),
    h('span', { class: 'figure quiet' }, bytes(chars))));
  return h('li', { data: { n } }, detail);
}

function facts({ event, id, chars }) {
  return fill(h('p', { class: 'quiet wrap' }), `event ${event}, ${id === '' ? 'no id' : 'id '}`, id !== '' && h('code', {}, visible(id)), `, ${plural(chars, 'character')}`);
}
