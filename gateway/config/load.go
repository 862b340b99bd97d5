package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Source says where the options come from. Precedence: flag > environment > file > default.
type Source struct {
	// Path is the config file; its extension names the format: .json, .yaml, .yml or .toml. Empty: no file. A missing file is
	// only a warning, unless it is Required.
	Path string
	// Required says that somebody named the file, so that it has to be there.
	Required bool
	// Dir is the working directory: relative paths and ".env" are looked up there. Empty: that of the process.
	Dir string
	// Environ holds NAME=value entries, as os.Environ returns them.
	Environ []string
	// Flags maps names of flags to values, only of those that were given. A name is a dotted key or a flat one: see FlagKey.
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
	// Findings is everything that was noticed, in the order in which it was: file, environment, flags, validation.
	Findings []Finding
	// Warnings are complete sentences for the log, without secrets: one for each finding, but all deprecated keys of a
	// source share one, which names how many there are.
	Warnings []string

	decoded *Config // nil if a source could not be read as a whole
	origins map[string]place
	written map[string]string // key -> the flat key that it was written as
	hidden  map[string]string // key -> the file of its own that its value came out of, which no text shows
}

// place is where an option was set.
type place struct {
	origin string
	line   int
}

func (p place) String() string { return placeOf(p.origin, p.line) }

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
func (r *Report) Origin(key string) string { return r.origins[key].String() }

// Decoded returns the configuration as far as it could be decoded, also if Load failed: options that are wrong have their
// defaults, or what a weaker source gave. It is for further checks only, so that all that is wrong is told at once. Nil if the
// file could not be read.
func (r *Report) Decoded() *Config { return r.decoded }

// Written returns how key is written where it was set: its flat key, or key itself.
func (r *Report) Written(key string) string {
	if w := r.written[key]; w != "" {
		return w
	}
	return key
}

// below reports whether key is inside the section or list named by prefix.
func below(key, prefix string) bool {
	return len(key) > len(prefix) && strings.HasPrefix(key, prefix) && (key[len(prefix)] == '.' || key[len(prefix)] == '[')
}

// KeyError is one thing that is wrong with the configuration. Load joins them with errors.Join.
type KeyError struct {
	Origin  string // where it stands, with the line, or "" when the option has its default
	Key     string // dotted, or "" when the source as a whole cannot be read
	Written string // the flat key that it was written as, or ""
	Detail  string // the value, what is wrong with it, and what is allowed
}

// Error returns "config: <origin>: <key> (written as <written>): <detail>".
func (e *KeyError) Error() string {
	key := e.Key
	if e.Written != "" {
		key += " (written as " + e.Written + ")"
	}
	parts := []string{"config", e.Origin, key, e.Detail}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ": ")
}

// newKeyError returns the error without what it must not show.
func newKeyError(at place, key, written, detail string) *KeyError {
	return &KeyError{Origin: at.String(), Key: maskUserinfo(key), Written: maskUserinfo(written), Detail: withoutUserinfo(detail)}
}

// Load reads all sources, decodes them over the defaults and validates the result.
//
// On success it returns the configuration and a Report. On failure the configuration is nil, the error joins one
// KeyError for everything that is wrong, and the Report holds what else was noticed.
func Load(src Source) (*Config, *Report, error) {
	return load(src, readFile)
}

// formats maps extensions of config files to their parsers.
var formats = map[string]func([]byte) (*node, error){
	".json": parseJSON,
	".yaml": parseYAML,
	".yml":  parseYAML,
	".toml": parseTOML,
}

// loader is the state of one Load.
type loader struct {
	src  Source
	read func(path string) ([]byte, error)
	cfg  *Config
	rep  *Report
	bad  map[string]bool // keys whose value could not be decoded
	errs []error

	flat     flatState
	unknowns int // keys of the file that nothing knows
}

func load(src Source, read func(string) ([]byte, error)) (*Config, *Report, error) {
	l := newLoader(src, read)
	readable := l.file()
	env := l.environ()
	l.env(env)
	l.flags()
	l.expandHeaders(env)
	l.sumUpDeprecated()
	if src.Dev != nil {
		l.cfg.ApplyDev(l.rep, src.Dev.Secret, src.Dev.APIKey)
	}
	return l.result(readable)
}

// result validates what was decoded and returns it as Load does. Why not without the file: every check would complain about
// what the file sets.
func (l *loader) result(readable bool) (*Config, *Report, error) {
	if readable {
		v := &validator{c: l.cfg, rep: l.rep, bad: l.bad, dir: l.src.Dir, now: time.Now()}
		v.all()
		l.rep.decoded = l.cfg
		l.errs = append(l.errs, v.errs...)
	}
	if len(l.errs) > 0 {
		return nil, l.rep, errors.Join(l.errs...)
	}
	return l.cfg, l.rep, nil
}

func newLoader(src Source, read func(string) ([]byte, error)) *loader {
	return &loader{
		src: src, read: read, cfg: Default(), bad: map[string]bool{},
		rep: &Report{origins: map[string]place{}, written: map[string]string{}, hidden: map[string]string{}},
	}
}

// file reads and decodes the config file. It reports whether that worked, a missing file included.
func (l *loader) file() bool {
	if l.src.Path == "" {
		return true
	}
	in := source{name: "file " + l.src.Path, lines: true}
	data, err := l.read(resolve(l.src.Dir, l.src.Path))
	if errors.Is(err, fs.ErrNotExist) && l.src.Required {
		l.fail(in.at(0), "", "not found; `sluice genconfig -c "+l.src.Path+"` writes one")
		return false
	}
	if errors.Is(err, fs.ErrNotExist) {
		l.note(in.at(0), "", KindMissing, "not found; going on with environment, flags and defaults", "")
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
	o, ok := tree.v.(*object)
	if !ok {
		l.fail(in.at(tree.line), "", "holds "+tree.showType()+": allowed an object")
		return false
	}
	l.section(in, "", root, &node{v: l.flatten(in, o), line: tree.line}, l.value())
	return true
}

// maxFile bounds a config file: a thousand namespaces with all their options take a quarter of it.
const maxFile = 4 << 20

var (
	errTooLarge   = fmt.Errorf("larger than %d bytes", maxFile)
	errNotRegular = errors.New("not a regular file")
)

// readFile reads a regular file of bounded size. Why only regular: nobody would write into a pipe at a reload.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() && !info.IsDir() { // reading a directory has an error of its own
		return nil, errNotRegular
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		return nil, errTooLarge
	}
	return data, err
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
	text := err.Error()
	var pe *fs.PathError
	if errors.As(err, &pe) {
		text = pe.Err.Error()
	}
	if errors.Is(err, fs.ErrPermission) {
		text += fmt.Sprintf(" (the process runs as uid %d)", os.Getuid())
	}
	return text
}

// fail notes that the value of key is wrong; key "" = the source as a whole.
func (l *loader) fail(at place, key, detail string) {
	l.errs = append(l.errs, newKeyError(at, key, l.flat.writtenAs(key), detail))
	if key != "" {
		l.bad[key] = true
	}
}

// note adds a finding about key, which is named as the source has it.
func (l *loader) note(at place, key string, kind Kind, detail, suggestion string) {
	if w := l.flat.writtenAs(key); w != "" {
		key = w
	}
	l.rep.add(Finding{Origin: at.origin, Line: at.line, Key: key, Kind: kind, Detail: detail, Suggestion: suggestion})
}

func (r *Report) add(f Finding) {
	f.Key, f.Detail, f.Suggestion = maskUserinfo(f.Key), withoutUserinfo(f.Detail), withoutUserinfo(f.Suggestion)
	r.Findings = append(r.Findings, f)
	if f.Kind != KindDeprecated {
		r.Warnings = append(r.Warnings, f.String())
	}
}

// set notes where key was set, and how it was written there.
func (l *loader) set(key string, at place) {
	delete(l.bad, key)
	delete(l.rep.hidden, key)
	l.rep.origins[key] = at
	if w := l.flat.writtenAs(key); w != "" {
		l.rep.written[key] = w
	} else {
		delete(l.rep.written, key)
	}
}
