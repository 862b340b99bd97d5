package codec

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// compactor is one pass over src: a loop with an explicit stack of open
// containers, so that depth costs memory of ours and never stack.
type compactor struct {
	src, dst []byte
	lim      Limits
	pos      int
	// Open containers, '{' or '[' for each: the outer ones in few, and what is deeper, which
	// takes memory, in more.
	depth int
	few   [16]byte
	more  []byte
}

func (c *compactor) push(b byte) {
	if c.depth < len(c.few) {
		c.few[c.depth] = b
	} else {
		c.more = append(c.more, b)
	}
	c.depth++
}

// top returns the innermost open container, of which there is one.
func (c *compactor) top() byte {
	if c.depth <= len(c.few) {
		return c.few[c.depth-1]
	}
	return c.more[len(c.more)-1]
}

func (c *compactor) pop() {
	if c.depth > len(c.few) {
		c.more = c.more[:len(c.more)-1]
	}
	c.depth--
}

func (c *compactor) fail(reason string) error { return &SyntaxError{c.pos, reason} }

func (c *compactor) space() {
	for c.pos < len(c.src) {
		switch c.src[c.pos] {
		case ' ', '\t', '\n', '\r':
			c.pos++
		default:
			return
		}
	}
}

// peek returns the next byte that is not white space, 0 at the end.
func (c *compactor) peek() byte {
	c.space()
	if c.pos == len(c.src) {
		return 0
	}
	return c.src[c.pos]
}

func (c *compactor) run() ([]byte, error) {
	if err := c.one(); err != nil {
		return c.dst, err
	}
	if c.space(); c.pos != len(c.src) {
		return c.dst, c.fail("nothing expected after the JSON value")
	}
	return c.dst, nil
}

// one copies a value, and stops behind it.
func (c *compactor) one() error {
	for {
		opened, err := c.value()
		if err != nil {
			return err
		}
		if opened {
			continue
		}
		done, err := c.afterValue()
		if err != nil || done {
			return err
		}
	}
}

// value copies one scalar, or the opening of a container up to the place of
// its first value; opened says that a value is due next.
func (c *compactor) value() (opened bool, err error) {
	switch b := c.peek(); {
	case b == '{' || b == '[':
		return c.openContainer(b)
	case b == '"':
		return false, c.str()
	case b == '-' || (b >= '0' && b <= '9'):
		return false, c.number()
	case b == 't':
		return false, c.literal("true")
	case b == 'f':
		return false, c.literal("false")
	case b == 'n':
		return false, c.literal("null")
	}
	return false, c.fail("a JSON value expected")
}

func (c *compactor) openContainer(b byte) (opened bool, err error) {
	if c.depth == c.lim.Depth {
		return false, c.fail(fmt.Sprintf("nested deeper than %d levels", c.lim.Depth))
	}
	c.pos++
	c.dst = append(c.dst, b)
	if next := c.peek(); next == b+2 { // '{'+2 == '}', '['+2 == ']'
		c.pos++
		c.dst = append(c.dst, next)
		return false, nil
	}
	c.push(b)
	if b == '{' {
		return true, c.key()
	}
	return true, nil
}

// afterValue handles what may follow a complete value in a container: a comma, or its
// end. done says that there is no container left.
func (c *compactor) afterValue() (done bool, err error) {
	for {
		if c.depth == 0 {
			return true, nil
		}
		b, top := c.peek(), c.top()
		switch {
		case b == ',':
			c.pos++
			c.dst = append(c.dst, ',')
			if top == '{' {
				c.peek()
				return false, c.key()
			}
			return false, nil
		case b == top+2:
			c.pos++
			c.dst = append(c.dst, b)
			c.pop()
		default:
			return false, c.fail("',' or the end of the " + containerName(top) + " expected")
		}
	}
}

func containerName(b byte) string {
	if b == '{' {
		return "object"
	}
	return "array"
}

func (c *compactor) key() error {
	if c.peek() != '"' {
		return c.fail("a string expected as the key")
	}
	if err := c.str(); err != nil {
		return err
	}
	if c.peek() != ':' {
		return c.fail("':' expected after the key")
	}
	c.pos++
	c.dst = append(c.dst, ':')
	return nil
}

// str copies a string token as it stands. src is valid UTF-8 already.
func (c *compactor) str() error {
	start := c.pos
	i := c.pos + 1
	for i < len(c.src) {
		i += plainBytes(c.src[i:])
		if i == len(c.src) {
			break
		}
		switch b := c.src[i]; {
		case b == '"':
			i++
			c.dst = append(c.dst, c.src[start:i]...)
			c.pos = i
			return nil
		case b == '\\':
			n := escapeLen(c.src[i:])
			if n == 0 {
				c.pos = i
				return c.fail("a valid escape expected")
			}
			i += n
		default:
			c.pos = i
			return c.fail("control characters in strings must be escaped")
		}
	}
	c.pos = i
	return c.fail("the string does not end")
}

// plainBytes returns how many bytes of s stand before the first that means something in a
// JSON string: a quote, a backslash, a control character. It looks at eight at a time.
func plainBytes(s []byte) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; len(s)-i >= 8; i += 8 {
		w := binary.LittleEndian.Uint64(s[i:])
		quote, slash := w^ones*'"', w^ones*'\\'
		// A byte has its high bit here if it is 0 in quote or slash, or below a blank in w.
		// A borrow may mark bytes behind one that is marked rightly, and none before it.
		if found := ((quote-ones)&^quote | (slash-ones)&^slash | (w-ones*' ')&^w) & highs; found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for ; i < len(s) && s[i] != '"' && s[i] != '\\' && s[i] >= ' '; i++ {
	}
	return i
}

// escapeLen returns the length of the escape that s starts with, 0 if it is
// not one.
func escapeLen(s []byte) int {
	if len(s) < 2 {
		return 0
	}
	switch s[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(s) >= 6 && isHex(s[2]) && isHex(s[3]) && isHex(s[4]) && isHex(s[5]) {
			return 6
		}
	}
	return 0
}

func isHex(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'f' || b >= 'A' && b <= 'F'
}

func (c *compactor) number() error {
	i := c.pos
	if c.src[i] == '-' {
		i++
	}
	switch {
	case i < len(c.src) && c.src[i] == '0':
		i++
	case i < len(c.src) && c.src[i] >= '1' && c.src[i] <= '9':
		i = c.digits(i)
	default:
		c.pos = i
		return c.fail("a digit expected")
	}
	if i < len(c.src) && c.src[i] == '.' {
		j := c.digits(i + 1)
		if j == i+1 {
			c.pos = j
			return c.fail("a digit expected after '.'")
		}
		i = j
	}
	if i < len(c.src) && (c.src[i] == 'e' || c.src[i] == 'E') {
		j := i + 1
		if j < len(c.src) && (c.src[j] == '+' || c.src[j] == '-') {
			j++
		}
		k := c.digits(j)
		if k == j {
			c.pos = k
			return c.fail("a digit expected in the exponent")
		}
		i = k
	}
	if i-c.pos > c.lim.Number {
		return c.fail(fmt.Sprintf("a number longer than %d bytes", c.lim.Number))
	}
	c.dst = append(c.dst, c.src[c.pos:i]...)
	c.pos = i
	return nil
}

func (c *compactor) digits(i int) int {
	for i < len(c.src) && c.src[i] >= '0' && c.src[i] <= '9' {
		i++
	}
	return i
}

func (c *compactor) literal(word string) error {
	if len(c.src)-c.pos < len(word) || string(c.src[c.pos:c.pos+len(word)]) != word {
		return c.fail(word + " expected")
	}
	c.dst = append(c.dst, word...)
	c.pos += len(word)
	return nil
}
