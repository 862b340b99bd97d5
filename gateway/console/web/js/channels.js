// Channels: those with subscribers, searched, ordered and paged by the server.

import { get } from './api.js';
import { count, whole } from './format.js';
import { Freshness, Poll } from './poll.js';
import { caveats, Pager, Table } from './table.js';
import { debounce, field, h, out, say, select } from './dom.js';

const EVERY_MS = 5000;
const ORDERS = [['name', 'Name'], ['subscribers', 'Subscribers'], ['rate', 'Rate']];

export function channels(context) {
  const fresh = new Freshness();
  let params = {};
  const change = (changes, replace) => context.go('channels', tidy({ ...params, ...changes }), replace);

  const search = h('input', { type: 'search', autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false', placeholder: 'chat:*',
    oninput: debounce(() => change({ q: search.value, offset: 0 }, true)) });
  const order = select('Order', ORDERS, 'name', (value) => change({ order: value, desc: value !== 'name', offset: 0 }));
  const open = h('form', { class: 'line', onsubmit: (event) => {
    event.preventDefault();
    change({ q: search.value, offset: 0 }, true);
  } }, field('Search', search), h('button', { type: 'button', title: 'Go to the channel of exactly this name, with subscribers or without', onclick: () => {
    if (search.value === '') search.focus();
    else context.go('channel', { name: search.value });
  } }, 'Open by name'));
  const note = h('p', { class: 'note warn' });
  const table = new Table({
    caption: 'Channels with subscribers', empty: 'Looking…',
    columns: [
      { key: 'channel', label: 'Channel', order: 'name', cell: (row) => h('a', { href: context.link('channel', { name: row.channel }) }, out(row.channel)) },
      { key: 'subscribers', label: 'Subscribers', order: 'subscribers', numeric: true, cell: (row) => whole(row.subscribers) },
      { key: 'rate', label: 'Per second', order: 'rate', numeric: true, hint: 'Publications per second over the last ten', cell: (row) => count(row.rate) },
    ],
    on: { order: (name, desc) => change({ order: name, desc, offset: 0 }) },
  });
  const pager = new Pager('channel', { go: (offset) => change({ offset }), size: (limit) => change({ limit, offset: 0 }) });

  let asked = false; // by a person, who wants to see the answer whatever is under the pointer
  const poll = new Poll(EVERY_MS, async (signal) => {
    const mine = params;
    const answer = await get('channels', { q: mine.q, order: mine.order, desc: mine.desc ? 1 : 0, offset: mine.offset, limit: mine.limit }, signal);
    if (!asked && table.busy) return;
    asked = false;
    if (mine.offset > 0 && mine.offset >= answer.total) {
      change({ offset: Math.max(0, Math.floor((answer.total - 1) / mine.limit) * mine.limit) }, true);
      return;
    }
    table.show(answer.rows, mine.q ? 'No channel with subscribers has such a name. A channel without subscribers can be opened by its name.'
      : 'No channel has a subscriber at the moment.');
    pager.show({ offset: mine.offset, limit: mine.limit, total: answer.total });
    say(note, caveats(answer));
  }, { good: () => fresh.good(), bad: (failure) => fresh.bad(failure) });

  return {
    node: h('div', { class: 'listing' }, h('div', { class: 'head' }, h('h1', {}, 'Channels')),
      h('div', { class: 'filters' }, open, h('div', { class: 'field only-phone' }, h('span', { class: 'label' }, 'Order'), order)),
      note, table.node, pager.node),
    show(next) {
      params = read(next);
      if (document.activeElement !== search) search.value = params.q;
      order.value = params.order;
      table.setOrder(params.order, params.desc);
      asked = true;
      poll.now();
    },
    stop() {
      poll.stop();
      fresh.hide();
    },
  };
}

/** The state in the address, with what it leaves out. */
export function read(params, order = 'name') {
  return {
    ...params, q: params.q ?? '', order: params.order || order, desc: params.desc === '1' || params.desc === 'true',
    offset: Math.max(0, Math.trunc(Number(params.offset)) || 0), limit: Math.min(200, Math.max(1, Math.trunc(Number(params.limit)) || 50)),
  };
}

/** The same without what is as usual, for a short address. */
export function tidy(params, order = 'name') {
  return { ...params, order: params.order === order ? '' : params.order, desc: params.desc ? 1 : '', offset: params.offset || '', limit: Number(params.limit) === 50 ? '' : params.limit };
}
