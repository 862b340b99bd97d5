// Tokens, looked into: header and claims of a JWT in words. Nothing is verified here, and the page says so.

import { date, fromNow } from './format.js';

function decodePart(text) {
  const binary = atob(text.replace(/-/g, '+').replace(/_/g, '/'));
  return new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(binary, (c) => c.charCodeAt(0)));
}

/** {header, claims, text} of a token, text being the claims as written; or {problem}. */
export function decodeToken(token) {
  const pieces = token.split('.');
  if (pieces.length !== 3) return { problem: `Expected three parts with dots between them, got ${pieces.length}` };
  let header, claims, text;
  try {
    header = JSON.parse(decodePart(pieces[0]));
  } catch {
    return { problem: 'The first part is no JSON in base64url' };
  }
  try {
    text = decodePart(pieces[1]);
    claims = JSON.parse(text);
  } catch {
    return { problem: 'The second part, the claims, is no JSON in base64url' };
  }
  if (claims === null || typeof claims !== 'object' || Array.isArray(claims)) return { problem: 'The claims are no JSON object' };
  return { header, claims, text, unsigned: pieces[2] === '' };
}

/** What the claims say, as [level, sentence] pairs: level is good, warn or bad. now in ms. */
export function explainToken({ header, claims, unsigned }, now = Date.now()) {
  const said = [];
  const time = (name) => (typeof claims[name] === 'number' && Number.isFinite(claims[name]) ? claims[name] * 1000 : null);
  said.push(['good', `User ${claims.sub === undefined || claims.sub === '' ? 'anonymous (no sub)' : JSON.stringify(claims.sub)}, signed with ${header?.alg ?? 'an unknown algorithm'}${header?.kid ? `, key ${header.kid}` : ''}`]);
  if (unsigned || header?.alg === 'none') said.push(['bad', 'There is no signature']);
  const until = time('exp');
  if (claims.exp === undefined) said.push(['warn', 'It never expires (no exp)']);
  else if (until === null) said.push(['bad', 'exp is no number of seconds']);
  else if (until <= now) said.push(['bad', `It expired ${fromNow(until, now)}, ${date(until)}`]);
  else said.push(['good', `It expires ${fromNow(until, now)}, ${date(until)}`]);
  const from = time('nbf');
  if (from !== null && from > now) said.push(['bad', `It is not valid yet: from ${date(from)} (${fromNow(from, now)})`]);
  const issued = time('iat');
  if (issued !== null) said.push([issued > now + 60000 ? 'warn' : 'good', `It was made ${fromNow(issued, now)}`]);
  if (typeof claims.expire_at === 'number') said.push(['good', claims.expire_at === 0 ? 'The connection it opens has no end (expire_at 0)' : `The connection it opens ends ${fromNow(claims.expire_at * 1000, now)}`]);
  const listed = Array.isArray(claims.channels) ? claims.channels : [];
  const subs = claims.subs && typeof claims.subs === 'object' ? Object.keys(claims.subs) : [];
  if (listed.length + subs.length > 0) said.push(['good', `It subscribes to ${[...listed, ...subs].map(String).slice(0, 8).join(', ')}${listed.length + subs.length > 8 ? ' and others' : ''}`]);
  return said;
}
