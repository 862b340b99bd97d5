package schema

import "strings"

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

// EnvName returns the variable name of a dotted key, without the prefix.
func EnvName(key string) string { return strings.ToUpper(strings.ReplaceAll(key, ".", "_")) }

// envOf returns the variable of the option with a key, "" where only that of a list around it exists.
func envOf(key string) string {
	key = strings.Replace(key, NamespacesKey+"[]", NamespacesKey+".<NAME>", 1)
	if strings.Contains(key, "[]") {
		return ""
	}
	return EnvPrefixes[0] + EnvName(key)
}

// EnvPrefixes are the prefixes of our environment variables; an earlier one wins.
var EnvPrefixes = []string{"SLUICE_", "CENTRIFUGO_"}

// NamespaceEnv returns the variable name, without prefix, that the options of a namespace start with.
func NamespaceEnv(name string) string {
	return EnvName(NamespacesKey + "." + strings.ReplaceAll(name, "-", "_"))
}

// byKey holds the options that are in no list.
var byKey = func() map[string]*Field {
	all := map[string]*Field{}
	for _, f := range Options() {
		if !f.InObject {
			all[f.Key] = f
		}
	}
	return all
}()

// FindOption returns the option with the dotted key, or the one whose file the key names; nil if there is none.
func FindOption(key string) *Field {
	if f := byKey[key]; f != nil {
		return f
	}
	return fileOf(byKey, key)
}

// TakesFile reports whether the option with this dotted key can be given in a file.
func TakesFile(key string) bool { return byKey[key] != nil && byKey[key].File }

// FileOf returns the option whose file name, a key of the section, names; nil if there is none.
func (s *Section) FileOf(name string) *Field { return fileOf(s.ByName, name) }

func fileOf(options map[string]*Field, name string) *Field {
	base, ok := strings.CutSuffix(name, FileSuffix)
	if f := options[base]; ok && f != nil && f.File {
		return f
	}
	return nil
}

// ChannelSection is the section of options that every channel has, in a namespace or without one.
func ChannelSection() *Section { return Root.ByName["channel"].Sub.ByName["without_namespace"].Sub }
