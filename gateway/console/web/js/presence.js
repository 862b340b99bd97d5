// Who is in a channel, paged here: the API gives the whole of it.

import { call } from './api.js';
import { plural } from './format.js';
import { parts, part } from './rawjson.js';
import { Pager, Table } from './table.js';
import { debounce, field, h, out, say } from './dom.js';
import { visibleJSON } from './text.js';

const INFO_CHARS = 400;

export function presence({ name, context }) {
  let all = [];
  let shown = { offset: 0, limit: 50 };
  const problem = h('p', { class: 'note', role: 'status' });
  const filter = h('input', { type: 'search', autocomplete: 'off', spellcheck: 'false', oninput: debounce(() => {
    shown.offset = 0;
    draw();
  }, 120) });
  const info = (row) => [row.conn, row.chan].filter((text) => text !== undefined).map((text) => visibleJSON(text.slice(0, INFO_CHARS))).join(' · ');
  const table = new Table({
    caption: 'Who is present', empty: 'Looking…',
    columns: [
      { key: 'user', label: 'User', cell: (row) => (row.user === '' ? 'anonymous' : out(row.user)) },
      { key: 'client', label: 'Client', cell: (row) => h('a', { href: context.link('client', { client: row.client }) }, out(row.client)) },
      { key: 'info', label: 'Info', cell: (row) => h('code', { class: 'clip' }, info(row)) },
    ],
  });
  const pager = new Pager('client', { go: (offset) => {
    shown = { ...shown, offset };
    draw();
  }, size: (limit) => {
    shown = { offset: 0, limit };
    draw();
  } });
  const again = h('button', { type: 'button', onclick: () => load() }, 'Refresh');

  async function load() {
    try {
      const { text } = await call('presence', { channel: name });
      all = parts(part(text, 'result', 'presence') ?? '{}').map(([client, raw]) => {
        const row = Object.fromEntries(parts(raw));
        return { client, user: row.user ? JSON.parse(row.user) : '', conn: row.conn_info, chan: row.chan_info };
      }).sort((a, b) => (a.user < b.user ? -1 : a.user > b.user ? 1 : a.client < b.client ? -1 : 1));
      table.node.hidden = pager.node.hidden = false;
      say(problem, `${plural(all.length, 'client')} of ${plural(new Set(all.map((row) => row.user)).size, 'user')}.`);
    } catch (error) {
      all = [];
      table.node.hidden = pager.node.hidden = true;
      say(problem, error.code === 108 ? 'Presence is off in this namespace (presence: true turns it on).' : error.message);
    }
    draw();
  }

  function draw() {
    const words = filter.value.trim().toLowerCase();
    const rows = words === '' ? all : all.filter((row) => `${row.user} ${row.client} ${info(row)}`.toLowerCase().includes(words));
    table.show(rows.slice(shown.offset, shown.offset + shown.limit), words ? 'Nobody like that is here.' : 'Nobody is here.');
    pager.show({ ...shown, total: rows.length });
  }

  return { node: h('div', {}, h('div', { class: 'filters' }, field('Filter', filter), h('div', { class: 'line' }, again)), problem, table.node, pager.node), show: load };
}
