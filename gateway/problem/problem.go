package problem

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Kind says how much a problem weighs. The zero value is an error: with it
// nothing starts. All others are only told.
type Kind string

// Kinds of problems; their texts are those of the findings of a configuration.
const (
	Error       Kind = ""
	Open        Kind = "open"        // lets everybody do what few should
	Weak        Kind = "weak"        // a secret that can be guessed
	Unusable    Kind = "unusable"    // something cannot work with it
	Unsupported Kind = "unsupported" // nothing serves it
	Advice      Kind = "advice"      // allowed, but deserves a look
)

// Problem is one thing about options.
type Problem struct {
	// Field is the option: its key below that of the options which were
	// checked, "history_ttl" or "namespaces[1].name". "" is all of them.
	Field string
	// Others are further options that the rule looked at, named as Field is.
	// Where one of them could not be read, the problem is none.
	Others []string
	Kind   Kind
	// Detail is the value, what is wrong with it, and what is allowed.
	Detail string
	// Secret says that values which Detail quotes may be no one's business but
	// that of who wrote them: Err leaves them out.
	Secret bool
}

// With adds options that the rule looked at.
func (p *Problem) With(others ...string) { p.Others = append(p.Others, others...) }

// List is what is wrong with options, in the order in which to tell it. The
// zero value is empty. It is for one goroutine.
type List []Problem

// Fail adds an error. What it returns is good until the next one is added.
func (l *List) Fail(field, format string, args ...any) *Problem {
	return l.Note(field, Error, format, args...)
}

// Note adds a problem of a kind. What it returns is good until the next one is
// added.
func (l *List) Note(field string, kind Kind, format string, args ...any) *Problem {
	*l = append(*l, Problem{Field: field, Kind: kind, Detail: fmt.Sprintf(format, args...)})
	return &(*l)[len(*l)-1]
}

// Idle notes that an option means nothing without another one.
func (l *List) Idle(field, without string) {
	l.Note(field, Advice, "has no effect without %s", without).With(without)
}

// Token checks a name that must be a token (RFC 9110 section 5.6.2), as those of
// headers and cookies are; what says of what it is the name. "" is fine.
func (l *List) Token(field, name, what string) {
	if name != "" && !IsToken(name) {
		l.Fail(field, "%q is not %s: allowed letters, digits and - _ . and the like", name, what)
	}
}

// IsToken reports whether s is a token.
func IsToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}

// maxReason is the longest reason that every transport of the reference can carry.
const maxReason = 123

// Reason checks a text that clients are told with a code.
func (l *List) Reason(field, text string) {
	if len(text) > maxReason || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		l.Fail(field, "%s is not a reason: allowed at most %d printable ASCII characters", Quote(text), maxReason)
	}
}

// Add adds the problems of options that lie below the key path, "" for none.
func (l *List) Add(path string, more List) {
	for _, p := range more {
		p.Field = Join(path, p.Field)
		p.Others = slices.Clone(p.Others)
		for i := range p.Others {
			p.Others[i] = Join(path, p.Others[i])
		}
		*l = append(*l, p)
	}
}

// Join returns the key of an option below another; either may be "".
func Join(path, field string) string {
	if path == "" || field == "" {
		return path + field
	}
	return path + "." + field
}

// Err joins the errors of the list, nil if there are none. Each begins with the
// scope, the name of the package, and the option.
func (l List) Err(scope string) error {
	var errs []error
	for _, p := range l {
		if p.Kind == Error {
			detail := WithoutUserinfo(p.Detail)
			if p.Secret {
				detail = WithoutValues(detail)
			}
			text := slices.DeleteFunc([]string{scope, p.Field, detail}, func(s string) bool { return s == "" })
			errs = append(errs, errors.New(strings.Join(text, ": ")))
		}
	}
	return errors.Join(errs...)
}
