package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sluice/gateway/config/check"
	"sluice/gateway/config/report"
	"sluice/gateway/config/schema"
	"sluice/gateway/config/source"
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

// Load reads all sources, decodes them over the defaults and validates the result.
//
// On success it returns the configuration and a Report. On failure the configuration is nil, the error joins one
// KeyError for everything that is wrong, and the Report holds what else was noticed.
func Load(src Source) (*Config, *Report, error) {
	return load(src, source.ReadFile)
}

// formats maps extensions of config files to their parsers.
var formats = map[string]func([]byte) (*source.Node, error){
	".json": source.ParseJSON,
	".yaml": source.ParseYAML,
	".yml":  source.ParseYAML,
	".toml": source.ParseTOML,
}

// loader is the state of one Load.
type loader struct {
	src  Source
	read func(path string) ([]byte, error)
	cfg  *Config
	rep  *Report
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
		ApplyDev(l.cfg, l.rep, src.Dev.Secret, src.Dev.APIKey)
	}
	return l.result(readable)
}

// result validates what was decoded and returns it as Load does. Why not without the file: every check would complain about
// what the file sets.
func (l *loader) result(readable bool) (*Config, *Report, error) {
	if readable {
		l.rep.SetDecoded(l.cfg)
		l.errs = append(l.errs, check.Run(check.Input{Config: l.cfg, Report: l.rep, Dir: l.src.Dir, Now: time.Now()})...)
	}
	if len(l.errs) > 0 {
		return nil, l.rep, errors.Join(l.errs...)
	}
	return l.cfg, l.rep, nil
}

func newLoader(src Source, read func(string) ([]byte, error)) *loader {
	return &loader{
		src: src, read: read, cfg: Default(),
		rep: report.New(),
	}
}

// file reads and decodes the config file. It reports whether that worked, a missing file included.
func (l *loader) file() bool {
	if l.src.Path == "" {
		return true
	}
	in := input{name: "file " + l.src.Path, lines: true}
	data, err := l.read(source.Resolve(l.src.Dir, l.src.Path))
	if errors.Is(err, fs.ErrNotExist) && l.src.Required {
		l.fail(in.at(0), "", "not found; `sluice genconfig -c "+l.src.Path+"` writes one")
		return false
	}
	if errors.Is(err, fs.ErrNotExist) {
		l.note(in.at(0), "", report.KindMissing, "not found; going on with environment, flags and defaults", "")
		return true
	}
	if err != nil {
		l.fail(in.at(0), "", "cannot be read: "+source.CauseOf(err))
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
	o, ok := tree.Value.(*source.Object)
	if !ok {
		l.fail(in.at(tree.Line), "", "holds "+tree.ShowType()+": allowed an object")
		return false
	}
	l.section(in, "", schema.Root, &source.Node{Value: l.flatten(in, o), Line: tree.Line}, l.value())
	return true
}

// fail notes that the value of key is wrong; key "" = the source as a whole.
func (l *loader) fail(at source.Place, key, detail string) {
	l.errs = append(l.errs, report.NewKeyError(at, key, l.flat.writtenAs(key), detail))
	if key != "" {
		l.rep.Spoil(key)
	}
}

// note adds a finding about key, which is named as the source has it.
func (l *loader) note(at source.Place, key string, kind Kind, detail, suggestion string) {
	if w := l.flat.writtenAs(key); w != "" {
		key = w
	}
	l.rep.Add(report.Finding{Origin: at.Origin, Line: at.Line, Key: key, Kind: kind, Detail: detail, Suggestion: suggestion})
}

// set notes where key was set, and how it was written there.
func (l *loader) set(key string, at source.Place) {
	l.rep.Set(key, report.Origin{Place: at, Written: l.flat.writtenAs(key)})
}
