// Asking again and again, politely: one question at a time, none while the page is not seen, and what was shown stays
// when no answer comes.

import { Failure } from './api.js';
import { duration } from './format.js';
import { $, say } from './dom.js';

const REST = 4; // times as long as an answer took: who has to look through much is asked less often

/** Calls ask(signal) now and every ms while the page is visible. on.good() and on.bad(failure) tell how it went. */
export class Poll {
  constructor(ms, ask, on = {}) {
    Object.assign(this, { ms, ask, on });
    this.timer = 0;
    this.controller = null;
    this.stopped = false;
    this.seen = () => document.hidden || this.now();
    document.addEventListener('visibilitychange', this.seen);
  }

  /** Asks at once; an older question is given up. */
  async now() {
    clearTimeout(this.timer);
    this.controller?.abort();
    if (this.stopped) return;
    const controller = new AbortController();
    const began = performance.now();
    this.controller = controller;
    try {
      await this.ask(controller.signal);
      if (!controller.signal.aborted) this.on.good?.();
    } catch (error) {
      if (controller.signal.aborted) return;
      if (!(error instanceof Failure)) throw error;
      if (error.status === 401) return; // the page asks to log in
      this.on.bad?.(error);
    } finally {
      if (this.controller === controller && !this.stopped) {
        this.controller = null;
        if (!document.hidden) this.timer = setTimeout(() => this.now(), Math.max(this.ms, REST * (performance.now() - began)));
      }
    }
  }

  stop() {
    this.stopped = true;
    clearTimeout(this.timer);
    this.controller?.abort();
    document.removeEventListener('visibilitychange', this.seen);
  }
}

/**
 * The line above a view that says that its figures are old. It lies over the page and moves nothing. One view at a time
 * has it; hide() with the view.
 */
export class Freshness {
  constructor() {
    this.last = 0;
    this.failure = null;
    this.timer = setInterval(() => this.#show(), 1000);
  }

  good() {
    this.last = Date.now();
    this.failure = null;
    this.#show();
  }

  bad(failure) {
    this.failure = failure;
    this.#show();
  }

  hide() {
    clearInterval(this.timer);
    this.failure = null;
    this.#show();
  }

  #show() {
    const notice = $('notice');
    const { failure } = this;
    notice.hidden = failure === null;
    document.documentElement.dataset.stale = failure !== null;
    if (failure === null) return;
    const age = this.last === 0 ? '' : ` What you see is ${duration(Math.round((Date.now() - this.last) / 1000))} old.`;
    say(notice, `${failure.message}.${age} Asking again…`.replace('..', '.'));
  }
}
