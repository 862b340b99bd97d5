// The live page of Sluice: wires the subscriber (live/stream.js) to the page.
//
// For tests and for the console, window.sluice is kept up to date with every event, before anything is drawn:
//   state     "connecting" | "live" | "reconnecting" | "stopped"
//   connects  connect pushes received
//   total     publications received, recovered ones included, since the page opened or Clear was pressed
//   gaps      channels told, on a reconnect, that history could not fill the time away; counted like total
//   pings     empty pushes received
//   received  the last 5000 pushes (fewer when they are large), oldest first: {channel, kind, data, id}. kind is the push
//             type ("pub", "join", "connect", ...), "gap" (history could not fill the time away), "other" or "malformed";
//             data is the publication's data, for other kinds the body of the push, for malformed ones the event's text;
//             id is event.lastEventId. Pings are not in it.
//   lastDisconnect  null | {code, reason, at}; without code when the connection was just lost
//   cut       null | {verdict, sentence, rows}: what the last cut showed. verdict is "good", "warn" or "bad"; rows have
//             name, sent, came (numbers from 1, as they came), offsets, told (a gap) and verdict [verdict, sentence]
//
// Stable element ids:
//   #state #state-detail #tries #toggle  state word (as above), sentence about it, when it is tried next, Stop / Connect
//   #client #user #version #last-disconnect
//   #channels                         one li[data-channel] per channel, data-grant="pending|granted|refused|unknown|server"
//   #channel-form #channel-input #channel-note
//   #total #rate #gaps #lag-median #lag-p99 #pings #peak #sparkline
//   #messages                         one li[data-kind] per row; #scroller scrolls it
//   #order #pause #clear #held #jump
//   #publish-form #publish-channel #publish-data #publish-stamp #publish-count #send #send-many #publish-result #data-error
//   #cut-form #cut-count #cut #cut-report #cut-steps #cut-verdict #cut-rows
//   #command-subscribe #command-publish #command-script #copy
//   #empty #empty-command #empty-copy  while nothing has been published
//   #said                             what is only said: that a text was copied

import { Stream, subscribeURL, timeOfDay } from './live/stream.js';
import { MessageList, formatLag, keepText } from './live/list.js';
import { copyWith } from './live/copy.js';
import { Cut } from './live/cut.js';
import { Counter, Sparkline } from './live/figures.js';
import { PublishForm, commands, unknownChannels } from './live/publish.js';
import { visible } from './live/text.js';

const RECEIVED_PUSHES = 5000;
const RECEIVED_CHARS = 32e6;
const REFRESH_MS = 250;
const NAMED_CHANNELS = 3; // at most, in a sentence; the list marks them all
const LONG_URL = 2048; // longer ones are cut or refused by some browsers and proxies
const EPOCH_MS = [1e12, 1e13]; // what a time in milliseconds looks like: the years 2001 to 2286

const $ = (id) => document.getElementById(id);
const encoder = new TextEncoder();
const counter = new Counter();
const sparkline = new Sparkline($('sparkline'));
const positions = new Map(); // channel with history -> the last offset seen
const known = new Set(); // channels with history of this page's streams so far
const grants = new Map(); // channel -> "granted" | "server", from the connect, subscribe and unsubscribe pushes
const unknown = new Set(); // channels that a connect was refused for
const sizes = []; // characters of the entries of sluice.received
let receivedChars = 0;
let settled = false; // the server has said which channels it grants
let shownId = ''; // the last event id put in a row; EventSource repeats it on events without one

const sluice = { state: 'connecting', connects: 0, total: 0, gaps: 0, pings: 0, received: [], lastDisconnect: null, cut: null };
window.sluice = sluice;

const list = new MessageList({
  list: $('messages'), scroller: $('scroller'), template: $('row-template'), empty: $('empty'), jump: $('jump'), held: $('held'),
  said: $('said'),
});

const stream = new Stream({
  state(state, detail) {
    sluice.state = state;
    document.documentElement.dataset.state = state;
    setText('state', state); // a live region: the same word again would be read out again
    setText('state-detail', visible(detail));
    setText('tries', '');
    setText('why-empty', visible(detail));
    $('toggle').textContent = state === 'stopped' ? 'Connect' : 'Stop';
    if (state !== 'live') unsettle();
    cut.state(state);
  },
  waiting(text) {
    setText('tries', text); // no live region: it changes with every attempt
  },
  session(session) {
    $('version').textContent = session.version;
    $('user').textContent = visible(session.user || 'anonymous');
    if (!$('publish-channel').value) $('publish-channel').value = stream.channels[0] ?? '';
    showChannels();
  },
  disconnect(goodbye) {
    sluice.lastDisconnect = goodbye;
    const said = [goodbye.code, goodbye.reason].filter(Boolean).join(' ') || 'no code';
    setText('last-disconnect', `${visible(said)}, ${timeOfDay(goodbye.at)}`);
    $('last-disconnect').title = $('last-disconnect').textContent;
  },
  ping() {
    sluice.pings++;
  },
  refused: findFault,
  push: receive,
});

const cut = new Cut({
  form: $('cut-form'), count: $('cut-count'), button: $('cut'), report: $('cut-report'), steps: $('cut-steps'), verdict: $('cut-verdict'), rows: $('cut-rows'),
}, {
  session: () => stream.session,
  client: () => $('client').textContent,
  lastEventId: () => stream.lastEventId,
  isLive: () => sluice.state === 'live',
  channels: () => [...grants.keys()].map((name) => ({ name, keeps: positions.has(name) })),
  position: (name) => positions.get(name),
  changed(report) { sluice.cut = report; },
});

const form = new PublishForm($('publish-form'), { session: () => stream.session, changed: showCommands });

/** Finds out by the API which channels a connect was refused for, and names them. */
async function findFault({ code, reason }) {
  const asked = stream.channels;
  const names = await unknownChannels(stream.session, asked).catch(() => []);
  if (names.length === 0 || !stream.refused || stream.channels !== asked) return;
  for (const name of names) unknown.add(name);
  const [them, take] = names.length === 1 ? ['is in a namespace', 'it'] : ['are in namespaces', 'them'];
  const more = names.length > NAMED_CHANNELS ? ` and ${names.length - NAMED_CHANNELS} more` : '';
  stream.on.state('stopped', `${code} ${reason}: ${names.slice(0, NAMED_CHANNELS).join(', ')}${more} ${them} that this server does not have. Take ${take} out to go on`);
}

/** Takes in one push. Whatever is in it, the page goes on: a failure becomes a row of its own. */
function receive(push) {
  try {
    if (push.kind === 'connect') connected(push);
    else if (push.kind === 'subscribe') subscribed(push);
    else if (push.kind === 'unsubscribe') setGrant(push.channel, null);
    take(push, dataOf(push), push.text);
    if (push.kind === 'connect') takeRecovered(push);
  } catch (error) {
    take({ ...push, kind: 'malformed', problem: String(error) }, push.text, push.text);
  }
}

function dataOf({ kind, body, push, text }) {
  if (kind === 'malformed') return text;
  if (kind === 'other') return push;
  return kind === 'pub' || kind === 'message' ? body.data : body;
}

/** Keeps, counts and queues one push. */
function take({ kind, channel, body, id, problem, recovered }, data, text) {
  const now = Date.now();
  const lag = kind === 'pub' ? lagOf(data, now) : undefined;
  if (kind === 'pub') {
    sluice.total++;
    counter.message(now, lag);
    if (positions.has(channel) && body.offset !== undefined) positions.set(channel, body.offset);
    cut.publication(channel, body.offset, data);
  }
  if (kind === 'gap') sluice.gaps++;
  keep({ channel, kind, data, id }, text.length);
  list.add({
    at: now, kind, channel, data, lag, problem, text: keepText(text), chars: text.length,
    bytes: encoder.encode(text).length, offset: body.offset, id: id === shownId ? '' : id, note: noteOf(kind, body, problem), recovered,
  });
  shownId = id;
}

function keep(entry, chars) {
  sluice.received.push(entry);
  sizes.push(chars);
  receivedChars += chars;
  while (sizes.length > RECEIVED_PUSHES || (receivedChars > RECEIVED_CHARS && sizes.length > 1)) {
    sluice.received.shift();
    receivedChars -= sizes.shift();
  }
}

/** The row's line for what is no plain data; undefined lets the list preview the data. */
function noteOf(kind, body, problem) {
  if (problem) return problem;
  if (kind === 'join' || kind === 'leave') {
    const { user, client } = body.info ?? {};
    return `${user || 'anonymous'} (client ${client ?? '?'})`;
  }
  if (kind === 'connect') return `subscribed to ${Object.keys(body.subs ?? {}).join(', ') || 'nothing'}`;
  if (kind === 'disconnect' || kind === 'unsubscribe') return `${body.code ?? 0} ${body.reason ?? ''}`;
  if (kind === 'gap' && body.dropped) return `${body.dropped} left out on this stream, #${body.from} to #${body.to}: it did not read fast enough`;
  if (kind === 'gap') return 'history does not reach back to the last message seen';
  return undefined;
}

/** How long data has been under way, if it says when it was sent: a number t or ts in milliseconds since 1970. */
function lagOf(data, now) {
  if (data === null || typeof data !== 'object') return undefined;
  const sent = typeof data.t === 'number' ? data.t : data.ts;
  return typeof sent === 'number' && sent > EPOCH_MS[0] && sent < EPOCH_MS[1] ? now - sent : undefined;
}

function connected({ body }) {
  sluice.connects++;
  $('client').textContent = body.client ?? '';
  if (!$('version').textContent) $('version').textContent = body.version ?? '';
  grants.clear();
  unknown.clear();
  settled = true;
  positions.clear();
  for (const [name, sub] of Object.entries(body.subs ?? {})) {
    grants.set(name, 'granted');
    if (sub?.recoverable) positions.set(name, sub.offset ?? 0);
  }
  cut.connected(body.subs ?? {});
  showChannels();
}

/**
 * What a connect push brings along: messages missed while away, or the news that they cannot be had. A channel with
 * cache recovery says that of an empty cache, too: nothing was missed where the page has not been before.
 */
function takeRecovered({ body, id }) {
  for (const [channel, sub] of Object.entries(body.subs ?? {})) {
    if (sub?.was_recovering && !sub.recovered && known.has(channel)) take({ kind: 'gap', channel, body: {}, id }, sub, JSON.stringify(sub));
    for (const pub of sub?.publications ?? []) {
      take({ kind: 'pub', channel, body: pub, id, recovered: known.has(channel) }, pub.data, JSON.stringify({ channel, pub }));
    }
    if (sub?.recoverable) known.add(channel);
  }
}

function subscribed({ channel, body }) {
  if (body.recoverable) positions.set(channel, body.offset ?? 0);
  setGrant(channel, 'granted');
}

function setGrant(channel, grant) {
  if (grant) grants.set(channel, grant);
  else grants.delete(channel);
  showChannels();
}

/** Forgets what was granted: another stream will say it anew. */
function unsettle() {
  grants.clear();
  settled = false;
  showChannels();
}

/** Draws the channels asked for and those the server added by itself. */
function showChannels() {
  const asked = stream.channels ?? [];
  const added = [...grants.keys()].filter((name) => !asked.includes(name));
  const grantOf = (name) => (unknown.has(name) ? 'unknown' : grants.has(name) ? 'granted' : settled ? 'refused' : 'pending');
  const focused = document.activeElement.closest?.('#channels > li')?.dataset.channel;
  $('channels').replaceChildren(...asked.map((name) => channelItem(name, grantOf(name))), ...added.map((name) => channelItem(name, 'server')));
  if (focused !== undefined) itemOf(focused)?.querySelector('button')?.focus(); // drawn anew: keep the keyboard's place
  $('channel-count').textContent = String(asked.length + added.length);
  $('channel-names').replaceChildren(...[...asked, ...added].map((name) => Object.assign(document.createElement('option'), { value: name })));
  const length = stream.session ? subscribeURL(stream.session, asked, '').href.length : 0;
  $('channel-note').textContent = length > LONG_URL ? `The URL has ${length.toLocaleString()} characters; some proxies stop at 2,048.` : '';
  showCommands();
}

const GRANTS = { granted: 'subscribed', pending: 'asked for', refused: 'not granted by the server', unknown: 'in a namespace that this server does not have', server: 'added by the server' };

function channelItem(name, grant) {
  const item = $('channel-template').content.firstElementChild.cloneNode(true);
  const [label, word, remove] = item.children;
  item.dataset.channel = name;
  item.dataset.grant = grant;
  item.title = `${visible(name)}: ${GRANTS[grant]}`;
  label.textContent = visible(name);
  word.textContent = { refused: 'not granted', unknown: 'unknown namespace', server: 'by server' }[grant] ?? '';
  if (grant === 'server') remove.remove();
  else remove.setAttribute('aria-label', `Unsubscribe from ${name}`);
  return item;
}

function itemOf(name) {
  return [...$('channels').children].find((item) => item.dataset.channel === name);
}

function changeChannels(names) {
  unknown.clear();
  stream.channels = names; // drawn at once; the stream follows when the person is done
  unsettle();
  clearTimeout(changeChannels.timer);
  changeChannels.timer = setTimeout(() => stream.setChannels(names), REFRESH_MS);
}

function showCommands() {
  if (!stream.session) return;
  const text = commands(stream.session, stream.channels.filter((name) => !unknown.has(name)), form.channelName, form.text);
  $('command-subscribe').textContent = text.subscribe;
  $('command-publish').textContent = text.publish;
  $('empty-command').textContent = text.publish;
  $('command-script').textContent = text.script;
}

function showFigures() {
  const now = Date.now();
  const lag = counter.lag();
  setText('total', counter.total.toLocaleString());
  setText('rate', counter.rate(now).toLocaleString());
  setText('lag-median', lag ? formatLag(lag.median) : '–');
  setText('lag-p99', lag ? formatLag(lag.p99) : '–');
  setText('pings', sluice.pings.toLocaleString());
  setText('gaps', sluice.gaps.toLocaleString());
  $('gaps').dataset.some = sluice.gaps > 0;
  if (document.hidden) return;
  const peak = sparkline.draw(counter.curve(now));
  setText('peak', peak > 0 ? `Last minute, peak ${peak.toLocaleString()}/s` : 'Last minute');
}

/** Touches the page only when the text is another one. */
function setText(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}

$('toggle').addEventListener('click', () => {
  if (sluice.state === 'stopped') stream.start();
  else stream.stop('Stopped by you. Press Connect to go on from the last message seen');
});

$('channel-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const typed = $('channel-input').value.split(/\s+/).filter(Boolean);
  $('channel-input').value = '';
  const names = [...new Set([...(stream.channels ?? []), ...typed])];
  if (names.length > (stream.channels ?? []).length) changeChannels(names);
});

$('channels').addEventListener('click', (event) => {
  const item = event.target.closest('button')?.closest('li');
  if (!item) return;
  const names = stream.channels.filter((name) => name !== item.dataset.channel);
  const neighbour = names[Math.min(stream.channels.indexOf(item.dataset.channel), names.length - 1)];
  changeChannels(names);
  itemOf(neighbour)?.querySelector('button').focus();
});

$('order').addEventListener('change', (event) => list.setNewestFirst(event.target.value === 'first'));

$('pause').addEventListener('click', (event) => {
  const paused = event.currentTarget.getAttribute('aria-pressed') !== 'true';
  event.currentTarget.setAttribute('aria-pressed', String(paused));
  event.currentTarget.textContent = paused ? 'Resume' : 'Pause';
  list.setPaused(paused);
});

$('clear').addEventListener('click', () => {
  list.clear();
  counter.reset();
  sluice.total = 0;
  sluice.gaps = 0;
  sluice.received.length = 0;
  sizes.length = 0;
  receivedChars = 0;
  showFigures();
});

$('copy').addEventListener('click', () => {
  const source = $(document.querySelector('input[name="command"]:checked').value);
  copyWith($('copy'), source.textContent, source, $('said'));
});

$('empty-copy').addEventListener('click', () => {
  copyWith($('empty-copy'), $('empty-command').textContent, $('empty-command'), $('said'));
});

setInterval(showFigures, REFRESH_MS);
showFigures();
stream.start();
