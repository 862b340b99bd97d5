package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"sluice/gateway/config/report"
	"sluice/gateway/config/schema"
	"sluice/gateway/config/source"
)

// flatState is what a Load has to know about flat keys. The zero value is ready.
type flatState struct {
	five bool // the flat keys are those of version 5, not 4
	// In the granular mode of hooks a name switches a hook on (PROTOCOL 8.5).
	granular bool

	// While a flat key is decoded: the key that it sets and its own name, and the same for options inside.
	to, name string
	inside   map[string]string
}

// writtenAs returns how key is written in the source that is being decoded, "" = as it is.
func (s *flatState) writtenAs(key string) string {
	if w := s.inside[key]; w != "" {
		return w
	}
	if s.to != "" && (key == s.to || schema.Below(key, s.to)) {
		return s.name + key[len(s.to):]
	}
	if s.to != "" && schema.Below(s.to, key) { // a section around it
		return s.name
	}
	return ""
}

// flatten decodes the flat keys of a file and returns what is left of it, the nested form. Which of the two a name
// belongs to that is in both is decided by its value (PROTOCOL 9.1). Flat keys are decoded first, so that an option
// that is there in both forms has the value of the nested one.
func (l *loader) flatten(in input, file *source.Object) *source.Object {
	nested, flat := &source.Object{}, &source.Object{}
	mode := file.Get(granularMode)
	for _, m := range file.Members {
		if isFlat(m) || mode != nil && mode.Value == true && strings.EqualFold(m.Key, granularList) {
			flat.Members = append(flat.Members, m)
		} else {
			nested.Members = append(nested.Members, m)
		}
	}
	l.flat.five = l.flat.five || isVersion5(file)
	l.flat.granular = mode != nil && mode.Value == true
	taken := map[string]string{}
	seen := map[string]bool{}
	for _, m := range l.granular(in, flat.Members) {
		name := strings.ToLower(m.Key)
		if l.flatFile(in.at(m.Value.Line), name, func(key string) bool { return objectAt(nested, key) != nil || flat.Get(key) != nil }) {
			continue
		}
		if seen[name] {
			l.note(in.at(m.Value.Line), name, report.KindDuplicate, "given twice; the last one counts", "")
		}
		seen[name] = true
		l.flatKey(in, name, m.Value, func(to string) {
			l.flatClash(in, name, to, m.Value, nested, taken)
		})
	}
	l.mixture(in, nested, flat)
	return nested
}

// isFlat reports whether a member of the file's root is a flat key.
func isFlat(m source.Member) bool {
	name := strings.ToLower(m.Key)
	if f := schema.Root.ByName[name]; f != nil && f.Kind != schema.KindSection {
		return false
	}
	k, ok := findFlat(name)
	if !ok {
		return isGranular(name)
	}
	switch k.shape {
	case shapeSwitch:
		_, is := m.Value.Value.(bool)
		return is
	case shapeWord:
		word, is := m.Value.Value.(string)
		return is && engineName.MatchString(word)
	default:
		return true
	}
}

// engineName is the shape of the name of an engine. Why not any string: an address that stands there by mistake may
// hold a password, and the error for a section never shows it.
var engineName = regexp.MustCompile(`^[a-zA-Z_]{0,32}$`)

// versionMarks are keys that version 4 did not have (PROTOCOL 9.2).
var versionMarks = []string{
	"client_connect_code_to_unidirectional_disconnect", "uni_sse_connect_code_to_http_response", "token_user_id_claim",
	"force_recovery_mode", "allowed_delta_types", "delta_publish", "client_connect_include_server_time",
	"client_user_id_http_header", "client_insecure_skip_token_signature_verify", "client_channel_position_max_time_lag",
	"api_error_mode", "global_history_meta_ttl", "global_presence_ttl", "separate_subscription_token_config",
	"proxy_static_http_headers", "consumers",
}

// isVersion5 reports whether a file with flat keys can only be one of version 5.
func isVersion5(file *source.Object) bool {
	for _, m := range file.Members {
		name := strings.ToLower(m.Key)
		if slices.Contains(versionMarks, name) {
			return true
		}
		namespaces, _ := m.Value.Value.([]*source.Node)
		for _, ns := range namespaces {
			o, ok := ns.Value.(*source.Object)
			if ok && name == "namespaces" && (isVersion5(o) || o.Get("history_meta_ttl") != nil) {
				return true
			}
		}
	}
	return false
}

// flatKey decodes a flat key. each is called with every key that it sets, before.
func (l *loader) flatKey(in input, name string, n *source.Node, each func(to string)) {
	k, _ := findFlat(name)
	if name == "history_meta_ttl" && !l.flat.five {
		// In version 4 it holds for all channels, and version 5 moved that to global_history_meta_ttl.
		k = move(name, "channel.history_meta_ttl")
	}
	if k.shape == shapeWord && n.Value == "" {
		k.to, k.enable = nil, "" // as if it were not there
	}
	if name == subscribeHookName && l.flat.granular && n.Value != "" {
		k.enable = withoutNamespace + subscribeHookOn
	}
	n = l.renameOptions(in, name, n)
	for _, to := range k.to {
		each(to)
		l.flat.to, l.flat.name = to, name
		l.section(in, "", schema.Root, chain(to, n), l.value())
	}
	if k.enable != "" && holdsValue(n) {
		l.flat.to = k.enable
		l.section(in, "", schema.Root, chain(k.enable, &source.Node{Value: true, Line: n.Line}), l.value())
	}
	l.flat.to, l.flat.inside = "", nil
	l.deprecated(in, k, n)
}

// deprecated notes where a flat key went, unless that is a part that we lack: then enough was said.
func (l *loader) deprecated(in input, k flatKey, n *source.Node) {
	var now []string
	for _, to := range k.to {
		if f, _ := schema.FindOption(to); f != nil {
			now = append(now, in.spell(to))
		}
	}
	if len(now) == 0 {
		return
	}
	if k.enable != "" {
		now = append(now, in.spell(k.enable))
	}
	l.note(in.at(n.Line), k.name, report.KindDeprecated, "a flat key of versions 4 and 5", strings.Join(now, " and "))
}

// renameOptions returns a list of namespaces with the names that their options have now.
func (l *loader) renameOptions(in input, name string, n *source.Node) *source.Node {
	items, ok := n.Value.([]*source.Node)
	if name != "namespaces" || !ok {
		return n
	}
	l.flat.inside = map[string]string{}
	out := make([]*source.Node, len(items))
	for i, item := range items {
		out[i] = item
		o, ok := item.Value.(*source.Object)
		if !ok {
			continue
		}
		changed := &source.Object{Members: slices.Clone(o.Members)}
		for j, m := range changed.Members {
			now := flatChannelNames[strings.ToLower(m.Key)]
			if now == "" {
				continue
			}
			changed.Members[j].Key = now
			key, old := fmt.Sprintf("%s[%d].%s", schema.NamespacesKey, i, now), fmt.Sprintf("namespaces[%d].%s", i, m.Key)
			l.flat.inside[key] = old
			l.note(in.at(m.Value.Line), old, report.KindDeprecated, "a flat key of versions 4 and 5", key)
		}
		if hook := o.Get(subscribeHookName); l.flat.granular && hook != nil && holdsValue(hook) {
			changed.Members = append(changed.Members, source.Member{Key: subscribeHookOn, Value: &source.Node{Value: true, Line: hook.Line}})
			l.flat.inside[fmt.Sprintf("%s[%d].%s", schema.NamespacesKey, i, subscribeHookOn)] = fmt.Sprintf("namespaces[%d].%s", i, subscribeHookName)
		}
		out[i] = &source.Node{Value: changed, Line: item.Line}
	}
	return &source.Node{Value: out, Line: n.Line}
}

// chain returns the object in which the dotted key has this value.
func chain(key string, n *source.Node) *source.Node {
	for _, name := range slices.Backward(strings.Split(key, ".")) {
		n = &source.Node{Value: &source.Object{Members: []source.Member{{Key: name, Value: n}}}, Line: n.Line}
	}
	return n
}

// flatClash notes that something else in the file sets the option that a flat key is about to set.
func (l *loader) flatClash(in input, name, to string, n *source.Node, nested *source.Object, taken map[string]string) {
	if other := objectAt(nested, to); other != nil {
		l.note(in.at(n.Line), name, report.KindClash,
			fmt.Sprintf("sets %s, which is there in its nested form as well (line %d); that one counts", to, other.Line), "")
		return
	}
	if other := taken[to]; other != "" && other != name {
		l.note(in.at(n.Line), name, report.KindClash, fmt.Sprintf("sets %s, as %s does; the later one counts", to, other), "")
	}
	taken[to] = name
}

// flatFile reports whether a flat key names a file although its source gives the value too, which is an error. has tells
// whether there is a key, nested or flat, in the source.
func (l *loader) flatFile(at source.Place, name string, has func(key string) bool) bool {
	k, _ := findFlat(name)
	value, isFile := strings.CutSuffix(name, schema.FileSuffix)
	target, toFile := "", false
	if len(k.to) > 0 {
		target, toFile = strings.CutSuffix(k.to[0], schema.FileSuffix)
	}
	if isFile && toFile && schema.TakesFile(target) {
		for _, key := range []string{value, target} {
			if has(key) {
				l.fail(at, name, "set together with "+key+": allowed one of them")
				return true
			}
		}
	}
	if target != "" && schema.TakesFile(target) && !toFile && has(target+schema.FileSuffix) {
		l.fail(at, name, "set together with "+target+schema.FileSuffix+": allowed one of them")
		return true
	}
	return false
}

// at returns the value of a dotted key, or nil.
func objectAt(o *source.Object, key string) *source.Node {
	name, rest, more := strings.Cut(key, ".")
	n := o.Get(name)
	if n == nil || !more {
		return n
	}
	if inner, ok := n.Value.(*source.Object); ok {
		return objectAt(inner, rest)
	}
	return nil
}

// mixture notes that a file has keys of both generations.
func (l *loader) mixture(in input, nested, flat *source.Object) {
	for _, m := range nested.Members {
		_, isObject := m.Value.Value.(*source.Object)
		if f := schema.Root.ByName[strings.ToLower(m.Key)]; f == nil || f.Kind != schema.KindSection || !isObject || len(flat.Members) == 0 {
			continue
		}
		first := flat.Members[0]
		l.note(in.at(first.Value.Line), strings.ToLower(first.Key), report.KindClash, fmt.Sprintf(
			"is flat as in versions 4 and 5, %s (line %d) is nested as in version 6: both count, "+
				"and where they set one option the nested form does; use one of them",
			strings.ToLower(m.Key), m.Value.Line), "")
		return
	}
}

// flatText decodes a flat key whose value is the text of a variable or flag. has is that of flatFile.
func (l *loader) flatText(in input, name, text string, has func(key string) bool) {
	if l.flatFile(in.at(0), name, has) {
		return
	}
	k, _ := findFlat(name)
	f, _ := schema.FindOption(k.to[0])
	if f == nil || strings.HasSuffix(k.to[0], schema.FileSuffix) {
		l.flatKey(in, name, flagNode(text), func(string) {})
		return
	}
	if f.IgnoresEmpty(text) {
		l.note(in.at(0), name, report.KindAdvice, "empty, ignored", "")
		return
	}
	n, wrong := f.FromText(text)
	if wrong != "" {
		l.flat.to, l.flat.name = k.to[0], name
		l.fail(in.at(0), k.to[0], wrong)
		l.flat.to = ""
		return
	}
	l.flatKey(in, name, n, func(string) {})
}

// sumUpDeprecated adds one warning for all deprecated keys of a source, so that an old file does not fill the log.
func (l *loader) sumUpDeprecated() {
	type group struct {
		first Finding
		n     int
	}
	groups := map[string]*group{}
	var order []string
	for _, f := range l.rep.Findings {
		if f.Kind != report.KindDeprecated {
			continue
		}
		source, _, _ := strings.Cut(f.Origin, " ")
		if groups[source] == nil {
			groups[source] = &group{first: f}
			order = append(order, source)
		}
		groups[source].n++
	}
	for _, source := range order {
		g := groups[source]
		text := g.first.String()
		if g.n > 1 {
			text += fmt.Sprintf(" (and %d more like it; checkconfig names them all)", g.n-1)
		}
		l.rep.Warnings = append(l.rep.Warnings, text)
	}
}
