// Publishing into a channel by hand.

import { call } from './api.js';
import { readJSON } from './json.js';
import { bytes, clock } from './format.js';
import { announce, check, choice, field, fill, h, out, say } from './dom.js';

const TYPING_PAUSE_MS = 500;

export function publish({ name, context, refresh }) {
  let way = 'json';
  let pause = 0;
  const allowed = context.admin;
  const data = h('textarea', { rows: 6, spellcheck: 'false', autocapitalize: 'none', class: 'code', value: '{"text": "Hello"}' });
  const tags = h('textarea', { rows: 2, spellcheck: 'false', autocapitalize: 'none', class: 'code', placeholder: 'lang=en' });
  const key = h('input', { type: 'text', autocomplete: 'off', spellcheck: 'false', class: 'code' });
  const delta = check('Delta: send the difference to who asked for it', {});
  const skip = check('Skip history: who is away will not get it', {});
  const problem = h('p', { class: 'note bad', role: 'status' });
  const size = h('span', { class: 'quiet figure' });
  const answers = h('ol', { class: 'answers', 'aria-label': 'What became of it' });
  const send = h('button', { type: 'submit', class: 'primary', disabled: !allowed }, 'Publish');
  const kind = choice('Kind of data', [['json', 'JSON'], ['b64', 'Base64 bytes']], way, (value) => {
    way = value;
    look();
  });

  const wrong = () => (way === 'json' ? readJSON(data.value).problem
    : /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(data.value.replace(/\s/g, '')) && data.value.trim() !== '' ? undefined
      : 'Expected base64 (A–Z a–z 0–9 + /, with = at the end)');

  function look() {
    const said = wrong() ?? tagProblem(tags.value);
    say(problem, said ?? '');
    data.setAttribute('aria-invalid', String(wrong() !== undefined));
    tags.setAttribute('aria-invalid', String(tagProblem(tags.value) !== undefined));
    const n = way === 'json' ? new Blob([data.value.trim()]).size : Math.floor((data.value.replace(/[\s=]/g, '').length * 3) / 4);
    say(size, bytes(n));
    return said === undefined;
  }

  /** The body of the request: JSON data goes as it was typed, so that long numbers stay exact. */
  function body() {
    const rest = { channel: name };
    const set = readTags(tags.value);
    if (Object.keys(set).length > 0) rest.tags = set;
    if (key.value !== '') rest.idempotency_key = key.value;
    if (delta.box.checked) rest.delta = true;
    if (skip.box.checked) rest.skip_history = true;
    if (way === 'b64') return JSON.stringify({ ...rest, b64data: data.value.replace(/\s/g, '') });
    return `${JSON.stringify(rest).slice(0, -1)},"data":${data.value.trim()}}`;
  }

  const form = h('form', { class: 'publish', novalidate: true, oninput: () => {
    clearTimeout(pause);
    if (wrong() === undefined && tagProblem(tags.value) === undefined) look();
    else pause = setTimeout(look, TYPING_PAUSE_MS);
  }, onsubmit: async (event) => {
    event.preventDefault();
    if (!allowed || send.disabled || !look()) return;
    send.disabled = true;
    try {
      const { result } = await call('publish', body());
      tell(true, result.offset ? [`Published as #${result.offset}, epoch `, out(result.epoch ?? '')] : ['Published; it was not kept in a history']);
      refresh();
    } catch (error) {
      tell(false, [error.message]);
    } finally {
      send.disabled = false;
    }
  } },
  !allowed && h('p', { class: 'banner', data: { level: 'note' } }, 'Your role is read only: publishing needs an admin.'),
  h('div', { class: 'spread' }, kind.node, size), field('Data', data), problem,
  h('div', { class: 'pair' }, field('Tags, one name=value per line', tags), field('Idempotency key', key, 'The same key within five minutes publishes once')),
  h('div', { class: 'checks' }, delta.node, skip.node), h('div', { class: 'line' }, send), answers);

  function tell(good, words) {
    const line = h('li', { data: { good } }, h('span', { class: 'quiet figure' }, clock(Date.now())), h('span', {}, words));
    answers.prepend(line);
    while (answers.childElementCount > 8) answers.lastElementChild.remove();
    announce(line.lastChild.textContent);
  }

  look();
  return { node: form, show: () => fill(size, size.textContent) };
}

function tagLines(text) {
  return text.split('\n').map((line) => line.trim()).filter((line) => line !== '');
}

export function tagProblem(text) {
  const bad = tagLines(text).find((line) => line.indexOf('=') < 1);
  return bad === undefined ? undefined : `Expected name=value in each line of the tags, found ${bad.slice(0, 40)}`;
}

export function readTags(text) {
  return Object.fromEntries(tagLines(text).map((line) => [line.slice(0, line.indexOf('=')).trim(), line.slice(line.indexOf('=') + 1).trim()]));
}
