// Calls of the console's own endpoints. Errors are of one kind, with a message for people.

import { wholeNumbers } from './rawjson.js';

/** The path prefix of the console, with a slash at its end: modules lie in js/ below it. */
export const BASE = new URL('..', import.meta.url).pathname;

const PATIENCE_MS = 15000;

/** status is 0 where no answer came; code is that of the HTTP API, where it refused. */
export class Failure extends Error {
  constructor(message, { status = 0, code, detail } = {}) {
    super(message);
    Object.assign(this, { status, code, detail });
  }

  /** The server is away, or not able to answer: asking again may help. */
  get passing() {
    return this.status === 0 || this.status >= 500;
  }
}

/** on.lost(failure) is called when the session is no more. */
export const on = { lost() {} };

async function send(path, init, signal) {
  const limit = AbortSignal.timeout(PATIENCE_MS);
  let response, text;
  try {
    response = await fetch(BASE + path, { cache: 'no-store', credentials: 'same-origin', ...init,
      signal: signal ? AbortSignal.any([signal, limit]) : limit });
    text = await response.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Failure(limit.aborted ? `The server did not answer within ${PATIENCE_MS / 1000} s` : 'The server cannot be reached');
  }
  let answer = null;
  try {
    answer = JSON.parse(text);
  } catch {
    // said below, where an object was expected
  }
  if (!response.ok) {
    const failure = new Failure(describe(answer, response, text), { status: response.status });
    failure.retryAfter = Number(answer?.retry_after_s ?? response.headers.get('Retry-After')) || 0;
    if (response.status === 401 && path !== 'login') on.lost(failure);
    throw failure;
  }
  if (response.status !== 204 && (answer === null || typeof answer !== 'object')) {
    throw new Failure(`Expected a JSON object from ${path}, got ${text.slice(0, 80) || 'nothing'}`, { status: response.status });
  }
  return { answer, text, response };
}

function describe(answer, response, text) {
  if (typeof answer?.error === 'string') return answer.error;
  const said = text.trim().slice(0, 200);
  return `The server answered ${response.status}${said && !said.startsWith('<') ? `: ${said}` : ` ${response.statusText}`}`;
}

/** GET of an endpoint; params that are empty are left out. */
export async function get(path, params = {}, signal) {
  const query = new URLSearchParams(Object.entries(params).filter(([, v]) => v !== '' && v !== undefined && v !== null));
  return (await send(query.size > 0 ? `${path}?${query}` : path, {}, signal)).answer;
}

/** The headers that every request needs which is no GET. */
export const HEADERS = { 'Content-Type': 'application/json', 'X-Sluice-Console': '1' };

export async function post(path, body = {}, signal) {
  return (await send(path, { method: 'POST', headers: HEADERS, body: typeof body === 'string' ? body : JSON.stringify(body) }, signal)).answer;
}

/**
 * Calls a method of the HTTP API. Returns {result, text}: text is the whole answer as it came, for numbers that would
 * lose digits. A refusal of the API is a Failure with its code.
 */
export async function call(method, body, signal) {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const { answer, text: raw, response } = await send(`api/${method}`, { method: 'POST', headers: HEADERS, body: text }, signal);
  const detail = response.headers.get('X-Sluice-Detail') ?? undefined;
  if (answer.error) {
    const { code, message } = answer.error;
    throw new Failure(`${code} ${message ?? ''}`.trim() + (detail ? `: ${detail}` : ''), { status: 200, code, detail });
  }
  return { result: wholeNumbers(answer.result ?? {}), text: raw, detail };
}
