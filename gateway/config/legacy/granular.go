package legacy

import (
	"fmt"
	"slices"
	"strings"

	"sluice/gateway/config/report"
	"sluice/gateway/config/schema"
	"sluice/gateway/config/source"
)

// This file is the granular mode of hooks of versions 4 and 5 (PROTOCOL 8.5): entries of "proxies" have names, and
// connect_proxy_name and refresh_proxy_name choose among them.

const (
	granularMode = "granular_proxy_mode"
	granularList = "proxies"

	// The hook that decides who may subscribe: nobody asks it here, but where it was named a client cannot ask for a channel
	// without it either.
	subscribeHookName = "subscribe_proxy_name"
	subscribeHookOn   = "subscribe_proxy_enabled"
)

var granularHooks = []struct{ name, hook string }{{"connect_proxy_name", connectHook}, {"refresh_proxy_name", refreshHook}}

func isGranular(key string) bool {
	return key == granularMode || key == granularHooks[0].name || key == granularHooks[1].name
}

// granular sets what the keys of the granular mode stand for. proxies without that mode are those of version 6, which hooks of
// channels only have: they are not among those keys.
func (b *batch) granular() {
	given := map[string]source.Setting{}
	for _, s := range b.hooks {
		if !b.isFile() {
			s.Origin = b.spelling + "*PROXY*"
			s.Value = valueOf(s)
		}
		given[s.Key] = s
	}
	mode, there := given[granularMode]
	on, isBool := false, true
	if there {
		on, isBool = mode.Value.Value.(bool)
	}
	if !isBool {
		b.fail(mode, mode.Value.ShowType()+" is not a boolean: allowed true, false")
		return
	}
	var entries []*source.Node
	list, isList := given[granularList]
	if isList {
		entries, isList = list.Value.Value.([]*source.Node)
	}
	used := map[int]bool{}
	for _, h := range granularHooks {
		s, there := given[h.name]
		switch {
		case !there || s.Value.Value == nil || s.Value.Value == "":
		case !on:
			b.note(s, report.KindAdvice, "has no effect without "+granularMode, "")
		default:
			if i := slices.IndexFunc(entries, func(e *source.Node) bool { return isNamed(e, s.Value) }); i >= 0 {
				used[i] = true
				b.hook(s, h.hook, i, entries[i].Value.(*source.Object))
			} else {
				b.fail(s, fmt.Sprintf("%s is not the name of an entry of %s: allowed %s", s.Value.Show(), granularList, namesOf(entries)))
			}
		}
	}
	if _, there := given[granularList]; there && (!isList || len(entries) > len(used)) { // entries are left for hooks of channels
		if why, isOn, _ := Lacking(granularList, list.Value); isOn {
			b.note(list, report.KindUnsupported, "not supported, ignored: "+why, "")
		}
	}
}

// valueOf returns what the text of a variable says. Text that is not what was expected stays text, which is then refused.
func valueOf(s source.Setting) *source.Node {
	text, _ := s.Value.Value.(source.Text)
	switch {
	case s.Key == granularMode && (text == "true" || text == "false"):
		return &source.Node{Value: text == "true"}
	case s.Key == granularList:
		if n, err := source.ParseJSON([]byte(text)); err == nil {
			return n
		}
	}
	return &source.Node{Value: string(text)}
}

// hook sets a hook to the entry that it names, which has index i in its list.
func (b *batch) hook(s source.Setting, hook string, i int, entry *source.Object) {
	b.deprecated(s, strings.TrimSuffix(hook, "."))
	for _, m := range entry.Members {
		option := strings.ToLower(m.Key)
		if option == "name" {
			continue
		}
		at := source.Setting{Key: fmt.Sprintf("%s[%d].%s", granularList, i, option), Place: s.Place}
		if b.isFile() {
			at.Line = m.Value.Line
		}
		if now := entryOption(option); now != "" {
			b.set(hook+now, m.Value, at)
		} else {
			b.note(at, report.KindUnknown, "unknown key, ignored", "")
		}
	}
	b.set(hook+"enabled", &source.Node{Value: true, Line: s.Line}, s)
}

// entryOption returns what an option of an entry is in a hook now, "" if nothing knows it.
func entryOption(option string) string {
	base, isFile := strings.CutSuffix(option, schema.FileSuffix)
	for _, p := range pairs(entryNames) {
		switch {
		case p[0] == option:
			return p[1]
		case p[0] == base && isFile:
			return p[1] + schema.FileSuffix
		}
	}
	if rest, ok := strings.CutPrefix(option, "grpc_"); ok {
		return "grpc." + rest
	}
	return ""
}

// isNamed reports whether an entry has this name.
func isNamed(entry, name *source.Node) bool {
	o, ok := entry.Value.(*source.Object)
	if !ok {
		return false
	}
	n := o.Get("name")
	_, isList := name.Value.([]*source.Node)
	return n != nil && !isList && n.Value == name.Value
}

// namesOf names the entries of the list.
func namesOf(entries []*source.Node) string {
	var names []string
	for _, e := range entries {
		if o, ok := e.Value.(*source.Object); ok && o.Get("name") != nil {
			names = append(names, o.Get("name").Show())
		}
	}
	if len(names) == 0 {
		return "the name of one (there are none)"
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
