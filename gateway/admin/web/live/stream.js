// The subscriber: one EventSource, kept alive by the rules of the protocol. No DOM here, so that it can be read (and
// copied) as the example of a browser client.
//
// What it does with the end of a stream:
//   - disconnect 3500-3999 or 4500-4999: terminal. EventSource would come back for ever, so it is closed.
//   - 3501 (bad request) in answer to a connect: most likely a channel in an unknown namespace. Other channels try again.
//   - disconnect 3005 (expired): the token in the URL is useless now. A new session gives a new one.
//   - 3500 (invalid token) in answer to a reconnect, for a token that was good before: the server was restarted with
//     another secret, which happens all day in development. One attempt with a new session, then 3500 is terminal.
//   - any other code, or a cut connection: EventSource reconnects by itself and sends Last-Event-ID.
//   - an answer that is no event stream (a proxy's 502): EventSource gives up, and does not say why. We ask once more to
//     learn it, and open a new one, later and later.
//   - silence for much longer than the server's ping interval: the connection is dead without knowing it. Open a new one.

const KINDS = ['connect', 'pub', 'join', 'leave', 'subscribe', 'unsubscribe', 'gap', 'message', 'refresh', 'disconnect'];
const EXPIRED = 3005;
const INVALID_TOKEN = 3500;
const BAD_REQUEST = 3501;
const FIRST_RETRY_MS = 1000;
const LONGEST_RETRY_MS = 30000;
const REFUSALS_BEFORE_STOP = 8;
const SLOW_MS = 5000; // a connect that takes longer is spoken of
const HUNG_MS = 15000; // after a stream ended, without an attempt that failed
const SAID_CHARS = 200; // of a refusal

/** For an answer that is no stream. */
export const PATIENCE_MS = 10000;

/** Why nobody answers: over HTTP/1.1 a browser has six connections to a server, in all tabs together. */
export const unanswered = (ms) =>
  `No answer for ${ms / 1000} s. The server is busy, or this browser has six streams of it already: close other tabs of this page`;

// What to do after a terminal disconnect.
const ADVICE = {
  3500: 'the server refuses the token',
  3501: 'the server does not understand what was asked',
  3502: 'the connect took longer than client.stale_close_delay',
  3503: 'somebody closed this stream by the server API',
  3504: 'too many streams of this user (client.user_connection_limit), or a newer one took the place of this one',
  3505: 'too many channels: take some out, or raise client.channel_limit',
  3507: 'the server does not permit what was asked',
};

/** Reports whether a client must not come back after this disconnect code. */
export function isTerminal(code) {
  return (code >= 3500 && code <= 3999) || (code >= 4500 && code <= 4999);
}

/** A time of day for people, with seconds. */
export function timeOfDay(date) {
  return date.toLocaleTimeString(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
}

/** The URL of a subscription. lastEventId continues where an earlier EventSource of the page ended. */
export function subscribeURL(session, channels, lastEventId) {
  const url = new URL(session.endpoint, location.origin);
  url.searchParams.set('cf_connect', JSON.stringify(connectRequest(session, channels)));
  if (lastEventId) url.searchParams.set('last_event_id', lastEventId);
  return url;
}

/** The connect request, as the protocol wants it in cf_connect. */
export function connectRequest(session, channels) {
  const request = {};
  if (session.token) request.token = session.token;
  if (channels.length > 0) request.subs = Object.fromEntries(channels.map((name) => [name, {}]));
  return request;
}

/**
 * Stream calls, always from the event loop of the page:
 *   on.state(state, detail)      connecting | live | reconnecting | stopped, and a sentence about it
 *   on.waiting(text)             in a state that goes on: how often it was tried, and when it is next
 *   on.session(session)          a session was fetched
 *   on.disconnect({code, reason, at})  the server said goodbye, or (without code) the connection was lost
 *   on.ping()                    an empty push
 *   on.refused({code, reason})   stopped because of a channel that was asked for; which one, the protocol does not say
 *   on.push({kind, channel, body, text, id})  every other push; kind is one of KINDS, "other" or "malformed"
 */
export class Stream {
  constructor(on) {
    this.on = on;
    this.session = null;
    this.channels = null; // null until the first session suggests some
    this.source = null;
    this.timer = 0;
    this.watchdog = 0;
    this.lastEventId = '';
    this.failures = 0; // refused attempts since the stream was last live
    this.silenceMs = 0;
    this.accepted = false; // the token in use has opened a stream before
    this.greeted = false; // this connection has had its connect push
    this.refused = false; // stopped because of the channels asked for
    this.goodbye = false; // the end of this connection was reported already
    this.lostAt = null; // since when there is no stream
    this.triedAt = 0; // the last attempt of the browser's own
    this.tries = 0; // of those in a row
    this.slow = 0;
    this.generation = 0; // of open(); an answer for an older one is ignored
  }

  /** Fetches a session and opens the stream. Also the way to start again after stop(). */
  async start(state = 'connecting', detail = 'Asking for a session') {
    this.#close();
    const generation = this.generation;
    if (this.failures > 1) this.on.waiting('trying now'); // the state is the same, and why
    else this.on.state(state, detail);
    let answer;
    try {
      answer = await fetchSession();
    } catch (error) {
      if (generation !== this.generation) return;
      if (error.final) this.#stopped(error.message);
      else this.#retry(error.message);
      return;
    }
    if (generation !== this.generation) return;
    this.session = answer;
    this.accepted = false;
    this.channels ??= [...answer.channels];
    this.on.session(answer);
    this.#open(state);
  }

  /** Subscribes to other channels: they are part of the URL, so a new EventSource is opened. */
  setChannels(channels) {
    this.channels = [...channels];
    if (this.session && (this.source || this.timer || this.refused)) {
      this.#close();
      this.#open('connecting');
    }
  }

  /** Closes the stream for good, until start(). */
  stop(detail) {
    this.#stopped(detail);
  }

  #open(state) {
    this.greeted = false;
    this.on.state(state, 'Opening the stream');
    this.slow = setTimeout(() => this.on.state(state, unanswered(SLOW_MS)), SLOW_MS);
    const source = new EventSource(subscribeURL(this.session, this.channels, this.lastEventId));
    this.source = source;
    // A late event of a source that was replaced must not touch its successor.
    source.onmessage = (event) => source === this.source && this.#receive(event);
    source.onerror = () => source === this.source && this.#failed();
  }

  #close() {
    this.generation++;
    clearTimeout(this.timer);
    clearTimeout(this.watchdog);
    clearTimeout(this.slow);
    this.timer = 0;
    this.refused = false;
    this.source?.close();
    this.source = null;
  }

  #stopped(detail) {
    this.#close();
    this.lostAt = null;
    this.on.state('stopped', detail);
  }

  /** Starts again with a new session after a wait that grows with the failures in a row. */
  #retry(why) {
    this.failures++;
    this.#close();
    const wait = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** (this.failures - 1)) * (0.75 + Math.random() / 2);
    this.on.state('reconnecting', why);
    this.on.waiting(`try ${this.failures} failed, the next is at ${timeOfDay(new Date(Date.now() + wait))}`);
    this.timer = setTimeout(() => this.start('reconnecting', 'Asking for a session'), wait);
  }

  #failed() {
    clearTimeout(this.watchdog);
    clearTimeout(this.slow);
    this.greeted = false;
    if (this.source.readyState === EventSource.CLOSED) {
      this.#refused();
      return;
    }
    const now = Date.now();
    const sayGone = () => this.on.state('reconnecting', `No answer since ${timeOfDay(this.lostAt)}`);
    this.slow = setTimeout(sayGone, HUNG_MS);
    if (!this.goodbye) this.on.disconnect({ reason: 'connection lost', at: new Date(now) });
    this.goodbye = true; // say it once, however often the browser tries in vain
    if (this.lostAt === null) {
      this.lostAt = new Date(now);
      this.tries = 0;
      this.on.state('reconnecting', 'The stream ended. The browser comes back by itself');
    } else {
      this.tries++;
      sayGone();
      // EventSource does not tell its delay, but keeps it: the next attempt is as far away as the last one.
      this.on.waiting(`try ${this.tries} failed, the next is at about ${timeOfDay(new Date(2 * now - this.triedAt))}`);
    }
    this.triedAt = now;
  }

  /** The browser gave up, as the answer is no event stream. */
  async #refused() {
    const source = this.source;
    const said = await whyRefused(subscribeURL(this.session, this.channels, this.lastEventId));
    if (source !== this.source) return;
    this.on.disconnect({ reason: `refused: ${said}`, at: new Date() });
    if (this.failures < REFUSALS_BEFORE_STOP) this.#retry(`The server refused the stream: ${said}`);
    else this.#stopped(`The server refused the stream ${this.failures + 1} times: ${said}. Press Connect to try again`);
  }

  #receive(event) {
    this.#heard();
    this.lastEventId = event.lastEventId;
    const { kind, push, problem } = decode(event.data);
    if (kind === 'ping') {
      this.on.ping();
      return;
    }
    const body = push?.[kind] ?? {};
    if (kind === 'connect') this.#connected(body);
    this.on.push({ kind, channel: channelOf(push), body, push, problem, text: event.data, id: event.lastEventId });
    if (kind === 'disconnect') this.#disconnected(body);
  }

  #connected(body) {
    this.failures = 0;
    this.accepted = true;
    this.greeted = true;
    this.goodbye = false;
    this.lostAt = null;
    this.silenceMs = Number.isFinite(body.ping) && body.ping > 0 ? body.ping * 2500 : 0;
    this.#heard();
    this.on.state('live', `Open since ${timeOfDay(new Date())}`);
  }

  #disconnected(body) {
    const code = Number.isFinite(body.code) ? body.code : 0;
    const reason = String(body.reason ?? '');
    this.on.disconnect({ code, reason, at: new Date() });
    this.goodbye = true;
    if (code === EXPIRED) {
      this.#renew('The token expired', 'The new token is expired too');
    } else if (code === INVALID_TOKEN && this.accepted && !this.greeted) {
      this.#renew('The server no longer knows the token', 'The server keeps refusing the token');
    } else if (code === BAD_REQUEST && !this.greeted) {
      this.#stopped(`${code} ${reason}: is there a channel in an unknown namespace? Take it out to go on`);
      this.refused = true;
      this.on.refused({ code, reason });
    } else if (isTerminal(code)) {
      this.#stopped(`${code} ${reason}: ${ADVICE[code] ?? 'the server asks not to come back'}. Press Connect to try again`);
    }
  }

  /** Asks for a new session at once; when the last one brought no live stream either, after a growing wait. */
  #renew(why, whyAgain) {
    if (this.failures > 0) {
      this.#retry(whyAgain);
      return;
    }
    this.failures = 1;
    this.start('reconnecting', `${why}: asking for a new session`);
  }

  #heard() {
    clearTimeout(this.watchdog);
    clearTimeout(this.slow);
    if (this.silenceMs === 0) return;
    this.watchdog = setTimeout(() => {
      this.on.disconnect({ reason: 'no ping', at: new Date() });
      this.#close();
      this.#open('reconnecting');
    }, this.silenceMs);
  }
}

/**
 * Fetches the page's settings. The fragment of the link, if there is one, is the key that opens them on another machine.
 * An error with final = true will not go away by asking again.
 */
async function fetchSession() {
  const key = location.hash.slice(1);
  let response;
  try {
    response = await fetch('/dev/session', {
      cache: 'no-store', headers: key === '' ? {} : { 'X-Sluice-Key': key }, signal: AbortSignal.timeout(PATIENCE_MS),
    });
  } catch (error) {
    throw new Error(error.name === 'TimeoutError' ? unanswered(PATIENCE_MS) : 'The server cannot be reached');
  }
  const answer = await response.json().catch(() => null);
  if (response.ok && answer) {
    return { endpoint: '/connection/uni_sse', api: '/api', token: '', api_key: '', user: '', version: '', ...answer,
      channels: Array.isArray(answer.channels) ? answer.channels.map(String) : [] };
  }
  const error = new Error(answer?.error ?? `/dev/session answered ${response.status}`);
  error.final = response.status >= 400 && response.status < 500;
  throw error;
}

/** Asks as EventSource does, which keeps the answer to itself: its status and what it says. */
async function whyRefused(url) {
  try {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const response = await fetch(url, { cache: 'no-store', headers: { Accept: 'text/event-stream' }, signal });
    if (response.ok) {
      response.body.cancel();
      return 'its last answer was no event stream';
    }
    const said = (await response.text()).trim().slice(0, SAID_CHARS);
    return `HTTP ${response.status} ${said}`.trim();
  } catch {
    return 'it cannot be reached';
  }
}

/** Takes an event's text apart without ever throwing: what is no push is "malformed", with the problem said. */
function decode(text) {
  let push;
  try {
    push = JSON.parse(text);
  } catch (error) {
    return { kind: 'malformed', problem: error.message };
  }
  if (push === null || typeof push !== 'object' || Array.isArray(push)) {
    return { kind: 'malformed', problem: 'expected a JSON object' };
  }
  const kind = KINDS.find((name) => Object.hasOwn(push, name));
  if (kind === undefined) return Object.keys(push).length === 0 ? { kind: 'ping' } : { kind: 'other', push };
  const body = push[kind];
  if (body === null || typeof body !== 'object' || Array.isArray(body)) {
    return { kind: 'malformed', push, problem: `expected an object in "${kind}"` };
  }
  return { kind, push };
}

function channelOf(push) {
  const name = push?.channel;
  return name === undefined ? '' : String(name);
}
