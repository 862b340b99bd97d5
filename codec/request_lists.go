package codec

import (
	"bytes"
	"strings"
)

// Listed is how much a request lists, as far as a caller may list for ever.
type Listed struct {
	Commands int // of a batch
	Names    int // channels, tags and clients of a whitelist; of a batch those of all its commands
}

// List counts what src, the text of a request, lists, without decoding it: what is decoded
// takes a multiple of its text. A text that is no JSON may count for anything. Where a
// member stands twice both count, since both are decoded. Escaped names are not counted as
// what they say, but as any of them. batch: src is a [BatchRequest].
func List(src []byte, batch bool) (l Listed) {
	if !batch {
		l.Names = listNames(src)
		return l
	}
	Members(src, func(name, commands []byte) {
		if !IsNamed(name, "commands") {
			return
		}
		Elements(commands, func(command []byte) {
			l.Commands++
			Members(command, func(_, request []byte) { l.Names += listNames(request) })
		})
	})
	return l
}

// listNames counts the names that a request which is no batch lists.
func listNames(src []byte) (n int) {
	Members(src, func(name, value []byte) {
		if IsNamed(name, "channels", "whitelist", "tags") {
			Members(value, func(_, _ []byte) { n++ })
			Elements(value, func([]byte) { n++ })
		}
	})
	return n
}

// IsNamed reports whether a decoder that matches names whatever their case may take a
// member of that name, as [Members] gives it, for one of those: any, if it is escaped.
func IsNamed(name []byte, names ...string) bool {
	if bytes.IndexByte(name, '\\') >= 0 {
		return true
	}
	for _, one := range names {
		if strings.EqualFold(string(name), one) {
			return true
		}
	}
	return false
}

// Members calls do for each member of the object in src, with its name as it is written
// and the text of its value, up to where the text has not the outline of an object; for none
// if it is something else. It says nothing about whether the values are JSON.
func Members(src []byte, do func(name, value []byte)) {
	c := compactor{src: src}
	c.members(func(name []byte, start, end int) { do(name, src[start:end]) })
}

// Elements is [Members] for an array.
func Elements(src []byte, do func(value []byte)) {
	c := compactor{src: src}
	if c.peek() != '[' {
		return
	}
	for next := byte(','); next == ','; next = c.peek() {
		c.pos++ // the bracket or the comma
		c.space()
		start := c.pos
		if !c.skip() {
			return
		}
		do(src[start:c.pos])
	}
}
