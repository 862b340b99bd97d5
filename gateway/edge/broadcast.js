// broadcast(url, on) follows a channel of the broadcast route, whose URL it is. It calls on with
// each publication once and in order, as {channel, pub}, and with {channel, gap} where some are
// missing: with their offsets, or, where the history began anew, without. It returns {close}.
//
// This is the source: what is served has no indentation, no line ends and no lines like this one.
const broadcast = (url, on) => {
	let es, timer, epoch, mark, stale, before, last = 0, tries = 0;
	const differ = (a, b) => a && b && a != b;
	const open = () => {
		es = new EventSource(url);
		es.onopen = () => { before = tries = 0; };
		es.onmessage = ({ data, lastEventId }) => {
			const push = JSON.parse(data), { channel, pub, gap } = push;
			// What is the same in all checkpoints of an epoch. A browser keeps that of the stream before
			// until there is another one.
			const id = lastEventId.slice(1, 12);
			if (pub) {
				const at = pub.offset, from = last + 1, to = at - 1;
				if (at <= before || differ(epoch, pub.epoch) || differ(mark, id)) {
					on({ channel, gap: {} });
					stale = mark;
					mark = epoch = last = 0;
				}
				before = at;
				epoch = pub.epoch || epoch;
				if (id != stale) mark = id || mark;
				if (at <= last) return; // a repeat
				if (last && from <= to) on({ channel, gap: { dropped: at - from, from, to } });
				last = at;
			} else if (gap?.to) {
				if (gap.to <= last) return;
				last = gap.to;
			}
			on(push);
		};
		// The browser comes back by itself, unless it gave up.
		es.onerror = () => {
			if (es.readyState > 1) timer = setTimeout(open, (1 + Math.random()) * Math.min(3e4, 1e3 * 2 ** tries++));
		};
	};
	open();
	return { close() { clearTimeout(timer); es.close(); } };
};
