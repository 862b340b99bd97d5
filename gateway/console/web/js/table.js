// Tables that the server pages: rows are reused, so that a refresh moves nothing and keeps the focus; on a phone each row
// is a card, and it is a table for screen readers still.

import { plural, whole } from './format.js';
import { announce, fill, h, say, select } from './dom.js';

/**
 * columns: [{key, label, order, numeric, cell(row) -> node or text, hint}]; order is the name the server sorts by.
 * first is the column that names the row. on.order(order, desc) is called when a head is pressed.
 */
export class Table {
  constructor({ caption, columns, empty, on = {} }) {
    Object.assign(this, { columns, on });
    this.heads = columns.map((column) => this.#head(column));
    this.body = h('tbody', { role: 'rowgroup' });
    this.empty = h('p', { class: 'empty', hidden: true }, empty);
    this.table = h('table', { role: 'table', class: 'rows' }, h('caption', { class: 'unseen' }, caption),
      h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, this.heads)), this.body);
    this.node = h('div', { class: 'table' }, this.table, this.empty);
  }

  #head({ key, label, order, numeric, hint }) {
    const props = { scope: 'col', role: 'columnheader', class: `${numeric ? 'numeric' : ''} cell-${key}`, title: hint };
    if (!order) return h('th', props, label);
    return h('th', { ...props, data: { order } }, h('button', { type: 'button', onclick: () => {
      const now = this.order?.name === order;
      this.on.order?.(order, now ? !this.order.desc : numeric === true);
    } }, label, h('span', { class: 'arrow', 'aria-hidden': 'true' })));
  }

  setOrder(name, desc) {
    this.order = { name, desc };
    for (const head of this.heads) {
      if (!head.dataset.order) continue;
      if (head.dataset.order === name) head.setAttribute('aria-sort', desc ? 'descending' : 'ascending');
      else head.removeAttribute('aria-sort');
    }
  }

  show(rows, empty) {
    while (this.body.childElementCount > rows.length) this.body.lastElementChild.remove();
    rows.forEach((row, i) => {
      let line = this.body.children[i];
      if (!line) {
        line = h('tr', { role: 'row' }, this.columns.map(({ label, numeric, key }, at) =>
          h('td', { role: at === 0 ? 'rowheader' : 'cell', class: `${numeric ? 'numeric' : ''} cell-${key}`, data: { label } })));
        this.body.append(line);
      }
      this.columns.forEach((column, at) => put(line.children[at], column.cell(row)));
    });
    this.empty.hidden = rows.length > 0;
    this.table.hidden = rows.length === 0;
    if (empty !== undefined) say(this.empty, empty);
  }

  /** Someone is at a row: a refresh that could take it away should wait. */
  get busy() {
    return this.body.matches(':hover') || this.body.contains(document.activeElement);
  }
}

/** A cell with the same text, or a link to the same place, is left as it is. */
function put(cell, content) {
  if (content instanceof Node) {
    if (cell.childNodes.length === 1 && cell.firstChild.isEqualNode(content)) return;
    // The same link in the same place keeps the focus.
    if (cell.contains(document.activeElement) && document.activeElement.isEqualNode(content)) return;
    fill(cell, content);
  } else {
    say(cell, content ?? '');
  }
}

export const PAGE_SIZES = [25, 50, 100, 200];

/** Which rows of how many, and the way to others. on.go(offset), on.size(limit). */
export class Pager {
  constructor(what, on) {
    this.what = what;
    this.on = on;
    this.text = h('span', { class: 'pages' });
    const step = (label, name, to) => h('button', { type: 'button', 'aria-label': name, onclick: () => {
      on.go(Math.max(0, Math.min(to(), this.lastOffset)));
      announce(`${name}`);
    } }, label);
    this.buttons = [step('«', 'First page', () => 0), step('‹', 'Previous page', () => this.offset - this.limit),
      step('›', 'Next page', () => this.offset + this.limit), step('»', 'Last page', () => this.lastOffset)];
    this.size = select('Rows per page', PAGE_SIZES.map((n) => [String(n), `${n} rows`]), '50', (value) => on.size(Number(value)));
    this.node = h('div', { class: 'pager' }, this.text, this.size, h('span', { class: 'joined' }, this.buttons));
  }

  show({ offset, limit, total }) {
    Object.assign(this, { offset, limit, total });
    this.lastOffset = total === 0 ? 0 : Math.floor((total - 1) / limit) * limit;
    const one = this.what;
    say(this.text, total === 0 ? `No ${one}s` : total <= limit && offset === 0 ? plural(total, one)
      : `${whole(Math.min(offset + 1, total))}–${whole(Math.min(offset + limit, total))} of ${plural(total, one)}`);
    this.size.value = String(limit);
    const [first, before, next, end] = this.buttons;
    first.disabled = before.disabled = offset <= 0;
    next.disabled = end.disabled = offset >= this.lastOffset;
  }
}

/** What of the answer is not the whole truth: nodes that did not answer, a cut list. */
export function caveats({ silent = [], truncated = false }) {
  const said = [];
  if (silent.length > 0) said.push(`${plural(silent.length, 'node')} did not answer: ${silent.slice(0, 5).join(', ')}${silent.length > 5 ? ' …' : ''}. Their part is missing.`);
  if (truncated) said.push('There are more than the server looks through at once: narrow the search to see the rest.');
  return said.join(' ');
}
