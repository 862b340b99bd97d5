// The connect request of the debugger: a form, the JSON of it, and the same as a line for curl. What was typed stays in
// the session storage of the tab, tokens excepted.

import { post } from './api.js';
import { readJSON } from './json.js';
import { decodeToken, explainToken } from './token.js';
import { dataBlock } from './history.js';
import { check, debounce, field, fill, h, say } from './dom.js';

const KEPT = 'sluice-try';
const SOMEWHERE = 'STREAMS-HOST';

export class RequestForm {
  /** me: the answer of P/me. changed() is called when the request is another one. */
  constructor(me, changed) {
    this.me = me;
    this.changed = debounce(changed, 60);
    const kept = this.#kept();
    const area = (rows, props = {}) => h('textarea', { rows, spellcheck: 'false', autocapitalize: 'none', autocomplete: 'off', class: 'code', ...props });
    this.channels = area(3, { value: kept.channels ?? 'news', placeholder: 'one per line' });
    this.token = area(3, { placeholder: 'none: anonymous, or as the connect hook says' });
    this.data = area(2, { value: kept.data ?? '' });
    this.name = h('input', { type: 'text', autocomplete: 'off', value: kept.name ?? 'console' });
    this.version = h('input', { type: 'text', autocomplete: 'off', value: kept.version ?? '' });
    this.recover = check('Recover from a position', { checked: kept.recover === true });
    this.delta = check('Ask for deltas (fossil)', { checked: kept.delta === true });
    this.offset = h('input', { type: 'number', min: 0, step: 1, inputmode: 'numeric', value: kept.offset ?? '0' });
    this.epoch = h('input', { type: 'text', autocomplete: 'off', spellcheck: 'false', class: 'code', value: kept.epoch ?? '' });
    this.position = h('div', { class: 'pair' }, field('Offset', this.offset), field('Epoch', this.epoch, 'empty: not compared'));
    this.unknown = h('p', { class: 'note warn collapse', role: 'status' });
    this.claims = h('div', { class: 'claims' });
    this.problem = h('p', { class: 'note bad', role: 'status' });
    this.node = h('div', { class: 'request' }, field('Channels', this.channels, 'One per line. Namespaces here: ' + (me.namespaces?.join(', ') || 'none')), this.unknown,
      h('div', { class: 'checks' }, this.recover.node, this.delta.node), this.position,
      field('Token', this.token, me.dev ? undefined : 'It goes to this server only, and is not kept'), this.claims, me.dev && this.#helper(),
      h('details', {}, h('summary', {}, 'Data, name and version'), field('Data for the connect hook (JSON)', this.data), h('div', { class: 'pair' }, field('Name', this.name), field('Version', this.version))),
      this.problem);
    this.node.addEventListener('input', () => this.#look());
    this.#look();
  }

  #kept() {
    try {
      return JSON.parse(sessionStorage.getItem(KEPT)) ?? {};
    } catch {
      return {};
    }
  }

  #helper() {
    const user = h('input', { type: 'text', autocomplete: 'off', value: 'ann' });
    const minutes = h('input', { type: 'number', min: 1, step: 1, value: '60', inputmode: 'numeric' });
    const claims = h('textarea', { rows: 2, spellcheck: 'false', autocapitalize: 'none', class: 'code', placeholder: '{"info": {"name": "Ann"}}' });
    const problem = h('p', { class: 'note bad', role: 'status' });
    const make = h('button', { type: 'button', onclick: async () => {
      const read = claims.value.trim() === '' ? { value: {} } : readJSON(claims.value);
      if (read.problem || !(Number(minutes.value) > 0)) {
        say(problem, read.problem ?? 'Expected minutes above 0.');
        return;
      }
      try {
        const { token } = await post('token', { user: user.value, claims: read.value, ttl_s: Math.round(Number(minutes.value) * 60) });
        this.token.value = token;
        say(problem, '');
        this.#look();
      } catch (error) {
        say(problem, error.status === 404 ? 'This server has no key that tokens can be signed with (client.token.hmac_secret_key).' : error.message);
      }
    } }, 'Make a token');
    return h('details', {}, h('summary', {}, 'Make one here (development server)'), h('div', { class: 'pair' }, field('User', user), field('Minutes', minutes)),
      field('More claims (JSON)', claims), problem, h('div', { class: 'line' }, make));
  }

  #look() {
    const token = this.token.value.trim();
    this.position.hidden = !this.recover.box.checked;
    const unknown = withoutNamespace(this.channelNames, this.me);
    say(this.unknown, unknown.length > 0 ? `No namespace is configured for ${unknown.join(', ')}: the server refuses the whole request (3501).` : '');
    this.channels.setAttribute('aria-invalid', String(unknown.length > 0));
    if (token === '') {
      this.claims.replaceChildren();
    } else {
      const decoded = decodeToken(token);
      fill(this.claims, decoded.problem ? h('p', { class: 'note bad' }, `${decoded.problem}.`) : [
        h('ul', {}, explainToken(decoded).map(([level, sentence]) => h('li', { data: { level } }, sentence))), dataBlock(decoded.text, 'pretty'),
        h('p', { class: 'quiet' }, 'Read, not verified: the server decides.')]);
    }
    const { problem } = this.data.value.trim() === '' ? {} : readJSON(this.data.value);
    say(this.problem, problem ? `Data: ${problem}` : '');
    try {
      const { channels, data, name, version, offset, epoch } = this;
      sessionStorage.setItem(KEPT, JSON.stringify({ channels: channels.value, data: data.value, name: name.value, version: version.value, offset: offset.value, epoch: epoch.value,
        recover: this.recover.box.checked, delta: this.delta.box.checked }));
    } catch {
      // not kept then
    }
    this.changed();
  }

  get channelNames() {
    return [...new Set(this.channels.value.split('\n').map((line) => line.trim()).filter((line) => line !== ''))];
  }

  /** What is likely to be wrong about a request that is a bad one. */
  suspicion() {
    const unknown = withoutNamespace(this.channelNames, this.me);
    return unknown.length > 0 ? `. No namespace is configured for ${unknown.join(', ')}` : '. The names of the channels, or the form of the request, are not what the server takes; its log says more at level debug';
  }

  /** The connect request as JSON text, or null where something typed is wrong. */
  body() {
    if (this.problem.textContent !== '') return null;
    const request = {};
    const token = this.token.value.trim();
    if (token) request.token = token;
    const sub = {};
    if (this.recover.box.checked) Object.assign(sub, { recover: true, offset: Math.max(0, Math.trunc(Number(this.offset.value)) || 0) }, this.epoch.value ? { epoch: this.epoch.value } : {});
    if (this.delta.box.checked) sub.delta = 'fossil';
    if (this.channelNames.length > 0) request.subs = Object.fromEntries(this.channelNames.map((name) => [name, sub]));
    if (this.name.value) request.name = this.name.value;
    if (this.version.value) request.version = this.version.value;
    const text = JSON.stringify(request);
    const data = this.data.value.trim();
    if (data === '') return text;
    return `${text === '{}' ? '{' : `${text.slice(0, -1)},`}"data":${data}}`;
  }

  /** The same request for a shell: straight to the endpoint, without the console. */
  curl(lastId) {
    if (!this.me.endpoint) return '# The SSE endpoint is off (uni_sse.enabled): there is nothing to ask from a shell.';
    const body = this.body();
    if (body === null) return '# no JSON yet: mend the data';
    const header = lastId ? ` \\\n  -H ${quote(`Last-Event-ID: ${lastId}`)}` : '';
    const to = target(this.me, location);
    return `${to === null ? `# This page came through a proxy or a tunnel: put the host of your streams in the place of ${SOMEWHERE}.\n` : ''}curl -N ${to ?? quote(`${location.protocol}//${SOMEWHERE}${this.me.endpoint}`)}${header} \\\n  -d ${quote(asciiJSON(body))}`;
  }
}

/** The channels, as they were typed, whose namespace this server does not have. */
export function withoutNamespace(names, { namespaces = [], boundary = ':', private_prefix: hidden = '' }) {
  if (boundary === '') return [];
  return names.filter((name) => {
    const rest = name.startsWith(hidden) ? name.slice(hidden.length) : name;
    return rest.includes(boundary) && !namespaces.includes(rest.slice(0, rest.indexOf(boundary)));
  });
}

/**
 * Where the public listener has the endpoint, for curl: the console may be on another one. A listener for all addresses is
 * there by the name that the page has. null: nobody here knows, as the page came from a port that no listener has.
 */
export function target({ endpoint, public: at = {}, ports }, { hostname: host, port, protocol }) {
  if (at.unix) return `--unix-socket ${quote(at.unix)} ${quote(`${at.scheme}://localhost${endpoint}`)}`;
  if (ports && !ports.includes(Number(port) || (protocol === 'https:' ? 443 : 80))) return null;
  const name = at.host || host;
  return quote(`${at.scheme}://${name.includes(':') && !name.startsWith('[') ? `[${name}]` : name}${at.port ? `:${at.port}` : ''}${endpoint}`);
}

/** Text in single quotes of a POSIX shell. */
export function quote(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replace(/'/g, `'\\''`)}'`;
}

/** What a terminal would turn round or hide, as escapes: it can stand in strings of the JSON only. A leading @ is none. */
function asciiJSON(text) {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g,
    (c) => (c === '\n' || c === '\r' || c === '\t' ? ' ' : `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`));
}
