// What a client has seen of each channel: offsets without a hole, holes, and what came twice. No DOM.
//
// A position is known where a channel keeps history: its publications have offsets that grow by one. A connect push
// says where a subscription begins, or what was recovered; what follows must be dense.

/** Of one channel. missing is a list of [from, to] of offsets that never came. */
class Position {
  constructor() {
    this.epoch = '';
    this.offset = null; // the last one in a row, null: not known
    this.live = 0;
    this.recovered = 0;
    this.doubled = 0;
    this.missing = [];
  }
}

export class Positions {
  constructor() {
    this.channels = new Map();
  }

  of(channel) {
    if (!this.channels.has(channel)) this.channels.set(channel, new Position());
    return this.channels.get(channel);
  }

  /**
   * A connect push begins. Returns, per channel that was known or is known now, what became of it:
   * {channel, before, epochBefore, verdict, recovered, offset, from, to}; verdict is one of
   *   new         was not subscribed to before
   *   recovered   all that was missed came with it, or follows
   *   lost        the server says that its history cannot fill the time away
   *   unasked     a position was known, and the server did not try to recover
   *   gone        not subscribed to any more
   *   plain       the channel has no positions: what was published meanwhile is not known
   */
  connect(subs = {}) {
    const report = [];
    for (const [channel, sub] of Object.entries(subs)) report.push(this.#begin(channel, sub ?? {}));
    for (const [channel, known] of this.channels) {
      if (Object.hasOwn(subs, channel)) continue;
      report.push({ channel, before: known.offset, verdict: 'gone' });
      this.channels.delete(channel);
    }
    return report;
  }

  #begin(channel, sub) {
    const seen = this.channels.has(channel);
    const at = this.of(channel);
    const before = at.offset;
    const publications = Array.isArray(sub.publications) ? sub.publications : [];
    const line = { channel, before, recovered: publications.length, from: publications[0]?.offset, to: publications.at(-1)?.offset };
    if (!sub.recoverable && !sub.positioned) return { ...line, verdict: seen ? 'plain' : 'new' };
    if (!sub.was_recovering) {
      line.verdict = seen && before !== null ? 'unasked' : 'new';
      at.offset = sub.offset ?? 0;
    } else if (sub.recovered) {
      line.verdict = 'recovered';
      // A client that brought a position of its own begins there; one of ours must find what it had.
      if (at.offset === null || at.epoch !== (sub.epoch ?? at.epoch)) at.offset = sub.offset ?? 0;
      const { doubled, missing } = at;
      const holes = missing.length;
      for (const publication of publications) this.#count(at, publication.offset);
      at.recovered += publications.length;
      Object.assign(line, { doubled: at.doubled - doubled, holes: at.missing.slice(holes) });
    } else {
      line.verdict = 'lost';
      at.offset = sub.offset ?? 0;
    }
    at.epoch = sub.epoch ?? at.epoch;
    line.offset = at.offset;
    return line;
  }

  /** A publication. Returns {gap: [from, to]} or {doubled: true} or {}. */
  publication(channel, offset) {
    if (!Number.isFinite(offset)) return {};
    const at = this.of(channel);
    const found = this.#count(at, offset);
    at.live++;
    return found;
  }

  /** The server left some out on purpose (slow_policy: drop_oldest) and said so. */
  told(channel, from, to) {
    const at = this.of(channel);
    if (Number.isFinite(to)) at.offset = Math.max(at.offset ?? 0, to);
    if (Number.isFinite(from)) at.missing.push([from, to]);
  }

  #count(at, offset) {
    if (at.offset !== null && offset <= at.offset) {
      at.doubled++;
      return { doubled: true };
    }
    const gap = at.offset !== null && offset > at.offset + 1 ? [at.offset + 1, offset - 1] : null;
    at.offset = offset;
    if (gap === null) return {};
    at.missing.push(gap);
    return { gap };
  }
}
