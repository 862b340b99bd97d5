package auth

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// endpointURL is client.token.jwks_public_endpoint: a URL with {{name}} in
// places that named groups of issuer_regex and audience_regex fill (PROTOCOL
// 4.2). It is immutable.
type endpointURL struct {
	text string
	// Text and names in turn, text first and last.
	parts []string
	// authority is how many of the names lie before the path.
	authority        int
	issuer, audience *regexp.Regexp
}

var placeholder = regexp.MustCompile(`\{\{\s*([^{}\s]*)\s*\}\}`)

// newEndpointURL returns that of options that were checked.
func newEndpointURL(text string, r *claimRules) *endpointURL {
	t := &endpointURL{text: text, issuer: r.issuerRegex, audience: r.audienceRegex}
	_, rest, _ := strings.Cut(text, "://")
	end := len(text)
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		end = len(text) - len(rest) + i
	}
	at := 0
	for _, m := range placeholder.FindAllStringSubmatchIndex(text, -1) {
		t.parts = append(t.parts, text[at:m[0]], text[m[2]:m[3]])
		if at = m[1]; at <= end {
			t.authority++
		}
	}
	t.parts = append(t.parts, text[at:])
	return t
}

// fixed reports whether there is nothing to fill in.
func (t *endpointURL) fixed() bool { return len(t.parts) == 1 }

// of returns the URL for a token. What fills it comes from claims that nobody
// has verified yet: it must neither change the host, beyond the labels that the
// operator left open, nor climb out of the path.
func (t *endpointURL) of(q *keyQuery) (string, error) {
	if t.fixed() {
		return t.text, nil
	}
	groups := make(map[string]string)
	collect(groups, t.issuer, q.issuer)
	collect(groups, t.audience, q.audience...)
	var b strings.Builder
	for i, part := range t.parts {
		if i%2 == 0 {
			b.WriteString(part)
			continue
		}
		value := groups[part]
		inHost := i/2 < t.authority
		if strings.ContainsFunc(value, notInPath) || inHost && (value == "" || strings.ContainsFunc(value, notInHost)) {
			return "", fmt.Errorf("group %q: %q cannot be a part of the key server's URL", part, value)
		}
		b.WriteString(value)
	}
	u, err := url.Parse(b.String())
	if err != nil {
		return "", errors.New("the claims make no URL of a key server")
	}
	if slices.Contains(strings.Split(u.Path, "/"), "..") {
		return "", errors.New(`the claims make a key server's path with ".."`)
	}
	return b.String(), nil
}

// collect adds the named groups of the first value that matches.
func collect(groups map[string]string, re *regexp.Regexp, values ...string) {
	if re == nil {
		return
	}
	for _, v := range values {
		match := re.FindStringSubmatch(v)
		if match == nil {
			continue
		}
		for i, name := range re.SubexpNames() {
			if name != "" {
				groups[name] = match[i]
			}
		}
		return
	}
}

func notInPath(r rune) bool { return r <= ' ' || r > '~' || r == '\\' }

func notInHost(r rune) bool {
	return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '-' && r != '.'
}
