package schema

import (
	"reflect"
	"strings"
)

// NamespacesKey names the list whose elements have environment variables of their own.
const NamespacesKey = "channel.namespaces"

// WithoutNamespace begins the keys of options of channels without a namespace.
const WithoutNamespace = "channel.without_namespace."

// FileSuffix makes the key of the file out of the key of the option.
const FileSuffix = "_file"

// Join returns the dotted key of name in the section at path, "" for the root.
func Join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// Below reports whether key is inside the section or list named by prefix.
func Below(key, prefix string) bool {
	return len(key) > len(prefix) && strings.HasPrefix(key, prefix) && (key[len(prefix)] == '.' || key[len(prefix)] == '[')
}

// EnvName returns the variable name of key name below the section with variable name env, without the prefix.
func EnvName(env, name string) string {
	name = strings.ToUpper(name)
	if env == "" {
		return name
	}
	return env + "_" + name
}

// EnvPrefixes are the prefixes of our environment variables; an earlier one wins.
var EnvPrefixes = []string{"SLUICE_", "CENTRIFUGO_"}

// NamespaceEnv returns the variable name, without prefix, that the options of a namespace start with.
func NamespaceEnv(name string) string {
	return "CHANNEL_NAMESPACES_" + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(name))
}

// FindOption returns the option with the dotted key, or the one whose file the key names; nil if there is none.
func FindOption(key string) (f *Field, isFile bool) {
	if f, _ := Find(Root, reflect.Value{}, key); f != nil {
		return f, false
	}
	base, ok := strings.CutSuffix(key, FileSuffix)
	if !ok {
		return nil, false
	}
	if f, _ := Find(Root, reflect.Value{}, base); f != nil && f.Secret != SecretNone {
		return f, true
	}
	return nil, false
}

// Find returns the option with the dotted key and its place in v, or nil.
// A zero v gives a zero place.
func Find(s *Section, v reflect.Value, key string) (*Field, reflect.Value) {
	name, rest, more := strings.Cut(key, ".")
	f := s.ByName[name]
	if f == nil || more != (f.Kind == KindSection) {
		return nil, reflect.Value{}
	}
	if v.IsValid() {
		v = v.FieldByIndex(f.Index)
	}
	if more {
		return Find(f.Sub, v, rest)
	}
	return f, v
}

// TakesFile reports whether the option with this dotted key can be given in a file.
func TakesFile(key string) bool {
	f, isFile := FindOption(key)
	return f != nil && !isFile && f.Secret != SecretNone
}

// FileOf returns the option whose file name, a key of the section, names; nil if there is none.
func (s *Section) FileOf(name string) *Field {
	base, ok := strings.CutSuffix(name, FileSuffix)
	if !ok {
		return nil
	}
	if f := s.ByName[base]; f != nil && f.Secret != SecretNone {
		return f
	}
	return nil
}

// ChannelSection is the section of options that every channel has, in a namespace or without one.
func ChannelSection() *Section { return Root.ByName["channel"].Sub.ByName["without_namespace"].Sub }
