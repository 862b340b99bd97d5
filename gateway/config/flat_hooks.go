package config

import (
	"fmt"
	"slices"
	"strings"
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
func (l *loader) granular(in source, members []member) (rest []member) {
	given := &object{}
	for _, m := range members {
		if name := strings.ToLower(m.key); isGranular(name) || name == granularList {
			given.members = append(given.members, m)
		} else {
			rest = append(rest, m)
		}
	}
	if len(given.members) == 0 {
		return rest
	}
	mode := given.get(granularMode)
	on, isBool := false, mode == nil
	if mode != nil {
		on, isBool = mode.v.(bool)
	}
	if !isBool {
		l.fail(in.at(mode.line), granularMode, mode.showType()+" is not a boolean: allowed true, false")
		return rest
	}
	list := given.get(granularList)
	used := map[int]bool{}
	for _, h := range granularHooks {
		name := given.get(h.name)
		switch {
		case name == nil || name.v == nil || name.v == "":
		case !on:
			l.note(in.at(name.line), h.name, KindAdvice, "has no effect without "+granularMode, "")
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
func (l *loader) granularHook(in source, key, hook string, name, list *node) int {
	i, entry := entryOf(list, name)
	if entry == nil {
		l.fail(in.at(name.line), key, fmt.Sprintf("%s is not the name of an entry of %s: allowed %s", name.show(), granularList, entryNames(list)))
		return -1
	}
	l.note(in.at(name.line), key, KindDeprecated, "a flat key of versions 4 and 5", strings.TrimSuffix(hook, "."))
	for _, m := range entry.members {
		option := strings.ToLower(m.key)
		if option == "name" {
			continue
		}
		written := fmt.Sprintf("%s[%d].%s", granularList, i, option)
		base, isFile := strings.CutSuffix(option, fileSuffix)
		now, known := flatEntryNames[option]
		if isFile && flatEntryNames[base] != "" {
			now, known = flatEntryNames[base]+fileSuffix, true
		}
		switch {
		case strings.HasPrefix(option, "grpc_") && !known:
			now = "grpc." + strings.TrimPrefix(option, "grpc_")
		case !known:
			l.note(in.at(m.value.line), written, KindUnknown, "unknown key, ignored", "")
			continue
		}
		l.flat.to, l.flat.name = hook+now, written
		l.section(in, "", root, chain(hook+now, m.value), l.value())
	}
	l.flat.to, l.flat.name = hook+"enabled", key
	l.section(in, "", root, chain(hook+"enabled", &node{v: true, line: name.line}), l.value())
	l.flat.to = ""
	return i
}

// entryOf returns the entry of the list with this name.
func entryOf(list, name *node) (int, *object) {
	if list == nil {
		return -1, nil
	}
	entries, _ := list.v.([]*node)
	for i, e := range entries {
		if o, ok := e.v.(*object); ok {
			if n := o.get("name"); n != nil && n.v == name.v {
				return i, o
			}
		}
	}
	return -1, nil
}

func entryNames(list *node) string {
	var names []string
	if list != nil {
		entries, _ := list.v.([]*node)
		for _, e := range entries {
			if o, ok := e.v.(*object); ok && o.get("name") != nil {
				names = append(names, o.get("name").show())
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
func (l *loader) unusedEntries(in source, list *node, used map[int]bool) {
	if list == nil {
		return
	}
	entries, ok := list.v.([]*node)
	if !ok || len(entries) > len(used) {
		l.unsupported(in, granularList, list)
	}
}
