// Clients: found, ordered and paged by the server.

import { get } from './api.js';
import { read, tidy } from './channels.js';
import { bytes, duration, milliseconds, whole } from './format.js';
import { Freshness, Poll } from './poll.js';
import { caveats, Pager, Table } from './table.js';
import { debounce, field, h, out, say, select } from './dom.js';

const EVERY_MS = 5000;
const BY = [['any', 'Anything'], ['user', 'User'], ['client', 'Client id'], ['session', 'Session'], ['address', 'Address or network']];
const HINT = {
  any: 'The beginning of a user, or a whole client id, session or address', user: 'The whole user id', client: 'The whole client id',
  session: 'The whole session id of its connect push', address: 'Like 192.0.2.7 or 192.0.2.0/24',
};
const ORDERS = [['age', 'Age'], ['queue', 'Queue'], ['lag', 'Lag'], ['subscriptions', 'Subscriptions']];

export function clients(context) {
  const fresh = new Freshness();
  let params = {};
  const change = (changes, replace) => context.go('clients', tidy({ ...params, by: params.by === 'any' ? '' : params.by, ...changes }, 'age'), replace);

  const search = h('input', { type: 'search', autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false',
    oninput: debounce(() => change({ q: search.value, offset: 0 }, true)) });
  const by = select('Search in', BY, 'any', (value) => change({ by: value === 'any' ? '' : value, offset: 0 }, true));
  const order = select('Order', ORDERS, 'age', (value) => change({ order: value, desc: value !== 'age', offset: 0 }));
  const hint = h('p', { class: 'note quiet' });
  const note = h('p', { class: 'note warn' });
  const table = new Table({
    caption: 'Clients', empty: 'Looking…',
    columns: [
      { key: 'user', label: 'User', cell: (row) => h('a', { href: context.link('client', { client: row.client }) }, row.user === '' ? h('span', { class: 'quiet' }, 'anonymous') : out(row.user),
        h('span', { class: 'second' }, out(row.client))) },
      { key: 'address', label: 'Address', cell: (row) => h('span', {}, out(row.address), h('span', { class: 'second', title: row.user_agent }, out(row.user_agent || 'no user agent'))) },
      { key: 'age', label: 'Age', order: 'age', numeric: true, cell: (row) => duration(row.age_s) },
      { key: 'subscriptions', label: 'Subscriptions', order: 'subscriptions', numeric: true, cell: (row) => whole(row.subscriptions) },
      { key: 'queue', label: 'Queue', order: 'queue', numeric: true, hint: 'Bytes that wait for it', cell: (row) => (row.queue_bytes > 0 ? bytes(row.queue_bytes) : '0') },
      { key: 'lag', label: 'Lag', order: 'lag', numeric: true, hint: 'How long its socket has taken nothing of what waits', cell: (row) => (row.lag_ms > 0 ? milliseconds(row.lag_ms) : '0') },
      { key: 'node', label: 'Node', cell: (row) => out(row.node) },
    ],
    on: { order: (name, desc) => change({ order: name, desc, offset: 0 }) },
  });
  const pager = new Pager('client', { go: (offset) => change({ offset }), size: (limit) => change({ limit, offset: 0 }) });

  let asked = false;
  const poll = new Poll(EVERY_MS, async (signal) => {
    const mine = params;
    const answer = await get('clients', { q: mine.q, by: mine.by, order: mine.order, desc: mine.desc ? 1 : 0, offset: mine.offset, limit: mine.limit }, signal);
    if (!asked && table.busy) return;
    asked = false;
    if (mine.offset > 0 && mine.offset >= answer.total) {
      change({ offset: Math.max(0, Math.floor((answer.total - 1) / mine.limit) * mine.limit) }, true);
      return;
    }
    table.show(answer.rows, mine.q ? 'No client is found by that.' : 'No client is connected.');
    pager.show({ offset: mine.offset, limit: mine.limit, total: answer.total });
    say(note, caveats(answer));
  }, {
    good: () => fresh.good(),
    bad: (failure) => {
      if (failure.passing) fresh.bad(failure);
      else say(note, failure.message); // such as a network that cannot be read
    },
  });

  return {
    node: h('div', { class: 'listing' }, h('div', { class: 'head' }, h('h1', {}, 'Clients')),
      h('div', { class: 'filters' }, field('Find', search), h('div', { class: 'field half' }, h('span', { class: 'label' }, 'by'), by),
        h('div', { class: 'field half only-phone' }, h('span', { class: 'label' }, 'Order'), order)),
      hint, note, table.node, pager.node),
    show(next) {
      params = { ...read(next, 'age'), by: BY.some(([value]) => value === next.by) ? next.by : 'any' };
      if (document.activeElement !== search) search.value = params.q;
      by.value = params.by;
      order.value = params.order;
      say(hint, HINT[params.by]);
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
