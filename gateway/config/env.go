package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"sluice/gateway/config/legacy"
	"sluice/gateway/config/report"
	"sluice/gateway/config/schema"
	"sluice/gateway/config/source"
)

// environ returns the environment as a map, with what ".env" adds to it.
func (l *loader) environ() map[string]string {
	env := map[string]string{}
	data, err := l.src.Read(source.Resolve(l.src.Dir, ".env"))
	whole := source.Setting{Place: source.Place{Origin: "file .env"}}
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		l.fail(whole, "cannot be read: "+source.CauseOf(err))
	default:
		if env, err = source.ParseDotEnv(data); err != nil {
			l.fail(whole, err.Error())
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
	var in, strays []source.Setting
	// Why backwards: the first prefix is decoded last and so wins, and a mistake in the other is still named.
	for _, prefix := range slices.Backward(schema.EnvPrefixes) {
		for _, name := range slices.Sorted(maps.Keys(env)) {
			rest, ours := strings.CutPrefix(name, prefix)
			s := source.Setting{Key: optionOfEnv()[rest], Value: &source.Node{Value: source.Text(env[name])}, Place: source.Place{Origin: "env " + name}}
			switch {
			case !ours || rest == "" || s.Key == "" && (strings.HasPrefix(rest, "VAR_") || fromKubernetes(rest, env[name])):
			case s.Key == "" && (rest != strings.ToUpper(rest) || strings.ContainsAny(rest, ".[")): // no variable, but a key
				strays = append(strays, s)
			default:
				if s.Key == "" {
					s.Key = strings.ToLower(rest)
				}
				in = append(in, s)
			}
		}
	}
	for _, s := range l.rewrite(in) {
		if schema.FindOption(s.Key) != nil || s.Written != "" {
			l.dotted(s, valueOf(s, in))
		} else {
			strays = append(strays, s)
		}
	}
	if len(strays) == 0 {
		return
	}
	named := l.namespacesByEnv()
	for _, s := range strays {
		if !l.envOfNamespace(named, s) {
			l.strayEnv(named, s)
		}
	}
}

// optionOfEnv maps variables, without prefix, to the keys of options, and of the files that hold one.
var optionOfEnv = sync.OnceValue(func() map[string]string {
	all := map[string]string{}
	for _, o := range schema.Options() {
		if o.Env == "" || o.InObject {
			continue
		}
		name := strings.TrimPrefix(o.Env, schema.EnvPrefixes[0])
		all[name] = o.Key
		if o.File {
			all[name+strings.ToUpper(schema.FileSuffix)] = o.Key + schema.FileSuffix
		}
	}
	return all
})

// valueOf returns the name of the last variable or flag that gives the value of the option whose file s names, "" if none does.
func valueOf(s source.Setting, in []source.Setting) string {
	key, isFile := strings.CutSuffix(s.Key, schema.FileSuffix)
	for _, other := range slices.Backward(in) {
		if isFile && other.Key == key {
			_, name, _ := strings.Cut(other.Origin, " ")
			return strings.TrimPrefix(name, "--")
		}
	}
	return ""
}

// namespacesByEnv maps what variables of namespaces start with, without prefix, to the indices of those namespaces, which may be
// several. Why a map: it need not be worked out for each variable and each namespace.
func (l *loader) namespacesByEnv() map[string][]int {
	all := make(map[string][]int, len(l.cfg.Channel.Namespaces))
	for i, ns := range l.cfg.Channel.Namespaces {
		name := schema.NamespaceEnv(ns.Name)
		all[name] = append(all[name], i)
	}
	return all
}

// envOfNamespace decodes a variable of an option of namespaces that there are, and reports whether it is one.
func (l *loader) envOfNamespace(named map[string][]int, s source.Setting) bool {
	_, rest := cutPrefix(s)
	var of []int
	options := map[int]string{}
	for at := range len(rest) { // any of its underscores may end the name
		if rest[at] != '_' {
			continue
		}
		option := strings.ToLower(rest[at+1:])
		if schema.ChannelSection().ByName[option] == nil || rest[at+1:] != strings.ToUpper(option) {
			continue
		}
		for _, i := range named[rest[:at]] {
			of = append(of, i)
			options[i] = option
		}
	}
	slices.Sort(of)
	for _, i := range of {
		s.Key = fmt.Sprintf("%s[%d].%s", schema.NamespacesKey, i, options[i])
		l.dotted(s, "")
	}
	return len(of) > 0
}

// cutPrefix returns the prefix of a variable and the rest of its name.
func cutPrefix(s source.Setting) (prefix, rest string) {
	name := strings.TrimPrefix(s.Origin, "env ")
	for _, prefix := range schema.EnvPrefixes {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			return prefix, rest
		}
	}
	return "", name
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

// strayEnv tells of a variable with one of our prefixes that is no option.
func (l *loader) strayEnv(named map[string][]int, s source.Setting) {
	prefix, rest := cutPrefix(s)
	text, _ := s.Value.Value.(source.Text)
	why, on, known := legacy.LackingEnv(rest, string(text), named)
	s.Key = ""
	if on {
		l.note(s, report.KindUnsupported, "not supported, ignored: "+why, "")
	} else if !known {
		l.noteUnknown(s, "unknown variable, ignored", legacy.SuggestEnv(prefix, rest))
	}
}

// flags decodes the flags that were given. Those with a flat name come first, so that a name of version 6 beats them.
func (l *loader) flags() {
	var in []source.Setting
	for _, name := range slices.Sorted(maps.Keys(l.src.Flags)) {
		value := &source.Node{Value: source.Text(l.src.Flags[name])}
		in = append(in, source.Setting{Key: name, Value: value, Place: source.Place{Origin: "flag --" + name}})
	}
	for _, s := range l.rewrite(in) {
		if schema.FindOption(s.Key) != nil || s.Written != "" {
			l.dotted(s, valueOf(s, in))
		} else {
			l.strayFlag(s)
		}
	}
}

// strayFlag tells of a flag that is no option: an error, unless it is one of those that we lack.
func (l *loader) strayFlag(s source.Setting) {
	why, on, known := legacy.Lacking(s.Key, s.Value)
	if on {
		l.note(s, report.KindUnsupported, "not supported, ignored: "+why, "")
	}
	if known {
		return
	}
	detail, try := "unknown option", legacy.SuggestFlag(s.Key)
	if try.Why != "" {
		detail += ": " + try.Why
	}
	if try.Key != "" {
		detail += report.DidYouMean(try.Key)
	}
	s.Key = ""
	l.fail(s, detail)
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
					l.fail(source.Setting{Key: key, Place: l.rep.Of(key).Place}, fmt.Sprintf("header %q: environment variable %s is not set", name, v))
				}
				return value
			})
		}
	}
}
