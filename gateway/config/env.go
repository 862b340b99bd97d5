package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// envPrefixes are the prefixes of our environment variables; an earlier one wins.
var envPrefixes = []string{"SLUICE_", "CENTRIFUGO_"}

// environ returns the environment as a map, with what ".env" adds to it.
func (l *loader) environ() map[string]string {
	env := map[string]string{}
	data, err := l.read(resolve(l.src.Dir, ".env"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		l.fail(place{origin: "file .env"}, "", "cannot be read: "+causeOf(err))
	default:
		if env, err = parseDotEnv(data); err != nil {
			l.fail(place{origin: "file .env"}, "", err.Error())
			env = map[string]string{}
		}
	}
	for _, entry := range l.src.Environ {
		if name, value, ok := strings.Cut(entry, "="); ok {
			env[name] = value
		}
	}
	return env
}

// env decodes the variables over the file and warns about names of ours that nothing knows. Names of version 6 beat flat
// ones of versions 4 and 5, and of two with the same meaning our own prefix beats the reference's.
func (l *loader) env(env map[string]string) {
	used := map[string]bool{}
	l.flatEnv(env, used)
	l.envSection(env, used, "", "", root, l.value())
	list := root.byName["channel"].sub.byName["namespaces"]
	for i := range l.cfg.Channel.Namespaces {
		ns := &l.cfg.Channel.Namespaces[i]
		path := fmt.Sprintf("%s[%d]", namespacesKey, i)
		l.envSection(env, used, path, namespaceEnv(ns.Name), list.sub, reflect.ValueOf(ns).Elem())
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if !used[name] {
			l.strayEnv(name, env[name])
		}
	}
}

// flatEnv decodes the variables of versions 4 and 5, whose names are the flat keys.
func (l *loader) flatEnv(env map[string]string, used map[string]bool) {
	for _, mark := range versionMarks {
		for _, prefix := range envPrefixes {
			_, there := env[prefix+strings.ToUpper(mark)]
			l.flat.five = l.flat.five || there
		}
	}
	for _, prefix := range slices.Backward(envPrefixes) {
		group := []member{}
		for _, name := range slices.Sorted(maps.Keys(env)) {
			rest, ok := strings.CutPrefix(name, prefix)
			if !ok || isOptionEnv(rest) || fromKubernetes(rest, env[name]) || rest != strings.ToUpper(rest) {
				continue
			}
			key := strings.ToLower(rest)
			if isGranular(key) || key == granularList && env[prefix+strings.ToUpper(granularMode)] != "" {
				used[name] = true
				group = append(group, member{key, granularText(key, env[name])})
				continue
			}
			if _, known := findFlat(key); known && !l.lacksEnv(rest) {
				used[name] = true
				l.flatText(source{name: "env " + name}, key, env[name], func(key string) bool {
					return env[prefix+strings.ToUpper(strings.ReplaceAll(key, ".", "_"))] != ""
				})
			}
		}
		if len(group) > 0 {
			l.granular(source{name: "env " + prefix + "*PROXY*"}, group)
		}
	}
}

// granularText makes a node of a variable of the granular mode; text that is no JSON stays text, which is then refused.
func granularText(key, text string) *node {
	if key == granularList {
		if n, err := parseJSON([]byte(text)); err == nil {
			return n
		}
		return &node{v: text}
	}
	if key == granularMode {
		return flagNode(text)
	}
	return &node{v: text}
}

// isOptionEnv reports whether an option has this variable, named without prefix.
func isOptionEnv(rest string) bool { return optionEnvs()[rest] }

var optionEnvs = sync.OnceValue(func() map[string]bool {
	all := map[string]bool{}
	for _, o := range allOptions() {
		if o.Env == "" || o.InObject {
			continue
		}
		name := strings.TrimPrefix(o.Env, envPrefixes[0])
		all[name] = true
		if o.File {
			all[name+strings.ToUpper(fileSuffix)] = true
		}
	}
	return all
})

// lacksEnv reports whether this is the variable of an option of version 6 that we lack; strayEnv says so then.
func (l *loader) lacksEnv(rest string) bool {
	return slices.ContainsFunc(lackings, func(u lacking) bool {
		return slices.ContainsFunc(l.lackingEnvs(u), func(env string) bool {
			inside, ok := strings.CutPrefix(rest, env)
			return ok && (inside == "" || inside[0] == '_')
		})
	})
}

// namespaceEnv returns the variable name, without prefix, that the options of a namespace start with.
func namespaceEnv(name string) string {
	return "CHANNEL_NAMESPACES_" + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(name))
}

// envSection decodes the variables of one section. path and env name it in keys and in variables.
func (l *loader) envSection(env map[string]string, used map[string]bool, path, section string, s *schema, dst reflect.Value) {
	for _, f := range s.fields {
		key, name := join(path, f.name), envName(section, f.name)
		if f.kind == kindSection {
			l.envSection(env, used, key, name, f.sub, dst.FieldByIndex(f.index))
			continue
		}
		l.envOption(env, used, key, name, f, dst.FieldByIndex(f.index))
	}
}

// envOption decodes the variables of one option: its value, or the file that holds it.
func (l *loader) envOption(env map[string]string, used map[string]bool, key, name string, f *field, dst reflect.Value) {
	given := ""
	// Why backwards: the first prefix is decoded last and so wins, and a mistake in the other is still named.
	for _, prefix := range slices.Backward(envPrefixes) {
		if text, ok := env[prefix+name]; ok {
			used[prefix+name] = true
			given = prefix + name
			l.text(source{name: "env " + given}, key, f, text, dst)
		}
	}
	if f.secret == secretNone {
		return
	}
	for _, prefix := range slices.Backward(envPrefixes) {
		file := prefix + name + strings.ToUpper(fileSuffix)
		path, ok := env[file]
		if !ok {
			continue
		}
		used[file] = true
		in := source{name: "env " + file}
		switch {
		case path == "":
			l.note(in.at(0), key+fileSuffix, KindAdvice, "empty, ignored", "")
		case given != "":
			l.fail(in.at(0), key+fileSuffix, "set together with "+given+": allowed one of them")
		default:
			l.readSecret(in.at(0), key, f, path, dst)
		}
	}
}

// text decodes the text of a variable or flag. An empty text clears a string or a list, and leaves other options alone.
func (l *loader) text(in source, key string, f *field, text string, dst reflect.Value) {
	if f.ignoresEmpty(text) {
		l.note(in.at(0), key, KindAdvice, "empty, ignored", "")
		return
	}
	n, wrong := f.fromText(text)
	if wrong != "" {
		l.fail(in.at(0), key, wrong)
		return
	}
	l.field(in, key, f, n, dst)
}

// ignoresEmpty reports whether an empty text leaves the option alone.
func (f *field) ignoresEmpty(text string) bool {
	return text == "" && f.kind != kindString && f.kind != kindStrings && !(f.kind == kindPort && f.isText)
}

var (
	k8sName  = regexp.MustCompile(`^([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?)$`)
	k8sPort  = regexp.MustCompile(`^([A-Z0-9_]+_)?PORT$`)
	k8sValue = regexp.MustCompile(`^(tcp|udp|sctp)://`)
)

// fromKubernetes reports whether Kubernetes made this variable for a service whose name starts like us. rest is the
// name after the prefix.
func fromKubernetes(rest, value string) bool {
	return k8sName.MatchString(rest) || k8sPort.MatchString(rest) && k8sValue.MatchString(value)
}

// strayEnv warns about a variable with one of our prefixes that is no option.
func (l *loader) strayEnv(name, value string) {
	for _, prefix := range envPrefixes {
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok || rest == "" || strings.HasPrefix(rest, "VAR_") || fromKubernetes(rest, value) {
			continue
		}
		if !l.unsupportedEnv(name, rest, value) {
			l.unknown(place{origin: "env " + name}, "", "unknown variable, ignored", suggestEnv(prefix, rest))
		}
	}
}

// flags decodes the flags that were given. Those with a flat name come first, so that a name of version 6 beats them.
func (l *loader) flags() {
	names := slices.Sorted(maps.Keys(l.src.Flags))
	isOption := func(name string) bool {
		f, _ := findOption(name)
		return f != nil
	}
	for _, name := range names {
		if _, known := findFlat(name); known && !isOption(name) {
			l.flatText(source{name: "flag --" + name}, name, l.src.Flags[name], func(key string) bool { return l.src.Flags[key] != "" })
		}
	}
	for _, name := range names {
		in, text := source{name: "flag --" + name}, l.src.Flags[name]
		if f, isFile := findOption(name); f != nil {
			base := strings.TrimSuffix(name, fileSuffix)
			if !isFile {
				base = name
			}
			_, dst := find(root, l.value(), base)
			switch _, both := l.src.Flags[base]; {
			case !isFile:
				l.text(in, name, f, text, dst)
			case both:
				l.fail(in.at(0), name, "set together with "+base+": allowed one of them")
			default:
				l.readSecret(in.at(0), base, f, text, dst)
			}
			continue
		}
		if _, known := findFlat(name); !known && !l.unsupported(in, name, flagNode(text)) {
			detail := "unknown option"
			s := suggestFlag(name)
			if s.why != "" {
				detail += ": " + s.why
			}
			if s.key != "" {
				detail += didYouMean(s.key)
			}
			l.fail(in.at(0), "", detail)
		}
	}
}

// flagNode makes a node of the value of a flag whose option is not known.
func flagNode(text string) *node {
	switch text {
	case "true", "false":
		return &node{v: text == "true"}
	default:
		return &node{v: text}
	}
}

// findOption returns the option with the dotted key, or the one whose file the key names; nil if there is none.
func findOption(key string) (f *field, isFile bool) {
	if f, _ := find(root, reflect.Value{}, key); f != nil {
		return f, false
	}
	base, ok := strings.CutSuffix(key, fileSuffix)
	if !ok {
		return nil, false
	}
	if f, _ := find(root, reflect.Value{}, base); f != nil && f.secret != secretNone {
		return f, true
	}
	return nil, false
}

// find returns the option with the dotted key and its place in v, or nil.
// A zero v gives a zero place.
func find(s *schema, v reflect.Value, key string) (*field, reflect.Value) {
	name, rest, more := strings.Cut(key, ".")
	f := s.byName[name]
	if f == nil || more != (f.kind == kindSection) {
		return nil, reflect.Value{}
	}
	if v.IsValid() {
		v = v.FieldByIndex(f.index)
	}
	if more {
		return find(f.sub, v, rest)
	}
	return f, v
}

// headerVar matches a placeholder in the value of a static header (PROTOCOL 8.1).
var headerVar = regexp.MustCompile(`\$\{((?:SLUICE|CENTRIFUGO)_VAR_[A-Za-z0-9_]*)\}`)

// expandHeaders replaces the placeholders in static headers of the hooks.
func (l *loader) expandHeaders(env map[string]string) {
	for _, h := range l.cfg.hooks() {
		p, key := h.proxy, h.key+".http.static_headers"
		for _, name := range slices.Sorted(maps.Keys(p.HTTP.StaticHeaders)) {
			p.HTTP.StaticHeaders[name] = headerVar.ReplaceAllStringFunc(p.HTTP.StaticHeaders[name], func(match string) string {
				v := headerVar.FindStringSubmatch(match)[1]
				value, ok := env[v]
				if !ok {
					l.fail(l.rep.origins[key], key, fmt.Sprintf("header %q: environment variable %s is not set", name, v))
				}
				return value
			})
		}
	}
}
