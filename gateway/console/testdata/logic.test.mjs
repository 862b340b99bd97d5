// What the pages compute, without a browser. Run by TestScriptsComputeWhatTheyShow.

import assert from 'node:assert/strict';
import test from 'node:test';
import * as format from './js/format.js';
import { Positions } from './js/positions.js';
import { part, parts } from './js/rawjson.js';
import { Parser } from './js/sse.js';
import { decodeToken, explainToken } from './js/token.js';

function parse(pieces, lastId) {
  const events = [], retries = [], comments = [];
  const parser = new Parser({ event: (e) => events.push(e), retry: (ms) => retries.push(ms), comment: (text) => comments.push(text) }, lastId);
  for (const piece of pieces) parser.push(piece);
  return { parser, events, retries, comments };
}

const STREAM = '\uFEFFretry: 700\ndata: {"a":1}\nid: B1\n\n:ping\ndata:  two\ndata: lines\nevent: x\n\nid: B2\n\ndata\n\nretry: 1x\nid: a\0b\ndata: é漢🙂\n\ndata: cut';

test('the parser reads a stream as the standard says, wherever it is cut', () => {
  for (const end of ['\n', '\r\n', '\r']) {
    const text = STREAM.replaceAll('\n', end);
    const want = parse([text]);
    assert.deepEqual(want.events.map(({ data, event, id, lastId }) => [data, event, id, lastId]), [
      ['{"a":1}', 'message', 'B1', 'B1'], [' two\nlines', 'x', '', 'B1'], ['', 'message', '', 'B2'], ['é漢🙂', 'message', '', 'B2']]);
    assert.deepEqual(want.retries, [700]);
    assert.deepEqual(want.comments, ['ping']);
    for (let at = 0; at <= text.length; at++) {
      const got = parse([text.slice(0, at), text.slice(at)]);
      assert.deepEqual([got.events, got.retries, got.comments, got.parser.lastId], [want.events, want.retries, want.comments, want.parser.lastId], `cut at ${at}`);
    }
    assert.deepEqual(parse([...text]).events, want.events);
  }
});

test('an id counts with the end of its event, not before', () => {
  const { parser, events } = parse(['data: 1\nid: new\n'], 'old');
  assert.equal(parser.lastId, 'old');
  parser.push('\n');
  assert.equal(parser.lastId, 'new');
  assert.equal(events.length, 1);
});

test('positions: dense, with a hole, twice', () => {
  const p = new Positions();
  const [first] = p.connect({ a: { recoverable: true, positioned: true, epoch: 'e', offset: 5 }, plain: {} });
  assert.deepEqual([first.verdict, first.offset], ['new', 5]);
  assert.deepEqual(p.publication('a', 6), {});
  assert.deepEqual(p.publication('a', 9), { gap: [7, 8] });
  assert.deepEqual(p.publication('a', 9), { doubled: true });
  assert.deepEqual(p.publication('plain', undefined), {});
  assert.deepEqual(p.of('a').missing, [[7, 8]]);
});

test('positions: a resume says per channel what became of it', () => {
  const sub = (extra) => ({ recoverable: true, positioned: true, epoch: 'e', ...extra });
  const p = new Positions();
  p.connect({ a: sub({ offset: 2 }), b: sub({ offset: 2 }), c: sub({ offset: 2 }), d: sub({ offset: 2 }), plain: {}, gone: {} });
  const report = p.connect({
    a: sub({ offset: 2, was_recovering: true, recovered: true, publications: [{ offset: 3 }, { offset: 4 }] }),
    b: sub({ offset: 2, was_recovering: true, recovered: true, publications: [{ offset: 2 }, { offset: 5 }] }),
    c: sub({ offset: 9, was_recovering: true, epoch: 'f' }),
    d: sub({ offset: 7 }), plain: {},
  });
  const by = Object.fromEntries(report.map((line) => [line.channel, line]));
  assert.deepEqual([by.a.verdict, by.a.recovered, by.a.doubled, by.a.holes, by.a.offset], ['recovered', 2, 0, [], 4]);
  assert.deepEqual([by.b.verdict, by.b.doubled, by.b.holes], ['recovered', 1, [[3, 4]]]);
  assert.deepEqual([by.c.verdict, by.d.verdict, by.plain.verdict, by.gone.verdict], ['lost', 'unasked', 'plain', 'gone']);
  // What is too large for the push follows as events, and must be dense with what was there.
  assert.deepEqual(p.publication('a', 5), {});
  assert.deepEqual(p.publication('c', 10), {});
});

test('positions: names that objects have by themselves', () => {
  const p = new Positions();
  const subs = JSON.parse('{"__proto__":{"recoverable":true,"epoch":"e","offset":1},"constructor":{}}');
  assert.deepEqual(p.connect(subs).map((line) => line.channel), ['__proto__', 'constructor']);
  assert.deepEqual(p.publication('__proto__', 3), { gap: [2, 2] });
});

test('parts of JSON stand as they are written', () => {
  const text = ' {"n" : 12345678901234567890, "s":"a,\\"}b" ,"o":{"x":[1, {"y":2}]},"__proto__":-1.0e5, "e":{} ,"l":[] } ';
  assert.deepEqual(parts(text), [['n', '12345678901234567890'], ['s', '"a,\\"}b"'], ['o', '{"x":[1, {"y":2}]}'], ['__proto__', '-1.0e5'], ['e', '{}'], ['l', '[]']]);
  assert.deepEqual(parts('[1 , "a", [2,3], {}]'), [[0, '1'], [1, '"a"'], [2, '[2,3]'], [3, '{}']]);
  assert.equal(part(text, 'o', 'x'), '[1, {"y":2}]');
  assert.equal(part(text, 'o', 'none', 'x'), undefined);
  for (const none of ['', '1', '"a"', 'null', '{}', '[]', '{"a":1', '[1']) assert.deepEqual(parts(none), [], none);
});

test('figures for people', () => {
  const f = (name, cases) => {
    for (const [n, want] of cases) assert.equal(format[name](n), want, `${name}(${n})`);
  };
  f('count', [[0, '0'], [0.25, '0.25'], [8.5, '8.5'], [999, '999'], [999.7, '1k'], [1000, '1k'], [12345, '12.3k'], [4.56e6, '4.56M'], [null, '–'], [NaN, '–']]);
  f('bytes', [[0, '0 B'], [812, '812 B'], [4100, '4.1 kB'], [1e9, '1 GB']]);
  f('milliseconds', [[0, '0 ms'], [0.4, '0.4 ms'], [38, '38 ms'], [1240, '1.2 s'], [75000, '1 min 15 s']]);
  f('duration', [[0, '0 s'], [59, '59 s'], [59.6, '1 min'], [245, '4 min 5 s'], [11520, '3 h 12 min'], [3600, '1 h'], [705600, '8 d 4 h'], [undefined, '–']]);
  f('whole', [[1234567, '1,234,567'], ['x', '–']]);
  assert.deepEqual(format.ticks(0), [0, 1]);
  assert.deepEqual(format.ticks(97), [0, 50, 100]);
  assert.deepEqual(format.ticks(0.3), [0, 0.1, 0.2, 0.3]);
  for (const peak of [1, 3, 7.7, 999, 1e-5, 123456789]) {
    const marks = format.ticks(peak);
    assert.ok(marks[0] === 0 && marks.at(-1) >= peak * 0.999 && marks.length >= 3 && marks.length <= 6, `${peak}: ${marks}`);
  }
  const to = Date.UTC(2026, 11, 1, 12, 0, 30);
  for (const span of [30 * 60e3, 6 * 3600e3, 24 * 3600e3]) assert.ok(format.timeTicks(to - span, to).length >= 3 && format.timeTicks(to - span, to).length <= 7);
});

test('tokens in words', () => {
  const token = (claims, header = { alg: 'HS256' }, signature = 'x') =>
    `${Buffer.from(JSON.stringify(header)).toString('base64url')}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.${signature}`;
  const now = Date.UTC(2026, 0, 1);
  const said = (claims, ...rest) => explainToken(decodeToken(token(claims, ...rest)), now).map(([level, text]) => `${level}: ${text}`).join('\n');
  assert.match(said({ sub: 'é漢', exp: now / 1000 + 300 }), /good: User "é漢", signed with HS256\ngood: It expires in 5 min/);
  assert.match(said({ exp: now / 1000 - 7200 }), /anonymous[^]*bad: It expired 2 h ago/);
  assert.match(said({ exp: 'soon' }), /bad: exp is no number/);
  assert.match(said({}, { alg: 'none' }, ''), /bad: There is no signature\nwarn: It never expires/);
  assert.match(said({ nbf: now / 1000 + 60, subs: { a: {} }, channels: ['b'] }), /bad: It is not valid yet[^]*subscribes to b, a/);
  for (const bad of ['', 'a.b', 'a.b.c', `${token({}).split('.')[0]}.!!.x`, token([1])]) assert.ok(decodeToken(bad).problem, bad);
});

test('the line for a shell asks the public listener', async () => {
  const { target } = await import('./js/tryrequest.js');
  const at = (at, host = 'page.example', page = { port: '9000', protocol: 'http:' }) => target({ endpoint: '/connection/uni_sse', ports: [8000, 8443, 9000], public: { scheme: 'http', host: '', port: 0, unix: '', ...at } }, { hostname: host, ...page });
  const plain = `http:${'//'}`;
  assert.equal(at({ port: 8000 }), `${plain}page.example:8000/connection/uni_sse`);
  assert.equal(at({ port: 8443, scheme: 'https', host: '10.0.0.1' }), `https:${'//'}10.0.0.1:8443/connection/uni_sse`);
  assert.equal(at({ port: 8000, host: '::1' }), `'${plain}[::1]:8000/connection/uni_sse'`);
  assert.equal(at({ port: 8000 }, '[::1]'), `'${plain}[::1]:8000/connection/uni_sse'`);
  assert.equal(at({ unix: "/run/a b's.sock" }), `--unix-socket '/run/a b'\\''s.sock' ${plain}localhost/connection/uni_sse`);
  assert.equal(at({ port: 8000 }, 'page.example', { port: '', protocol: 'https:' }), null, 'a page through a proxy does not know');
  assert.equal(at({ port: 8000 }, 'page.example', { port: '9000', protocol: 'https:' }), `${plain}page.example:8000/connection/uni_sse`);
});

test('channels without a namespace are found before the server refuses them', async () => {
  const { withoutNamespace } = await import('./js/tryrequest.js');
  const names = ['news', 'plain:1', 'none:1', '$plain:1', '$none:1', ':1', 'plain/1'];
  assert.deepEqual(withoutNamespace(names, { namespaces: ['plain'], boundary: ':', private_prefix: '$' }), ['none:1', '$none:1', ':1']);
  assert.deepEqual(withoutNamespace(names, { namespaces: ['plain'], boundary: '/', private_prefix: '' }), []);
  assert.deepEqual(withoutNamespace(names, { namespaces: [], boundary: '' }), []);
});

test('an empty page of a history says what is kept', async () => {
  const { emptyText } = await import('./js/history.js');
  const at = (page) => emptyText({ some: false, top: 802, oldest: 603, wanted: null, ...page });
  assert.equal(at({ wanted: 500 }), '#500 is not kept any more. Kept: 603–802.');
  assert.equal(at({}), 'What is older is not kept any more. Kept: 603–802.');
  assert.equal(at({ oldest: null }), 'Nothing is kept: the history has expired, or was removed. The position is 802.');
  assert.equal(at({ some: true, wanted: 5000 }), '#5,000 is not published yet: the newest is #802.');
  assert.equal(at({ some: true, wanted: 802 }), '');
  assert.equal(at({ top: 0, oldest: null }), 'Nothing has been published with history here yet.');
  assert.equal(at({ top: null }), 'Looking…');
});

test('a young process says since when its charts are', async () => {
  const { since } = await import('./js/now.js');
  assert.equal(since([{ uptime_s: 300 }, { uptime_s: 60 }]), ', since the start, 5 min ago');
  assert.equal(since([{ uptime_s: 1800 }]), '');
  assert.equal(since([{ uptime_s: 1800 }], '6h'), ', since the start, 30 min ago');
  assert.equal(since([{}, { uptime_s: 0 }]), '');
});
