package config

import (
	"fmt"
	"math"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
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

// fromText makes a node of the text of an environment variable, a flag or a default. Lists are separated by spaces,
// maps and lists of objects are JSON. wrong says what is wrong with the text, "" = nothing.
func (f *field) fromText(text string) (n *node, wrong string) {
	switch f.kind {
	case kindBool:
		if b, err := strconv.ParseBool(strings.TrimSpace(text)); err == nil {
			return &node{v: b}, ""
		}
	case kindInt:
		if _, err := strconv.ParseFloat(strings.TrimSpace(text), 64); err == nil {
			return &node{v: number(strings.TrimSpace(text))}, ""
		}
	case kindStrings:
		l := []*node{}
		for _, s := range strings.Fields(text) {
			l = append(l, &node{v: s})
		}
		return &node{v: l}, ""
	case kindStringMap, kindObjects:
		n, err := parseJSON([]byte(text))
		if err != nil {
			return nil, "not JSON: " + err.Error() + ": allowed " + f.allowed() + " as JSON text"
		}
		return n, ""
	}
	return &node{v: text}, ""
}

// assign decodes n into dst. wrong says what is wrong with the value and what is allowed, "" = dst is set.
// Sections and lists of objects are not its business: see loader.
func (f *field) assign(dst reflect.Value, n *node) (wrong string) {
	if n.v == nil {
		return ""
	}
	switch f.kind {
	case kindBool:
		b, ok := n.v.(bool)
		if !ok {
			return f.wrong(n, "is not a boolean")
		}
		dst.SetBool(b)
		return ""
	case kindInt:
		return f.assignInt(dst, n)
	case kindDuration:
		d, wrong := f.duration(n)
		if wrong == "" {
			wrong = f.inRange(n, int64(d))
		}
		if wrong == "" {
			dst.SetInt(int64(d))
		}
		return wrong
	case kindRange:
		return f.assignRange(dst, n)
	case kindPort:
		return f.assignPort(dst, n)
	case kindString:
		s, wrong := f.str(n)
		if wrong == "" {
			dst.SetString(s)
		}
		return wrong
	case kindStrings:
		return f.assignStrings(dst, n)
	case kindStringMap:
		return f.assignMap(dst, n)
	default:
		panic("BUG: config: assign of " + f.name)
	}
}

func (f *field) str(n *node) (string, string) {
	s, ok := n.v.(string)
	if !ok {
		return "", f.wrong(n, n.notString())
	}
	if f.enum == nil {
		return strings.Clone(s), ""
	}
	for _, e := range f.enum {
		if strings.EqualFold(e, s) {
			return e, ""
		}
	}
	return "", f.wrong(n, "is unknown")
}

func (f *field) assignInt(dst reflect.Value, n *node) string {
	lit, ok := n.v.(number)
	if !ok {
		return f.wrong(n, "is not a whole number")
	}
	i, err := strconv.ParseInt(string(lit), 10, 64)
	if err != nil {
		fl, ferr := strconv.ParseFloat(string(lit), 64)
		if ferr != nil || math.IsNaN(fl) || fl != math.Trunc(fl) {
			return f.wrong(n, "is not a whole number")
		}
		if math.Abs(fl) > 1<<53 {
			return f.wrong(n, "is out of range")
		}
		i = int64(fl)
	}
	if i == 0 && f.zeroDefault {
		i, _ = strconv.ParseInt(f.def, 10, 64)
	}
	if wrong := f.inRange(n, i); wrong != "" {
		return wrong
	}
	if dst.OverflowInt(i) {
		return f.wrong(n, "is out of range")
	}
	dst.SetInt(i)
	return ""
}

// isZero reports whether a number or duration that was accepted is 0.
func (f *field) isZero(n *node) bool {
	text, _ := n.scalar()
	if d, err := time.ParseDuration(text); err == nil {
		return d == 0
	}
	number, err := strconv.ParseFloat(text, 64)
	return err == nil && number == 0
}

// zeroAdvice says what a 0 that stands for the default means: most people write it for "off" or "no limit".
func (f *field) zeroAdvice(n *node) string {
	advice := n.show() + " stands for the default, " + f.def
	if f.negativeOff {
		return advice + "; a negative duration switches it off"
	}
	return advice + "; it is neither off nor without limit"
}

func (f *field) inRange(n *node, i int64) string {
	if i < f.min || i > f.max {
		return f.wrong(n, "is out of range")
	}
	return ""
}

// duration decodes a Go duration. A bare number is refused (PROTOCOL 12.26) except 0, and negative ones where these mean off,
// whatever their unit (PROTOCOL 1.5).
func (f *field) duration(n *node) (time.Duration, string) {
	text, ok := n.scalar()
	if !ok {
		return 0, f.wrong(n, "is not a duration")
	}
	d, err := time.ParseDuration(text)
	if err == nil {
		if d == 0 && f.zeroDefault {
			d, _ = time.ParseDuration(f.def)
		}
		return d, ""
	}
	if fl, err := strconv.ParseFloat(text, 64); err == nil {
		switch {
		case fl == 0:
			return f.duration(&node{v: "0"})
		case math.IsInf(fl, 0) || math.IsNaN(fl):
			return 0, f.wrong(n, "is not a duration")
		case fl < 0 && f.negativeOff:
			return -1, ""
		}
		return 0, bareNumber(text, fl)
	}
	return 0, f.wrong(n, "is not a duration")
}

// bareNumber advises what to write instead of a number without unit. The reference takes such a number as
// nanoseconds, so a big one most likely is that.
func bareNumber(text string, v float64) string {
	const nanos = 1e6
	advice := strconv.FormatFloat(v, 'f', -1, 64) + "s"
	switch {
	case math.Abs(v) > math.MaxInt64/2:
		advice = "25s"
	case math.Abs(v) >= nanos:
		advice = time.Duration(v).String()
	}
	return fmt.Sprintf("%s is a bare number; write %q", text, advice)
}

func (f *field) assignRange(dst reflect.Value, n *node) string {
	text := n.show()
	if s, ok := n.v.(string); ok {
		text = strings.TrimSpace(s)
	}
	if _, ok := n.v.(bool); ok {
		return f.wrong(n, "is not a range of durations")
	}
	lo, hi, isRange := strings.Cut(text, "-")
	if !isRange {
		hi = lo
	}
	var ends [2]time.Duration
	for i, s := range []string{lo, hi} {
		d, wrong := f.duration(&node{v: strings.TrimSpace(s)})
		if wrong != "" {
			if strings.Contains(wrong, "bare number") {
				return wrong
			}
			return f.wrong(n, "is not a range of durations")
		}
		ends[i] = d
	}
	if ends[0] < 0 || ends[1] < ends[0] || ends[1] > maxRetry || ends[1] > 0 && ends[0] < time.Millisecond {
		return f.wrong(n, "is not a range of durations")
	}
	dst.Set(reflect.ValueOf(DurationRange{ends[0], ends[1]}))
	return ""
}

// maxRetry bounds a reconnect delay; a longer one would make clients look dead.
const maxRetry = time.Hour

func (f *field) assignPort(dst reflect.Value, n *node) string {
	text, ok := n.scalar()
	if !ok {
		return f.wrong(n, "is not a port")
	}
	if text == "" && dst.Kind() == reflect.String {
		dst.SetString("")
		return ""
	}
	p, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return f.wrong(n, "is not a port")
	}
	if dst.Kind() == reflect.String {
		dst.SetString(strconv.FormatUint(p, 10))
	} else {
		dst.SetInt(int64(p))
	}
	return ""
}

func (f *field) assignStrings(dst reflect.Value, n *node) string {
	items, ok := n.v.([]*node)
	if s, isString := n.v.(string); isString && f.oneIsList {
		items, ok = []*node{{v: s}}, true
	}
	if !ok {
		return f.wrong(n, "is not a list of strings")
	}
	out := make([]string, 0, len(items))
	for _, item := range items {
		s, wrong := f.str(item)
		if wrong != "" {
			return wrong
		}
		out = append(out, s)
	}
	dst.Set(reflect.ValueOf(out))
	return ""
}

func (f *field) assignMap(dst reflect.Value, n *node) string {
	o, ok := n.v.(*object)
	if !ok {
		return f.wrong(n, "is not an object of strings")
	}
	out := make(map[string]string, len(o.members))
	for _, m := range o.members {
		s, ok := m.value.v.(string)
		if !ok {
			return fmt.Sprintf("value of %q: %s", m.key, f.wrong(m.value, m.value.notString()))
		}
		out[strings.Clone(m.key)] = strings.Clone(s)
	}
	dst.Set(reflect.ValueOf(out))
	return ""
}

// wrong builds the text of an error: the value (unless secret), what it is not, and what is allowed.
func (f *field) wrong(n *node, what string) string {
	return f.show(n) + " " + what + ": allowed " + f.allowed()
}

const hidden = "(hidden)"

// show renders a value as far as it may be seen.
func (f *field) show(n *node) string {
	switch f.secret {
	case secretAll:
		return hidden
	case secretURL:
		if s, ok := n.v.(string); ok {
			return showURL(s)
		}
		return n.showType()
	default:
		if s, ok := n.v.(string); ok && strings.Contains(s, "://") {
			return showURL(s) // it may be in the wrong place
		}
		return n.show()
	}
}

// showURL renders an address without user, password, query and fragment, which may hold secrets.
func showURL(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Opaque != "" {
		if strings.ContainsAny(s, "@?&=") {
			return hidden
		}
		return (&node{v: s}).show()
	}
	if u.Scheme == "" && strings.Contains(s, "@") {
		return hidden
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return (&node{v: u.String()}).show()
}

// allowed says what an option accepts.
func (f *field) allowed() string {
	switch f.kind {
	case kindBool:
		return "true, false (in the environment also 1, 0)"
	case kindInt:
		return f.allowedNumber()
	case kindDuration:
		return f.allowedDuration()
	case kindPort:
		return "0-65535"
	case kindRange:
		return `a range such as "3s-9s" up to an hour, one duration such as "5s", or "0"`
	case kindStringMap:
		return "an object of strings"
	case kindObjects:
		return "a list of objects"
	case kindStrings:
		if f.enum == nil {
			return "a list of strings"
		}
	}
	if f.enum == nil {
		return "a string"
	}
	quoted := make([]string, 0, len(f.enum))
	for _, e := range slices.Sorted(slices.Values(f.enum)) {
		quoted = append(quoted, strconv.Quote(e))
	}
	return strings.Join(quoted, ", ")
}

func (f *field) allowedNumber() string {
	unit := ""
	if f.unit != "" {
		unit = " (" + f.unit + ")"
	}
	switch {
	case f.min == math.MinInt64:
		return "a whole number" + unit
	case f.max == math.MaxInt64:
		return fmt.Sprintf("%d or more%s", f.min, unit)
	default:
		return fmt.Sprintf("%d-%d%s", f.min, f.max, unit)
	}
}

func (f *field) allowedDuration() string {
	const such = `a duration such as "300ms", "25s" or "12h"`
	switch {
	case f.negativeOff:
		return such + ", negative = off"
	case f.min > 0:
		return such + ", at least " + time.Duration(f.min).String()
	default:
		return such + ", not negative"
	}
}
