package legacy

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"sluice/gateway/config/schema"
)

// Suggestion is what was probably meant by something unknown.
type Suggestion struct {
	Key string // what to write instead, "" = no idea
	Why string // what is wrong with what was written, if that can be told
}

// older are names of version 3 and before, which are not read, and what means the same now, "" = nothing does. Why they are not
// left to likeness: recover is near to auto_cache_recover, and publish to delta_publish, and neither is what was meant.
var older = map[string]string{
	"secret":                           "client.token.hmac_secret_key",
	"client_anonymous":                 "client.allow_anonymous_connect_without_token",
	"v3_use_offset":                    "",
	"use_unlimited_history_by_default": "",
}

// olderChannel are those of the options of channels.
var olderChannel = map[string]string{
	"recover":                     "force_recovery",
	"history_recover":             "force_recovery",
	"history_lifetime":            "history_ttl",
	"position":                    "force_positioning",
	"anonymous":                   "allow_subscribe_for_anonymous",
	"publish":                     "",
	"subscribe_to_publish":        "",
	"protected":                   "",
	"server_side":                 "",
	"presence_disable_for_client": "",
	"history_disable_for_client":  "",
}

// suggestOlder suggests for names of version 3 and before at the top of a file, in variables and in flags; in the section of a
// namespace at path if that is not "".
func suggestOlder(path, name string) (s Suggestion, is bool) {
	now, is := olderChannel[name]
	switch {
	case !is && path == "":
		now, is = older[name]
	case is && now != "":
		now = schema.Join(cmp.Or(path, "channel.without_namespace"), now)
	}
	why := "a name of version 3"
	if now == "" {
		why += ", which nothing took the place of"
	}
	return Suggestion{now, why}, is
}

// plurals are names of a section as people have them in mind.
var plurals = map[string]string{"channels": "channel", "namespace": schema.NamespacesKey}

// SuggestKey returns what was probably meant by an unknown key of section s at path.
func SuggestKey(path, name string, s *schema.Section) Suggestion {
	isChannel := s.ByName["history_size"] != nil
	if first, rest, dotted := strings.Cut(name, "."); dotted && s.ByName[first] != nil {
		return Suggestion{`"` + first + `": {"` + rest + `": ...}`, "a dot does not nest"}
	}
	if now := channelNames[name]; now != "" && isChannel {
		return Suggestion{schema.Join(path, now), "a name of version 5"}
	}
	if path == "" || isChannel {
		if old, is := suggestOlder(path, strings.ToLower(name)); is {
			return old
		}
	}
	var siblings []string
	for _, f := range s.Fields {
		siblings = append(siblings, f.Name)
	}
	if path == "" {
		return suggestTop(name, siblings)
	}
	if best := meant(name, siblings); len(best) > 0 {
		return Suggestion{Key: eitherOf(best, func(name string) string { return schema.Join(path, name) })}
	}
	if best := deeper(path, name); len(best) > 0 {
		return Suggestion{Key: eitherOf(best, nil)}
	}
	if strings.Contains(name, "_") { // a flat name, one section too deep
		return Suggestion{Key: cmp.Or(ending(name), spread(schema.Join(path, name)))}
	}
	return Suggestion{}
}

// suggestTop is SuggestKey at the top of a file, where flat names may stand too.
func suggestTop(name string, sections []string) Suggestion {
	if now := plurals[name]; now != "" {
		return Suggestion{Key: now}
	}
	var old []string
	for _, n := range names() {
		old = append(old, n.old)
	}
	if best := nearest(name, old); best != "" {
		if schema.FindOption(byName()[best].to[0]) == nil {
			return Suggestion{Why: best + ", if that was meant, is not supported"}
		}
	}
	// Why not what it is a part of before the others: flat names begin with the name of a section.
	return Suggestion{Key: cmp.Or(ending(underscored(name)), nearest(name, sections), eitherOf(oldMeant(name), nil), spread(name),
		eitherOf(partOf(name, sections), nil))}
}

// SuggestFlag is SuggestKey for a dotted key.
func SuggestFlag(key string) Suggestion {
	return suggestOption(key, key, plainKeys(), func(key string) string { return key })
}

// SuggestEnv is SuggestKey for the name of a variable after its prefix.
func SuggestEnv(prefix, name string) Suggestion {
	spell := func(key string) string { return prefix + schema.EnvName(key) }
	var variables []string
	for _, key := range plainKeys() {
		variables = append(variables, schema.EnvName(key))
	}
	return suggestOption(strings.ToLower(name), name, variables, spell)
}

// suggestOption suggests an option for key, which is written in the source as the options are in all; spell does that.
func suggestOption(key, written string, all []string, spell func(key string) string) Suggestion {
	if old, is := suggestOlder("", key); is {
		if old.Key != "" {
			old.Key = spell(old.Key)
		}
		return old
	}
	if best := ending(underscored(key)); best != "" {
		return Suggestion{Key: spell(best)}
	}
	if best := meant(written, all); len(best) > 0 {
		return Suggestion{Key: eitherOf(best, func(s string) string { return spell("") + s })}
	}
	best := oldMeant(key)
	if one := spread(key); len(best) == 0 && one != "" {
		best = []string{one}
	}
	return Suggestion{Key: eitherOf(best, spell)}
}

// Suggest returns the key that a name most likely means, "" if none is near. Names of versions 4 and 5 are known.
func Suggest(name string) string {
	if key, ok := FlagKey(name); ok {
		return key
	}
	return SuggestFlag(name).Key
}

// Nearest returns the name that s was most likely meant to be, or two or three of them with "or" between, "" if none is near.
func Nearest(s string, names []string) string { return eitherOf(meant(s, names), nil) }

// plainKeys are the keys of all options that are no part of a list.
var plainKeys = sync.OnceValue(func() []string {
	var keys []string
	for _, o := range schema.Options() {
		if !o.InObject {
			keys = append(keys, o.Key)
		}
	}
	return keys
})

// deeper returns the options somewhere in the section at path whose last name was most likely meant.
func deeper(path, name string) []string {
	byLast := map[string]string{}
	var lasts []string
	for _, key := range plainKeys() {
		last := key[strings.LastIndexByte(key, '.')+1:]
		if schema.Below(key, path) && byLast[last] == "" {
			byLast[last] = key
			lasts = append(lasts, last)
		}
	}
	if byLast[name] != "" {
		return []string{byLast[name]}
	}
	keys := partOf(name, lasts)
	for i, last := range keys {
		keys[i] = byLast[last]
	}
	return keys
}

// oldMeant returns the options that flat keys became which s is near to.
func oldMeant(s string) []string {
	var old []string
	for _, n := range names() {
		if schema.FindOption(n.to[0]) != nil {
			old = append(old, n.old)
		}
	}
	keys := meant(s, old)
	for i, name := range keys {
		keys[i] = byName()[name].to[0]
	}
	return keys
}

// underscored joins the words of a name as flat keys do.
func underscored(name string) string { return strings.NewReplacer(".", "_", "-", "_").Replace(name) }

// ending finds the option that flat, an older name with _ between its words, most likely became: the shortest key that ends with
// it. That covers most flat names of versions 4 and 5, token_hmac_secret_key for example.
func ending(flat string) string {
	best := ""
	for _, key := range plainKeys() {
		if strings.HasSuffix("_"+underscored(key), "_"+flat) && (best == "" || len(key) < len(best)) {
			best = key
		}
	}
	return best
}

// spread returns the option that has all words of s in their order, the first and the last in their place, and one word more:
// http_port is http_server.port. "" if there is none, or more than one.
func spread(s string) string {
	split := func(s string) []string { return strings.Fields(strings.ReplaceAll(underscored(s), "_", " ")) }
	words, found := split(s), ""
	if len(words) < 2 {
		return ""
	}
	for _, key := range plainKeys() {
		in := split(key)
		if len(in) != len(words)+1 || in[0] != words[0] {
			continue
		}
		for i := 1; i < len(in)-1; i++ {
			if slices.Equal(slices.Delete(slices.Clone(in), i, i+1), words) {
				if found != "" && found != key {
					return ""
				}
				found = key
			}
		}
	}
	return found
}
