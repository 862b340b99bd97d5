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

	"sluice/gateway/config/report"
	"sluice/gateway/config/schema"
	"sluice/gateway/config/source"
)

// environ returns the environment as a map, with what ".env" adds to it.
func (l *loader) environ() map[string]string {
	env := map[string]string{}
	data, err := l.read(source.Resolve(l.src.Dir, ".env"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		l.fail(source.Place{Origin: "file .env"}, "", "cannot be read: "+source.CauseOf(err))
	default:
		if env, err = source.ParseDotEnv(data); err != nil {
			l.fail(source.Place{Origin: "file .env"}, "", err.Error())
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
	l.envSection(env, used, "", "", schema.Root, l.value())
	list := schema.Root.ByName["channel"].Sub.ByName["namespaces"]
	for i := range l.cfg.Channel.Namespaces {
		ns := &l.cfg.Channel.Namespaces[i]
		path := fmt.Sprintf("%s[%d]", schema.NamespacesKey, i)
		l.envSection(env, used, path, schema.NamespaceEnv(ns.Name), list.Sub, reflect.ValueOf(ns).Elem())
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
		for _, prefix := range schema.EnvPrefixes {
			_, there := env[prefix+strings.ToUpper(mark)]
			l.flat.five = l.flat.five || there
		}
	}
	for _, prefix := range slices.Backward(schema.EnvPrefixes) {
		group := []source.Member{}
		for _, name := range slices.Sorted(maps.Keys(env)) {
			rest, ok := strings.CutPrefix(name, prefix)
			if !ok || isOptionEnv(rest) || fromKubernetes(rest, env[name]) || rest != strings.ToUpper(rest) {
				continue
			}
			key := strings.ToLower(rest)
			if isGranular(key) || key == granularList && env[prefix+strings.ToUpper(granularMode)] != "" {
				used[name] = true
				group = append(group, source.Member{Key: key, Value: granularText(key, env[name])})
				continue
			}
			if _, known := findFlat(key); known && !l.lacksEnv(rest) {
				used[name] = true
				l.flatText(input{name: "env " + name}, key, env[name], func(key string) bool {
					return env[prefix+strings.ToUpper(strings.ReplaceAll(key, ".", "_"))] != ""
				})
			}
		}
		if len(group) > 0 {
			l.granular(input{name: "env " + prefix + "*PROXY*"}, group)
		}
	}
}

// granularText makes a node of a variable of the granular mode; text that is no JSON stays text, which is then refused.
func granularText(key, text string) *source.Node {
	if key == granularList {
		if n, err := source.ParseJSON([]byte(text)); err == nil {
			return n
		}
		return &source.Node{Value: text}
	}
	if key == granularMode {
		return flagNode(text)
	}
	return &source.Node{Value: text}
}

// isOptionEnv reports whether an option has this variable, named without prefix.
func isOptionEnv(rest string) bool { return optionEnvs()[rest] }

var optionEnvs = sync.OnceValue(func() map[string]bool {
	all := map[string]bool{}
	for _, o := range schema.AllOptions() {
		if o.Env == "" || o.InObject {
			continue
		}
		name := strings.TrimPrefix(o.Env, schema.EnvPrefixes[0])
		all[name] = true
		if o.File {
			all[name+strings.ToUpper(schema.FileSuffix)] = true
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

// envSection decodes the variables of one section. path and env name it in keys and in variables.
func (l *loader) envSection(env map[string]string, used map[string]bool, path, section string, s *schema.Section, dst reflect.Value) {
	for _, f := range s.Fields {
		key, name := schema.Join(path, f.Name), schema.EnvName(section, f.Name)
		if f.Kind == schema.KindSection {
			l.envSection(env, used, key, name, f.Sub, dst.FieldByIndex(f.Index))
			continue
		}
		l.envOption(env, used, key, name, f, dst.FieldByIndex(f.Index))
	}
}

// envOption decodes the variables of one option: its value, or the file that holds it.
func (l *loader) envOption(env map[string]string, used map[string]bool, key, name string, f *schema.Field, dst reflect.Value) {
	given := ""
	// Why backwards: the first prefix is decoded last and so wins, and a mistake in the other is still named.
	for _, prefix := range slices.Backward(schema.EnvPrefixes) {
		if text, ok := env[prefix+name]; ok {
			used[prefix+name] = true
			given = prefix + name
			l.text(input{name: "env " + given}, key, f, text, dst)
		}
	}
	if f.Secret == schema.SecretNone {
		return
	}
	for _, prefix := range slices.Backward(schema.EnvPrefixes) {
		file := prefix + name + strings.ToUpper(schema.FileSuffix)
		path, ok := env[file]
		if !ok {
			continue
		}
		used[file] = true
		in := input{name: "env " + file}
		switch {
		case path == "":
			l.note(in.at(0), key+schema.FileSuffix, report.KindAdvice, "empty, ignored", "")
		case given != "":
			l.fail(in.at(0), key+schema.FileSuffix, "set together with "+given+": allowed one of them")
		default:
			l.readSecret(in.at(0), key, f, path, dst)
		}
	}
}

// text decodes the text of a variable or flag. An empty text clears a string or a list, and leaves other options alone.
func (l *loader) text(in input, key string, f *schema.Field, text string, dst reflect.Value) {
	if f.IgnoresEmpty(text) {
		l.note(in.at(0), key, report.KindAdvice, "empty, ignored", "")
		return
	}
	n, wrong := f.FromText(text)
	if wrong != "" {
		l.fail(in.at(0), key, wrong)
		return
	}
	l.field(in, key, f, n, dst)
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
	for _, prefix := range schema.EnvPrefixes {
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok || rest == "" || strings.HasPrefix(rest, "VAR_") || fromKubernetes(rest, value) {
			continue
		}
		if !l.unsupportedEnv(name, rest, value) {
			l.unknown(source.Place{Origin: "env " + name}, "", "unknown variable, ignored", suggestEnv(prefix, rest))
		}
	}
}

// flags decodes the flags that were given. Those with a flat name come first, so that a name of version 6 beats them.
func (l *loader) flags() {
	names := slices.Sorted(maps.Keys(l.src.Flags))
	isOption := func(name string) bool {
		f, _ := schema.FindOption(name)
		return f != nil
	}
	for _, name := range names {
		if _, known := findFlat(name); known && !isOption(name) {
			l.flatText(input{name: "flag --" + name}, name, l.src.Flags[name], func(key string) bool { return l.src.Flags[key] != "" })
		}
	}
	for _, name := range names {
		in, text := input{name: "flag --" + name}, l.src.Flags[name]
		if f, isFile := schema.FindOption(name); f != nil {
			base := strings.TrimSuffix(name, schema.FileSuffix)
			if !isFile {
				base = name
			}
			_, dst := schema.Find(schema.Root, l.value(), base)
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
				detail += report.DidYouMean(s.key)
			}
			l.fail(in.at(0), "", detail)
		}
	}
}

// flagNode makes a node of the value of a flag whose option is not known.
func flagNode(text string) *source.Node {
	switch text {
	case "true", "false":
		return &source.Node{Value: text == "true"}
	default:
		return &source.Node{Value: text}
	}
}

// headerVar matches a placeholder in the value of a static header (PROTOCOL 8.1).
var headerVar = regexp.MustCompile(`\$\{((?:SLUICE|CENTRIFUGO)_VAR_[A-Za-z0-9_]*)\}`)

// expandHeaders replaces the placeholders in static headers of the hooks.
func (l *loader) expandHeaders(env map[string]string) {
	for _, h := range l.cfg.Hooks() {
		p, key := h.Proxy, h.Key+".http.static_headers"
		for _, name := range slices.Sorted(maps.Keys(p.HTTP.StaticHeaders)) {
			p.HTTP.StaticHeaders[name] = headerVar.ReplaceAllStringFunc(p.HTTP.StaticHeaders[name], func(match string) string {
				v := headerVar.FindStringSubmatch(match)[1]
				value, ok := env[v]
				if !ok {
					l.fail(l.rep.Of(key).Place, key, fmt.Sprintf("header %q: environment variable %s is not set", name, v))
				}
				return value
			})
		}
	}
}
