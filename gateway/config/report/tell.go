package report

import (
	"slices"

	"sluice/gateway/config/schema"
	"sluice/gateway/problem"
)

// Spoil notes that the value of key could not be decoded. Set takes it back.
func (r *Report) Spoil(key string) { r.spoilt[key] = true }

// Sound reports whether all keys could be decoded, and the sections that they are in. A check of several options asks it
// first, so that one mistake is not reported twice.
func (r *Report) Sound(keys ...string) bool {
	for spoilt := range r.spoilt {
		if slices.ContainsFunc(keys, func(key string) bool { return key == spoilt || schema.Below(key, spoilt) }) {
			return false
		}
	}
	return true
}

// Hidden reports whether the value of key came out of a file of its own, so that no text shows it.
func (r *Report) Hidden(key string) bool { return r.set[key].File != "" }

// Wrong returns the error of an option with the place where it was set. It is not kept.
func (r *Report) Wrong(key, detail string) *KeyError {
	from := r.set[key]
	return NewKeyError(from.Place, key, from.Written, detail)
}

// Note adds a finding about an option, which is named as it is written where it was set.
func (r *Report) Note(key string, kind Kind, detail string) {
	at := r.set[key]
	r.Add(Finding{Origin: at.Origin, Line: at.Line, Key: r.Written(key), Kind: kind, Detail: detail})
}

// Tell adds what a package says of its options to the findings, and returns its errors; the options have their whole keys.
// Where one of them could not be decoded, nothing is told: one mistake is not reported twice.
func (r *Report) Tell(problems problem.List) (errs []error) {
	for _, p := range problems {
		if !r.Sound(append(p.Others, p.Field)...) {
			continue
		}
		detail := p.Detail
		if r.Hidden(p.Field) {
			detail = problem.WithoutValues(detail)
		}
		if p.Kind == problem.Error {
			errs = append(errs, r.Wrong(p.Field, detail))
		} else {
			r.Note(p.Field, Kind(p.Kind), detail)
		}
	}
	return errs
}
