package api

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/gobwas/glob"
	"github.com/gobwas/glob/syntax"
)

// maxPattern bounds a glob, and with it the time that a match takes, in bytes.
const maxPattern = 512

// CompilePattern returns the match of a glob in the syntax of allowed origins
// (PROTOCOL 7.10), for any goroutine. Why no separators: '*' has to match the
// boundary of namespaces too. Why not always the library's own match: with
// alternatives it tries them all, and two dozen in a row take for ever.
func CompilePattern(text string) (match func(string) bool, err error) {
	pattern, err := glob.Compile(text)
	if err != nil {
		return nil, fmt.Errorf("api: pattern: a glob expected: %w", err)
	}
	if !strings.Contains(text, "{") {
		return pattern.Match, nil
	}
	re, err := regexp.Compile(globExpression(text))
	if err != nil {
		return nil, fmt.Errorf("api: pattern: %w", err)
	}
	return re.MatchString, nil
}

// globExpression returns a valid glob as an RE2 expression, whose match takes
// linear time.
func globExpression(text string) string {
	var b strings.Builder
	b.WriteString(`(?s)\A(?:`)
	lexer := syntax.NewLexer(text)
	class := false
	for t := lexer.Next(); t.Type != syntax.EOF && t.Type != syntax.Error; t = lexer.Next() {
		switch t.Type {
		case syntax.Text, syntax.RangeLo, syntax.RangeHi:
			if class {
				writeClass(&b, t.Data)
			} else {
				b.WriteString(regexp.QuoteMeta(t.Data))
			}
		case syntax.Any, syntax.Super:
			b.WriteString(`.*`)
		case syntax.Single:
			b.WriteByte('.')
		case syntax.RangeOpen:
			class = true
			b.WriteByte('[')
		case syntax.Not:
			b.WriteByte('^')
		case syntax.RangeBetween:
			b.WriteByte('-')
		case syntax.RangeClose:
			class = false
			b.WriteByte(']')
		case syntax.TermsOpen:
			b.WriteString(`(?:`)
		case syntax.TermSeparator:
			b.WriteByte('|')
		case syntax.TermsClose:
			b.WriteByte(')')
		}
	}
	b.WriteString(`)\z`)
	return b.String()
}

// writeClass writes characters of a class by their codes, so that none of them
// means anything.
func writeClass(b *strings.Builder, characters string) {
	for _, r := range characters {
		fmt.Fprintf(b, `\x{%x}`, r)
	}
}
