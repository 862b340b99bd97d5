package codec

import (
	"strconv"
	"strings"
)

// A cursor is what an event's id line carries: the positions of a stream in its
// recoverable channels, one entry each, so that a browser which comes back with
// the last id it saw (Last-Event-ID, WHATWG HTML section 9.2) is given what it
// missed. It is text without any meaning to clients:
//
//	cursor = entry*
//	entry  = count name position
//	count    one digit of base 64: how many digits the position has
//	name     eleven digits: 32 bits of the channel's name and 32 of the epoch
//	position the offset, in so many digits, the highest first
//
// An entry has 13 to 16 characters up to offset 16,777,215. It never changes
// its length while only the last digits of its offset change, so the text of a
// stream with many channels is patched in place.

const (
	cursorDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	cursorName   = 11
	// maxCursorOffset is the longest position: 64 bits in base 64.
	maxCursorOffset = 11
	maxCursorEntry  = 1 + cursorName + maxCursorOffset
)

var cursorValues = func() (v [256]int8) {
	for i := range v {
		v[i] = -1
	}
	for i := range len(cursorDigits) {
		v[cursorDigits[i]] = int8(i)
	}
	return v
}()

// Tag32 is a 32-bit tag of a name (FNV-1a), never 0: what a cursor and a stream
// remember of a channel or an epoch.
func Tag32(s string) uint32 {
	h := uint32(2166136261)
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * 16777619
	}
	if h == 0 {
		return 1
	}
	return h
}

// CursorEntry is the position in one channel.
type CursorEntry struct {
	Channel uint32 // Tag32 of its name
	Epoch   uint32 // Tag32 of its epoch
	Offset  uint64
}

// AppendCursorEntry appends the text of an entry.
func AppendCursorEntry(dst []byte, e CursorEntry) []byte {
	n := offsetDigits(e.Offset)
	dst = append(dst, cursorDigits[n])
	name := uint64(e.Channel)<<32 | uint64(e.Epoch)
	// 64 bits are ten digits and four bits more: the first digit has these.
	for shift := 60; shift >= 0; shift -= 6 {
		dst = append(dst, cursorDigits[name>>shift&63])
	}
	for i := n - 1; i >= 0; i-- {
		dst = append(dst, cursorDigits[e.Offset>>(6*i)&63])
	}
	return dst
}

func offsetDigits(v uint64) int {
	n := 1
	for v >>= 6; v > 0; v >>= 6 {
		n++
	}
	return n
}

// SetCursorOffset writes a new offset into the entry that begins at text[at],
// and reports whether it fits: if not, nothing is written.
func SetCursorOffset(text []byte, at int, offset uint64) bool {
	n := offsetDigits(offset)
	if int(cursorValues[text[at]]) != n {
		return false
	}
	at += 1 + cursorName
	for i := n - 1; i >= 0; i-- {
		text[at] = cursorDigits[offset>>(6*i)&63]
		at++
	}
	return true
}

// ParseCursor appends the entries of a cursor that a client sent. A text that
// is not a cursor has none, and ok is false: what a client sends here is never
// an error. At most limit entries are read.
func ParseCursor(dst []CursorEntry, text string, limit int) (entries []CursorEntry, ok bool) {
	if text == "" || len(text) > limit*maxCursorEntry {
		return dst, false
	}
	start := len(dst)
	for len(text) > 0 {
		n := int(cursorValues[text[0]])
		if n < 1 || n > maxCursorOffset || len(text) < 1+cursorName+n || len(dst)-start == limit {
			return dst[:start], false
		}
		name, ok1 := cursorNumber(text[1 : 1+cursorName])
		offset, ok2 := cursorNumber(text[1+cursorName : 1+cursorName+n])
		if !ok1 || !ok2 || offsetDigits(offset) != n {
			return dst[:start], false
		}
		dst = append(dst, CursorEntry{
			Channel: uint32(name >> 32), Epoch: uint32(name), Offset: offset,
		})
		text = text[1+cursorName+n:]
	}
	return dst, true
}

// cursorNumber reads digits of base 64; eleven of them may say more than 64
// bits hold.
func cursorNumber(s string) (v uint64, ok bool) {
	for i := range len(s) {
		d := cursorValues[s[i]]
		if d < 0 || v>>58 != 0 { // the top six bits would be lost
			return 0, false
		}
		v = v<<6 | uint64(d)
	}
	return v, true
}

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

// ChannelPath is how a channel is written as the rest of a path of the broadcast route: in one
// of many ways, so that all who ask for it ask a cache for the same. Slashes stay, unless a proxy
// could take the name for a path that is to be tidied up.
func ChannelPath(channel string) string {
	tidy := true
	for part := range strings.SplitSeq(channel, "/") {
		tidy = tidy && part != "" && part != "." && part != ".."
	}
	b := make([]byte, 0, len(channel)+8)
	for i := range len(channel) {
		switch c := channel[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			strings.IndexByte("-_~!$&'()*+,;=:@", c) >= 0, tidy && (c == '/' || c == '.'):
			b = append(b, c)
		default:
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return string(b)
}

const upperHex = "0123456789ABCDEF"
