package schema

import (
	"fmt"
	"math"
	"net/url"
	"reflect"
	"slices"
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

// Assign is Decode without Text. wrong says what is wrong with the value and what is allowed, "" = dst is set.
// Sections and lists of objects are not its business: see loader.
func (f *Field) Assign(dst reflect.Value, n *source.Node) (wrong string) {
	if n.Value == nil {
		return ""
	}
	switch f.Kind {
	case KindBool:
		b, ok := n.Value.(bool)
		if !ok {
			return f.wrong(n, "is not a boolean")
		}
		dst.SetBool(b)
		return ""
	case KindInt:
		return f.assignInt(dst, n)
	case KindDuration:
		d, wrong := f.duration(n)
		if wrong == "" {
			wrong = f.inRange(n, int64(d))
		}
		if wrong == "" {
			dst.SetInt(int64(d))
		}
		return wrong
	case KindRange:
		return f.assignRange(dst, n)
	case KindPort:
		return f.assignPort(dst, n)
	case KindString:
		s, wrong := f.str(n)
		if wrong == "" {
			dst.SetString(s)
		}
		return wrong
	case KindStrings:
		return f.assignStrings(dst, n)
	case KindStringMap:
		return f.assignMap(dst, n)
	default:
		panic("BUG: config: assign of " + f.Name)
	}
}

func (f *Field) str(n *source.Node) (string, string) {
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

func (f *Field) assignInt(dst reflect.Value, n *source.Node) string {
	lit, ok := n.Value.(source.Number)
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
	if i == 0 && f.ZeroDefault {
		i, _ = strconv.ParseInt(f.Default, 10, 64)
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
func (f *Field) IsZero(n *source.Node) bool {
	text, _ := n.Scalar()
	if d, err := time.ParseDuration(text); err == nil {
		return d == 0
	}
	number, err := strconv.ParseFloat(text, 64)
	return err == nil && number == 0
}

// zeroAdvice says what a 0 that stands for the default means: most people write it for "off" or "no limit".
func (f *Field) ZeroAdvice(n *source.Node) string {
	advice := n.Show() + " stands for the default, " + f.Default
	if f.NegativeOff {
		return advice + "; a negative duration switches it off"
	}
	return advice + "; it is neither off nor without limit"
}

func (f *Field) inRange(n *source.Node, i int64) string {
	if i < f.Min || i > f.Max {
		return f.wrong(n, "is out of range")
	}
	return ""
}

// duration decodes a Go duration. A bare number is refused (PROTOCOL 12.26) except 0, and negative ones where these mean off,
// whatever their unit (PROTOCOL 1.5).
func (f *Field) duration(n *source.Node) (time.Duration, string) {
	text, ok := n.Scalar()
	if !ok {
		return 0, f.wrong(n, "is not a duration")
	}
	d, err := time.ParseDuration(text)
	if err == nil {
		if d == 0 && f.ZeroDefault {
			d, _ = time.ParseDuration(f.Default)
		}
		return d, ""
	}
	if fl, err := strconv.ParseFloat(text, 64); err == nil {
		switch {
		case fl == 0:
			return f.duration(&source.Node{Value: "0"})
		case math.IsInf(fl, 0) || math.IsNaN(fl):
			return 0, f.wrong(n, "is not a duration")
		case fl < 0 && f.NegativeOff:
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

func (f *Field) assignRange(dst reflect.Value, n *source.Node) string {
	text := n.Show()
	if s, ok := n.Value.(string); ok {
		text = strings.TrimSpace(s)
	}
	if _, ok := n.Value.(bool); ok {
		return f.wrong(n, "is not a range of durations")
	}
	lo, hi, isRange := strings.Cut(text, "-")
	if !isRange {
		hi = lo
	}
	var ends [2]time.Duration
	for i, s := range []string{lo, hi} {
		d, wrong := f.duration(&source.Node{Value: strings.TrimSpace(s)})
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

func (f *Field) assignPort(dst reflect.Value, n *source.Node) string {
	text, ok := n.Scalar()
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

func (f *Field) assignStrings(dst reflect.Value, n *source.Node) string {
	items, ok := n.Value.([]*source.Node)
	if s, isString := n.Value.(string); isString && f.OneIsList {
		items, ok = []*source.Node{{Value: s}}, true
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

func (f *Field) assignMap(dst reflect.Value, n *source.Node) string {
	o, ok := n.Value.(*source.Object)
	if !ok {
		return f.wrong(n, "is not an object of strings")
	}
	out := make(map[string]string, len(o.Members))
	for _, m := range o.Members {
		s, ok := m.Value.Value.(string)
		if !ok {
			return fmt.Sprintf("value of %q: %s", m.Key, f.wrong(m.Value, m.Value.NotString()))
		}
		out[strings.Clone(m.Key)] = strings.Clone(s)
	}
	dst.Set(reflect.ValueOf(out))
	return ""
}

// wrong builds the text of an error: the value (unless secret), what it is not, and what is allowed.
func (f *Field) wrong(n *source.Node, what string) string {
	return f.show(n) + " " + what + ": allowed " + f.Allowed()
}

// show renders a value as far as it may be seen.
func (f *Field) show(n *source.Node) string {
	switch f.Secret {
	case SecretAll:
		return source.Hidden
	case SecretURL:
		if s, ok := n.Value.(string); ok {
			return ShowURL(s)
		}
		return n.ShowType()
	default:
		if s, ok := n.Value.(string); ok && strings.Contains(s, "://") {
			return ShowURL(s) // it may be in the wrong place
		}
		return n.Show()
	}
}

// ShowURL renders an address without user, password, query and fragment, which may hold secrets.
func ShowURL(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Opaque != "" {
		if strings.ContainsAny(s, "@?&=") {
			return source.Hidden
		}
		return (&source.Node{Value: s}).Show()
	}
	if u.Scheme == "" && strings.Contains(s, "@") {
		return source.Hidden
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return (&source.Node{Value: u.String()}).Show()
}

// allowed says what an option accepts.
func (f *Field) Allowed() string {
	switch f.Kind {
	case KindBool:
		return "true, false (in the environment also 1, 0)"
	case KindInt:
		return f.allowedNumber()
	case KindDuration:
		return f.allowedDuration()
	case KindPort:
		return "0-65535"
	case KindRange:
		return `a range such as "3s-9s" up to an hour, one duration such as "5s", or "0"`
	case KindStringMap:
		return "an object of strings"
	case KindObjects:
		return "a list of objects"
	case KindStrings:
		if f.Enum == nil {
			return "a list of strings"
		}
	}
	if f.Enum == nil {
		return "a string"
	}
	quoted := make([]string, 0, len(f.Enum))
	for _, e := range slices.Sorted(slices.Values(f.Enum)) {
		quoted = append(quoted, strconv.Quote(e))
	}
	return strings.Join(quoted, ", ")
}

func (f *Field) allowedNumber() string {
	unit := ""
	if f.Unit != "" {
		unit = " (" + f.Unit + ")"
	}
	switch {
	case f.Min == math.MinInt64:
		return "a whole number" + unit
	case f.Max == math.MaxInt64:
		return fmt.Sprintf("%d or more%s", f.Min, unit)
	default:
		return fmt.Sprintf("%d-%d%s", f.Min, f.Max, unit)
	}
}

func (f *Field) allowedDuration() string {
	const such = `a duration such as "300ms", "25s" or "12h"`
	switch {
	case f.NegativeOff:
		return such + ", negative = off"
	case f.Min > 0:
		return such + ", at least " + time.Duration(f.Min).String()
	default:
		return such + ", not negative"
	}
}

// IgnoresEmpty reports whether an empty text leaves the option alone; it clears a string or a list.
func (f *Field) IgnoresEmpty(text string) bool {
	return text == "" && f.Kind != KindString && f.Kind != KindStrings && !(f.Kind == KindPort && f.IsText)
}

// Show renders a value that stands where a section or a list of them should; the whole value counts as secret if the section
// holds one.
func (s *Section) Show(n *source.Node) string {
	if s.HasSecret {
		return n.ShowType()
	}
	return n.Show()
}

// NoObject says what is wrong with a value that should be a section.
func (s *Section) NoObject(n *source.Node) string {
	example := "{...}"
	if s.ByName["enabled"] != nil {
		example = `{"enabled": true, ...}`
	}
	return s.Show(n) + " is not an object: allowed an object such as " + example
}
