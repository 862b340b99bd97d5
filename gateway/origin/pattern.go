package origin

import (
	"net/netip"
	"strings"

	"github.com/gobwas/glob/syntax"
	"golang.org/x/net/publicsuffix"
)

// This file tells operators of patterns that do not mean what they look like.
// A pattern is judged by examples: strings that it matches, with a few texts of
// every kind in the place of each wildcard.

// Open returns an example of an origin that a pattern allows although its owner
// can be anybody: "https://*" allows https://evil.example.net, "https://*app.com"
// allows https://xapp.com, and "null" is what every page can make itself. It
// returns "" for patterns that name the owner of all that they match, down to
// what somebody can register, and for those that are no patterns.
func Open(pattern string) string {
	if pattern == "null" {
		return pattern
	}
	if pattern == "" || strings.Trim(pattern, "*") == "" && pattern != "" {
		return anybody(pattern)
	}
	found := ""
	judged := examples(pattern, func(e example) bool {
		if e.ownerIsFree() && (found == "" || len(e.text) < len(found) || strings.HasSuffix(string(e.text), stranger)) {
			found = string(e.text)
		}
		return !strings.HasSuffix(found, stranger)
	})
	if _, err := compile(pattern); found == "" && !judged && err == nil {
		return tooMany
	}
	return found
}

// tooMany is what Open says of a pattern that it cannot judge.
const tooMany = "more origins than can be told, with so many wildcards"

func anybody(pattern string) string {
	if pattern == "" {
		return ""
	}
	return "https://" + stranger
}

// stranger is a host that nobody means.
const stranger = "evil.example.net"

// Never returns why no browser sends an Origin that a pattern matches, with what
// to write instead; "" if one may. Of what is no pattern it knows what looks like
// JSON.
func Never(pattern string) string {
	if _, err := compile(pattern); err != nil {
		if strings.ContainsAny(pattern, quotes) {
			return mistake(pattern)
		}
		return ""
	}
	sent, judged := pattern == "null", false
	if !sent && pattern != "" {
		judged = examples(pattern, func(e example) bool {
			sent = sent || e.isOrigin()
			return !sent
		})
	}
	if sent || !judged && pattern != "" {
		return ""
	}
	return mistake(pattern)
}

const quotes = `"'`

// mistake names the most likely one in a pattern that never matches, with what
// to write if that can be told: what is advised is an origin that a browser may
// send, however many mistakes there were.
func mistake(p string) string {
	why, better := firstMistake(p)
	for range 5 {
		if better == "" || Never(better) == "" {
			break
		}
		if _, next := firstMistake(better); next != better {
			better = next
		} else {
			better = ""
		}
	}
	if better != "" && Never(better) == "" {
		return why + ": write " + better
	}
	return why
}

// firstMistake returns what is wrong with a pattern, and the pattern without
// that, "" if it cannot be told.
func firstMistake(p string) (why, better string) {
	scheme, rest, hasScheme := strings.Cut(p, "://")
	host, port, _ := strings.Cut(rest, ":")
	written, behind := almostScheme(p)
	switch {
	case strings.TrimSpace(p) == "":
		return "is empty: name an origin such as https://app.example.com, or leave it out", ""
	case strings.ContainsAny(p, quotes):
		return `looks like JSON or has quotation marks in it: in a variable or a flag write the origins separated by spaces, without brackets and quotation marks`, ""
	case strings.Contains(p, "@"): // first of all: what is before it may be a secret, and is not repeated
		return "has a user name, but an origin is only scheme://host:port", ""
	case p != strings.TrimSpace(p):
		return "has spaces around it", strings.TrimSpace(p)
	case strings.ContainsAny(p, ", ;\t"):
		return "looks like several origins in one: make each an entry of its own; in a variable or a flag separate them by spaces", ""
	case p != strings.ToLower(p):
		return "never matches, since origins are compared in lower case", strings.ToLower(p)
	case strings.ContainsFunc(p, func(r rune) bool { return r > '~' }):
		return "has characters beyond ASCII: write the name as browsers send it, in Punycode (xn--…)", ""
	case !hasScheme && written != "":
		return "has no :// behind the scheme", written + "://" + behind
	case !hasScheme && strings.HasPrefix(p, ":"):
		return "has no scheme", "https://" + strings.TrimLeft(p, ":/")
	case !hasScheme:
		return "has no scheme", "https://" + strings.TrimLeft(p, "/")
	case scheme == "ws" || scheme == "wss":
		return "has the scheme of a WebSocket, but an origin is that of the page", strings.Replace(scheme, "ws", "http", 1) + "://" + rest
	case scheme == "":
		return "has no scheme", "https://" + rest
	case strings.HasPrefix(rest, "/"):
		return "has more than two slashes behind the scheme", scheme + "://" + strings.TrimLeft(rest, "/")
	case strings.HasPrefix(rest, "["):
		return `has [ and ], which enclose a set of characters: write \[ and \]`, ""
	case strings.ContainsAny(rest, "/"):
		return "has a path, but an origin ends behind host and port", scheme + "://" + rest[:strings.IndexByte(rest, '/')]
	case scheme == "https" && port == "443" || scheme == "http" && port == "80":
		return "has the default port, which browsers leave out", scheme + "://" + host
	}
	return "matches nothing that a browser sends, scheme://host or scheme://host:port in lower case", ""
}

// almostScheme splits what begins with the scheme of a page and has something
// else than :// behind it: "http//a.example", "https:/a.example".
func almostScheme(p string) (scheme, rest string) {
	for _, scheme := range []string{"https", "http", "wss", "ws"} {
		if rest, ok := strings.CutPrefix(p, scheme); ok && rest != "" && (rest[0] == ':' || rest[0] == '/') {
			return scheme, strings.TrimLeft(rest, ":/")
		}
	}
	return "", ""
}

// maxExamples bounds the examples of one pattern. Who needs more is not judged.
const maxExamples = 1 << 15

// Texts in the place of wildcards. fewer is for patterns with many of them.
var (
	any1 = []string{"x", "1", "-", ".", ":", "/", "s", "h"}
	anyN = []string{
		"", stranger, "." + stranger, "https://" + stranger, "x", "x.y", "1", ".", "s", "https", "http", "://", "//", ":", ":1",
		"https://", "https:/", "https:", "https://x", "https://x.", "10.1.1.1", "1.1", "[::1]",
		"ttps://" + stranger, "tps://" + stranger, "ps://" + stranger, "s://" + stranger, "://" + stranger,
	}
	fewer = []string{"", "x", stranger, "." + stranger, "https", "1"}
)

// example is a string that a pattern matches. free says of each byte that a
// wildcard stands for it.
type example struct {
	text []byte
	free []bool
}

func (e example) plus(text string, free bool) example {
	out := example{append(e.text[:len(e.text):len(e.text)], text...), append([]bool{}, e.free...)}
	for range len(text) {
		out.free = append(out.free, free)
	}
	return out
}

// examples calls yield with strings that a pattern matches, until it returns
// false. It reports whether these were all kinds there are: not for what is no
// pattern, or one with too many wildcards.
func examples(pattern string, yield func(example) bool) bool {
	compiled, err := compile(pattern)
	if err != nil {
		return false
	}
	x := expansion{lexer: syntax.NewLexer(pattern), any1: any1, anyN: anyN}
	if strings.Count(pattern, "*") > 3 {
		x.anyN = fewer
	}
	if strings.ContainsAny(pattern, "*") && strings.Count(pattern, "?") > 1 || strings.Count(pattern, "?") > 3 {
		x.any1 = any1[:1]
	}
	for _, e := range x.alternatives() {
		if compiled.Match(string(e.text)) && !yield(e) {
			break
		}
	}
	return !x.over
}

type expansion struct {
	lexer      *syntax.Lexer
	any1, anyN []string
	over       bool // there were too many
}

// alternatives reads up to the end of a group, or of the pattern.
func (x *expansion) alternatives() []example {
	done, now, wild := []example(nil), []example{{}}, false
	for !x.over {
		t := x.lexer.Next()
		wasWild := wild
		wild = t.Type == syntax.Any || t.Type == syntax.Super
		switch t.Type {
		case syntax.Text:
			now = x.each(now, []string{t.Data}, false)
		case syntax.Any, syntax.Super:
			if !wasWild {
				now = x.each(now, x.anyN, true)
			}
		case syntax.Single:
			now = x.each(now, x.any1, true)
		case syntax.RangeOpen:
			now = x.each(now, x.class(), true)
		case syntax.TermsOpen:
			now = x.join(now, x.alternatives())
		case syntax.TermSeparator:
			done, now = append(done, now...), []example{{}}
		default: // the end of the group, or of all
			return append(done, now...)
		}
	}
	return nil
}

// class reads a set of characters and returns some that may be in it; whether
// they are the match decides.
func (x *expansion) class() []string {
	var out []string
	for t := x.lexer.Next(); t.Type != syntax.RangeClose && t.Type != syntax.EOF && t.Type != syntax.Error; t = x.lexer.Next() {
		switch t.Type {
		case syntax.Text:
			for i, r := range t.Data {
				if i < len(any1) {
					out = append(out, string(r))
				}
			}
		case syntax.RangeLo, syntax.RangeHi:
			out = append(out, t.Data)
		case syntax.Not:
			return append(out, x.rest()...)
		}
	}
	return out
}

// rest skips the rest of a negated set.
func (x *expansion) rest() []string {
	for t := x.lexer.Next(); t.Type != syntax.RangeClose && t.Type != syntax.EOF && t.Type != syntax.Error; t = x.lexer.Next() {
	}
	return any1
}

// each puts every one of the texts behind every example.
func (x *expansion) each(now []example, texts []string, free bool) []example {
	behind := make([]example, 0, len(texts))
	for _, text := range texts {
		behind = append(behind, example{}.plus(text, free))
	}
	return x.join(now, behind)
}

// join puts every example of one list behind every one of another.
func (x *expansion) join(now, behind []example) []example {
	var out []example
	for _, e := range now {
		for _, b := range behind {
			if len(out) >= maxExamples {
				x.over = true
				return out
			}
			joined := e.plus(string(b.text), false)
			copy(joined.free[len(e.free):], b.free)
			out = append(out, joined)
		}
	}
	return out
}

// isOrigin reports whether a browser may send an example as Origin.
func (e example) isOrigin() bool {
	_, _, ok := e.host()
	return ok
}

// host returns where the host of an origin begins and ends (WHATWG HTML section
// 7.1.1, RFC 6454 section 6.2).
func (e example) host() (start, end int, ok bool) {
	text := string(e.text)
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok || !isScheme(scheme) || strings.ContainsAny(rest, "/?#@\\ \"'<>,;*{}|") || rest != strings.ToLower(rest) || !Printable(rest) {
		return 0, 0, false
	}
	start = len(scheme) + len("://")
	if scheme != "https" && scheme != "http" {
		return start, len(text), scheme != "ws" && scheme != "wss" // of an app: its names are its own
	}
	host := rest
	if colon := strings.LastIndexByte(rest, ':'); colon >= 0 && !strings.HasSuffix(rest, "]") {
		host = rest[:colon]
		if !isPort(rest[colon+1:], scheme) {
			return 0, 0, false
		}
	}
	return start, start + len(host), isHost(host)
}

// Plain reports whether an origin is of http or https with a name or an IPv4
// address, as browsers write it: then it is a pattern for itself, and nothing in it
// means anything to a shell.
func Plain(value string) bool {
	e := example{text: []byte(value)}
	_, _, ok := e.host()
	return ok && (strings.HasPrefix(value, "http://") || strings.HasPrefix(value, "https://")) && !strings.ContainsAny(value, "[]")
}

func isScheme(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '+' && r != '-' && r != '.'
	}) < 0
}

func isPort(s, scheme string) bool {
	if s == "" || len(s) > 5 || len(s) == 5 && s > "65535" || s[0] == '0' || scheme == "https" && s == "443" || scheme == "http" && s == "80" {
		return false
	}
	return strings.Trim(s, "0123456789") == ""
}

func isHost(s string) bool {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		addr, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		return err == nil && addr.Is6() && strings.HasSuffix(inner, "]")
	}
	if isNumber(s[strings.LastIndexByte(s, '.')+1:]) { // then it is an address (WHATWG URL section 3.5)
		_, err := netip.ParseAddr(s)
		return err == nil
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// ownerIsFree reports whether a wildcard stands in what decides who owns an
// origin: the name that can be registered, or a public address.
func (e example) ownerIsFree() bool {
	start, end, ok := e.host()
	text := string(e.text)
	if !ok || !strings.HasPrefix(text, "http://") && !strings.HasPrefix(text, "https://") {
		return false
	}
	host := text[start:end]
	if addr, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		if addr.IsPrivate() || addr.IsLoopback() {
			return false
		}
	} else {
		start += len(host) - len(registrable(host))
	}
	for _, free := range e.free[start:end] {
		if free {
			return true
		}
	}
	return false
}

// registrable returns the end of a name that somebody registers as a whole, by
// the list of suffixes below which anybody can: com, co.uk, github.io. A name that
// is such a suffix itself is all of it.
func registrable(host string) string {
	name, err := publicsuffix.EffectiveTLDPlusOne(host)
	if err != nil {
		return host
	}
	return name
}
