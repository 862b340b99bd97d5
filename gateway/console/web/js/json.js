// JSON as text: what is wrong with it, and how to show it. Why not the browser's own: its error messages differ and
// often name no place, and parsing to print again would change numbers above 2^53 and fail on very deep data.

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const WORD = /true|false|null/y;
const SPACE = /[ \t\n\r]*/y;

/** Reads JSON text. Returns {value} or {problem}: a sentence for the person who typed it. */
export function readJSON(text) {
  if (text.trim() === '') return { problem: 'Write a JSON value, for example {"text": "Hello"}' };
  try {
    return { value: JSON.parse(text) };
  } catch (error) {
    return { problem: explain(text) ?? error.message };
  }
}

/** Walks invalid JSON up to its first mistake and says what was expected there. */
function explain(text) {
  const scanner = new Scanner(text);
  try {
    scanner.value();
    scanner.expect('the end of the text', '');
    return null;
  } catch (problem) {
    return typeof problem === 'string' ? problem : null; // nested deeper than the stack: the browser must explain
  }
}

class Scanner {
  constructor(text) {
    this.text = text;
    this.at = 0;
  }

  value() {
    this.skip();
    const start = this.text[this.at];
    if (start === '{') this.list('}', () => {
      if (this.text[this.at] !== '"' || !this.match(STRING)) this.fail('a name in double quotes');
      this.expect('":"', ':');
      this.value();
    });
    else if (start === '[') this.list(']', () => this.value());
    else if (start === '"' && !this.match(STRING)) this.failInString();
    else if (start !== '"' && !this.match(NUMBER) && !this.match(WORD)) this.fail('a value');
    this.skip();
  }

  list(close, item) {
    this.at++;
    this.skip();
    if (this.text[this.at] === close) {
      this.at++;
      return;
    }
    for (;;) {
      this.skip();
      item();
      if (this.text[this.at] === close) break;
      this.expect(`"," or "${close}"`, ',');
    }
    this.at++;
  }

  /** Steps over one character (the end of the text for ''), white space around it included. */
  expect(what, character) {
    this.skip();
    if ((this.text[this.at] ?? '') !== character) this.fail(what);
    this.at++;
    this.skip();
  }

  match(pattern) {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (found) this.at = pattern.lastIndex;
    return found !== null;
  }

  skip() {
    this.match(SPACE);
  }

  failInString() {
    const good = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*/y;
    this.match(good);
    this.fail(this.text[this.at] === '\\' ? 'a known escape such as \\n or \\"' : 'the closing double quote of the text');
  }

  fail(what) {
    const before = this.text.slice(0, this.at).split('\n');
    const rest = this.text.slice(this.at);
    const found = rest === '' ? 'the end' : rest[0] === '\n' ? 'a line break' : rest.match(/^(?:\w+|.)/su)[0].slice(0, 20);
    throw `Line ${before.length}, column ${before.at(-1).length + 1}: expected ${what}, found ${found}`;
  }
}

/** Valid JSON text with line breaks and indentation; strings and numbers stay as they are written. */
export function pretty(text) {
  let depth = 0;
  const line = () => `\n${'  '.repeat(Math.min(depth, 24))}`;
  return text.replace(/("(?:[^"\\]|\\.)*")|([[{])\s*([\]}])|([[{])|([\]}])|,|:|\s+/g, (token, string, empty, end, open, close) => {
    if (string) return token;
    if (empty) return empty + end;
    if (open) { depth++; return open + line(); }
    if (close) { depth--; return line() + close; }
    if (token === ',') return `,${line()}`;
    return token === ':' ? ': ' : '';
  });
}

/** The JSON value that begins at start of valid JSON text, as written, cut to limit characters. */
export function valueAt(text, start, limit) {
  let depth = 0;
  const token = /"(?:[^"\\]|\\.)*"|[[{]|[\]}]|[,"]/g;
  const part = text.slice(start, start + limit);
  for (let found = token.exec(part); found; found = token.exec(part)) {
    if (found[0] === '"') break; // a string that goes on beyond the limit
    if (depth === 0 && (found[0] === ',' || found[0] === '}' || found[0] === ']')) return part.slice(0, found.index);
    if (found[0] === '{' || found[0] === '[') depth++;
    else if (found[0] === '}' || found[0] === ']') depth--;
  }
  return part;
}
