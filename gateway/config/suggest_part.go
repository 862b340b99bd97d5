package config

import (
	"cmp"
	"slices"
	"strings"

	"sluice/gateway/config/schema"
)

// A wrong name is often a part of a real one (client.token.hmac_secret), or has a real one in it (ping_interval_seconds). The
// number of letters that differ does not show that.

const (
	// minPart is the length from which a name says something about a longer one.
	minPart = 3
	// maxMeant is how many names are offered. More begin with the same letters where a section was named.
	maxMeant = 3
)

// meant returns the names that s most likely stands for: the nearest one, or else those that it is a part of.
func meant(s string, names []string) []string {
	if best := nearest(s, names); best != "" {
		return []string{best}
	}
	return partOf(s, names)
}

// partOf returns the names that begin with s, those that go on with a new word first, or else the longest that s begins
// with. A dot is not passed: a section is not a part of its options.
func partOf(s string, names []string) []string {
	if len(s) < minPart {
		return nil
	}
	var words, letters []string
	longest := ""
	for _, name := range names {
		rest, longer := strings.CutPrefix(name, s)
		switch more, shorter := strings.CutPrefix(s, name); {
		case longer && rest != "" && !strings.Contains(rest, "."):
			letters = append(letters, name)
			if rest[0] == '_' {
				words = append(words, name)
			}
		case shorter && len(name) >= minPart && len(name) > len(longest) && strings.HasPrefix(more, "_") && !strings.Contains(more, "."):
			longest = name
		}
	}
	for _, found := range [][]string{words, letters} {
		slices.SortFunc(found, func(a, b string) int { return cmp.Or(len(a)-len(b), strings.Compare(a, b)) })
		if found = slices.Compact(found); len(found) > 0 && len(found) <= maxMeant {
			return found
		}
	}
	if longest != "" && len(words) == 0 {
		return []string{longest}
	}
	return nil
}

// plurals are names of a section as people have them in mind.
var plurals = map[string]string{"channels": "channel", "namespace": schema.NamespacesKey}

// known returns what a name that somebody else uses is here.
func known(path, name string) suggestion {
	if path != "" {
		return suggestion{}
	}
	if now := plurals[name]; now != "" {
		return suggestion{key: now}
	}
	if lacked := nearestLacked(name); lacked != "" {
		return suggestion{why: lacked + ", if that was meant, is not supported"}
	}
	return suggestion{}
}

// nearestLacked returns the flat key of a part that we lack which s is near to, unless it is nearer to one of ours.
func nearestLacked(s string) string {
	var names []string
	for _, k := range flatTable {
		names = append(names, k.name)
	}
	best := nearest(s, names)
	if best == "" {
		return ""
	}
	if f, _ := schema.FindOption(flatByName()[best].to[0]); f != nil {
		return ""
	}
	return best
}

// spread returns the option that has all words of s in their order, the first and the last in their place, and one word more:
// http_port is http_server.port. "" if there is none, or more than one.
func spread(s string) string {
	split := func(s string) []string {
		return strings.FieldsFunc(s, func(r rune) bool { return r == '_' || r == '.' || r == '-' })
	}
	words, found := split(s), ""
	if len(words) < 2 {
		return ""
	}
	for _, o := range allOptions() {
		in := split(o.Key)
		if o.InObject || len(in) != len(words)+1 || in[0] != words[0] {
			continue
		}
		for i := 1; i < len(in)-1; i++ {
			if slices.Equal(slices.Delete(slices.Clone(in), i, i+1), words) {
				if found != "" && found != o.Key {
					return ""
				}
				found = o.Key
			}
		}
	}
	return found
}

// eitherOf joins names for a question; spell, unless nil, changes each.
func eitherOf(names []string, spell func(string) string) string {
	spelt := slices.Clone(names)
	for i := range spelt {
		if spell != nil {
			spelt[i] = spell(spelt[i])
		}
	}
	return strings.Join(spelt, " or ")
}
