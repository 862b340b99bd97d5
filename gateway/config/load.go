package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"sluice/gateway/config/check"
	"sluice/gateway/config/legacy"
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
	// Flags maps names of flags to values, only of those that were given. A name is a dotted key or a flat one: see legacy.FlagKey.
	Flags map[string]string
	// Read reads the config file, ".env" and the files of secrets; an error that wraps fs.ErrNotExist says that one is not there.
	// Nil: from disk, regular files of at most source.MaxFile bytes.
	Read func(path string) ([]byte, error)
	// Dev switches the defaults of --dev on, before validation: see ApplyDev. Nil: off.
	Dev *Dev
	// Relay switches the defaults of a relay on, before validation: see ApplyRelay.
	Relay bool
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
	l := newLoader(src)
	readable := l.file()
	env := l.environ()
	l.env(env)
	l.flags()
	l.expandHeaders(env)
	if src.Dev != nil {
		ApplyDev(l.cfg, l.rep, src.Dev.Secret, src.Dev.APIKey)
	}
	if src.Relay {
		ApplyRelay(l.cfg, l.rep)
	}
	applyProfile(l.cfg, l.rep)
	return l.result(readable)
}

// LoadFile is Load of the file alone: neither the environment nor ".env" nor flags count, and variables in static headers stay
// variables.
func LoadFile(src Source) (*Config, *Report, error) {
	l := newLoader(src)
	return l.result(l.file())
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
	cfg  *Config
	rep  *Report
	errs []error

	old      legacy.Rewriter
	unknowns int // keys of the file that nothing knows
}

func newLoader(src Source) *loader {
	if src.Read == nil {
		src.Read = source.ReadFile
	}
	return &loader{src: src, cfg: Default(), rep: report.New()}
}

// value returns the configuration as an addressable struct.
func (l *loader) value() reflect.Value { return reflect.ValueOf(l.cfg).Elem() }

// result validates what was decoded and returns it as Load does. Why not without the file: every check would complain about
// what the file sets.
func (l *loader) result(readable bool) (*Config, *Report, error) {
	l.rep.SumUpDeprecated()
	if readable {
		l.rep.SetDecoded(l.cfg)
		l.errs = append(l.errs, check.Run(l.cfg, l.rep, l.src.Dir)...)
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
	whole := source.Setting{Place: source.Place{Origin: "file " + l.src.Path}}
	data, err := l.src.Read(source.Resolve(l.src.Dir, l.src.Path))
	switch {
	case errors.Is(err, fs.ErrNotExist) && l.src.Required:
		l.fail(whole, "not found; `sluice genconfig -c "+l.src.Path+"` writes one")
		return false
	case errors.Is(err, fs.ErrNotExist):
		l.note(whole, report.KindMissing, "not found; going on with environment, flags and defaults", "")
		return true
	case err != nil:
		l.fail(whole, "cannot be read: "+source.CauseOf(err))
		return false
	}
	parse := formats[strings.ToLower(filepath.Ext(l.src.Path))]
	if parse == nil {
		known := strings.Join(slices.Sorted(maps.Keys(formats)), ", ")
		l.fail(whole, fmt.Sprintf("%q is not the extension of a known format: allowed %s", filepath.Ext(l.src.Path), known))
		return false
	}
	tree, err := parse(data)
	if err != nil {
		l.fail(whole, err.Error())
		return false
	}
	o, ok := tree.Value.(*source.Object)
	if whole.Line = tree.Line; !ok {
		l.fail(whole, "holds "+tree.ShowType()+": allowed an object")
		return false
	}
	in := make([]source.Setting, len(o.Members))
	for i, m := range o.Members {
		in[i] = inside(whole, m.Key, m.Value)
	}
	rest := &source.Object{}
	for _, s := range l.rewrite(in) {
		if s.Written != "" {
			l.dotted(s, "")
		} else {
			rest.Members = append(rest.Members, source.Member{Key: s.Key, Value: s.Value})
		}
	}
	l.section(schema.Root, whole, rest, l.value())
	return true
}
