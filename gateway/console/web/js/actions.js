// What can be done with a client. Each asks first, and says what will happen in words.

import { call } from './api.js';
import { confirm } from './dialog.js';
import { readJSON } from './json.js';
import { date, fromNow } from './format.js';
import { codeText, isTerminal } from './reasons.js';
import { announce, check, field, fill, h, out } from './dom.js';

const who = (row) => [out(row.client), row.user === '' ? ' (anonymous)' : [' of user ', out(row.user)]];

/** A number field's whole number, or an Error that says what was expected. */
function numberOf(input, what, min, max) {
  const n = Number(input.value);
  if (input.value.trim() === '' || !Number.isInteger(n) || n < min || n > max) {
    input.focus();
    throw new Error(`Expected ${what} between ${min} and ${max}, got ${input.value || 'nothing'}.`);
  }
  return n;
}

export async function disconnect(row) {
  const code = h('input', { type: 'number', min: 3000, max: 4999, step: 1, value: '3503', inputmode: 'numeric' });
  const reason = h('input', { type: 'text', value: 'force disconnect', autocomplete: 'off' });
  const says = h('p', { class: 'consequence' });
  const tell = () => fill(says, 'The stream of client ', who(row), ` is told ${code.value} “${reason.value}” and ends. `, isTerminal(Number(code.value))
    ? 'With this code a client stays away: it does not come back by itself.' : 'With this code a client comes back by itself, and recovers what it missed where the channel allows.');
  code.addEventListener('input', () => {
    reason.value = codeText(Number(code.value)) || reason.value;
    tell();
  });
  reason.addEventListener('input', tell);
  tell();
  const done = await confirm({
    title: 'Disconnect this client?', go: 'Disconnect', body: [says, h('div', { class: 'pair' }, field('Code', code, '3500–3999 and 4500–4999 keep it away'), field('Reason', reason))],
    act: () => call('disconnect', { user: row.user, client: row.client, disconnect: { code: numberOf(code, 'a code', 3000, 4999), reason: reason.value } }),
  });
  if (done) announce('Disconnected');
  return done;
}

export async function unsubscribe(row, channel) {
  const done = await confirm({
    title: 'Unsubscribe this client?', go: 'Unsubscribe',
    body: [h('p', { class: 'consequence' }, 'Client ', who(row), ' gets nothing of ', out(channel), ' any more and is told 2000 “server unsubscribe”. Its stream stays open, with its other channels. When it connects again and asks for the channel it gets it back.')],
    act: () => call('unsubscribe', { user: row.user, client: row.client, channel }),
  });
  if (done) announce('Unsubscribed');
  return done;
}

export async function refresh(row) {
  const minutes = h('input', { type: 'number', min: 0, step: 1, value: '60', inputmode: 'numeric' });
  const expired = check('It has expired: end the stream now (3005)');
  const info = h('textarea', { rows: 3, spellcheck: 'false', autocapitalize: 'none', class: 'code', placeholder: 'empty: as it is' });
  const says = h('p', { class: 'consequence' });
  const until = () => Date.now() + Number(minutes.value) * 60000;
  const tell = () => {
    minutes.disabled = info.disabled = expired.box.checked;
    fill(says, 'The connection of client ', who(row), expired.box.checked ? ' ends with 3005 “connection expired”; it comes back, with a fresh token if it has one.'
      : Number(minutes.value) > 0 ? ` may stay until ${date(until())} (${fromNow(until())}), whatever its token says, and is told so.`
        : ' never expires from now on, whatever its token says, and is told so.',
    info.value.trim() && !expired.box.checked ? ' Its info is replaced by yours.' : '');
  };
  for (const part of [minutes, expired.box, info]) part.addEventListener('input', tell);
  tell();
  const done = await confirm({
    title: 'Refresh this connection?', go: 'Refresh', danger: false,
    body: [says, field('Minutes it may stay', minutes, '0: without end'), field('New info (JSON)', info), expired.node],
    act: () => {
      const target = { user: row.user, client: row.client };
      if (expired.box.checked) return call('refresh', { ...target, expired: true });
      const stay = numberOf(minutes, 'minutes', 0, 525600);
      const text = info.value.trim();
      if (text !== '' && readJSON(text).problem) throw new Error(readJSON(text).problem);
      if (stay > 0) target.expire_at = Math.floor(until() / 1000);
      const body = JSON.stringify(target);
      return call('refresh', text === '' ? body : `${body.slice(0, -1)},"info":${text}}`);
    },
  });
  if (done) announce('Refreshed');
  return done;
}
