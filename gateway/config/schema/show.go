package schema

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/gateway/config/source"
	"sluice/gateway/problem"
)

// This file is the texts about values: what is wrong, what is allowed, and as much of a value as may be seen.

// ZeroAdvice says what a 0 that stands for the default means: most people write it for "off" or "no limit".
func (f *Field) ZeroAdvice(n *source.Node) string {
	advice := n.Show() + " stands for the default, " + f.Default
	if f.NegativeOff {
		return advice + "; a negative duration switches it off"
	}
	return advice + "; it is neither off nor without limit"
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

// wrong builds the text of an error: the value (unless secret), what it is not, and what is allowed.
func (f *Field) wrong(n *source.Node, what string) string {
	return f.show(n) + " " + what + ": allowed " + f.Allowed()
}

// show renders a value as far as it may be seen.
func (f *Field) show(n *source.Node) string {
	switch f.Secret {
	case SecretAll:
		return problem.Hidden
	case SecretURL:
		if s, ok := n.Value.(string); ok {
			return problem.URL(s)
		}
		return n.ShowType()
	default:
		if s, ok := n.Value.(string); ok && strings.Contains(s, "://") {
			return problem.URL(s) // it may be in the wrong place
		}
		return n.Show()
	}
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
