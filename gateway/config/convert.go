package config

import (
	"fmt"
	"reflect"

	"sluice/gateway/config/legacy"
	"sluice/gateway/config/report"
	"sluice/gateway/config/schema"
	"sluice/gateway/config/source"
)

// Converted is a config file in another form.
type Converted struct {
	Text   []byte  // the file in the nested form of version 6: what differs from the defaults, and nothing else
	Config *Config // what both files say; nil if the old one is wrong
	Report *Report // how the old one was read
}

// Convert reads the file at path, of versions 4 to 6, and returns the shortest one that says the same in the nested form of
// version 6. to gives its format by its extension. Neither the environment nor ".env" counts, variables in static headers
// stay variables, and what is in a file of its own (key_file) stays there.
//
// What was unknown or is not supported is left out, and so are parts that do not exist yet: the Report names it. The error
// joins a KeyError for everything that is wrong with the old file; the Report is there with it.
//
// check is what else is asked of the old file before it is converted, with the error so far; nil for nothing.
func Convert(path, to string, check func(*Report, error) error) (*Converted, error) {
	return convert(Source{Path: path, Required: true, Read: source.ReadFile}, to, check)
}

func convert(src Source, to string, check func(*Report, error) error) (*Converted, error) {
	cfg, rep, err := LoadFile(src)
	if check != nil {
		err = check(rep, err)
	}
	out := &Converted{Report: rep}
	if err != nil {
		return out, err
	}
	out.Config = cfg
	forgetIdleHooks(cfg, rep)
	if out.Text, err = render(to, shortest(schema.Root, "", reflect.ValueOf(cfg).Elem(), reflect.ValueOf(Default()).Elem(), rep)); err != nil {
		return out, err
	}
	// Why look again: whoever converts a file does not compare a hundred options.
	again, _, err := LoadFile(Source{Path: to, Dir: src.Dir, Read: func(name string) ([]byte, error) {
		if name == source.Resolve(src.Dir, to) {
			return out.Text, nil
		}
		return src.Read(name)
	}})
	if err != nil {
		return out, fmt.Errorf("config: BUG: the converted file is wrong: %w", err)
	}
	live, restart := Diff(served(cfg), served(again))
	if changes := append(live, restart...); len(changes) > 0 {
		return out, fmt.Errorf("config: BUG: the converted file says something else: %v", changes)
	}
	return out, nil
}

// forgetIdleHooks gives a hook of which nothing was said but by keys of versions 4 and 5 for all hooks its defaults, where
// another hook is enabled: those keys were meant for that.
func forgetIdleHooks(c *schema.Config, rep *Report) {
	if !c.Client.Proxy.Connect.Enabled && !c.Client.Proxy.Refresh.Enabled {
		return
	}
	def := Default().Hooks()
	for i, h := range c.Hooks() {
		own := false
		for _, key := range rep.Keys() {
			own = own || schema.Below(key, h.Key) && len(legacy.Targets(rep.Of(key).Written)) < 2
		}
		if !own {
			*h.Proxy = *def[i].Proxy
			rep.Forget(h.Key)
		}
	}
}

// shortest returns what of v, a struct of s, differs from def, as far as it is served. rep says what came out of a file of its
// own; nil inside lists, where nothing does.
func shortest(s *schema.Section, path string, v, def reflect.Value, rep *Report) *outline {
	o := &outline{}
	add := func(key string, value any) { o.entries = append(o.entries, entry{key: key, v: value}) }
	for _, f := range s.Fields {
		key, value, other := schema.Join(path, f.Name), v.FieldByIndex(f.Index), def.FieldByIndex(f.Index)
		switch {
		case f.Unserved:
			if !new(differ).same(f.Sub, other, value) {
				rep.Add(report.Finding{Key: key, Kind: report.KindUnsupported, Detail: "left out: nothing serves it yet"})
			}
		case f.Kind == schema.KindSection:
			if inner := shortest(f.Sub, key, value, other, rep); len(inner.entries) > 0 {
				add(f.Name, inner)
			}
		case rep != nil && rep.Of(key).File != "":
			add(f.Name+schema.FileSuffix, rep.Of(key).File)
		case equal(f, value, other):
		case f.Kind == schema.KindObjects:
			add(f.Name, shortestItems(f, value))
		default:
			add(f.Name, plain(f, value))
		}
	}
	return o
}

// shortestItems is shortest for the elements of a list.
func shortestItems(f *schema.Field, list reflect.Value) []*outline {
	items := make([]*outline, list.Len())
	def := reflect.New(f.Sub.Type).Elem()
	f.Sub.ApplyDefaults(def)
	for i := range items {
		items[i] = shortest(f.Sub, "", list.Index(i), def, nil)
	}
	return items
}

// served returns a copy of c in which parts that do not exist yet have their defaults.
func served(c *Config) *Config {
	out := *c
	var reset func(s *schema.Section, v, def reflect.Value)
	reset = func(s *schema.Section, v, def reflect.Value) {
		for _, f := range s.Fields {
			value, other := v.FieldByIndex(f.Index), def.FieldByIndex(f.Index)
			switch {
			case f.Unserved:
				value.Set(other)
			case f.Kind == schema.KindSection:
				reset(f.Sub, value, other)
			}
		}
	}
	reset(schema.Root, reflect.ValueOf(&out).Elem(), reflect.ValueOf(Default()).Elem())
	return &out
}
