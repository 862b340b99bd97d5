package source

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"
)

// This file is what the readers of all formats share.

var (
	errNotUTF8 = errors.New("not UTF-8")
	errEmpty   = errors.New("empty; write {} to have the defaults")
)

// maxDepth bounds the nesting of a config file; ours need six levels.
const maxDepth = 64

var tooDeep = fmt.Sprintf("allowed at most %d levels", maxDepth)

func unreadable(format string) error { return errors.New("not " + format + " that can be read") }

// read makes a tree of a text. Why recover: it is an operator's text, and a panic of a library on an odd one must not stop the
// program without naming the file.
func read(data []byte, format string, parse func([]byte) (*Node, error)) (tree *Node, err error) {
	defer func() {
		if v := recover(); v != nil {
			tree, err = nil, unreadable(format)
		}
	}()
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if !utf8.Valid(data) {
		return nil, errNotUTF8
	}
	return parse(data)
}

// reader is where a reader is in a text, and what is wrong with that.
type reader struct {
	data []byte
	at   int   // offset up to which lines are counted
	line int   // there
	err  error // the first one; what is read after it does not count
}

// to goes on to an offset and returns its line.
func (r *reader) to(offset int) int {
	if offset > r.at {
		r.line += bytes.Count(r.data[r.at:offset], []byte("\n"))
		r.at = offset
	}
	return r.line
}

// fail notes what is wrong in a line.
func (r *reader) fail(line int, format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("line %d: %s", line, fmt.Sprintf(format, args...))
	}
}

// checkDepth returns an error if a value in n, which is so deep itself, is nested too deeply.
func (n *Node) checkDepth(depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("line %d: %s", n.Line, tooDeep)
	}
	inner, _ := n.Value.([]*Node)
	if o, ok := n.Value.(*Object); ok {
		for _, m := range o.Members {
			inner = append(inner, m.Value)
		}
	}
	for _, value := range inner {
		if err := value.checkDepth(depth + 1); err != nil {
			return err
		}
	}
	return nil
}
