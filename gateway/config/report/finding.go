package report

import (
	"slices"
	"strings"

	"sluice/gateway/config/source"
)

// Kind says what a Finding is about.
type Kind string

// Kinds of findings.
const (
	KindUnknown     Kind = "unknown"     // a key, variable or flag that nothing knows; ignored
	KindDeprecated  Kind = "deprecated"  // a flat key of versions 4 and 5; it works, Suggestion is its new name
	KindUnsupported Kind = "unsupported" // an option of the reference that Sluice lacks; ignored
	KindClash       Kind = "clash"       // two keys for one option, or both generations of keys in one file
	KindDuplicate   Kind = "duplicate"   // a key given twice in one object; the last one counts
	KindWeak        Kind = "weak"        // a secret that can be guessed, or that a guide put there; used
	KindOpen        Kind = "open"        // a value that lets everybody do what few should; used
	KindUnusable    Kind = "unusable"    // a value with which something cannot work: nobody can connect, no call is answered
	KindMissing     Kind = "missing"     // the config file is not there
	KindAdvice      Kind = "advice"      // a value that is allowed but deserves a look
)

// Strict reports whether checkconfig --strict fails on findings of this kind.
func (k Kind) Strict() bool { return k != KindMissing && k != KindAdvice }

// weights is the order in which findings are told: what does something else than was meant, what can be guessed, what is missing, what only has
// another name, what deserves a look.
var weights = []Kind{KindMissing, KindUnknown, KindDuplicate, KindClash, KindOpen, KindWeak, KindUnusable, KindUnsupported, KindDeprecated, KindAdvice}

// ByWeight returns findings in the order in which to tell them: what does something else than was meant first, then what is
// not supported, then new names, then advice.
func ByWeight(findings []Finding) []Finding {
	return slices.SortedStableFunc(slices.Values(findings), func(a, b Finding) int {
		return slices.Index(weights, a.Kind) - slices.Index(weights, b.Kind)
	})
}

// Finding is one thing that Load noticed and that is no error. No field holds a secret.
type Finding struct {
	Origin     string // source without the line: "file config.json", "env SLUICE_X", "flag --x"; "" when an option has its default
	Line       int    // line in the file, counted from 1; 0 = not known, or not a file
	Key        string // as it is written there, dotted: "uni_sse", "client.tokne", "namespaces[0].protected"; "" for a source as a whole
	Kind       Kind
	Detail     string // what about it, without the suggestion
	Suggestion string // the key, variable or flag to use instead; "" = none
}

// String returns "<origin>:<line>: <key>: <detail>; <suggestion>", as Report.Warnings has it.
func (f Finding) String() string {
	detail := f.Detail
	if f.Suggestion != "" {
		if f.Kind == KindDeprecated {
			detail += "; write " + f.Suggestion
		} else {
			detail += DidYouMean(f.Suggestion)
		}
	}
	parts := []string{f.Where(), f.Key, detail}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ": ")
}

// Where returns the origin with the line: "file config.json:12".
func (f Finding) Where() string { return source.Place{Origin: f.Origin, Line: f.Line}.String() }

// DidYouMean asks about what was probably meant.
func DidYouMean(what string) string { return "; did you mean " + what + "?" }
