package codec

import (
	"bytes"
	"errors"
	"slices"

	json "github.com/goccy/go-json"
)

// Field returns the text of the first member called name of a JSON object, as
// it stands in the value: `"a"` for a string, `1` for a number. ok is false if
// the value is no object or has no such member. Names are compared as written,
// without resolving escapes.
func (j JSON) Field(name string) (text string, ok bool) {
	s := j.text
	if !j.IsObject() {
		return "", false
	}
	// The value is compact and valid: after '{' or ',' comes a key, after it
	// a colon.
	for i := 1; i < len(s) && s[i] == '"'; {
		end := skipString(s, i)
		key := s[i+1 : end-1]
		start := end + 1
		i = skipValue(s, start)
		if key == name {
			return s[start:i], true
		}
		if i >= len(s) || s[i] != ',' {
			break
		}
		i++
	}
	return "", false
}

// skipString returns the index behind the string that begins at s[i].
func skipString(s string, i int) int {
	for i++; s[i] != '"'; i++ {
		if s[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// skipValue returns the index behind the value that begins at s[i].
func skipValue(s string, i int) int {
	for depth := 0; i < len(s); {
		switch s[i] {
		case '"':
			i = skipString(s, i)
			if depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',':
			if depth == 0 {
				return i
			}
		}
		i++
	}
	return i
}

// Names are the members that count in an object, each with those of its value,
// nil where that is taken as it is. Any stands for every name.
type Names map[string]Names

// Any in [Names] are the members that have no entry of their own.
const Any = "*"

// ErrTwice is wrapped by errors of [AppendExact].
var ErrTwice = errors.New("given twice")

// AppendExact appends src, one JSON value as [Compact] makes it, without the
// members that do not count: those whose name is not letter for letter one of
// names. Decoders match names whatever their case, so they must not see the
// others. An object that has a member which counts twice is an error, whose text
// names it by what stands in names, and by nothing that the sender wrote.
func AppendExact(dst, src []byte, names Names) ([]byte, error) {
	if len(src) == 0 || src[0] != '{' || names == nil {
		return append(dst, src...), nil
	}
	var (
		err  error
		seen seenNames
	)
	dst = append(dst, '{')
	Members(src, func(written, value []byte) {
		if err != nil {
			return
		}
		name, inside, counts := names.find(written)
		if !counts {
			return
		}
		if !seen.add(name) {
			told := "a name"
			if _, known := names[string(name)]; known {
				told = string(name)
			}
			err = &FieldError{Field: told, Want: "one value", Cause: ErrTwice}
			return
		}
		if seen.n > 1 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), written...), '"', ':')
		dst, err = AppendExact(dst, value, inside)
	})
	return append(dst, '}'), err
}

// seenNames are those that an object had so far. Why not a map from the start: few objects
// have as many members as make one worth its memory.
type seenNames struct {
	n    int
	few  [16][]byte
	many map[string]struct{}
}

// add notes a name, and reports whether it is a new one. It keeps the slice.
func (s *seenNames) add(name []byte) bool {
	for _, one := range s.few[:min(s.n, len(s.few))] {
		if bytes.Equal(one, name) {
			return false
		}
	}
	if s.n < len(s.few) {
		s.few[s.n] = name
	} else {
		if _, twice := s.many[string(name)]; twice {
			return false
		}
		if s.many == nil {
			s.many = make(map[string]struct{})
		}
		s.many[string(name)] = struct{}{}
	}
	s.n++
	return true
}

// find returns a name as it is meant, and whether it counts, with what counts in
// its value.
func (n Names) find(written []byte) (name []byte, inside Names, counts bool) {
	name = written
	if bytes.IndexByte(written, '\\') >= 0 {
		var meant string
		if json.Unmarshal(slices.Concat(quote, written, quote), &meant) != nil {
			return written, nil, false
		}
		name = []byte(meant)
	}
	if inside, counts = n[string(name)]; !counts {
		inside, counts = n[Any]
	}
	return name, inside, counts
}

var quote = []byte{'"'}
