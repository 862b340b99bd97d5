// Try: a client under a glass. It connects as any client would, shows each event, can be cut in the middle, and says per
// channel whether the resume lost or doubled anything.

import { BASE, HEADERS } from './api.js';
import { EventList } from './trylist.js';
import { bytes, plural, whole } from './format.js';
import { Positions } from './positions.js';
import { codeText, isTerminal } from './reasons.js';
import { Parser, read } from './sse.js';
import { RequestForm } from './tryrequest.js';
import { copyButton, field, fill, h, out, say } from './dom.js';

const HOW = 'Connect, cut the stream, publish something, then resume: what became of each channel stands here.';

export function attempt(context) {
  let running = null; // an AbortController
  let positions = new Positions();
  let connects = 0;
  const counts = {};
  const list = new EventList();
  const form = new RequestForm(context.me, () => drawCurl());
  const status = h('span', { class: 'pill', role: 'status', data: { state: 'off' } }, 'not connected');
  const figures = h('dl', { class: 'figures small' });
  const verdict = h('div', { class: 'verdict', role: 'status' });
  const curl = h('pre', { tabindex: '0', 'aria-label': 'The same for a shell' });
  const lastId = h('input', { type: 'text', autocomplete: 'off', spellcheck: 'false', class: 'code', oninput: () => {
    set(status.dataset.state, status.textContent);
    drawCurl();
  } });
  const connect = h('button', { type: 'button', class: 'primary', disabled: !context.admin, onclick: () => open('') }, 'Connect');
  const readOnly = context.admin ? '' : h('p', { class: 'note' }, 'Your role is read only: log in as an admin to connect.');
  const cut = h('button', { type: 'button', disabled: true, onclick: () => end('off', 'cut by you: publish something, then resume') }, 'Cut');
  const resume = h('button', { type: 'button', disabled: true, onclick: () => open(lastId.value.trim()) }, 'Resume');
  const clear = h('button', { type: 'button', onclick: () => {
    list.clear();
    reset();
  } }, 'Clear');

  function reset() {
    Object.assign(counts, { events: 0, bytes: 0, pings: 0, comments: 0, gaps: 0, doubled: 0, retry: null });
    draw();
  }

  function set(state, text) {
    status.dataset.state = state;
    say(status, text);
    connect.disabled = running !== null || !context.admin;
    cut.disabled = running === null;
    resume.disabled = running !== null || !context.admin || lastId.value.trim() === '';
  }

  function draw() {
    const facts = [['Events', whole(counts.events)], ['Bytes', bytes(counts.bytes)], ['Pings', whole(counts.pings)], ['Comments', whole(counts.comments)],
      ['Retry', counts.retry === null ? '–' : `${whole(counts.retry)} ms`], ['Gaps', whole(counts.gaps)], ['Doubled', whole(counts.doubled)]];
    if (figures.childElementCount === 0) fill(figures, facts.map(([term]) => h('div', {}, h('dt', {}, term), h('dd'))));
    facts.forEach(([term, value], i) => {
      say(figures.children[i].lastChild, value);
      figures.children[i].dataset.level = (term === 'Gaps' || term === 'Doubled') && value !== '0' ? 'bad' : '';
    });
  }

  function drawCurl() {
    say(curl, form.curl(lastId.value.trim()));
  }

  /** Opens the stream; with an id it is a resume, and what was seen before counts. */
  async function open(id) {
    const body = form.body();
    if (running || body === null) {
      if (!running) set('bad', 'the request is not valid JSON yet');
      return;
    }
    if (id === '') {
      positions = new Positions();
      connects = 0;
      fill(verdict, h('p', { class: 'quiet' }, HOW));
      lastId.value = '';
      list.clear();
      reset();
    }
    const mine = running = new AbortController();
    set('wait', id === '' ? 'connecting' : 'resuming');
    list.mark(id === '' ? 'POST of the connect request' : `POST again, Last-Event-ID: ${id}`);
    try {
      const response = await fetch(`${BASE}connect`, { method: 'POST', body, cache: 'no-store', signal: mine.signal, headers: id === '' ? HEADERS : { ...HEADERS, 'Last-Event-ID': id } });
      const type = response.headers.get('Content-Type') ?? '';
      list.mark(`${response.status} ${response.statusText}, ${type || 'no content type'}`);
      if (!type.startsWith('text/event-stream')) {
        const text = (await response.text()).trim().slice(0, 500);
        end('bad', `refused with ${response.status}${text ? `: ${errorOf(text)}` : ''}`, mine);
        return;
      }
      const parser = new Parser({ event, retry: (ms) => { counts.retry = ms; list.mark(`retry: ${ms}`); draw(); }, comment: () => { counts.comments++; draw(); } }, id);
      await read(response, parser, { bytes: (n) => { counts.bytes += n; draw(); } });
      end('bad', 'the server ended the stream', mine);
    } catch (error) {
      end('bad', error instanceof TypeError ? 'the connection was lost' : error.message, mine);
    }
  }

  function end(state, text, mine = running) {
    if (running !== mine || running === null) return; // ended before, or by hand
    running.abort();
    running = null;
    list.mark(text);
    set(status.dataset.state === 'bad' && state === 'bad' ? 'bad' : state, status.dataset.said ? `${status.dataset.said}; ${text}` : text);
    delete status.dataset.said;
  }

  function event(message) {
    counts.events++;
    lastId.value = message.lastId;
    let push;
    try {
      push = JSON.parse(message.data);
    } catch {
      push = null;
    }
    if (push === null || typeof push !== 'object') {
      list.add({ ...message, kind: 'malformed' });
    } else if (Object.keys(push).length === 0) {
      counts.pings++;
    } else {
      list.add({ ...message, ...take(push) });
    }
    draw();
    drawCurl();
  }

  /** What a push means for the positions: {kind, channel, offset, notes}. */
  function take(push) {
    const kind = Object.keys(push).find((key) => key !== 'channel' && key !== 'id') ?? 'other';
    const body = push[kind] ?? {};
    const channel = push.channel === undefined ? '' : String(push.channel);
    if (kind === 'connect') {
      connects++;
      set('live', `connected as ${body.client ?? '?'}`);
      judge(positions.connect(body.subs ?? {}), body.subs ?? {});
    } else if (kind === 'pub') {
      const found = positions.publication(channel, body.offset);
      if (found.gap) counts.gaps++;
      if (found.doubled) counts.doubled++;
      return { kind, channel, offset: body.offset, ...found };
    } else if (kind === 'subscribe') {
      positions.connect({ ...subsNow(), [channel]: body });
    } else if (kind === 'gap') {
      counts.gaps++;
      positions.told(channel, body.from, body.to);
    } else if (kind === 'disconnect') {
      const text = `${body.code} ${body.reason ?? codeText(body.code)}${isTerminal(body.code) ? ', a client must not come back' : ''}${body.code === 3501 && connects === 0 ? form.suspicion() : ''}`;
      status.dataset.state = 'bad';
      status.dataset.said = `disconnected: ${text}`;
    }
    return { kind, channel, offset: body.offset };
  }

  /** The other subscriptions as they are, so that one that is added ends none. */
  function subsNow() {
    return Object.fromEntries([...positions.channels].map(([name, at]) => [name, at.offset === null ? {} : { positioned: true, was_recovering: true, recovered: true, offset: at.offset, epoch: at.epoch }]));
  }

  /** Says what a connect push made of each channel. */
  function judge(report, subs) {
    const missing = form.channelNames.filter((name) => !Object.hasOwn(subs, name));
    const rows = report.map((line) => verdictOf(line));
    const bad = rows.filter((row) => row.level === 'bad').length;
    const holes = report.flatMap((line) => line.holes ?? []).length;
    const doubled = report.reduce((n, line) => n + (line.doubled ?? 0), 0);
    counts.gaps += holes;
    counts.doubled += doubled;
    if (connects < 2) {
      fill(verdict, h('h3', {}, report.length === 0 ? 'Subscribed to nothing' : `Subscribed to ${plural(report.length, 'channel')}`));
    } else {
      const recovered = report.reduce((n, line) => n + line.recovered, 0);
      fill(verdict, h('h3', { data: { level: bad + holes + doubled > 0 ? 'bad' : 'good' } }, bad + holes + doubled > 0 ? 'Resumed, with a loss' : `Resumed: ${plural(recovered, 'publication')} came with it, nothing missing, nothing doubled${rows.some((row) => row.level === 'warn') ? ' where positions are kept' : ''}`));
    }
    verdict.append(h('ul', {}, rows.map((row) => h('li', { data: { level: row.level } }, out(row.channel), ' ', h('span', {}, row.text)))));
    if (missing.length > 0) verdict.append(h('p', { class: 'note warn' }, `Left out without a word, as a client would see it: ${missing.join(', ')}. The token or the namespace does not allow it.`));
  }

  fill(verdict, h('p', { class: 'quiet' }, HOW));
  reset();
  drawCurl();
  return {
    node: h('div', { class: 'try' }, h('div', { class: 'head' }, h('h1', {}, 'Try'), h('span', { class: 'quiet' }, 'a client under a glass')),
      h('div', { class: 'split try-split' },
        h('section', { class: 'panel', 'aria-label': 'Request' }, h('h2', {}, 'Connect request'), form.node, readOnly, h('div', { class: 'line' }, connect, cut, resume),
          h('details', { class: 'advanced', open: true }, h('summary', {}, 'Last-Event-ID and curl'), field('Last-Event-ID, sent on resume', lastId),
            h('div', { class: 'spread' }, h('h3', {}, 'The same for a shell'), copyButton(() => curl.textContent)), curl)),
        h('section', { class: 'panel events-panel', 'aria-label': 'Events' }, h('div', { class: 'spread' }, h('h2', {}, 'Events'), clear),
          h('p', { class: 'status-line' }, status), figures, verdict, list.node))),
    show() {},
    stop() {
      running?.abort();
      running = null;
    },
  };
}

/** The text of an answer that refuses: of the console's own it is in JSON. */
function errorOf(text) {
  try {
    return JSON.parse(text).error ?? text;
  } catch {
    return text;
  }
}

function verdictOf({ channel, verdict, before, recovered, from, to, offset, holes = [], doubled = 0 }) {
  const at = (n) => (n === null || n === undefined ? '–' : `#${n}`);
  if (verdict === 'recovered') {
    const came = recovered > 0 ? `${plural(recovered, 'publication')} recovered, ${at(from)}–${at(to)}` : 'nothing within the connect push: what was missed, if anything, follows as events';
    const wrong = [holes.length > 0 && `missing ${holes.map(([a, b]) => (a === b ? `#${a}` : `#${a}–#${b}`)).join(', ')}`, doubled > 0 && `${doubled} came twice`].filter(Boolean);
    return { channel, level: wrong.length > 0 ? 'bad' : 'good', text: `was at ${at(before)}; ${came}${wrong.length > 0 ? `; ${wrong.join('; ')}` : ''}` };
  }
  const texts = {
    new: ['', `begins at ${at(offset)}`], plain: ['warn', 'keeps no position: what was published meanwhile is not known'],
    lost: ['bad', `was at ${at(before)}: its history cannot fill the time away; begins again at ${at(offset)}`],
    unasked: ['warn', `was at ${at(before)}: the server did not try to recover; begins at ${at(offset)}`],
    gone: ['warn', 'is not subscribed to any more'],
  };
  const [level, text] = texts[verdict];
  return { channel, level, text: verdict === 'new' && offset === undefined ? 'without positions' : text };
}
