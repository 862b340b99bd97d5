// One client: what it has subscribed to and how far it is, and what can be done with it.

import { disconnect, refresh, unsubscribe } from './actions.js';
import { get } from './api.js';
import { show } from './channel.js';
import { dataBlock } from './history.js';
import { bytes, date, duration, fromNow, milliseconds, NONE, whole } from './format.js';
import { Freshness, Poll } from './poll.js';
import { Table, Pager } from './table.js';
import { debounce, field, fill, h, out, say } from './dom.js';

const EVERY_MS = 3000;
const FACTS = ['User', 'Client', 'Address', 'User agent', 'Open for', 'Queue', 'Lag', 'Coding', 'Node', 'Expires'];
const BEHIND_MS = 15000; // the tops of many channels are not asked for all the time

export function client(context, { client: id = '' }) {
  const fresh = new Freshness();
  const tops = new Map(); // channel -> {offset, epoch, at}
  let row = null;
  let away = false; // it is not connected any more
  let page = { offset: 0, limit: 25 };
  let infoShown;
  const facts = h('dl', { class: 'facts wide' });
  show(facts, FACTS.map((term) => [term, NONE])); // the room that they will need
  const info = h('div', { class: 'info' });
  const gone = h('div', { class: 'banner', role: 'status', data: { level: 'warning' }, hidden: true });
  const filter = h('input', { type: 'search', autocomplete: 'off', spellcheck: 'false', oninput: debounce(() => {
    page.offset = 0;
    draw();
  }, 120) });

  const why = context.admin ? '' : 'Your role is read only';
  const button = (label, act, props = {}) => h('button', { type: 'button', disabled: !context.admin, title: why, ...props, onclick: async () => {
    if (row && await act(row)) poll.now();
  } }, label);
  const actions = h('div', { class: 'line' }, why && h('span', { class: 'quiet' }, `${why}.`), button('Refresh…', refresh), button('Disconnect…', disconnect, { class: 'danger-quiet' }));

  const told = h('p', { class: 'note collapse' });
  const table = new Table({
    caption: 'Subscriptions', empty: 'Looking…',
    columns: [
      { key: 'channel', label: 'Channel', cell: (sub) => h('a', { href: context.link('channel', { name: sub.channel }) }, out(sub.channel)) },
      { key: 'offset', label: 'Position', numeric: true, cell: (sub) => (sub.offset === null ? '–' : whole(sub.offset)) },
      { key: 'behind', label: 'Behind', numeric: true, hint: 'Publications between this client and the top of the channel', cell: (sub) => behind(sub) },
      { key: 'kind', label: 'Kind', cell: (sub) => h('span', { class: 'chips' }, ['recoverable', 'positioned', 'presence', 'join_leave', 'delta']
        .filter((word) => sub[word]).map((word) => h('span', { class: 'chip' }, word.replace('_', '/')))) },
      { key: 'expires', label: 'Expires', cell: (sub) => (sub.expires_at ? fromNow(sub.expires_at * 1000) : 'never') },
      { key: 'act', label: '', cell: (sub) => h('button', { type: 'button', class: 'small', disabled: !context.admin || away, title: away ? 'It is not connected any more' : why, 'aria-label': `Unsubscribe from ${sub.channel}`, data: { unsubscribe: sub.channel } }, 'Unsubscribe…') },
    ],
  });
  table.body.addEventListener('click', async (event) => {
    const channel = event.target.closest('[data-unsubscribe]')?.dataset.unsubscribe;
    if (channel !== undefined && row && await unsubscribe(row, channel)) poll.now();
  });
  const pager = new Pager('subscription', { go: (offset) => {
    page = { ...page, offset };
    draw();
  }, size: (limit) => {
    page = { offset: 0, limit };
    draw();
  } });

  function behind(sub) {
    const top = tops.get(sub.channel);
    if (sub.offset === null || !top || top.offset === undefined) return '–';
    return whole(Math.max(0, top.offset - sub.offset));
  }

  function shownSubs() {
    const words = filter.value.trim().toLowerCase();
    const all = row?.subs ?? [];
    say(told, row?.truncated ? `${whole(all.length)} of ${whole(row.subscriptions)} subscriptions are shown here; the filter looks through these only.` : '');
    return words === '' ? all : all.filter((sub) => sub.channel.toLowerCase().includes(words));
  }

  function draw() {
    const subs = shownSubs();
    if (page.offset >= subs.length) page.offset = 0;
    table.show(subs.slice(page.offset, page.offset + page.limit), filter.value.trim() ? 'No such subscription.' : 'It has no subscription.');
    pager.show({ ...page, total: subs.length });
  }

  /** Asks for the tops of the channels on this page, one after the other, and not too often. */
  async function lookAtTops(signal) {
    for (const { channel, offset } of shownSubs().slice(page.offset, page.offset + page.limit)) {
      if (offset === null || Date.now() - (tops.get(channel)?.at ?? 0) < BEHIND_MS) continue;
      tops.set(channel, { ...tops.get(channel), at: Date.now() });
      const answer = await get('channel', { name: channel }, signal).catch((error) => {
        if (signal.aborted) throw error;
      });
      tops.set(channel, { offset: answer?.position?.offset, at: Date.now() });
    }
    draw();
  }

  const poll = new Poll(EVERY_MS, async (signal) => {
    row = await get('client', { client: id }, signal);
    gone.hidden = true;
    actions.hidden = away = false;
    context.title(row.user || 'anonymous');
    const values = [row.user || 'anonymous', row.client, row.address, row.user_agent || 'none', duration(row.age_s), bytes(row.queue_bytes),
      row.lag_ms > 0 ? `${milliseconds(row.lag_ms)} without taking anything` : 'none', row.coding || 'none', row.node,
      row.expires_at ? `${fromNow(row.expires_at * 1000)}, ${date(row.expires_at * 1000)}` : 'never'];
    show(facts, FACTS.map((term, i) => [term, values[i]]));
    const text = row.info === null || row.info === undefined ? undefined : JSON.stringify(row.info);
    if (text !== infoShown || info.childElementCount === 0) {
      infoShown = text;
      fill(info, text === undefined ? h('p', { class: 'quiet' }, 'Neither token nor hook gave it any.') : dataBlock(text, 'pretty'));
    }
    draw();
    await lookAtTops(signal);
  }, {
    good: () => fresh.good(),
    bad: (failure) => {
      if (failure.passing) {
        fresh.bad(failure);
        return;
      }
      fresh.good();
      gone.hidden = false;
      actions.hidden = away = true;
      draw();
      say(gone, failure.status === 404 ? `This client is not connected${row ? ' any more. What you see is the last that was known of it' : ''}. It may have come back under another id.` : failure.message);
      if (row === null) table.show([], '');
    },
  });

  return {
    node: h('div', {}, h('p', { class: 'crumbs' }, h('a', { href: context.link('clients') }, 'Clients')),
      h('div', { class: 'head' }, h('h1', { class: 'outside id' }, out(id)), h('div', { class: 'tools' }, actions)), gone,
      h('div', { class: 'split' }, h('section', { class: 'panel' }, h('h2', {}, 'Client'), facts), h('section', { class: 'panel' }, h('h2', {}, 'Info'), info)),
      h('section', { class: 'under' }, h('div', { class: 'filters' }, h('h2', {}, 'Subscriptions'), field('Filter', filter)), told, table.node, pager.node)),
    show() {
      poll.now();
    },
    stop() {
      poll.stop();
      fresh.hide();
    },
  };
}
