// The publish form and the commands to copy.

import { readJSON } from './json.js';
import { visible, visibleJSON } from './text.js';
import { PATIENCE_MS, connectRequest, unanswered } from './stream.js';

const LARGEST_BURST = 100000;
const CHUNK = 200; // messages of a burst in one request
const TYPING_PAUSE_MS = 500;

/**
 * The request body. The data goes in as typed, so that long numbers stay exact; a stamp adds t (and n) to an object that
 * has none of its own.
 */
function publishBody(channel, text, stamp) {
  let data = text.trim();
  const value = stamp ? JSON.parse(data) : null;
  if (value !== null && typeof value === 'object' && !Array.isArray(value)) {
    const extra = Object.entries(stamp).filter(([name, x]) => x !== undefined && !Object.hasOwn(value, name))
      .map(([name, x]) => `${JSON.stringify(name)}:${x}`).join(',');
    if (extra !== '') data = `${data.slice(0, -1)}${Object.keys(value).length > 0 ? ',' : ''}${extra}}`;
  }
  return `{"channel":${JSON.stringify(channel)},"data":${data}}`;
}

/** Calls one method of the HTTP API. Returns its answer; throws an Error whose message is for people. */
export async function call(session, method, body) {
  let response;
  let text;
  try {
    response = await fetch(`${session.api}/${method}`, {
      method: 'POST', body, cache: 'no-store', signal: AbortSignal.timeout(PATIENCE_MS),
      headers: { 'Content-Type': 'application/json', 'X-API-Key': session.api_key },
    });
    text = await response.text();
  } catch (error) {
    throw new Error(error.name === 'TimeoutError' ? unanswered(PATIENCE_MS) : 'The server cannot be reached');
  }
  if (response.status === 401) throw new Error('401: the API key was refused. Stop and connect again to fetch the current one');
  const answer = readJSON(text).value;
  const error = answer?.error ?? (response.ok ? undefined : answer);
  if (error?.code !== undefined) throw Object.assign(new Error(`${error.code} ${error.message ?? ''}`.trim()), { code: error.code });
  const said = text.trim().slice(0, 200);
  if (!response.ok) throw Object.assign(new Error(`HTTP ${response.status} ${said}`.trim()), { status: response.status });
  if (answer === null || typeof answer !== 'object') throw new Error(`Expected a JSON object, got ${said || 'nothing'}`);
  return answer;
}

/** Publishes once and returns the result: {offset, epoch} where the channel has history. */
async function publish(session, body) {
  const { result } = await call(session, 'publish', body);
  if (result === undefined) throw new Error('Expected {"result":...} from the API');
  return result;
}

/**
 * Publishes many bodies in order and in one request, or, where the API has no batch method, one after the other. Returns
 * a reply for each: {publish} or {error}.
 */
export async function replyAll(session, bodies) {
  try {
    const { replies = [] } = await call(session, 'batch', `{"commands":[${bodies.map((body) => `{"publish":${body}}`).join(',')}]}`);
    return replies;
  } catch (error) {
    if (error.status !== 404) throw error;
  }
  const replies = [];
  for (const body of bodies) {
    replies.push(await publish(session, body).then((result) => ({ publish: result }), (error) => ({ error: { code: error.code, message: error.message } })));
    if (replies.at(-1).error) break;
  }
  return replies;
}

/** Publishes many bodies. Returns the last result; an error carries done, the number of those published before it. */
async function publishAll(session, bodies) {
  const replies = await replyAll(session, bodies);
  const failed = replies.findIndex((reply) => reply.error);
  if (failed < 0) return replies.at(-1)?.publish ?? {};
  const { code, message } = replies[failed].error;
  throw Object.assign(new Error([code, message].filter(Boolean).join(' ')), { code, done: failed });
}

const UNKNOWN_CHANNEL = 102;

/** What is missing where a channel is unknown. The boundary may be another one than the usual colon. */
function missingNamespace(channel) {
  const [name, ...rest] = channel.split(':');
  const namespace = rest.length > 0 && name !== '' ? `“${visible(name)}”` : `that ${visible(channel)} is in`;
  return `this server has no namespace ${namespace}: add it to channel.namespaces, or publish to another channel`;
}

/** Asks the API which of the channels lie in a namespace that is not configured. */
export async function unknownChannels(session, channels) {
  const unknown = [];
  for (let at = 0; at < channels.length; at += CHUNK) {
    const names = channels.slice(at, at + CHUNK);
    const commands = names.map((channel) => ({ history: { channel, limit: 0 } }));
    const { replies = [] } = await call(session, 'batch', JSON.stringify({ commands }));
    unknown.push(...names.filter((_, i) => replies[i]?.error?.code === UNKNOWN_CHANNEL));
  }
  return unknown;
}

/** Wires the form. page.session() gives the current session or null; page.changed() is called when the inputs change. */
export class PublishForm {
  constructor(form, page) {
    this.page = page;
    for (const name of ['channel', 'data', 'stamp', 'count', 'send', 'many']) this[name] = form.elements[name];
    this.problem = document.getElementById('data-error');
    this.result = document.getElementById('publish-result');
    this.running = false;
    this.pause = 0;
    form.addEventListener('input', () => {
      // Half-typed JSON is always wrong: speak up after a pause only, but take a complaint back at once.
      clearTimeout(this.pause);
      if (readJSON(this.data.value).problem === undefined) this.#check();
      else this.pause = setTimeout(() => this.#check(), TYPING_PAUSE_MS);
      page.changed();
    });
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#send(1);
    });
    this.many.addEventListener('click', () => {
      if (this.running) this.running = false;
      else this.#send(Math.trunc(Number(this.count.value)));
    });
  }

  get channelName() {
    return this.channel.value.trim();
  }

  get text() {
    return this.data.value;
  }

  /** Shows what is wrong with the input and reports whether all is well. */
  #check() {
    const { problem } = readJSON(this.data.value);
    this.problem.textContent = problem ?? '';
    if (problem) this.#say(''); // both notes share one place
    this.data.setAttribute('aria-invalid', String(problem !== undefined));
    return problem === undefined;
  }

  #say(text, failed = false) {
    if (text) this.problem.textContent = '';
    this.result.textContent = text;
    this.result.dataset.failed = failed;
  }

  async #send(count) {
    const session = this.page.session();
    if (this.running) return;
    if (!this.#check()) return this.data.focus();
    if (!session) return this.#say('Not connected yet: there is no API key', true);
    if (this.channelName === '') {
      this.#say('Name a channel first', true);
      return this.channel.focus();
    }
    if (!(count >= 1 && count <= LARGEST_BURST)) {
      this.#say(`Expected a number from 1 to ${LARGEST_BURST.toLocaleString()}`, true);
      return this.count.focus();
    }
    this.#setRunning(true);
    const started = performance.now();
    const burst = { sent: 0, result: {} };
    try {
      if (count > 1) await this.#burst(session, count, burst);
      else burst.result = await publish(session, publishBody(this.channelName, this.text, this.#stamp()));
      const ms = performance.now() - started;
      const position = burst.result.offset === undefined ? '' : ` · offset ${burst.result.offset}`;
      if (count === 1) this.#say(`Published${position} · ${ms.toFixed(ms < 10 ? 1 : 0)} ms`);
      else this.#say(`${burst.sent.toLocaleString()} published${position} · ${Math.round((burst.sent / ms) * 1000).toLocaleString()}/s`);
    } catch (error) {
      burst.sent += error.done ?? 0;
      const message = error.code === UNKNOWN_CHANNEL ? `${error.message}: ${missingNamespace(this.channelName)}` : error.message;
      this.#say(burst.sent > 0 ? `${message} (after ${burst.sent.toLocaleString()} published)` : message, true);
    }
    this.#setRunning(false);
  }

  #stamp(n) {
    return this.stamp.checked ? { t: Date.now(), n } : null;
  }

  /** Sends in chunks, until all are sent, one fails, or the person has had enough. Progress is kept in burst. */
  async #burst(session, count, burst) {
    const { channelName, text } = this;
    while (burst.sent < count && this.running) {
      const bodies = Array.from({ length: Math.min(CHUNK, count - burst.sent) },
        (_, i) => publishBody(channelName, text, this.#stamp(burst.sent + i + 1)));
      burst.result = await publishAll(session, bodies);
      burst.sent += bodies.length;
      this.#say(`${burst.sent.toLocaleString()} of ${count.toLocaleString()}`);
    }
  }

  #setRunning(running) {
    this.running = running;
    this.send.disabled = running;
    this.many.textContent = running ? 'Stop' : 'Send N';
  }
}

/**
 * The three texts to copy, with the real values of this page. They are valid whatever the form holds: what is no command
 * yet is a comment that says why.
 */
export function commands(session, channels, channel, data) {
  const request = connectRequest(session, channels);
  const subscribe = ['curl -N --get', quote(location.origin + session.endpoint),
    `--data-urlencode ${quote(`cf_connect=${visibleJSON(JSON.stringify(request))}`)}`].join(' \\\n  ');
  const publishing = unfit(channel, data) ?? ['curl', quote(`${location.origin}${session.api}/publish`),
    ...(session.api_key ? [`-H ${quote(`X-API-Key: ${session.api_key}`)}`] : []),
    `-d ${quote(visibleJSON(publishBody(channel, data, null)))}`].join(' \\\n  ');
  const script = `const url = new URL(${JSON.stringify(location.origin + session.endpoint)});
url.searchParams.set('cf_connect', JSON.stringify(${visibleJSON(JSON.stringify(request))}));

const stream = new EventSource(url);
stream.onmessage = (event) => {
  const push = JSON.parse(event.data);
  if (push.pub) console.log(push.channel, push.pub.data);

  const code = push.disconnect?.code;
  const terminal = (code >= 3500 && code < 4000) || (code >= 4500 && code < 5000);
  if (terminal) stream.close(); // otherwise it reconnects by itself
};`;
  return { subscribe, publish: publishing, script };
}

/** Why there is no command to publish yet, as a comment of the shell; undefined if there is one. */
function unfit(channel, data) {
  const { problem } = readJSON(data);
  if (channel === '') return '# Name a channel in the form';
  return problem === undefined ? undefined : `# The data in the form is no JSON yet: ${problem.replace(/\s+/g, ' ')}`;
}

/** Quotes for a POSIX shell. */
function quote(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
