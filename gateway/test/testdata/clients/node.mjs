// The client libraries that run in Node, for the tests of the gateway. Commands
// come as lines of JSON: {client, stream, url} opens a stream, without url it is
// closed. Events go out the same way: {stream, data}, or {stream, gaveUp}.
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { EventSource as EventSource3 } from 'eventsource3';
import { EventSource as EventSource5 } from 'eventsource5';
import { EventSource as Undici } from 'undici';

const libraries = {
  'eventsource 2': createRequire(import.meta.url)('eventsource2'),
  'eventsource 3': EventSource3,
  'eventsource 5': EventSource5,
  undici: Undici,
};
const streams = new Map();
const say = (event) => process.stdout.write(JSON.stringify(event) + '\n');

for await (const line of createInterface({ input: process.stdin })) {
  const { client, stream, url } = JSON.parse(line);
  streams.get(stream)?.close();
  streams.delete(stream);
  if (!url) continue;
  const source = new libraries[client](url);
  source.onmessage = (event) => say({ stream, data: event.data });
  source.onerror = (event) => {
    if (source.readyState === 2) say({ stream, gaveUp: String(event.message ?? 'closed') });
  };
  streams.set(stream, source);
}
process.exit(0);
