package proxy

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"sluice/gateway/auth"
	"sluice/gateway/problem"
)

// userAgent is what the reference's HTTP client calls itself; backends may
// look for it.
const userAgent = "Go-http-client/1.1"

// ours are the names of headers that belong to the call and not to the client:
// they are sent as the HTTP client needs them, whatever the configuration says.
var ours = map[string]bool{
	"host": true, "content-length": true, "content-type": true, "content-encoding": true, "transfer-encoding": true,
	"connection": true, "keep-alive": true, "proxy-connection": true, "te": true, "trailer": true, "upgrade": true,
	"expect": true, "accept-encoding": true,
}

// headerRules say which headers a call carries (PROTOCOL 8.1). They are
// immutable.
type headerRules struct {
	static http.Header
	// By name in lower case, what the header is called in the call.
	client, emulated map[string]string
}

func newHeaderRules(o *HookOptions) headerRules {
	r := headerRules{static: make(http.Header), client: canonical(o.HTTPHeaders), emulated: canonical(o.EmulatedHeaders)}
	r.static.Set("User-Agent", userAgent)
	// Why sorted: of names that differ in case only, always the same one wins.
	for _, name := range slices.Sorted(maps.Keys(o.StaticHeaders)) {
		if !ours[strings.ToLower(name)] {
			r.static.Set(name, o.StaticHeaders[name])
		}
	}
	r.static.Set("Content-Type", "application/json")
	return r
}

func canonical(names []string) map[string]string {
	out := make(map[string]string, len(names))
	for _, name := range names {
		if lower := strings.ToLower(name); problem.IsToken(name) && !ours[lower] {
			out[lower] = http.CanonicalHeaderKey(name)
		}
	}
	return out
}

// wanted returns what a header of a client is called in the call, if it is
// passed on. Names of emulated headers may be anything.
func (r *headerRules) wanted(h *auth.Header) (name string, ok bool) {
	if !problem.IsToken(h.Name) || !isFieldValue(h.Value) {
		return "", false
	}
	if h.Emulated {
		name, ok = r.emulated[strings.ToLower(h.Name)]
	} else {
		name, ok = r.client[strings.ToLower(h.Name)]
	}
	return name, ok
}

// header returns the headers of a call: static ones, those that the client
// emulated, and those that it sent; of one name the later win.
func (r *headerRules) header(given []auth.Header) http.Header {
	out := r.static.Clone()
	for i := range given {
		if name, ok := r.wanted(&given[i]); ok && given[i].Emulated {
			out[name] = []string{given[i].Value}
		}
	}
	sent := make(map[string]bool)
	for i := range given {
		name, ok := r.wanted(&given[i])
		if !ok || given[i].Emulated {
			continue
		}
		if !sent[name] {
			sent[name] = true
			out.Del(name)
		}
		out[name] = append(out[name], given[i].Value)
	}
	return out
}

// pick returns a copy of those headers that are passed on.
func (r *headerRules) pick(all []auth.Header) []auth.Header {
	var out []auth.Header
	for i := range all {
		if _, ok := r.wanted(&all[i]); ok {
			h := all[i]
			h.Name, h.Value = strings.Clone(h.Name), strings.Clone(h.Value)
			out = append(out, h)
		}
	}
	return out
}
