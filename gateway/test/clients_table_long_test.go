//go:build e2e

package test

// host is where a library runs.
type host int

const (
	inNode host = iota
	inGo
	inPage
)

// realClient is a library, with what is true of it whatever a server does: the
// test fails where one of these facts is another.
type realClient struct {
	name string
	host host

	endsOnClose bool // it ends by itself, and is begun again by who uses it
	halves      bool // it hands over what came of an event before a cut
	repeats     bool // it may hand an event over twice
	refusable   bool // it comes back after a 502 of a front, without CORS headers
	// blind is a library that loses an event which is cut between the two line ends
	// at its end: it took the id, and has not handed over the data.
	blind bool
	why   string
}

var realLibraries = []*realClient{
	{name: "eventsource 2", host: inNode, repeats: true, refusable: true,
		why: "keeps the data line of an event that was cut, and hands it over at the blank line that opens the next body"},
	{name: "eventsource 3", host: inNode},
	{name: "eventsource 5", host: inNode},
	{name: "undici", host: inNode},
	{name: "r3labs/sse", host: inGo, endsOnClose: true, halves: true, repeats: true, refusable: true,
		why: "takes the rest of a body that was cut for an event, and a part of an id for one: behind an error its users go back by one event; returns where a body ends in order: its users call it again"},
	{name: "launchdarkly/eventsource", host: inGo, refusable: true},
	{name: "tmaxmax/go-sse", host: inGo},
	{name: "EventSource", host: inPage},
	{name: "event-source-polyfill", host: inPage, refusable: true},
	{name: "reconnecting-eventsource", host: inPage, refusable: true},
	{name: "fetch-event-source", host: inPage, endsOnClose: true, refusable: true, blind: true,
		why: "ends where a body ends in order, unless onclose throws; takes an id when its line ends, so the id of an event that is not handed over yet may be sent back"},
	{name: "fetch-event-source with a fetch of one's own", host: inPage, endsOnClose: true, refusable: true,
		why: "the same, whose users send the id of the last event that they were given"},
	{name: "react-native-sse", host: inPage, endsOnClose: true, refusable: true,
		why: "over a browser's XMLHttpRequest it does not come back from an error without status: its users call open() again"},
}
