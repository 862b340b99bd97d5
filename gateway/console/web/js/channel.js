// One channel: its figures and rules, and four ways to look into it.

import { get } from './api.js';
import { count, NONE, whole } from './format.js';
import { history } from './history.js';
import { Freshness, Poll } from './poll.js';
import { presence } from './presence.js';
import { publish } from './publish.js';
import { tail } from './tail.js';
import { withoutNamespace } from './tryrequest.js';
import { fill, h, out, say } from './dom.js';

const EVERY_MS = 5000;
const FACTS = ['Subscribers', 'Publications per s', 'Position', 'Epoch', 'Namespace'];
const TABS = [['history', 'History', history], ['tail', 'Tail', tail], ['publish', 'Publish', publish], ['presence', 'Presence', presence]];

export function channel(context, { name = '' }) {
  const fresh = new Freshness();
  context.title(name);
  const figures = h('dl', { class: 'figures' });
  show(figures, FACTS.map((term) => [term, NONE])); // the room that they will need
  const rules = h('dl', { class: 'rules' });
  const problem = h('p', { class: 'note bad collapse', role: 'alert' });
  const shared = { name, context, position: null, rules: {}, refresh: () => poll.now() };
  const made = {};
  const panel = h('div', { class: 'tab-panel', role: 'tabpanel', id: 'channel-panel' });
  const tabs = TABS.map(([key, label]) => h('button', { type: 'button', role: 'tab', id: `tab-${key}`, 'aria-controls': 'channel-panel', data: { tab: key },
    onclick: () => context.go('channel', { name, tab: key === 'history' ? '' : key }, true) }, label));
  let open = null;

  const tablist = h('div', { class: 'tabs', role: 'tablist', 'aria-label': 'Look into the channel', onkeydown: (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = tabs[(tabs.indexOf(document.activeElement) + step + tabs.length) % tabs.length];
    next.click();
    next.focus();
  } }, tabs);

  const box = h('details', { class: 'rules-box' }, h('summary', {}, 'Rules of the channel'), rules);
  const seen = (yes) => {
    for (const part of [figures, box, tablist, panel]) part.hidden = !yes;
  };

  const poll = new Poll(EVERY_MS, async (signal) => {
    const answer = await get('channel', { name }, signal);
    shared.position = answer.position;
    shared.rules = answer.rules ?? {};
    const values = [whole(answer.subscribers), count(answer.rate), answer.position ? whole(answer.position.offset) : 'none', answer.position?.epoch || NONE, answer.namespace || 'none'];
    show(figures, FACTS.map((term, i) => [term, values[i]]));
    show(rules, Object.entries(shared.rules).map(([key, value]) => [key, ruleText(value)]));
    say(problem, '');
    seen(true);
    made[open]?.position?.(answer.position);
  }, {
    good: () => fresh.good(),
    bad: (failure) => {
      if (failure.passing) {
        fresh.bad(failure);
        return;
      }
      fresh.good();
      say(problem, withoutNamespace([name], context.me ?? {}).length > 0 ? 'No namespace is configured for this name: there can be no such channel.' : failure.message);
      seen(failure.status !== 400); // there can be no such channel
    },
  });

  return {
    node: h('div', {}, h('p', { class: 'crumbs' }, h('a', { href: context.link('channels') }, 'Channels')),
      h('div', { class: 'head' }, h('h1', { class: 'outside' }, out(name || '(no name)'))), problem, figures,
      box, tablist, panel),
    show(params) {
      const wanted = TABS.some(([key]) => key === params.tab) ? params.tab : 'history';
      if (wanted !== open) {
        made[open]?.hide?.();
        open = wanted;
        made[open] ??= TABS.find(([key]) => key === open)[2](shared);
        for (const tab of tabs) {
          tab.setAttribute('aria-selected', String(tab.dataset.tab === open));
          tab.tabIndex = tab.dataset.tab === open ? 0 : -1;
        }
        panel.setAttribute('aria-labelledby', `tab-${open}`);
        fill(panel, made[open].node);
        made[open].show?.();
        poll.now();
      }
    },
    stop() {
      poll.stop();
      for (const part of Object.values(made)) part.stop?.();
      fresh.hide();
    },
  };
}

function ruleText(value) {
  if (value === true) return 'yes';
  if (value === false) return 'no';
  if (value === null || value === '' || value === undefined) return '–';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

/** Facts in a list: the values change in place. */
export function show(list, facts) {
  if (list.childElementCount !== facts.length || [...list.children].some((one, i) => one.firstChild.textContent !== facts[i][0])) {
    fill(list, facts.map(([term]) => h('div', {}, h('dt', {}, term), h('dd'))));
  }
  facts.forEach(([, value], i) => {
    const place = list.children[i].lastChild;
    if (value instanceof Node) {
      if (!place.firstChild?.isEqualNode(value)) fill(place, value);
    } else {
      const node = out(value);
      if (place.textContent !== node.textContent) fill(place, node);
    }
  });
}
