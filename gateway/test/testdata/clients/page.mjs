// The client libraries that run in browsers, for the tests of the gateway: run()
// takes commands, take() gives the events since its last call, both as in node.mjs.
// {stream, ended} is a library that ended by itself, and was begun again as its
// users have to do.
import { fetchEventSource } from '/node_modules/@microsoft/fetch-event-source/lib/esm/index.js';
import ReactNativeSSE from '/node_modules/react-native-sse/src/EventSource.js';
import ReconnectingEventSource from '/node_modules/reconnecting-eventsource/build/esm/reconnecting-eventsource.js';

// Each takes a URL and what to call, and returns what ends the stream.
const libraries = {
  EventSource: (url, on) => listen(new EventSource(url), on),

  // event-source-polyfill comes as a script of its own (see the page).
  'event-source-polyfill': (url, on) => listen(new EventSourcePolyfill(url), on),

  // It remembers ids only of events that addEventListener asked for.
  'reconnecting-eventsource': (url, on) => {
    const source = new ReconnectingEventSource(url, { max_retry_time: 100 });
    source.addEventListener('message', (event) => on.data(event.data));
    return () => source.close();
  },

  'fetch-event-source': (url, on) => fetching(url, on, {}),

  // It sends the id whose line it read last. This sends the one of the last event.
  "fetch-event-source with a fetch of one's own": (url, on) => {
    let last = '';
    return fetching(url, { ...on, id: (id) => { last = id; } }, {
      fetch: (input, init) => {
        delete init.headers['last-event-id'];
        if (last) init.headers['last-event-id'] = last;
        return fetch(input, init);
      },
    });
  },

  // Over a browser's XMLHttpRequest a cut has no status, and then it does not
  // come back by itself.
  'react-native-sse': (url, on) => {
    const source = new ReactNativeSSE(url, { timeoutBeforeConnection: 0 });
    let closed = false;
    source.addEventListener('message', (event) => on.data(event.data));
    source.addEventListener('error', (event) => {
      if (event.xhrStatus !== 0) return;
      on.ended();
      setTimeout(() => { if (!closed) source.open(); }, source.interval);
    });
    return () => { closed = true; source.close(); };
  },
};

// fetch-event-source takes the blank line that opens a body for an event without
// data, and the end of a body for the end, unless onclose throws.
const fetching = (url, on, options) => {
  const control = new AbortController();
  fetchEventSource(url, {
    ...options,
    signal: control.signal,
    openWhenHidden: true,
    onmessage: (event) => {
      if (event.data === '') return;
      if (event.id) on.id?.(event.id);
      on.data(event.data);
    },
    onclose: () => { on.ended(); throw new Error('closed'); },
  });
  return () => control.abort();
};

const listen = (source, on) => {
  source.onmessage = (event) => on.data(event.data);
  source.onerror = () => { if (source.readyState === 2) on.gaveUp(); };
  return () => source.close();
};

let events = [];
const streams = new Map();

globalThis.take = () => {
  const taken = events;
  events = [];
  return JSON.stringify(taken);
};

globalThis.run = (commands) => {
  for (const { client, stream, url } of commands) {
    streams.get(stream)?.();
    streams.delete(stream);
    if (!url) continue;
    streams.set(stream, libraries[client](url, {
      data: (data) => events.push({ stream, data }),
      ended: () => events.push({ stream, ended: true }),
      gaveUp: () => events.push({ stream, gaveUp: 'closed' }),
    }));
  }
};

globalThis.sluice = { state: 'live', connects: 1, received: [] };
