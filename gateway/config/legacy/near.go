package legacy

import (
	"cmp"
	"slices"
	"strings"
)

// A wrong name is often near to a real one, or a part of one (client.token.hmac_secret), or has one in it
// (ping_interval_seconds), which the number of letters that differ does not show.

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

// nearest returns the name with the least edit distance from s, "" if none is near.
func nearest(s string, names []string) string {
	best, least := "", max(1, len(s)/4)+1
	for _, name := range names {
		if max(len(name)-len(s), len(s)-len(name)) >= least {
			continue
		}
		if d := distance(s, name); d < least {
			best, least = name, d
		}
	}
	return best
}

// distance counts the insertions, deletions, replacements and swaps of neighbours that turn a into b.
func distance(a, b string) int {
	width := len(b) + 1
	before, above, row := make([]int, width), make([]int, width), make([]int, width)
	for j := range above {
		above[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := slices.Min([]int{above[j] + 1, row[j-1] + 1, above[j-1] + cost})
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, before[j-2]+1)
			}
			row[j] = d
		}
		before, above, row = above, row, before
	}
	return above[len(b)]
}
