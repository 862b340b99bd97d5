// The one dialog of the page: it says what will happen, and does it when it is told to. The browser keeps the focus
// within and gives it back; Escape closes it.

import { $, fill, say } from './dom.js';

let current = null;

/**
 * Asks. body is nodes or texts; go the words of the button; act() does it: while it runs the dialog stays and says so, and
 * what it throws stands in the dialog. Resolves to what act returned, or undefined if the person thought better of it.
 */
export function confirm({ title, body, go, act, danger = true }) {
  const dialog = $('dialog');
  leave(); // the event of a dialog that was just closed may be still to come
  say($('dialog-title'), title);
  fill($('dialog-body'), body);
  say($('dialog-go'), go);
  say($('dialog-problem'), '');
  $('dialog-go').className = danger ? 'danger' : 'primary';
  busy(false);
  dialog.showModal();
  const first = $('dialog-body').querySelector('input, select, textarea') ?? $('dialog-cancel');
  first.focus();
  return new Promise((resolve) => {
    current = { act, resolve, done: undefined };
  });
}

function busy(on) {
  $('dialog-go').disabled = on;
  $('dialog-form').setAttribute('aria-busy', String(on));
}

function leave() {
  current?.resolve(current.done);
  current = null;
}

export function wireDialog() {
  const dialog = $('dialog');
  $('dialog-cancel').addEventListener('click', () => dialog.close());
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog) dialog.close(); // beside it
  });
  dialog.addEventListener('close', () => dialog.open || leave());
  $('dialog-form').addEventListener('submit', async (event) => {
    event.preventDefault();
    const asked = current;
    if (!asked || $('dialog-go').disabled) return;
    busy(true);
    say($('dialog-problem'), '');
    try {
      asked.done = (await asked.act()) ?? true;
    } catch (error) {
      if (current === asked) say($('dialog-problem'), error.message);
      return;
    } finally {
      if (current === asked) busy(false);
    }
    if (current === asked) dialog.close();
  });
}
