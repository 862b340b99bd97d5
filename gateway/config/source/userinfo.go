package source

import (
	"regexp"
	"strings"
)

// An address may carry a user and a password, and may stand where none is expected: in the key of a host, of a pattern, of
// a path. So no text of this package shows what precedes an @, whatever the option.

// Hidden stands for what is not shown.
const Hidden = "(hidden)"

// quotedText matches the values in a text: in double quotes as %q writes them, or in back quotes as errors of package
// regexp do.
var quotedText = regexp.MustCompile("\"(?:[^\"\\\\]|\\\\.)*\"|`[^`]*`")

// WithoutUserinfo returns text without users and passwords in the values that it quotes.
func WithoutUserinfo(text string) string {
	if !strings.Contains(text, "@") {
		return text
	}
	return quotedText.ReplaceAllStringFunc(text, func(quoted string) string {
		end := len(quoted) - 1
		return quoted[:1] + MaskUserinfo(quoted[1:end]) + quoted[end:]
	})
}

// MaskUserinfo hides what precedes the last @ of s, but for a scheme. Why the last: a password may hold others, and a value
// several addresses.
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
