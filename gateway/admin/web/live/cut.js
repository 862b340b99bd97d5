// Cut and resume, shown: the server is asked to close the page's own stream, messages are published while it is away, and
// what comes back is compared with what was published. It says nothing that it has not compared.

import { call, replyAll } from './publish.js';
import { timeOfDay } from './stream.js';
import { visible } from './text.js';

const CODE = 4000; // of those that an application may use; an EventSource comes back after it
const CHUNK = 200; // messages in one request
const MOST_CHANNELS = 20;
const MOST_MESSAGES = 1000; // in each channel
const GRACE_MS = 500; // for what must not come once all is there, or history has said that it does not have it
const PATIENCE_MS = 15000; // for what must come, and for each step before

/**
 * What became of the messages of one channel: [verdict, sentence]. Verdict is "good", "warn" or "bad". The messages are
 * numbered from 1; came has the numbers as they came, offsets those of all messages since the cut, of others, too.
 */
export function judge({ sent, came, told, keeps, latestOnly, error, before, offsets }) {
  if (error) return ['bad', `not published: ${error}`];
  const distinct = new Set(came).size;
  const all = `${distinct} of ${sent}`;
  if (came.length > distinct) return ['bad', `${all}, ${came.length - distinct} of them again`];
  if (came.some((n, i) => i > 0 && n < came[i - 1])) return ['bad', `${all}, not in order`];
  if (distinct < sent) {
    if (!keeps) return ['warn', `${all}: no history is kept here`];
    if (told) return ['warn', `${all}: history does not reach back, a gap was told`];
    return latestOnly ? ['warn', `${all}: the latest only, as cache recovery has it`] : ['bad', `${all}: the rest is lost, and no gap was told`];
  }
  const hole = keeps && !told && !latestOnly ? offsets.findIndex((offset, i) => offset !== before + i + 1) : -1;
  return hole < 0 ? ['good', `${all}, once, in order`] : ['bad', `${all}, but #${before + hole + 1} did not come next`];
}

/**
 * Elements: form, count, button, report, steps (dl), verdict (live region), rows (tbody). The page has session(),
 * client(), lastEventId(), isLive(), channels(), which returns [{name, keeps}], position(name), the last offset seen, and
 * changed(report).
 */
export class Cut {
  constructor(elements, page) {
    Object.assign(this, elements);
    this.page = page;
    this.run = null;
    this.form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#start(Math.trunc(Number(this.count.value)));
    });
  }

  /** The stream is in another state. */
  state(state) {
    const { run } = this;
    if (!run) return;
    if (state === 'reconnecting') run.away?.();
    if (state === 'stopped') this.#fail('The stream was stopped before it was back');
  }

  /** A connect push: what it says of the channels. */
  connected(subs) {
    const { run } = this;
    if (!run || run.cutAt === undefined || run.backAt !== undefined) return;
    run.backAt = performance.now();
    for (const row of run.rows.values()) {
      const sub = subs[row.name];
      row.told = sub?.was_recovering === true && !sub.recovered;
      const publications = sub?.publications ?? [];
      row.latestOnly = publications.length === 1 && publications[0].offset > (sub.offset ?? 0) + 1;
      if (!sub) row.error ||= 'not granted when the stream was back';
    }
    this.#step(2, `after ${seconds(run.backAt - run.cutAt)}`);
    this.#step(3, short(run.id));
    this.#settleLater();
  }

  /** A publication, recovered or live. */
  publication(channel, offset, data) {
    const row = this.run?.rows.get(channel);
    if (!row || this.run.cutAt === undefined) return;
    if (offset > row.before) row.offsets.push(offset); // a long cursor may repeat what was seen
    if (data?.cut !== this.run.mark) return;
    row.came.push(data.n);
    row.seen.add(data.n);
    this.#settleLater();
  }

  async #start(count) {
    if (this.run) return;
    const channels = this.page.channels();
    const reason = this.#unfit(count, channels);
    if (reason) return this.#say('bad', reason);
    const rows = channels.slice(0, MOST_CHANNELS).map(({ name, keeps }) => [name, {
      name, keeps, before: undefined, sent: 0, came: [], seen: new Set(), offsets: [], published: [], told: false, latestOnly: false, error: '',
    }]);
    const run = { rows: new Map(rows), count, mark: Math.random().toString(36).slice(2, 10), left: channels.length - rows.length };
    this.run = run;
    this.button.setAttribute('aria-disabled', 'true');
    this.report.hidden = false;
    this.#draw('Cutting the stream');
    try {
      await this.#cut(run);
      if (this.run === run) await this.#publish(run);
    } catch (error) {
      if (this.run === run) this.#fail(error.message);
    }
  }

  #unfit(count, channels) {
    if (!this.page.isLive()) return 'The stream is not live: there is nothing to cut';
    if (channels.length === 0) return 'No channel is granted: add one first';
    if (!(count >= 1 && count <= MOST_MESSAGES)) return `Expected a number from 1 to ${MOST_MESSAGES.toLocaleString()}`;
    return '';
  }

  /** Has the server close the stream, and waits until the browser has noticed. */
  async #cut(run) {
    const { user } = this.page.session();
    const away = new Promise((resolve) => { run.away = resolve; });
    await call(this.page.session(), 'disconnect', JSON.stringify({ user, client: this.page.client(), disconnect: { code: CODE, reason: 'cut by the live page' } }));
    this.#waitFor('The stream did not end', () => run.cutAt !== undefined);
    await away;
    if (this.run !== run) return;
    run.cutAt = performance.now();
    run.id = this.page.lastEventId();
    for (const row of run.rows.values()) row.before = this.page.position(row.name);
    this.#step(0, `by the server, at ${timeOfDay(new Date())}`);
    this.#say('', 'Publishing while the stream is away');
  }

  async #publish(run) {
    const started = performance.now();
    const rows = [...run.rows.values()];
    const jobs = Array.from({ length: run.count }, (_, i) => rows.map((row) => ({ row, n: i + 1 }))).flat();
    for (let at = 0; at < jobs.length && this.run === run; at += CHUNK) {
      const part = jobs.slice(at, at + CHUNK);
      const replies = await replyAll(this.page.session(), part.map(({ row, n }) =>
        JSON.stringify({ channel: row.name, data: { text: 'published while you were away', n, cut: run.mark } })));
      part.forEach(({ row }, i) => noteReply(row, replies[i]));
    }
    if (this.run !== run) return;
    run.late = run.backAt !== undefined;
    run.published = true;
    const sent = rows.reduce((sum, row) => sum + row.sent, 0);
    this.#step(1, `${sent.toLocaleString()} in ${plural(rows.length, 'channel')}, ${seconds(performance.now() - started)}${run.late ? '; the last ones when the stream was back' : ''}`);
    if (run.backAt === undefined) this.#say('', 'Waiting for the browser to come back by itself');
    this.#waitFor('The stream did not come back', () => run.backAt !== undefined, 4 * PATIENCE_MS);
    this.#settleLater();
  }

  #waitFor(complaint, isThere, ms = PATIENCE_MS) {
    const { run } = this;
    setTimeout(() => { if (this.run === run && !isThere()) this.#fail(`${complaint} within ${seconds(ms)}`); }, ms);
  }

  /** Ends the run a moment after all has come; what is missing gets more time. */
  #settleLater() {
    const { run } = this;
    run.frame ||= requestAnimationFrame(() => {
      run.frame = 0;
      if (this.run === run) this.#drawRows();
    });
    if (!run.published || run.backAt === undefined) return;
    const expected = [...run.rows.values()].some((row) => row.seen.size < row.sent && !(row.error || row.told || row.latestOnly || !row.keeps));
    const wait = expected ? PATIENCE_MS : GRACE_MS;
    if (wait === run.wait) return; // others may publish all the time
    run.wait = wait;
    clearTimeout(run.timer);
    run.timer = setTimeout(() => this.#finish(), wait);
  }

  #finish() {
    const { run } = this;
    const rows = [...run.rows.values()];
    const sum = (count) => rows.reduce((total, row) => total + count(row), 0);
    const sent = sum((row) => row.sent);
    const came = sum((row) => row.seen.size);
    const gaps = rows.filter((row) => row.told).length;
    const verdicts = rows.map((row) => judge(row)[0]);
    const verdict = verdicts.includes('bad') ? 'bad' : verdicts.includes('warn') ? 'warn' : 'good';
    const all = `${came.toLocaleString()} of ${sent.toLocaleString()} came`;
    const words = {
      good: `Nothing is missing: ${all}, each once, in order`, warn: `Not all could come back: ${all}`, bad: `This is not as it should be: ${all}`,
    }[verdict];
    const more = run.left > 0 ? ` ${plural(run.left, 'more channel')} not tried.` : '';
    this.#end(verdict, `${words}. Away for ${seconds(run.backAt - run.cutAt)}, ${gaps === 0 ? 'no gap' : plural(gaps, 'gap')}.${more}`, true);
  }

  #fail(why) {
    this.#end('bad', why, false); // what might have come is not known
  }

  #end(verdict, sentence, compared) {
    const { run } = this;
    clearTimeout(run.timer);
    this.#drawRows(compared);
    this.#say(verdict, sentence);
    this.run = null;
    this.button.removeAttribute('aria-disabled');
    this.page.changed({ verdict, sentence, rows: [...run.rows.values()].map(({ name, sent, came, offsets, told, ...row }) =>
      ({ name, sent, came, offsets, told, verdict: compared ? judge({ sent, came, offsets, told, ...row }) : null })) });
  }

  #draw(sentence) {
    for (let i = 0; i < this.steps.childElementCount; i++) this.#step(i, '–');
    this.rows.replaceChildren(...[...this.run.rows.values()].map((row) => {
      const line = document.createElement('tr');
      const name = Object.assign(document.createElement('th'), { scope: 'row', textContent: visible(row.name), title: visible(row.name) });
      row.cells = [document.createElement('td'), document.createElement('td')];
      line.append(name, ...row.cells);
      return line;
    }));
    this.#drawRows();
    this.#say('', sentence);
  }

  #drawRows(compared = false) {
    for (const row of this.run.rows.values()) {
      const [missed, result] = row.cells;
      missed.textContent = missedOf(row);
      const [verdict, sentence] = compared ? judge(row) : ['', `${row.seen.size} of ${this.run.count}`];
      result.textContent = sentence;
      result.dataset.verdict = verdict;
    }
  }

  #step(index, text) {
    const said = this.steps.children[index].lastElementChild;
    said.textContent = text;
    said.title = text;
  }

  #say(verdict, sentence) {
    this.verdict.dataset.verdict = verdict;
    this.verdict.textContent = sentence;
  }
}

function noteReply(row, reply) {
  if (reply?.publish) {
    row.sent++;
    if (reply.publish.offset !== undefined) row.published.push(reply.publish.offset);
  } else {
    row.error ||= reply?.error ? visible(`${reply.error.code} ${reply.error.message}`) : 'no answer';
  }
}

/** The offsets of what was published meanwhile. */
function missedOf({ published, sent }) {
  if (published.length === 0) return sent > 0 ? 'no offsets' : '–';
  const [first, last] = [Math.min(...published), Math.max(...published)];
  return first === last ? `#${first}` : `#${first}–#${last}`;
}

function short(id) {
  return id.length > 20 ? `${id.slice(0, 9)}…${id.slice(-9)}` : id;
}

function seconds(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 10000 ? 2 : 0)} s`;
}

function plural(n, word) {
  return `${n.toLocaleString()} ${word}${n === 1 ? '' : 's'}`;
}
