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
	eachMember(src, func(name, commands []byte) {
		if !isNamed(name, "commands") {
			return
		}
		eachElement(commands, func(command []byte) {
			l.Commands++
			eachMember(command, func(_, request []byte) { l.Names += listNames(request) })
		})
	})
	return l
}

// listNames counts the names that a request which is no batch lists.
func listNames(src []byte) (n int) {
	eachMember(src, func(name, value []byte) {
		if isNamed(name, "channels", "whitelist", "tags") {
			eachMember(value, func(_, _ []byte) { n++ })
			eachElement(value, func([]byte) { n++ })
		}
	})
	return n
}

// isNamed reports whether the decoder may take a member of that name for one of those.
func isNamed(name []byte, names ...string) bool {
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

// eachMember calls do for each member of an object, up to where the text has not the
// outline of one; for none if it is something else.
func eachMember(src []byte, do func(name, value []byte)) {
	c := compactor{src: src}
	c.members(func(name []byte, start, end int) { do(name, src[start:end]) })
}

// eachElement is eachMember for an array.
func eachElement(src []byte, do func(value []byte)) {
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
