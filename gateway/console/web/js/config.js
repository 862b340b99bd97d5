// Config: what the process runs with, what is worth a warning, what can be reached from where, and what a reload would do.

import { get } from './api.js';
import { plural, whole } from './format.js';
import { pretty } from './json.js';
import { Freshness, Poll } from './poll.js';
import { check, debounce, field, fill, h, out, say } from './dom.js';

const EVERY_MS = 30000;
const LEVELS = { error: 0, warning: 1, note: 2 };

export function config(context) {
  const fresh = new Freshness();
  let answer = null;
  let params = {};
  let shown = '';
  const change = (changes) => context.go('config', { ...params, ...changes }, true);
  const search = h('input', { type: 'search', autocomplete: 'off', spellcheck: 'false', placeholder: 'client.queue', oninput: debounce(() => change({ q: search.value }), 120) });
  const only = check('Only what differs from the defaults', { onchange: () => change({ all: only.box.checked ? '' : 1 }) });
  const warnings = h('section', { class: 'warnings', 'aria-label': 'Warnings' });
  const exposure = h('section', { class: 'panel' });
  const reload = h('section', { class: 'panel' });
  const told = h('p', { class: 'note', role: 'status' }, 'Looking…');
  const body = h('tbody', { role: 'rowgroup' });
  const table = h('div', { class: 'table' }, h('table', { class: 'rows options', role: 'table' }, h('caption', { class: 'unseen' }, 'Options'),
    h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, ['Option', 'Value', 'Default'].map((label) => h('th', { scope: 'col', role: 'columnheader' }, label)))), body));

  const poll = new Poll(EVERY_MS, async (signal) => {
    answer = await get('config', {}, signal);
    const text = JSON.stringify(answer);
    if (text !== shown) {
      shown = text;
      drawWarnings();
      drawExposure();
      drawReload();
      drawOptions();
    }
  }, { good: () => fresh.good(), bad: (failure) => fresh.bad(failure) });

  function drawWarnings() {
    const all = [...(answer.warnings ?? [])].sort((a, b) => (LEVELS[a.level] ?? 3) - (LEVELS[b.level] ?? 3));
    fill(warnings, all.length === 0 ? h('p', { class: 'banner', data: { level: 'good' } }, 'No warnings: checkconfig has nothing to say.')
      : all.map(({ level, option, text }) => h('div', { class: 'banner', data: { level } }, h('b', {}, level), h('span', {}, option && !text.includes(option) && [h('code', {}, option), ' '], out(text)))));
  }

  function drawExposure() {
    const all = answer.exposure ?? [];
    fill(exposure, h('h2', {}, 'Reachable at public addresses'), all.length === 0 ? h('p', {}, 'No endpoint that is not for everybody can be reached at a public address of this node.') : h('ul', { class: 'exposure' }, all.map((one) =>
      h('li', {}, h('b', {}, out(one.endpoint)), h('span', { class: 'quiet' }, 'listens on ', h('code', {}, one.listener), ', reachable at ', (one.addresses ?? []).map((a, i) => [i > 0 && ', ', h('code', {}, a)])),
        one.advice && h('span', { class: 'advice' }, one.advice)))));
  }

  function drawReload() {
    const { file = '', error = '', changes = [] } = answer.reload ?? {};
    const taken = changes.filter((one) => one.taken).length;
    fill(reload, h('h2', {}, 'What a reload would take'), file ? h('p', { class: 'quiet' }, 'File ', h('code', {}, out(file))) : h('p', { class: 'quiet' }, 'No file: it runs by flags, environment and defaults.'),
      error ? h('p', { class: 'banner', data: { level: 'error' } }, `A reload would be refused: ${error}`)
        : changes.length === 0 ? h('p', {}, file ? 'The file says what runs: a reload would change nothing.' : 'A reload would change nothing.')
          : [h('p', {}, `${plural(changes.length, 'option')} ${changes.length === 1 ? 'differs' : 'differ'} between the file and what runs; ${changes.length === 1 ? (taken ? 'a reload would take it' : 'it needs a restart')
            : taken === changes.length ? 'a reload would take all' : `a reload would take ${whole(taken)}, ${whole(changes.length - taken)} need a restart`}.`),
            h('ul', { class: 'changes' }, changes.map((one) => h('li', { data: { taken: one.taken } }, h('code', {}, out(one.name)), ' ', out(one.from === '' ? 'empty' : one.from), ' → ', out(one.to === '' ? 'empty' : one.to), ' ',
              h('span', { class: 'chip', data: { level: one.taken ? 'good' : 'warning' } }, one.taken ? 'reload' : 'restart'))))]);
  }

  function drawOptions() {
    if (answer === null) return;
    const all = answer.options ?? [];
    const words = (params.q ?? '').trim().toLowerCase();
    const rows = all.filter((one) => (params.all || one.changed) && (words === '' || `${one.name} ${one.doc}`.toLowerCase().includes(words)));
    fill(body, rows.map((one) => h('tr', { role: 'row', data: { changed: one.changed } },
      h('td', { role: 'rowheader', data: { label: 'Option' } }, h('code', { class: 'option' }, out(one.name)), h('span', { class: 'chips' }, one.changed && h('span', { class: 'chip', data: { level: 'changed' } }, 'changed'),
        one.secret && h('span', { class: 'chip' }, 'secret'), one.reload && h('span', { class: 'chip', title: 'A reload takes a new value' }, 'reload')), h('small', { class: 'quiet' }, one.doc)),
      h('td', { role: 'cell', data: { label: 'Value' } }, value(one.value)), h('td', { role: 'cell', class: 'quiet', data: { label: 'Default' } }, value(one.default)))));
    table.hidden = rows.length === 0;
    const differ = all.filter((one) => one.changed).length;
    say(told, `${whole(rows.length)} of ${plural(all.length, 'option')} shown; ${whole(differ)} differ from the defaults.${rows.length === 0 && words && !params.all ? ' The filter looks through these only: show all to find others.' : ''}`);
  }

  return {
    node: h('div', { class: 'config' }, h('div', { class: 'head' }, h('h1', {}, 'Config')), warnings, h('div', { class: 'split' }, exposure, reload),
      h('section', { class: 'under' }, h('h2', {}, 'Options'), h('div', { class: 'filters' }, field('Filter', search), only.node), told, table)),
    show(next) {
      params = { q: next.q ?? '', all: next.all ? 1 : '' };
      if (document.activeElement !== search) search.value = params.q;
      only.box.checked = !params.all;
      if (answer === null) poll.now();
      else drawOptions();
    },
    stop() {
      poll.stop();
      fresh.hide();
    },
  };
}

function value(v) {
  if (v === '' || v === null || v === undefined) return h('span', { class: 'quiet' }, 'empty');
  if (typeof v !== 'object') return h('code', { class: 'value' }, out(v));
  const text = JSON.stringify(v);
  return h('code', { class: 'value' }, out(text.length > 60 ? pretty(text) : text));
}
