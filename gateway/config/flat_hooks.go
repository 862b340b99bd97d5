package config

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

func isGranular(name string) bool {
	return name == granularMode || name == granularHooks[0].name || name == granularHooks[1].name
}

// granular decodes the keys of the granular mode and returns the other members. proxies without that mode are those of
// version 6, which hooks of channels only have: they are not among the members.
func (l *loader) granular(in input, members []source.Member) (rest []source.Member) {
	given := &source.Object{}
	for _, m := range members {
		if name := strings.ToLower(m.Key); isGranular(name) || name == granularList {
			given.Members = append(given.Members, m)
		} else {
			rest = append(rest, m)
		}
	}
	if len(given.Members) == 0 {
		return rest
	}
	mode := given.Get(granularMode)
	on, isBool := false, mode == nil
	if mode != nil {
		on, isBool = mode.Value.(bool)
	}
	if !isBool {
		l.fail(in.at(mode.Line), granularMode, mode.ShowType()+" is not a boolean: allowed true, false")
		return rest
	}
	list := given.Get(granularList)
	used := map[int]bool{}
	for _, h := range granularHooks {
		name := given.Get(h.name)
		switch {
		case name == nil || name.Value == nil || name.Value == "":
		case !on:
			l.note(in.at(name.Line), h.name, report.KindAdvice, "has no effect without "+granularMode, "")
		default:
			if i := l.granularHook(in, h.name, h.hook, name, list); i >= 0 {
				used[i] = true
			}
		}
	}
	l.unusedEntries(in, list, used)
	return rest
}

// granularHook takes the entry that a hook names and returns its index, or -1.
func (l *loader) granularHook(in input, key, hook string, name, list *source.Node) int {
	i, entry := entryOf(list, name)
	if entry == nil {
		l.fail(in.at(name.Line), key, fmt.Sprintf("%s is not the name of an entry of %s: allowed %s", name.Show(), granularList, entryNames(list)))
		return -1
	}
	l.note(in.at(name.Line), key, report.KindDeprecated, "a flat key of versions 4 and 5", strings.TrimSuffix(hook, "."))
	for _, m := range entry.Members {
		option := strings.ToLower(m.Key)
		if option == "name" {
			continue
		}
		written := fmt.Sprintf("%s[%d].%s", granularList, i, option)
		base, isFile := strings.CutSuffix(option, schema.FileSuffix)
		now, known := flatEntryNames[option]
		if isFile && flatEntryNames[base] != "" {
			now, known = flatEntryNames[base]+schema.FileSuffix, true
		}
		switch {
		case strings.HasPrefix(option, "grpc_") && !known:
			now = "grpc." + strings.TrimPrefix(option, "grpc_")
		case !known:
			l.note(in.at(m.Value.Line), written, report.KindUnknown, "unknown key, ignored", "")
			continue
		}
		l.flat.to, l.flat.name = hook+now, written
		l.section(in, "", schema.Root, chain(hook+now, m.Value), l.value())
	}
	l.flat.to, l.flat.name = hook+"enabled", key
	l.section(in, "", schema.Root, chain(hook+"enabled", &source.Node{Value: true, Line: name.Line}), l.value())
	l.flat.to = ""
	return i
}

// entryOf returns the entry of the list with this name.
func entryOf(list, name *source.Node) (int, *source.Object) {
	if list == nil {
		return -1, nil
	}
	entries, _ := list.Value.([]*source.Node)
	for i, e := range entries {
		if o, ok := e.Value.(*source.Object); ok {
			if n := o.Get("name"); n != nil && n.Value == name.Value {
				return i, o
			}
		}
	}
	return -1, nil
}

func entryNames(list *source.Node) string {
	var names []string
	if list != nil {
		entries, _ := list.Value.([]*source.Node)
		for _, e := range entries {
			if o, ok := e.Value.(*source.Object); ok && o.Get("name") != nil {
				names = append(names, o.Get("name").Show())
			}
		}
	}
	if len(names) == 0 {
		return "the name of one (there are none)"
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// unusedEntries notes that entries are left which only hooks of channels can use.
func (l *loader) unusedEntries(in input, list *source.Node, used map[int]bool) {
	if list == nil {
		return
	}
	entries, ok := list.Value.([]*source.Node)
	if !ok || len(entries) > len(used) {
		l.unsupported(in, granularList, list)
	}
}
