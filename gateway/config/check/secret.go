package check

import (
	"reflect"
	"regexp"
	"strings"
	"unicode"

	"sluice/gateway/config/schema"
	"sluice/gateway/problem"
)

// This file tells of secrets that others know: too short, or copied as they stand in a guide.

const (
	// minHMACKey is how many bytes an HMAC key has at the least: as many as the
	// smallest hash, that of HS256 (RFC 7518 section 3.2).
	minHMACKey = 32
	// minAPIKey is how many bytes an API key has at the least: 16 random letters and digits cannot be tried out over a network.
	minAPIKey = 16
)

func (v *checker) secrets() {
	told := map[string]bool{}
	v.placeholders(schema.Root, "", reflect.ValueOf(v.c).Elem(), told)
	short := func(key, secret, advice string, least int) {
		if n := len(secret); n > 0 && n < least && !told[key] {
			v.Note(key, problem.Weak, "%d bytes: "+advice, n, least)
		}
	}
	const token = "whoever has a token can guess it; use %d or more that are random, 64 for HS512"
	short("client.token.hmac_secret_key", v.c.Client.Token.HMACSecretKey, token, minHMACKey)
	short("client.token.hmac_previous_secret_key", v.c.Client.Token.HMACPreviousSecretKey, token, minHMACKey)
	if !v.c.HTTPAPI.Disabled {
		short("http_api.key", v.c.HTTPAPI.Key, "whoever reaches the API can guess it; use %d or more that are random", minAPIKey)
	}
	shortConsole(&v.c.Admin, short)
}

// placeholders notes the secrets below value, a struct of s, that a guide put there for another, and which ones in told.
func (v *checker) placeholders(s *schema.Section, path string, value reflect.Value, told map[string]bool) {
	for _, f := range s.Fields {
		key, inner := schema.Join(path, f.Name), value.FieldByIndex(f.Index)
		switch {
		case f.Kind == schema.KindSection:
			v.placeholders(f.Sub, key, inner, told)
		case f.Secret != schema.SecretAll || !v.sound(key):
		case f.Kind == schema.KindStringMap:
			for _, text := range inner.Interface().(map[string]string) {
				// Why no words: a header may well be named "test".
				if _, credentials, ok := strings.Cut(text, " "); isMarked(text) || ok && isMarked(credentials) {
					told[key] = true
				}
			}
		case f.Kind == schema.KindString:
			text := inner.String()
			told[key] = isMarked(text) || isTemplate(text) || isWords(text)
		}
		if told[key] {
			v.Note(key, problem.Weak, "a placeholder, or easy to guess: words as guides have them, or a mark of something to replace: use a value that is random, as `openssl rand -hex 32` prints one")
		}
	}
}

// isMarked reports whether text is marked as something to replace: "<api key>", "[key]", "…", "xxxx".
func isMarked(text string) bool {
	text = strings.TrimSpace(text)
	if text == "" {
		return false
	}
	return text[0] == '<' && text[len(text)-1] == '>' || text[0] == '[' && text[len(text)-1] == ']' || strings.Trim(text, "….-_*xX?# ") == ""
}

// isTemplate reports whether text is a variable that nothing replaced: "${KEY}", "$KEY", "{{ .key }}", "%KEY%".
func isTemplate(text string) bool { return template.MatchString(strings.TrimSpace(text)) }

var template = regexp.MustCompile(`^(\$\{.*\}|\$\(.*\)|\$[A-Za-z_]+|\{\{.*\}\}|%[A-Za-z_]+%|@[A-Za-z_]+@)$`)

// isWords reports whether text is made of nothing but the words that guides write in the place of a secret, with a few digits
// behind: "changeme", "your-secret-key", "My API key", "secret123". Why only whole: random text may hold any of them.
func isWords(text string) bool {
	letters := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, text)
	return guideWords.MatchString(letters)
}

var guideWords = regexp.MustCompile(`^(a|an|the|my|your|our|this|that|it|to|with|and|in|here|some|very|super|top|long|strong|random|secure|unsafe|insecure|` +
	`production|prod|dev|test|testing|demo|dummy|sample|example|default|placeholder|bytes?|chars?|characters|at|least|bit|bits|16|32|64|128|256|512|` +
	`change|changed|replace|replaceme|insert|enter|put|set|use|fill|edit|me|please|must|be|todo|fixme|tbd|none|null|undefined|` +
	`secret|secrets|key|keys|api|token|jwt|hmac|http|password|passphrase|passwd|pass|pwd|admin|root|user|value|string|text|` +
	`foo|bar|baz|abc|qwerty|letmein|centrifugo|centrifuge|sluice)+[0-9]{0,8}$`)
