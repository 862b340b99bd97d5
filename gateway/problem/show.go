package problem

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// Hidden stands for what must not be shown.
const Hidden = "(hidden)"

// mostShown is how much of a text is shown, in bytes.
const mostShown = 80

// Quote renders a text for people, shortened, and without what precedes an @.
func Quote(s string) string {
	s = MaskUserinfo(s)
	if len(s) > mostShown {
		return fmt.Sprintf("%q (shortened)", s[:mostShown])
	}
	return fmt.Sprintf("%q", s)
}

// StripURL returns an address without user, password, query and fragment, which
// may hold secrets; Hidden if they cannot be told.
func StripURL(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Opaque != "" || u.Scheme == "" && strings.Contains(s, "@") {
		return Hidden
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// URL is StripURL in quotes.
func URL(s string) string {
	stripped := StripURL(s)
	switch {
	case stripped != Hidden:
		return Quote(stripped)
	case strings.ContainsAny(s, "@?&="):
		return Hidden
	}
	return Quote(s)
}

// quotedText matches the values in a text: in double quotes as %q writes them,
// or in back quotes as errors of package regexp do.
var quotedText = regexp.MustCompile("\"(?:[^\"\\\\]|\\\\.)*\"|`[^`]*`")

// WithoutValues returns text without the values that it quotes.
func WithoutValues(text string) string { return quotedText.ReplaceAllLiteralString(text, Hidden) }

// WithoutUserinfo returns text without users and passwords in the values that it
// quotes. Why in every text: an address may stand where none is expected, in the
// option of a host, of a pattern, of a path.
func WithoutUserinfo(text string) string {
	if !strings.Contains(text, "@") {
		return text
	}
	return quotedText.ReplaceAllStringFunc(text, func(quoted string) string {
		end := len(quoted) - 1
		return quoted[:1] + MaskUserinfo(quoted[1:end]) + quoted[end:]
	})
}

// MaskUserinfo hides what precedes the last @ of s, but for a scheme. Why the
// last: a password may hold others, and a value several addresses.
func MaskUserinfo(s string) string {
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return s
	}
	start := 0
	if i := strings.Index(s[:at], "//"); i >= 0 {
		start = i + len("//")
	}
	return s[:start] + Hidden + s[at:]
}
