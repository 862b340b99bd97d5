// The console: who is logged in, which view is shown, and what stands around it. Views are functions (context) ->
// {node, show(params), stop()}; the address behind the # is their state, so that reload and back work.

import { get, on, post, BASE } from './api.js';
import { $, announce, fill, h, out, say } from './dom.js';
import { wireDialog } from './dialog.js';
import { duration } from './format.js';
import { login } from './login.js';
import { now } from './now.js';
import { channels } from './channels.js';
import { channel } from './channel.js';
import { clients } from './clients.js';
import { client } from './client.js';
import { attempt } from './try.js';
import { config } from './config.js';

const VIEWS = {
  now: [now, 'Now'], channels: [channels, 'Channels'], channel: [channel, 'Channel', 'channels'], clients: [clients, 'Clients'],
  client: [client, 'Client', 'clients'], try: [attempt, 'Try'], config: [config, 'Config'],
};
const SESSION_LOOK_MS = 15000;
const WARN_MS = 3 * 60000;

let me = null; // the answer of me
let view = null; // {name, part, node, show, stop}
let ended = 0; // when the session ends, in ms of this machine

/** What a view may ask of the page. */
const context = {
  get me() { return me; },
  get admin() { return me?.role === 'admin'; },
  /** Changes the state of the view that is shown: with replace, no step of the way back. */
  go(name, params, replace = false) {
    const hash = link(name, params);
    if (hash === location.hash) return;
    if (replace) history.replaceState(null, '', hash);
    else history.pushState(null, '', hash);
    route();
  },
  link,
  title(text) { document.title = `${text} · Sluice console`; },
};

/** The address of a view. */
function link(name, params = {}) {
  const query = new URLSearchParams(Object.entries(params).filter(([, v]) => v !== '' && v !== undefined && v !== null && v !== false));
  return `#/${name}${query.size > 0 ? `?${query}` : ''}`;
}

function parse() {
  const [, name = '', query = ''] = /^#\/([a-z]*)(?:\?(.*))?$/.exec(location.hash) ?? [];
  return { name: Object.hasOwn(VIEWS, name) ? name : 'now', params: Object.fromEntries(new URLSearchParams(query)) };
}

function route() {
  if (!me) return;
  const { name, params } = parse();
  const [make, title, under] = VIEWS[name];
  const key = `${name} ${params.name ?? ''} ${params.client ?? ''}`;
  for (const item of $('nav').children) {
    if (item.dataset.view === (under ?? name)) item.setAttribute('aria-current', 'page');
    else item.removeAttribute('aria-current');
  }
  if (view?.key !== key) {
    const first = view === null;
    leave();
    context.title(title);
    view = { key, ...make(context, params) };
    fill($('view'), view.node);
    scrollTo(0, 0);
    if (!first) {
      $('main').focus({ preventScroll: true });
      announce(title);
    }
  }
  view.show(params);
}

function leave() {
  view?.stop();
  view = null;
  $('view').replaceChildren();
}

/** Takes the answer of me or login into the head of the page. */
function known(answer) {
  me = answer;
  const at = Number(me.expires_at) || 0;
  ended = at === 0 ? 0 : at < 1e12 ? at * 1000 : at;
  document.documentElement.dataset.state = 'in';
  $('nav').hidden = false;
  $('logout').hidden = me.insecure === true;
  // Renewed every few seconds near the end: what is the same stays.
  const text = JSON.stringify([me.node, me.who, me.role]);
  if ($('node').dataset.shown === text) return;
  $('node').dataset.shown = text;
  fill($('node'), me.node?.name ? out(me.node.name, { title: `Node ${me.node.name}, ${me.version ?? ''} ${me.commit ?? ''}` }) : '');
  fill($('who'), me.insecure ? h('b', { class: 'chip', data: { level: 'error' }, title: 'admin.insecure: everybody who reaches this page is an admin' }, 'no login')
    : [me.who && me.who !== me.role && out(me.who, { class: 'person' }), h('span', { class: 'chip' }, me.role === 'admin' ? 'admin' : 'read only')]);
}

async function enter() {
  known(await get('me'));
  route();
}

function logInAgain(why) {
  me = null;
  leave();
  document.documentElement.dataset.state = 'out';
  document.documentElement.dataset.stale = false;
  $('notice').hidden = true;
  $('session')?.remove();
  $('nav').hidden = true;
  $('logout').hidden = true;
  if ($('dialog').open) $('dialog').close();
  for (const id of ['node', 'who']) say($(id), '');
  delete $('node').dataset.shown;
  document.title = 'Log in · Sluice console';
  view = { key: 'login', ...login(why, enter) };
  fill($('view'), view.node);
  view.show();
}

/** Use renews the session; where it cannot, people are told before it ends. */
async function lookAtSession() {
  if (!me || ended === 0 || document.hidden) return;
  if (ended - Date.now() < WARN_MS) await get('me').then(known, () => {});
  const left = ended - Date.now();
  if (!me || left > WARN_MS) {
    $('session')?.remove();
    return;
  }
  const line = $('session') ?? h('div', { id: 'session', class: 'banner', role: 'status', data: { level: 'warning' } }, h('span'),
    h('button', { type: 'button', onclick: leaveSession }, 'Log in again'));
  say(line.firstChild, `Your session ends in ${left > 60000 ? duration(Math.ceil(left / 60000) * 60) : 'less than a minute'}. `); // read aloud where it changes
  if (!line.isConnected) $('main').prepend(line);
}

async function leaveSession() {
  await post('logout').catch(() => {});
  logInAgain('');
}

function wireScheme() {
  const button = $('scheme');
  const schemes = ['', 'light', 'dark'];
  const names = { '': 'as the system', light: 'light', dark: 'dark' };
  const root = document.documentElement;
  const show = () => {
    button.setAttribute('aria-label', `Colours: ${names[root.dataset.scheme ?? '']}`);
    button.title = button.getAttribute('aria-label');
  };
  button.addEventListener('click', () => {
    const next = schemes[(schemes.indexOf(root.dataset.scheme ?? '') + 1) % schemes.length];
    if (next) root.dataset.scheme = next;
    else delete root.dataset.scheme;
    try {
      localStorage.setItem('sluice-scheme', next);
    } catch {
      // for this page then
    }
    show();
    announce(button.title);
  });
  show();
}

/** A link with #token=… logs in; the token leaves the address bar before anything else happens. */
async function useLink() {
  const token = new URLSearchParams(location.hash.slice(1)).get('token');
  if (!token || location.hash.startsWith('#/')) return '';
  history.replaceState(null, '', link('now'));
  try {
    await post('login', { token });
    return '';
  } catch (error) {
    return error.message;
  }
}

async function start() {
  wireDialog();
  wireScheme();
  $('logout').addEventListener('click', leaveSession);
  $('skip').addEventListener('click', (event) => { // the address behind the # is the view's
    event.preventDefault();
    $('main').focus();
  });
  on.lost = () => me && logInAgain('Your session has ended. Log in to go on where you were.');
  addEventListener('hashchange', async () => {
    if (location.hash.startsWith('#token=')) {
      const problem = await useLink();
      if (problem) logInAgain(problem);
      else await enter().catch((error) => logInAgain(error.message));
    } else {
      route();
    }
  });
  addEventListener('popstate', route);
  setInterval(lookAtSession, SESSION_LOOK_MS);
  document.addEventListener('visibilitychange', lookAtSession);
  if (!location.pathname.endsWith('/')) history.replaceState(null, '', BASE + location.hash);
  const problem = await useLink();
  try {
    await enter();
  } catch (error) {
    logInAgain(problem || (error.status === 401 ? '' : error.message));
  }
}

start();
