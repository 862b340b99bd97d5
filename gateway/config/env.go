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
		l.fail("file .env", "", "cannot be read: "+causeOf(err))
	default:
		if env, err = parseDotEnv(data); err != nil {
			l.fail("file .env", "", err.Error())
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

// env decodes the variables over the file and warns about names of ours that nothing knows.
func (l *loader) env(env map[string]string) {
	used := map[string]bool{}
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
		// Why backwards: the first prefix is decoded last and so wins, and a mistake in the other is still named.
		for _, prefix := range slices.Backward(envPrefixes) {
			if text, ok := env[prefix+name]; ok {
				used[prefix+name] = true
				l.text(source{name: "env " + prefix + name}, key, f, text, dst.FieldByIndex(f.index))
			}
		}
	}
}

// text decodes the text of a variable or flag. An empty text clears a string or a list, and leaves other options alone.
func (l *loader) text(in source, key string, f *field, text string, dst reflect.Value) {
	if text == "" && dst.Kind() != reflect.String && f.kind != kindStrings {
		l.warn(in.name, key, "empty, ignored")
		return
	}
	n, wrong := f.fromText(text)
	if wrong != "" {
		l.fail(in.name, key, wrong)
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
	for _, prefix := range envPrefixes {
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok || rest == "" || strings.HasPrefix(rest, "VAR_") || fromKubernetes(rest, value) {
			continue
		}
		if !l.unsupportedEnv(name, rest, value) {
			l.warn("env "+name, "", "unknown variable, ignored"+suggestEnv(prefix, rest))
		}
	}
}

// flags decodes the flags that were given.
func (l *loader) flags() {
	for _, key := range slices.Sorted(maps.Keys(l.src.Flags)) {
		in := source{name: "flag --" + key}
		text := l.src.Flags[key]
		if f, dst := find(root, l.value(), key); f != nil {
			l.text(in, key, f, text, dst)
			continue
		}
		if !l.unsupported(in, key, flagNode(text)) {
			l.fail(in.name, "", "unknown option"+suggestFlag(key))
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

// find returns the option with the dotted key and its place in v, or nil.
func find(s *schema, v reflect.Value, key string) (*field, reflect.Value) {
	name, rest, more := strings.Cut(key, ".")
	f := s.byName[name]
	switch {
	case f == nil:
		return nil, reflect.Value{}
	case !more && f.kind != kindSection:
		return f, v.FieldByIndex(f.index)
	case more && f.kind == kindSection:
		return find(f.sub, v.FieldByIndex(f.index), rest)
	default:
		return nil, reflect.Value{}
	}
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
