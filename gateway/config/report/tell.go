package report

import (
	"slices"
	"strings"

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

// from is Of for options, and for elements of lists: these stand where their list does.
func (r *Report) from(key string) Origin {
	from, known := r.set[key]
	if list, isElement := strings.CutSuffix(key, "]"); isElement && !known {
		from = r.set[list[:max(strings.LastIndexByte(list, '['), 0)]]
	}
	return from
}

// Tell adds what a package says of its options to the findings, and returns its errors; the options have their whole keys.
// Where one of them could not be decoded, nothing is told: one mistake is not reported twice.
func (r *Report) Tell(problems problem.List) (errs []error) {
	for _, p := range problems {
		if !r.Sound(append(p.Others, p.Field)...) {
			continue
		}
		from, detail := r.from(p.Field), p.Detail
		if from.File != "" { // the value came out of a file of its own, so that no text shows it
			detail = problem.WithoutValues(detail)
		}
		if p.Kind == problem.Error {
			errs = append(errs, NewKeyError(from.Place, p.Field, from.Written, detail))
		} else {
			r.Add(Finding{Origin: from.Origin, Line: from.Line, Key: r.Written(p.Field), Kind: Kind(p.Kind), Detail: detail})
		}
	}
	return errs
}
