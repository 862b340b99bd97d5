package codec

import (
	"bytes"
	"strings"
	"unicode/utf8"

	json "github.com/goccy/go-json"
)

// decodePlain is decode for the commonest publish, in one pass: an object with a channel
// and data, nothing else, each once, by its very name, the channel without an escape, and
// all of it UTF-8. Where that does not work out, r is not changed, and decode has the last
// word on why.
func (r *PublishRequest) decodePlain(src []byte, lim Limits) (ok bool) {
	c := compactor{src: src, lim: lim.withDefaults()}
	if !utf8.Valid(src) || c.peek() != '{' {
		return false
	}
	var channel, data []byte
	for next := byte(','); next == ','; next = c.peek() {
		c.pos++ // the brace or the comma
		switch name := c.name(); {
		case string(name) == "channel" && channel == nil:
			channel = c.plainText()
			ok = channel != nil
		case string(name) == "data" && data == nil:
			c.dst = make([]byte, 0, len(src)-c.pos)
			ok = c.one() == nil
			data = c.dst
		default:
			ok = false
		}
		if !ok {
			return false
		}
	}
	if c.peek() != '}' || channel == nil || data == nil {
		return false
	}
	c.pos++
	if c.space(); c.pos != len(src) {
		return false
	}
	r.Channel, r.value = string(channel), jsonOf(data)
	return true
}

// name reads the name of a member, and what stands before its value; nil if it is none
// without an escape.
func (c *compactor) name() []byte {
	name := c.plainText()
	if name == nil || c.peek() != ':' {
		return nil
	}
	c.pos++
	c.space()
	return name
}

// plainText reads a string without an escape; nil if it is none.
func (c *compactor) plainText() []byte {
	if c.peek() != '"' {
		return nil
	}
	start := c.pos + 1
	end := start + plainBytes(c.src[start:])
	if end == len(c.src) || c.src[end] != '"' {
		return nil
	}
	c.pos = end + 1
	return c.src[start:end]
}

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
	clear := true // which of them counts is for the decoder to say
	whole := c.members(func(name []byte, start, end int) {
		switch {
		case string(name) == "data" && lo == hi:
			lo, hi = start, end
		case bytes.IndexByte(name, '\\') >= 0 || strings.EqualFold(string(name), "data"):
			clear = false
		}
	})
	if c.space(); !whole || !clear || c.pos != len(src) {
		return 0, 0
	}
	return lo, hi
}

// members calls do for each member of the object that comes next, with where its value
// lies. It reports whether all of it has the outline of one, and is behind it then.
func (c *compactor) members(do func(name []byte, start, end int)) (whole bool) {
	if c.peek() != '{' {
		return false
	}
	for next := byte(','); next == ','; next = c.peek() {
		c.pos++ // the brace or the comma
		if c.peek() != '"' {
			return false
		}
		end := stringEnd(c.src, c.pos)
		if end == len(c.src) {
			return false
		}
		name := c.src[c.pos+1 : end]
		c.pos = end + 1
		if c.peek() != ':' {
			return false
		}
		c.pos++
		c.space()
		start := c.pos
		if !c.skip() {
			return false
		}
		do(name, start, c.pos)
	}
	if c.peek() != '}' {
		return false
	}
	c.pos++
	return true
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
