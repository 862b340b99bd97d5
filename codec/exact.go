package codec

import (
	"bytes"
	"errors"
	"strconv"

	json "github.com/goccy/go-json"
)

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
	var err error
	seen := make(map[string]struct{}, len(names))
	dst = append(dst, '{')
	Members(src, func(written, value []byte) {
		if err != nil {
			return
		}
		name, inside, counts := names.find(written)
		if !counts {
			return
		}
		if _, twice := seen[name]; twice {
			if _, known := names[name]; !known {
				name = "a name"
			}
			err = &FieldError{Field: name, Want: "one value", Cause: ErrTwice}
			return
		}
		seen[name] = struct{}{}
		if len(seen) > 1 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), written...), '"', ':')
		dst, err = AppendExact(dst, value, inside)
	})
	return append(dst, '}'), err
}

// find returns a name as it is meant, and whether it counts, with what counts in
// its value.
func (n Names) find(written []byte) (name string, inside Names, counts bool) {
	name = string(written)
	if bytes.IndexByte(written, '\\') >= 0 && json.Unmarshal([]byte(`"`+name+`"`), &name) != nil {
		return strconv.Quote(name), nil, false
	}
	if inside, counts = n[name]; !counts {
		inside, counts = n[Any]
	}
	return name, inside, counts
}
