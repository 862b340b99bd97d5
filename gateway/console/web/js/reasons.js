// Why streams end, in words. The names are those of the metric stream_closes_total; what is not here is shown by its name
// alone. kind: usual (nothing to do), slow (clients that do not keep up), ours (the server's own doing), bad (look at it).

export const REASONS = {
  client_gone: ['usual', 'The client went away', 'The page was left or the connection reset'],
  peer_timeout: ['usual', 'The network went away', 'Bytes that were sent stayed unacknowledged: phones do that'],
  write_error: ['bad', 'The kernel refused a write', 'Look at dmesg and memory'],
  input: ['bad', 'The client sent more behind its request', 'A client or front that reuses the connection of a stream'],
  slow_bytes: ['slow', 'Too slow: too much waited', 'More than client.queue_max_size waited while its socket was full'],
  slow_age: ['slow', 'Too slow: took nothing', 'Its socket was full and took nothing for client.queue_max_age'],
  slow_total: ['slow', 'Too slow: memory was short', 'All queues passed client.queues_max_total, and this one held most'],
  slow_resume: ['slow', 'Too slow to take what it missed', 'Took nothing of it for three seconds while others waited for the memory'],
  panic: ['bad', 'A bug, kept to this stream', 'Report the stack that is in the log'],
  shutdown: ['ours', 'The server stopped', 'Clients come back by themselves'],
  disconnect: ['ours', 'Disconnected by the API', 'By your backend, by this console, or by a newer connection of the user'],
  expired: ['ours', 'Token or subscription expired', 'No fresh token came in time'],
  insufficient_state: ['bad', 'A position was lost', 'Clients come back and recover. Many: look at the engine'],
  inappropriate_protocol: ['bad', 'Bytes that are no JSON were published', 'Mend the publisher, or publication_data_format'],
  stale: ['bad', 'The connect took too long', 'Longer than client.stale_close_delay: look at hooks and engine'],
  limit: ['bad', 'Over the limit of channels', 'The API subscribed it to more than client.channel_limit'],
  refused: ['ours', 'The connect was refused', 'Token, hook, limits or an unknown namespace'],
  lifetime: ['ours', 'Its lifetime was over', 'uni_sse.max_lifetime'],
  bounded: ['usual', 'A bounded stream ended', 'max_events or max_duration of its URL was reached'],
  tls: ['usual', 'The client broke TLS', 'Many: an old client'],
};

/** {kind, title, text} of a reason. */
export function reason(name) {
  const [kind, title, text] = Object.hasOwn(REASONS, name) ? REASONS[name] : ['bad', name, ''];
  return { kind, title, text };
}

const CODES = {
  3000: 'connection closed', 3001: 'shutdown', 3004: 'internal server error', 3005: 'connection expired', 3006: 'subscription expired',
  3008: 'slow', 3010: 'insufficient state', 3013: 'too many requests', 3500: 'invalid token', 3501: 'bad request', 3502: 'stale',
  3503: 'force disconnect', 3504: 'connection limit', 3505: 'channel limit', 3506: 'inappropriate protocol', 3507: 'permission denied',
};

export const codeText = (code) => CODES[code] ?? '';

/** Reports whether a client must stay away after a disconnect with this code. */
export function isTerminal(code) {
  return (code >= 3500 && code <= 3999) || (code >= 4500 && code <= 4999);
}
