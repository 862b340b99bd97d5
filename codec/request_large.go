package codec

import (
	"bytes"
	"strings"

	json "github.com/goccy/go-json"
)

// largeRequest is from what length on the data of a publish are not decoded with
// the rest of the request. Why: the JSON library copies a text and each raw value
// in it, so a publication of 1 MiB would leave 3 MiB of garbage behind.
const largeRequest = 4 << 10

// decodeLarge is decode for a publish whose data are most of it: they are checked
// and put in their place in the frame at once (see Room). Where that does not work
// out, r is not changed, and decode has the last word on why.
func (r *PublishRequest) decodeLarge(src []byte, lim Limits) (ok bool) {
	lo, hi := dataOf(src)
	if lo == hi {
		return false
	}
	rest := make([]byte, 0, len(src)-(hi-lo)+1)
	rest = append(append(append(rest, src[:lo]...), '0'), src[hi:]...)
	var short PublishRequest
	if json.Unmarshal(rest, &short) != nil {
		return false
	}
	short.Data = nil
	room, err := compactInRoom(short.Channel, src[lo:hi], lim)
	if err != nil {
		return false
	}
	*r = short
	r.room = room
	return true
}

// dataOf returns where in src, a JSON object, the value of its member "data" lies;
// lo == hi if that cannot be told: there is none, there may be another, or src is
// something else. It says nothing about whether the value is JSON.
func dataOf(src []byte) (lo, hi int) {
	c := compactor{src: src}
	if c.peek() != '{' {
		return 0, 0
	}
	for next := byte(','); next == ','; next = c.peek() {
		c.pos++ // the brace or the comma
		if c.peek() != '"' {
			return 0, 0
		}
		end := stringEnd(src, c.pos)
		if end == len(src) {
			return 0, 0
		}
		name := src[c.pos+1 : end]
		c.pos = end + 1
		if c.peek() != ':' {
			return 0, 0
		}
		c.pos++
		c.space()
		start := c.pos
		if !c.skip() {
			return 0, 0
		}
		switch {
		case string(name) == "data" && lo == hi:
			lo, hi = start, c.pos
		case bytes.IndexByte(name, '\\') >= 0 || strings.EqualFold(string(name), "data"):
			return 0, 0 // which of them counts is for the decoder to say
		}
	}
	if c.peek() != '}' {
		return 0, 0
	}
	c.pos++
	if c.space(); c.pos != len(src) {
		return 0, 0
	}
	return lo, hi
}

// skip passes over what has the outline of a value.
func (c *compactor) skip() bool {
	switch c.peek() {
	case '"':
		c.pos = stringEnd(c.src, c.pos) + 1
		return c.pos <= len(c.src)
	case '{', '[':
		end, err := objectEnd(c.src, c.pos)
		c.pos = end
		return err == nil
	}
	n := bytes.IndexAny(c.src[c.pos:], ",}] \t\r\n")
	if n <= 0 {
		return false
	}
	c.pos += n
	return true
}
