package codec

import (
	"bytes"
	"fmt"
)

// CheckDepth refuses a text whose arrays and objects are nested deeper than
// limit. It runs before anything that decodes recursively, so that no request
// can exhaust the stack, and says nothing about whether src is JSON otherwise.
// The error is a *SyntaxError.
func CheckDepth(src []byte, limit int) error {
	depth := 0
	for i := 0; i < len(src); i++ {
		switch src[i] {
		case '"':
			i = stringEnd(src, i)
		case '{', '[':
			if depth++; depth > limit {
				return &SyntaxError{i, fmt.Sprintf("nested deeper than %d levels", limit)}
			}
		case '}', ']':
			depth--
		}
	}
	return nil
}

// objectEnd returns the index behind the object or array that starts at pos.
// Brackets are counted, not matched: the decoder judges the rest.
func objectEnd(src []byte, pos int) (int, error) {
	depth := 0
	for i := pos; i < len(src); i++ {
		switch src[i] {
		case '"':
			i = stringEnd(src, i)
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1, nil
			}
		}
	}
	return 0, &SyntaxError{len(src), "the end of the object expected"}
}

// stringEnd returns the index of the quote that ends the string which starts
// at pos, len(src) if none does.
func stringEnd(src []byte, pos int) int {
	for i := pos + 1; ; i++ {
		n := bytes.IndexByte(src[i:], '"')
		if n < 0 {
			return len(src)
		}
		first := i // nothing before it belongs to a run of backslashes
		i += n
		run := i
		for run > first && src[run-1] == '\\' {
			run--
		}
		if (i-run)%2 == 0 {
			return i
		}
	}
}
