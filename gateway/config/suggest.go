package config

import (
	"cmp"
	"slices"
	"strings"

	"sluice/gateway/config/schema"
)

// suggestion is what was probably meant by something unknown.
type suggestion struct {
	key string // what to write instead, "" = no idea
	why string // what is wrong with what was written, if that can be told
}

// suggestKey returns what was probably meant by an unknown key of section s at path.
func suggestKey(path, name string, s *schema.Section) suggestion {
	if first, rest, dotted := strings.Cut(name, "."); dotted && s.ByName[first] != nil {
		return suggestion{key: `"` + first + `": {"` + rest + `": ...}`, why: "a dot does not nest"}
	}
	if now := flatChannelNames[name]; now != "" && s.ByName["history_size"] != nil {
		return suggestion{key: schema.Join(path, now), why: "a name of version 5"}
	}
	if path == "" || s.ByName["history_size"] != nil {
		if older, is := suggestOlder(path, strings.ToLower(name)); is {
			return older
		}
	}
	if meant := known(path, name); meant != (suggestion{}) {
		return meant
	}
	if path == "" {
		if key := suffixKey(strings.NewReplacer(".", "_", "-", "_").Replace(name)); key != "" {
			return suggestion{key: key}
		}
	}
	names := make([]string, 0, len(s.Fields))
	for _, f := range s.Fields {
		names = append(names, f.Name)
	}
	if path == "" {
		// Why not what it is a part of: flat names begin with the name of a section.
		return suggestion{key: cmp.Or(nearest(name, names), nearestFlat(name), spread(name), eitherOf(partOf(name, names), nil))}
	}
	if best := meant(name, names); len(best) > 0 {
		return suggestion{key: eitherOf(best, func(name string) string { return schema.Join(path, name) })}
	}
	if best := deeper(path, name); len(best) > 0 {
		return suggestion{key: eitherOf(best, nil)}
	}
	if strings.Contains(name, "_") { // a flat name, one section too deep
		return suggestion{key: cmp.Or(suffixKey(name), spread(schema.Join(path, name)))}
	}
	return suggestion{}
}

// deeper returns the options somewhere in the section at path whose last name was most likely meant.
func deeper(path, name string) []string {
	byName := map[string]string{}
	var names []string
	for _, o := range allOptions() {
		if o.InObject || !schema.Below(o.Key, path) {
			continue
		}
		last := o.Key[strings.LastIndexByte(o.Key, '.')+1:]
		if byName[last] == "" {
			byName[last] = o.Key
			names = append(names, last)
		}
	}
	if byName[name] != "" {
		return []string{byName[name]}
	}
	keys := partOf(name, names)
	for i, last := range keys {
		keys[i] = byName[last]
	}
	return keys
}

// suggestFlag is suggestKey for a dotted key.
func suggestFlag(key string) suggestion {
	if older, is := suggestOlder("", key); is {
		return older
	}
	if best := suffixKey(strings.NewReplacer(".", "_", "-", "_").Replace(key)); best != "" {
		return suggestion{key: best}
	}
	var keys []string
	for _, o := range allOptions() {
		if !o.InObject {
			keys = append(keys, o.Key)
		}
	}
	if best := meant(key, keys); len(best) > 0 {
		return suggestion{key: eitherOf(best, nil)}
	}
	return suggestion{key: cmp.Or(nearestFlat(key), spread(key))}
}

// suggestEnv is suggestKey for the name of a variable after its prefix.
func suggestEnv(prefix, name string) suggestion {
	if older, is := suggestOlder("", strings.ToLower(name)); is {
		if older.key != "" {
			older.key = prefix + schema.EnvName("", strings.ReplaceAll(older.key, ".", "_"))
		}
		return older
	}
	if key := suffixKey(strings.ToLower(name)); key != "" {
		return suggestion{key: prefix + schema.EnvName("", strings.ReplaceAll(key, ".", "_"))}
	}
	var names []string
	for _, o := range allOptions() {
		if o.Env != "" && !o.InObject {
			names = append(names, strings.TrimPrefix(o.Env, schema.EnvPrefixes[0]))
		}
	}
	if best := meant(name, names); len(best) > 0 {
		return suggestion{key: eitherOf(best, func(name string) string { return prefix + name })}
	}
	keys := flatMeant(strings.ToLower(name))
	if key := spread(strings.ToLower(name)); len(keys) == 0 && key != "" {
		keys = []string{key}
	}
	return suggestion{key: eitherOf(keys, func(key string) string { return prefix + schema.EnvName("", strings.ReplaceAll(key, ".", "_")) })}
}

// nearestFlat returns the options that flat keys became which s is near to, or "".
func nearestFlat(s string) string { return eitherOf(flatMeant(s), nil) }

func flatMeant(s string) []string {
	names := make([]string, 0, len(flatTable))
	for _, k := range flatTable {
		if f, _ := schema.FindOption(k.to[0]); f != nil {
			names = append(names, k.name)
		}
	}
	keys := meant(s, names)
	for i, name := range keys {
		keys[i] = flatByName()[name].to[0]
	}
	return keys
}

// suffixKey finds the option that flat, an older name with _ between its words, most likely became: the shortest key
// that ends with it. That covers most flat names of versions 4 and 5, token_hmac_secret_key for example.
func suffixKey(flat string) string {
	best := ""
	for _, o := range allOptions() {
		name := strings.ReplaceAll(o.Key, ".", "_")
		if o.InObject || name != flat && !strings.HasSuffix(name, "_"+flat) {
			continue
		}
		if best == "" || len(o.Key) < len(best) {
			best = o.Key
		}
	}
	return best
}

// nearest returns the name with the least edit distance from s, "" if none is near.
func nearest(s string, names []string) string {
	best, least := "", max(1, len(s)/4)+1
	for _, name := range names {
		if abs(len(name)-len(s)) >= least {
			continue
		}
		if d := distance(s, name); d < least {
			best, least = name, d
		}
	}
	return best
}

func abs(i int) int { return max(i, -i) }

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
