// An event stream over fetch: the parser of the HTML standard (section 9.2.6), and a reader that feeds it. No DOM.

/**
 * Takes pieces of decoded text and calls:
 *   on.event({data, event, id, chars})  a blank line ended an event that has data; id is the last id the stream has told
 *   on.retry(ms), on.comment(text)
 * id is committed with the blank line only: an event that was cut leaves the position where it was.
 */
export class Parser {
  constructor(on, lastId = '') {
    this.on = on;
    this.lastId = lastId; // as the standard: what a reconnect sends
    this.rest = '';
    this.first = true;
    this.cr = false;
    this.#clear();
  }

  push(text) {
    if (this.first && text !== '') {
      this.first = false;
      if (text.startsWith('\uFEFF')) text = text.slice(1);
    }
    if (this.cr && text !== '') { // the end of a line was cut between its two characters
      this.cr = false;
      if (text[0] === '\n') text = text.slice(1);
    }
    this.rest += text;
    let from = 0;
    for (;;) {
      const end = lineEnd(this.rest, from);
      if (end < 0) break;
      this.#line(this.rest.slice(from, end));
      from = end + 1;
      if (this.rest[end] === '\r') {
        if (from === this.rest.length) this.cr = true;
        else if (this.rest[from] === '\n') from++;
      }
    }
    this.rest = this.rest.slice(from);
  }

  #line(line) {
    this.chars += line.length + 1;
    if (line === '') {
      this.#dispatch();
      return;
    }
    const colon = line.indexOf(':');
    if (colon === 0) {
      this.on.comment?.(line.slice(1));
      return;
    }
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + (line[colon + 1] === ' ' ? 2 : 1));
    if (name === 'data') this.data.push(value);
    else if (name === 'event') this.event = value;
    else if (name === 'id' && !value.includes('\0')) this.id = value;
    else if (name === 'retry' && /^[0-9]+$/.test(value)) this.on.retry?.(Number(value));
  }

  #dispatch() {
    if (this.id !== null) this.lastId = this.id;
    if (this.data.length > 0) {
      this.on.event({ data: this.data.join('\n'), event: this.event || 'message', id: this.id ?? '', lastId: this.lastId, chars: this.chars });
    }
    this.#clear();
  }

  #clear() {
    this.data = [];
    this.event = '';
    this.id = null;
    this.chars = 0;
  }
}

function lineEnd(text, from) {
  const lf = text.indexOf('\n', from);
  const cr = text.indexOf('\r', from);
  return lf < 0 ? cr : cr < 0 ? lf : Math.min(lf, cr);
}

/**
 * Reads a response to its end through a Parser. Resolves at a proper end and at abort; rejects where the connection
 * broke. on.bytes(n) is told of each piece.
 */
export async function read(response, parser, on = {}) {
  const reader = response.body.getReader();
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    on.bytes?.(value.byteLength);
    parser.push(decoder.decode(value, { stream: true }));
  }
}
