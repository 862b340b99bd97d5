package gate

import "bytes"

// mostEmpty bounds how many bytes of empty lines before a request are passed over: more
// are taken for a head, which is up to the HTTP server.
const mostEmpty = 64

// HeadEnd returns the length of the head of an HTTP request that have begins with, its
// empty line included; 0 if the end has not come yet. Lines end with LF, before which a
// CR may stand; empty ones before the request are passed over. That is how the HTTP
// server reads, whatever else it thinks of the request.
//
// Of the first seen bytes it is known that the head does not end there: whoever asks
// again whenever more has come need not look at all of it again. 0 is always right.
func HeadEnd(have []byte, seen int) int {
	begin := 0
	for begin < len(have) && (have[begin] == '\n' || have[begin] == '\r' && begin+1 < len(have) && have[begin+1] == '\n') {
		if begin++; begin == mostEmpty {
			return begin
		}
	}
	at := max(begin, seen-2)
	for at < len(have) {
		n := bytes.IndexByte(have[at:], '\n')
		if n < 0 {
			return 0
		}
		at += n + 1
		switch {
		case at < len(have) && have[at] == '\n':
			return at + 1
		case at+1 < len(have) && have[at] == '\r' && have[at+1] == '\n':
			return at + 2
		}
	}
	return 0
}
