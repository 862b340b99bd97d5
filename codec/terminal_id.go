package codec

import (
	"strconv"
	"strings"
)

// An EventSource comes back whatever the code of the last push. The id of a
// terminal one says so: the client brings it along when it comes back, so no node
// needs to remember anything. No cursor begins like that.
const (
	terminalMark = '!'
	// openMark ends the id of a stream that was open and was ended with a code
	// that otherwise says that credentials were refused.
	openMark = "!"
)

// AppendTerminalID appends the id of the last event of a stream that ends with a
// terminal code; open says that it was one before, and not a refused connect.
func AppendTerminalID(dst []byte, code uint32, open bool) []byte {
	dst = strconv.AppendUint(append(dst, terminalMark), uint64(code), 10)
	if open && ofCredentials(code) {
		dst = append(dst, openMark...)
	}
	return dst
}

// TerminalID reports whether an id is one of [AppendTerminalID]; final says that
// its client is not to be let in whatever it brings. Who was refused for its
// credentials may come with better ones.
func TerminalID(id string) (final, ok bool) {
	if id == "" || id[0] != terminalMark {
		return false, false
	}
	text, open := strings.CutSuffix(id[1:], openMark)
	code, err := strconv.ParseUint(text, 10, 32)
	if err != nil || !(&Disconnect{Code: uint32(code)}).Terminal() {
		return false, false
	}
	return open || !ofCredentials(uint32(code)), true
}

// ofCredentials reports whether a code says that a connect had no good ones.
func ofCredentials(code uint32) bool {
	return code == DisconnectInvalidToken.Code || code == DisconnectBadRequest.Code
}
