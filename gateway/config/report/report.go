package report

import (
	"fmt"
	"slices"
	"strings"

	"sluice/gateway/config/schema"
	"sluice/gateway/config/source"
	"sluice/gateway/problem"
)

// Report tells how loading went: what deserves a warning, and which options were set where.
type Report struct {
	// Findings is everything that was noticed, in the order in which it was: file, environment, flags, validation.
	Findings []Finding
	// Warnings are complete sentences for the log, without secrets: one for each finding, but all deprecated keys of a
	// source share one, which names how many there are.
	Warnings []string

	profile *Profile       // nil without one
	decoded *schema.Config // nil if a source could not be read as a whole
	set     map[string]Origin
	spoilt  map[string]bool // keys whose value could not be decoded
}

// Origin is where the value of an option came from.
type Origin struct {
	source.Place
	Written string // the flat key that it was written as, "" = as it is
	File    string // the file of its own that the value came out of, which no text shows; "" = none
}

// New returns a report of nothing.
func New() *Report { return &Report{set: map[string]Origin{}, spoilt: map[string]bool{}} }

// IsSet reports whether a source other than the defaults set key, or an option below it. Elements of lists of objects
// are counted: channel.namespaces[0].history_size. A nil Report has nothing set.
func (r *Report) IsSet(key string) bool {
	if r == nil {
		return false
	}
	if _, ok := r.set[key]; ok {
		return true
	}
	for k := range r.set {
		if schema.Below(k, key) {
			return true
		}
	}
	return false
}

// Origin returns where key was set last, "file config.json:12", "env SLUICE_X" or "flag --x". "" = it has its default.
func (r *Report) Origin(key string) string { return r.set[key].String() }

// Decoded returns the configuration as far as it could be decoded, also if Load failed: options that are wrong have their
// defaults, or what a weaker source gave. It is for further checks only, so that all that is wrong is told at once. Nil if the
// file could not be read.
func (r *Report) Decoded() *schema.Config { return r.decoded }

// Written returns how key is written where it was set: its flat key, or key itself.
func (r *Report) Written(key string) string {
	if w := r.set[key].Written; w != "" {
		return w
	}
	return key
}

// Of returns where key was set last, the zero Origin if it has its default.
func (r *Report) Of(key string) Origin { return r.set[key] }

// Profile is what edge.profile did. Its options are texts: the key, the value and, of those that were set elsewhere, where.
type Profile struct {
	Name      string
	Set, Kept []string
}

// String returns what the profile did, in one line.
func (p *Profile) String() string {
	text := p.Name + " sets "
	if len(p.Set) == 0 {
		text += "nothing"
	}
	text += strings.Join(p.Set, ", ")
	if len(p.Kept) > 0 {
		text += "; as set elsewhere: " + strings.Join(p.Kept, ", ")
	}
	return text
}

// Profile returns what edge.profile did, nil without one.
func (r *Report) Profile() *Profile { return r.profile }

// SetProfile is for the loader.
func (r *Report) SetProfile(p *Profile) { r.profile = p }

// Keys returns all keys that were set, in no order.
func (r *Report) Keys() []string {
	keys := make([]string, 0, len(r.set))
	for key := range r.set {
		keys = append(keys, key)
	}
	return keys
}

// Set notes where key was set. For the loader, as are SetDecoded and Forget.
func (r *Report) Set(key string, from Origin) {
	r.set[key] = from
	delete(r.spoilt, key)
}

// SetDecoded keeps what Decoded returns.
func (r *Report) SetDecoded(c *schema.Config) { r.decoded = c }

// Forget takes back that keys below key were set.
func (r *Report) Forget(key string) {
	for k := range r.set {
		if schema.Below(k, key) {
			delete(r.set, k)
		}
	}
}

// Add notes a finding, without what it must not show.
func (r *Report) Add(f Finding) {
	f.Key, f.Detail, f.Suggestion = problem.MaskUserinfo(f.Key), problem.WithoutUserinfo(f.Detail), problem.WithoutUserinfo(f.Suggestion)
	r.Findings = append(r.Findings, f)
	if f.Kind != KindDeprecated {
		r.Warnings = append(r.Warnings, f.String())
	}
}

// KeyError is one thing that is wrong with the configuration. Load joins them with errors.Join.
type KeyError struct {
	Origin  string // where it stands, with the line, or "" when the option has its default
	Key     string // dotted, or "" when the source as a whole cannot be read
	Written string // the flat key that it was written as, or ""
	Detail  string // the value, what is wrong with it, and what is allowed
}

// Error returns "config: <origin>: <key> (written as <written>): <detail>".
func (e *KeyError) Error() string {
	key := e.Key
	if e.Written != "" {
		key += " (written as " + e.Written + ")"
	}
	parts := []string{"config", e.Origin, key, e.Detail}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ": ")
}

// NewKeyError returns the error without what it must not show.
func NewKeyError(at source.Place, key, written, detail string) *KeyError {
	return &KeyError{
		Origin: at.String(), Key: problem.MaskUserinfo(key), Written: problem.MaskUserinfo(written), Detail: problem.WithoutUserinfo(detail),
	}
}

// SumUpDeprecated adds one warning for all deprecated keys of a source, so that an old file does not fill the log.
func (r *Report) SumUpDeprecated() {
	type group struct {
		first Finding
		n     int
	}
	groups := map[string]*group{}
	var order []string
	for _, f := range r.Findings {
		if f.Kind != KindDeprecated {
			continue
		}
		source, _, _ := strings.Cut(f.Origin, " ")
		if groups[source] == nil {
			groups[source] = &group{first: f}
			order = append(order, source)
		}
		groups[source].n++
	}
	for _, source := range order {
		g := groups[source]
		text := g.first.String()
		if g.n > 1 {
			text += fmt.Sprintf(" (and %d more like it; checkconfig names them all)", g.n-1)
		}
		r.Warnings = append(r.Warnings, text)
	}
}
