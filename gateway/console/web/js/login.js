// Logging in: with a password, or with a token of `sluice admintoken`.

import { post } from './api.js';
import { duration } from './format.js';
import { field, h, say } from './dom.js';

/** why: a sentence about the session that was; entered() is called when there is a new one. */
export function login(why, entered) {
  const name = h('input', { type: 'text', name: 'username', value: 'sluice console', autocomplete: 'username', class: 'unseen', tabindex: '-1', 'aria-hidden': 'true', readonly: true });
  const password = h('input', { type: 'password', name: 'password', autocomplete: 'current-password', required: true });
  const token = h('textarea', { name: 'token', rows: 4, spellcheck: 'false', autocapitalize: 'none', autocomplete: 'off' });
  const problem = h('p', { class: 'note bad', role: 'alert' });
  const go = h('button', { type: 'submit', class: 'primary' }, 'Log in');
  const byPassword = h('div', {}, name, field('Password', password));
  const byToken = h('div', { hidden: true }, field('Token', token, 'From: sluice admintoken --name you --role admin --ttl 1h'));
  const other = h('button', { type: 'button', class: 'link', onclick: () => turn(byToken.hidden) }, 'Use a token instead');
  let wait = 0;

  const turn = (toToken) => {
    byToken.hidden = !toToken;
    byPassword.hidden = toToken;
    say(other, toToken ? 'Use the password instead' : 'Use a token instead');
    say(problem, '');
    (toToken ? token : password).focus();
  };

  /** The server wants time between attempts: the button says how much. */
  const hold = (seconds) => {
    clearTimeout(wait);
    go.disabled = seconds > 0;
    say(go, seconds > 0 ? `Wait ${duration(seconds)}` : 'Log in');
    if (seconds > 0) wait = setTimeout(() => hold(seconds - 1), 1000);
  };

  const form = h('form', { class: 'login', novalidate: true, onsubmit: async (event) => {
    event.preventDefault();
    const withToken = !byToken.hidden;
    const text = withToken ? token.value.trim() : password.value;
    if (go.disabled) return;
    if (text === '') {
      say(problem, withToken ? 'Paste a token.' : 'Type the password.');
      (withToken ? token : password).focus();
      return;
    }
    go.disabled = true;
    say(problem, '');
    try {
      await post('login', withToken ? { token: text } : { password: text });
      password.value = token.value = '';
      await entered();
    } catch (error) {
      say(problem, error.message);
      (withToken ? token : password).select();
      go.disabled = false;
      if (error.status === 429) hold(Math.ceil(error.retryAfter || 5));
    }
  } },
  h('h1', {}, 'Log in'), why && h('p', { class: 'quiet' }, why), byPassword, byToken, problem, h('div', { class: 'line' }, go, other));

  return { node: h('div', { class: 'center' }, form), show: () => password.focus(), stop: () => clearTimeout(wait) };
}
