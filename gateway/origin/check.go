package origin

import (
	"errors"

	"github.com/gobwas/glob"

	"sluice/gateway/problem"
)

// Check returns what is wrong with patterns, the list client.allowed_origins.
// ambient is the option with which a browser's own credentials say who the user
// is, "" without one: then pages of just anybody must not connect. Authorization
// is none of these: tokens that pages send are there as well, and what browsers
// add is not passed on for pages of just anybody.
func Check(patterns []string, ambient string) problem.List {
	var l problem.List
	for _, p := range patterns {
		_, err := compile(p)
		never, example := Never(p), Open(p)
		switch {
		case err != nil:
			hint := ""
			if never != "" {
				hint = "; it " + never
			}
			l.Fail("", "%q is not a pattern (%v): allowed * ? [abc] [a-z] [!x] {a,b} and \\ in front of a character meant as such%s", p, err, hint)
		case never != "":
			l.Note("", problem.Unusable, "%q %s", p, never)
		case example == "":
		case ambient != "":
			l.Fail("", "%q lets pages of anybody in (%s), and with %s a browser says who the user is whichever page asks: allowed origins whose owner is named, "+
				"such as \"https://app.example.com\" or \"https://*.example.com\"; or let clients send a token in the connect request", p, example, ambient)
		case p == "null": // of a page in a file, or in a frame: somebody wanted that
		case everyOrigin(patterns):
			l.Note("", problem.Advice, `["*"] lets the pages of every site connect`)
		default:
			l.Note("", problem.Advice, "%q lets pages of anybody connect: %s", p, example)
		}
	}
	return l
}

// everyOrigin reports whether patterns are the list that allows every origin.
func everyOrigin(patterns []string) bool { return len(patterns) == 1 && patterns[0] == "*" }

// compile reads a pattern. Why recover: it is the operator's text, and a panic of
// the library on an odd one must not stop the program without naming it.
func compile(pattern string) (p *glob.Pattern, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("malformed")
		}
	}()
	// Why no separators: '*' has to match '.', '/' and ':' too.
	return glob.Compile(pattern)
}
