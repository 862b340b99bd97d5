package schema

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"sluice/gateway/config/source"
)

// DurationRange is a span of durations, Min <= Max. Both 0 = off.
type DurationRange struct{ Min, Max time.Duration }

// String returns the text form: "3s-9s", "5s" where both ends are equal, "0" for off.
func (r DurationRange) String() string {
	switch {
	case r.Max == 0:
		return "0"
	case r.Min == r.Max:
		return r.Min.String()
	default:
		return r.Min.String() + "-" + r.Max.String()
	}
}

// Decode decodes n into dst. wrong says what is wrong with the value and what is allowed, "" = dst is set, or left alone by a
// value of nil. Sections and lists of objects are not its business.
func (f *Field) Decode(dst reflect.Value, n *source.Node) (wrong string) {
	if n, wrong = f.Typed(n); wrong != "" {
		return wrong
	}
	return f.Assign(dst, n)
}

// Typed returns what a Text stands for, and any other node as it is. Lists are separated by spaces, maps and lists of objects are
// JSON. wrong says what is wrong with the text, "" = nothing.
func (f *Field) Typed(n *source.Node) (typed *source.Node, wrong string) {
	t, ok := n.Value.(source.Text)
	if !ok {
		return n, ""
	}
	text := string(t)
	switch f.Kind {
	case KindBool:
		if b, err := strconv.ParseBool(strings.TrimSpace(text)); err == nil {
			return &source.Node{Value: b}, ""
		}
	case KindInt:
		if _, err := strconv.ParseFloat(strings.TrimSpace(text), 64); err == nil {
			return &source.Node{Value: source.Number(strings.TrimSpace(text))}, ""
		}
	case KindStrings:
		if f.Enum != nil && strings.Contains(text, ",") {
			return nil, f.wrong(&source.Node{Value: text}, "has a comma, and lists are separated by spaces here")
		}
		l := []*source.Node{}
		for _, s := range strings.Fields(text) {
			l = append(l, &source.Node{Value: s})
		}
		return &source.Node{Value: l}, ""
	case KindStringMap, KindObjects:
		n, err := source.ParseJSON([]byte(text))
		if err != nil {
			return nil, "not JSON: " + err.Error() + ": allowed " + f.Allowed() + " as JSON text"
		}
		return n, ""
	}
	return &source.Node{Value: text}, ""
}

// Assign is Decode for what is no Text.
func (f *Field) Assign(dst reflect.Value, n *source.Node) (wrong string) {
	if n.Value == nil {
		return ""
	}
	v, wrong := f.value(n)
	if wrong == "" {
		dst.Set(reflect.ValueOf(v).Convert(dst.Type()))
	}
	return wrong
}

// nouns is what a value of each kind is called in errors.
var nouns = map[Kind]string{
	KindBool: "a boolean", KindInt: "a whole number", KindDuration: "a duration", KindRange: "a range of durations", KindPort: "a port",
	KindStrings: "a list of strings", KindStringMap: "an object of strings",
}

// value returns what n stands for, as a type that converts to that of the option.
func (f *Field) value(n *source.Node) (v any, wrong string) {
	text, isScalar := n.Scalar()
	switch f.Kind {
	case KindBool:
		if b, ok := n.Value.(bool); ok {
			return b, ""
		}
	case KindInt:
		if _, ok := n.Value.(source.Number); ok {
			return f.integer(n, text)
		}
	case KindDuration:
		if isScalar {
			d, wrong := f.duration(n, text)
			if wrong == "" && (int64(d) < f.Min || int64(d) > f.Max) {
				wrong = f.wrong(n, "is out of range")
			}
			return d, wrong
		}
	case KindRange:
		if isScalar {
			return f.durationRange(n, text)
		}
	case KindPort:
		p, err := strconv.ParseUint(text, 10, 16)
		switch {
		case f.IsText && isScalar && text == "":
			return "", ""
		case err == nil && f.IsText:
			return strconv.FormatUint(p, 10), ""
		case err == nil:
			return p, ""
		}
	case KindString:
		return f.str(n)
	case KindStrings:
		if s, ok := n.Value.(string); ok && f.OneIsList {
			n = &source.Node{Value: []*source.Node{{Value: s}}}
		}
		if items, ok := n.Value.([]*source.Node); ok {
			return f.strings(items)
		}
	case KindStringMap:
		if o, ok := n.Value.(*source.Object); ok {
			return f.stringMap(o)
		}
	default:
		panic("BUG: config: value of " + f.Name)
	}
	return nil, f.wrong(n, "is not "+nouns[f.Kind])
}

func (f *Field) str(n *source.Node) (s, wrong string) {
	s, ok := n.Value.(string)
	if !ok {
		return "", f.wrong(n, n.NotString())
	}
	if f.Enum == nil {
		return strings.Clone(s), ""
	}
	for _, e := range f.Enum {
		if strings.EqualFold(e, s) {
			return e, ""
		}
	}
	return "", f.wrong(n, "is unknown")
}

func (f *Field) strings(items []*source.Node) (list []string, wrong string) {
	list = make([]string, len(items))
	for i, item := range items {
		if list[i], wrong = f.str(item); wrong != "" {
			return nil, wrong
		}
	}
	return list, ""
}

func (f *Field) stringMap(o *source.Object) (m map[string]string, wrong string) {
	m = make(map[string]string, len(o.Members))
	for _, member := range o.Members {
		s, ok := member.Value.Value.(string)
		if !ok {
			return nil, fmt.Sprintf("value of %q: %s", member.Key, f.wrong(member.Value, member.Value.NotString()))
		}
		m[strings.Clone(member.Key)] = strings.Clone(s)
	}
	return m, ""
}

// integer decodes a whole number, also one that is written as 2e6.
func (f *Field) integer(n *source.Node, text string) (i int64, wrong string) {
	i, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		fl, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(fl) || fl != math.Trunc(fl) {
			return 0, f.wrong(n, "is not a whole number")
		}
		if math.Abs(fl) > 1<<53 {
			return 0, f.wrong(n, "is out of range")
		}
		i = int64(fl)
	}
	if i == 0 && f.ZeroDefault {
		i, _ = strconv.ParseInt(f.Default, 10, 64)
	}
	if i < f.Min || i > f.Max {
		return 0, f.wrong(n, "is out of range")
	}
	return i, ""
}

// duration decodes a Go duration. A bare number is refused (PROTOCOL 12.26) except 0, and negative ones where these mean off,
// whatever their unit (PROTOCOL 1.5).
func (f *Field) duration(n *source.Node, text string) (d time.Duration, wrong string) {
	d, err := time.ParseDuration(text)
	if err != nil {
		fl, err := strconv.ParseFloat(text, 64)
		switch {
		case err != nil || math.IsInf(fl, 0) || math.IsNaN(fl):
			return 0, f.wrong(n, "is not a duration")
		case fl < 0 && f.NegativeOff:
			return -1, ""
		case fl != 0:
			return 0, bareNumber(text, fl)
		}
	}
	if d == 0 && f.ZeroDefault {
		d, _ = time.ParseDuration(f.Default)
	}
	return d, ""
}

// durationRange decodes "3s-9s", or one duration.
func (f *Field) durationRange(n *source.Node, text string) (r DurationRange, wrong string) {
	lo, hi, isRange := strings.Cut(text, "-")
	r.Min, wrong = f.duration(n, strings.TrimSpace(lo))
	if r.Max = r.Min; isRange && wrong == "" {
		r.Max, wrong = f.duration(n, strings.TrimSpace(hi))
	}
	if strings.Contains(wrong, "bare number") {
		return r, wrong
	}
	if wrong != "" || r.Min < 0 || r.Max < r.Min || r.Max > maxRetry || r.Max > 0 && r.Min < time.Millisecond {
		return r, f.wrong(n, "is not "+nouns[KindRange])
	}
	return r, ""
}

// maxRetry bounds a reconnect delay; a longer one would make clients look dead.
const maxRetry = time.Hour

// IgnoresEmpty reports whether an empty text leaves the option alone; it clears a string or a list.
func (f *Field) IgnoresEmpty(text string) bool {
	return text == "" && f.Kind != KindString && f.Kind != KindStrings && !(f.Kind == KindPort && f.IsText)
}

// IsDefaultZero reports whether a value that was accepted is a 0 that stands for the default.
func (f *Field) IsDefaultZero(n *source.Node) bool {
	if !f.ZeroDefault {
		return false
	}
	written := *f
	written.ZeroDefault = false
	v, _ := written.value(n)
	return reflect.ValueOf(v).IsZero()
}
