package test

// watched is a page with some EventSources and nothing else; it never closes
// one. sluice has the members that livePage reads.
const watched = `
const sluice = {state: "live", connects: 1, received: [], codes: {}, connected: {}};
const sources = {};
for (const [name, url] of Object.entries(%s)) {
	const source = sources[name] = new EventSource(url);
	sluice.codes[name] = [];
	source.onmessage = (event) => {
		const push = JSON.parse(event.data);
		if (push.connect) sluice.connected[name] = true;
		if (push.disconnect) sluice.codes[name].push(push.disconnect.code);
	};
}
`
