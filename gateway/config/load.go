package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Source says where the options come from. Precedence: flag > environment > file > default.
type Source struct {
	// Path is the config file; its extension names the format. Empty: no file. A missing file is only a warning.
	Path string
	// Dir is the working directory: relative paths and ".env" are looked up there. Empty: that of the process.
	Dir string
	// Environ holds NAME=value entries, as os.Environ returns them.
	Environ []string
	// Flags maps dotted keys to values, only of flags that were given.
	Flags map[string]string
	// Dev switches the defaults of --dev on, before validation: see ApplyDev. Nil: off.
	Dev *Dev
}

// Dev holds the secrets of a development run. The caller makes them, at random.
type Dev struct {
	Secret string // for tokens
	APIKey string // for the server API
}

// Report tells how loading went: what deserves a warning, and which options were set where.
type Report struct {
	// Warnings are complete sentences for the log, without secrets.
	Warnings []string

	origins map[string]string
}

// IsSet reports whether a source other than the defaults set key, or an option below it. Elements of lists of objects
// are counted: channel.namespaces[0].history_size. A nil Report has nothing set.
func (r *Report) IsSet(key string) bool {
	if r == nil {
		return false
	}
	if _, ok := r.origins[key]; ok {
		return true
	}
	for k := range r.origins {
		if below(k, key) {
			return true
		}
	}
	return false
}

// Origin returns where key was set last, "file config.json:12", "env SLUICE_X" or "flag --x". "" = it has its default.
func (r *Report) Origin(key string) string { return r.origins[key] }

// below reports whether key is inside the section or list named by prefix.
func below(key, prefix string) bool {
	return len(key) > len(prefix) && strings.HasPrefix(key, prefix) && (key[len(prefix)] == '.' || key[len(prefix)] == '[')
}

// KeyError is one thing that is wrong with the configuration. Load joins them with errors.Join.
type KeyError struct {
	Origin string // where it stands, or "" when the option has its default
	Key    string // dotted, or "" when the source as a whole cannot be read
	Detail string // the value, what is wrong with it, and what is allowed
}

// Error returns "config: <origin>: <key>: <detail>".
func (e *KeyError) Error() string {
	parts := []string{"config", e.Origin, e.Key, e.Detail}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ": ")
}

// Load reads all sources, decodes them over the defaults and validates the result.
//
// On success it returns the configuration and a Report. On failure the configuration is nil, the error joins one
// KeyError for everything that is wrong, and the Report holds what else was noticed.
func Load(src Source) (*Config, *Report, error) {
	return load(src, os.ReadFile)
}

// formats maps extensions of config files to their parsers.
var formats = map[string]func([]byte) (*node, error){
	".json": parseJSON,
}

// loader is the state of one Load.
type loader struct {
	src  Source
	read func(path string) ([]byte, error)
	cfg  *Config
	rep  *Report
	bad  map[string]bool // keys whose value could not be decoded
	errs []error
}

func load(src Source, read func(string) ([]byte, error)) (*Config, *Report, error) {
	l := &loader{
		src: src, read: read, cfg: Default(),
		rep: &Report{origins: map[string]string{}}, bad: map[string]bool{},
	}
	readable := l.file()
	env := l.environ()
	l.env(env)
	l.flags()
	l.expandHeaders(env)
	if src.Dev != nil {
		l.cfg.ApplyDev(l.rep, src.Dev.Secret, src.Dev.APIKey)
	}
	// Why: without the file every check would complain about what the file sets.
	if readable {
		v := &validator{c: l.cfg, rep: l.rep, bad: l.bad, dir: src.Dir}
		v.all()
		l.errs = append(l.errs, v.errs...)
	}
	if len(l.errs) > 0 {
		return nil, l.rep, errors.Join(l.errs...)
	}
	return l.cfg, l.rep, nil
}

// file reads and decodes the config file. It reports whether that worked, a missing file included.
func (l *loader) file() bool {
	if l.src.Path == "" {
		return true
	}
	in := source{name: "file " + l.src.Path, lines: true}
	data, err := l.read(resolve(l.src.Dir, l.src.Path))
	if errors.Is(err, fs.ErrNotExist) {
		l.warn(in.at(0), "", "not found; going on with environment, flags and defaults")
		return true
	}
	if err != nil {
		l.fail(in.at(0), "", "cannot be read: "+causeOf(err))
		return false
	}
	parse := formats[strings.ToLower(filepath.Ext(l.src.Path))]
	if parse == nil {
		known := strings.Join(slices.Sorted(maps.Keys(formats)), ", ")
		l.fail(in.at(0), "", fmt.Sprintf("%q is not the extension of a known format: allowed %s", filepath.Ext(l.src.Path), known))
		return false
	}
	tree, err := parse(data)
	if err != nil {
		l.fail(in.at(0), "", err.Error())
		return false
	}
	if _, ok := tree.v.(*object); !ok {
		l.fail(in.at(tree.line), "", "holds "+tree.showType()+": allowed an object")
		return false
	}
	l.section(in, "", root, tree, l.value())
	return true
}

// resolve returns path as seen from dir.
func resolve(dir, path string) string {
	if dir == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// causeOf returns the reason of a file error without the path, which may be a misplaced secret.
func causeOf(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

func (l *loader) fail(origin, key, detail string) {
	l.errs = append(l.errs, &KeyError{Origin: origin, Key: key, Detail: detail})
	if key != "" {
		l.bad[key] = true
	}
}

func (l *loader) warn(origin, key, detail string) { l.rep.warn(origin, key, detail) }

func (r *Report) warn(origin, key, detail string) {
	parts := []string{origin, key, detail}
	r.Warnings = append(r.Warnings, strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ": "))
}
