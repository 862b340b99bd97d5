package legacy

import (
	"fmt"
	"slices"
	"strings"

	"sluice/gateway/config/report"
	"sluice/gateway/config/schema"
	"sluice/gateway/config/source"
)

// rewrite translates what split found.
func (b *batch) rewrite() {
	b.granular()
	seen := map[string]bool{}
	for _, s := range b.old {
		if b.twoSources(s) {
			continue
		}
		if seen[s.Key] {
			b.note(s, report.KindDuplicate, "given twice; the last one counts", "")
		}
		seen[s.Key] = true
		b.translate(s)
	}
	b.mixture()
}

// set adds a setting of version 6 that was written otherwise.
func (b *batch) set(key string, v *source.Node, old source.Setting) {
	b.out = append(b.out, source.Setting{Key: key, Written: old.Key, Value: v, Place: old.Place})
}

func (b *batch) note(s source.Setting, kind report.Kind, detail, suggestion string) {
	b.notes = append(b.notes, report.Finding{Origin: s.Origin, Line: s.Line, Key: s.Key, Kind: kind, Detail: detail, Suggestion: suggestion})
}

// deprecated notes what an old name is called now.
func (b *batch) deprecated(s source.Setting, now string) {
	b.note(s, report.KindDeprecated, "a flat key of versions 4 and 5", now)
}

func (b *batch) fail(s source.Setting, detail string) {
	b.wrong = append(b.wrong, report.NewKeyError(s.Place, s.Key, "", detail))
}

// translate sets what an old name stands for.
func (b *batch) translate(s source.Setting) {
	n, _ := find(s.Key)
	empty := s.Value.Value == "" || s.Value.Value == source.Text("")
	f := schema.FindOption(n.to[0])
	switch text, isText := s.Value.Value.(source.Text); {
	case isText && f != nil && f.Key == n.to[0] && f.IgnoresEmpty(string(text)):
		b.note(s, report.KindAdvice, "empty, ignored", "")
		return
	case empty && n.to[0] == n.old+".type":
		return // as if it were not there
	case s.Key == "history_meta_ttl" && !b.r.five:
		// In version 4 it holds for all channels, and version 5 moved that to global_history_meta_ttl.
		n.to = []string{"channel.history_meta_ttl"}
	case s.Key == subscribeHookName && b.r.granular:
		n.enable = schema.WithoutNamespace + subscribeHookOn
	}
	if f != nil && f.Key == n.to[0] {
		if _, wrong := f.Typed(s.Value); wrong != "" {
			b.set(f.Key, s.Value, s) // config tells what is wrong with it, once; the name is the smaller worry
			return
		}
	}
	var now []string
	for _, to := range n.to {
		b.clash(s, to)
		if to == schema.NamespacesKey {
			b.namespaces(s)
		} else {
			b.set(to, s.Value, s)
		}
		if schema.FindOption(to) != nil {
			now = append(now, b.spell(to))
		}
	}
	if n.enable != "" && holdsValue(s.Value) {
		b.set(n.enable, &source.Node{Value: true, Line: s.Line}, s)
	}
	if len(now) == 0 {
		return // a part that we lack: config says enough
	}
	if n.enable != "" {
		now = append(now, b.spell(n.enable))
	}
	b.deprecated(s, strings.Join(now, " and "))
}

// namespaces sets the list of namespaces, with the names that the options in it have now.
func (b *batch) namespaces(s source.Setting) {
	list := s.Value
	if text, ok := list.Value.(source.Text); ok {
		if parsed, err := source.ParseJSON([]byte(text)); err == nil {
			list = parsed
		}
	}
	items, ok := list.Value.([]*source.Node)
	if !ok {
		b.set(schema.NamespacesKey, s.Value, s) // config tells what is wrong with it
		return
	}
	out := make([]*source.Node, len(items))
	for i, item := range items {
		out[i] = item
		if o, ok := item.Value.(*source.Object); ok {
			out[i] = &source.Node{Value: b.namespace(s, i, o), Line: item.Line}
		}
	}
	b.set(schema.NamespacesKey, &source.Node{Value: out, Line: list.Line}, s)
}

// namespace returns element i of the list with the names that its options have now, each where it stood, so that of two
// names for one option the last one counts as of any key that is there twice.
func (b *batch) namespace(list source.Setting, i int, o *source.Object) *source.Object {
	members := slices.Clone(o.Members)
	written := map[string]string{} // option -> its old name here
	for j, m := range members {
		now := channelNames[strings.ToLower(m.Key)]
		if now == "" {
			continue
		}
		members[j].Key, written[now] = now, m.Key
		old := source.Setting{Key: fmt.Sprintf("namespaces[%d].%s", i, m.Key), Place: list.Place}
		if b.isFile() {
			old.Line = m.Value.Line
		}
		b.deprecated(old, fmt.Sprintf("%s[%d].%s", schema.NamespacesKey, i, now))
	}
	if hook := o.Get(subscribeHookName); b.r.granular && hook != nil && holdsValue(hook) {
		members = append(members, source.Member{Key: subscribeHookOn, Value: &source.Node{Value: true, Line: hook.Line}})
		written[subscribeHookOn] = subscribeHookName
	}
	// Why the member that has the name of now as well: what is told of an option tells it by one name, the one to get rid of.
	for j, m := range members {
		members[j].Written = written[strings.ToLower(m.Key)]
	}
	return &source.Object{Members: members}
}

// clash notes that something else in the file sets the option that an old name is about to set.
func (b *batch) clash(s source.Setting, to string) {
	if !b.isFile() {
		return
	}
	if other := lookup(b.rest, to); other != nil {
		b.note(s, report.KindClash,
			fmt.Sprintf("sets %s, which is there in its nested form as well (line %d); that one counts", to, other.Line), "")
		return
	}
	if other := b.taken[to]; other != "" && other != s.Key {
		b.note(s, report.KindClash, fmt.Sprintf("sets %s, as %s does; the later one counts", to, other), "")
	}
	b.taken[to] = s.Key
}

// twoSources reports whether an old name names a file although its source gives the value too, which is an error, or the other
// way round.
func (b *batch) twoSources(s source.Setting) bool {
	n, _ := find(s.Key)
	var others []string
	if option, toFile := strings.CutSuffix(n.to[0], schema.FileSuffix); !toFile && schema.TakesFile(option) {
		others = []string{option + schema.FileSuffix}
	} else if value, isFile := strings.CutSuffix(s.Key, schema.FileSuffix); isFile && toFile && schema.TakesFile(option) {
		others = []string{value, option}
	}
	for _, other := range others {
		if b.has(other) {
			b.fail(s, "set together with "+other+": allowed one of them")
			return true
		}
	}
	return false
}

// has reports whether the source gives a value for a key, old or new.
func (b *batch) has(key string) bool {
	if b.isFile() {
		return lookup(b.rest, key) != nil || lookup(b.old, key) != nil
	}
	return slices.ContainsFunc(slices.Concat(b.old, b.rest), func(s source.Setting) bool {
		return b.spell(s.Key) == b.spell(key) && s.Value.Value != source.Text("")
	})
}

// lookup returns the value of a dotted key in a file, or nil.
func lookup(in []source.Setting, key string) *source.Node {
	name, rest, more := strings.Cut(key, ".")
	for _, s := range slices.Backward(in) {
		if !strings.EqualFold(s.Key, name) {
			continue
		}
		n := s.Value
		for n != nil && more {
			o, ok := n.Value.(*source.Object)
			if !ok {
				return nil
			}
			name, rest, more = strings.Cut(rest, ".")
			n = o.Get(name)
		}
		return n
	}
	return nil
}

// mixture notes that a file has keys of both generations.
func (b *batch) mixture() {
	if !b.isFile() || b.first == nil {
		return
	}
	for _, s := range b.rest {
		section := strings.ToLower(s.Key)
		_, isObject := s.Value.Value.(*source.Object)
		if f := schema.Root.ByName[section]; f != nil && f.Kind == schema.KindSection && isObject {
			b.note(*b.first, report.KindClash, fmt.Sprintf(
				"is flat as in versions 4 and 5, %s (line %d) is nested as in version 6: both count, "+
					"and where they set one option the nested form does; use one of them", section, s.Line), "")
			return
		}
	}
}
