package docs

import (
	"fmt"
	"reflect"
	"slices"

	"sluice/gateway/config"
	"sluice/gateway/config/legacy"
	"sluice/gateway/config/report"
	"sluice/gateway/config/schema"
	"sluice/gateway/config/source"
)

// Converted is a config file in another form.
type Converted struct {
	Text   []byte         // the file in the nested form of version 6: what differs from the defaults, and nothing else
	Config *schema.Config // what both files say; nil if the old one is wrong
	Report *report.Report // how the old one was read
}

// Convert reads the file at path, of versions 4 to 6, and returns the shortest one that says the same in the nested form of
// version 6. to gives its format by its extension. Neither the environment nor ".env" counts, variables in static headers
// stay variables, and what is in a file of its own (key_file) stays there.
//
// What was unknown or is not supported is left out, and so are parts that do not exist yet: the Report names it. The error
// joins a KeyError for everything that is wrong with the old file; the Report is there with it.
//
// check is what else is asked of the old file before it is converted, with the error so far; nil for nothing.
func Convert(path, to string, check func(*report.Report, error) error) (*Converted, error) {
	return convert(config.Source{Path: path, Required: true, Read: source.ReadFile}, to, check)
}

func convert(src config.Source, to string, check func(*report.Report, error) error) (*Converted, error) {
	cfg, rep, err := config.LoadFile(src)
	if check != nil {
		err = check(rep, err)
	}
	out := &Converted{Report: rep}
	if err != nil {
		return out, err
	}
	out.Config = cfg
	forgetIdleHooks(cfg, rep)
	sh := shortener{rep: rep}
	if out.Text, err = render(to, &file{tree: sh.shorten(cfg)}); err != nil {
		return out, err
	}
	// Why look again: whoever converts a file does not compare a hundred options.
	again, _, err := config.LoadFile(config.Source{Path: to, Dir: src.Dir, Read: func(name string) ([]byte, error) {
		if name == source.Resolve(src.Dir, to) {
			return out.Text, nil
		}
		return src.Read(name)
	}})
	if err != nil {
		return out, fmt.Errorf("config: BUG: the converted file is wrong: %w", err)
	}
	live, restart := config.Diff(cfg, again)
	if changes := append(live, restart...); len(changes) > 0 {
		return out, fmt.Errorf("config: BUG: the converted file says something else: %v", changes)
	}
	return out, nil
}

// forgetIdleHooks gives a hook of which nothing was said but by keys of versions 4 and 5 for all hooks its defaults, where
// another hook is enabled: those keys were meant for that.
func forgetIdleHooks(c *schema.Config, rep *report.Report) {
	if !c.Client.Proxy.Connect.Enabled && !c.Client.Proxy.Refresh.Enabled {
		return
	}
	def := schema.Default().Hooks()
	for i, h := range c.Hooks() {
		own := slices.ContainsFunc(rep.Keys(), func(key string) bool {
			return schema.Below(key, h.Key) && len(legacy.Targets(rep.Of(key).Written)) < 2
		})
		if !own {
			*h.Proxy = *def[i].Proxy
			rep.Forget(h.Key)
		}
	}
}

// shortener leaves out of a config file what the defaults say anyway.
type shortener struct {
	rep    *report.Report // which values came out of a file of their own. May be nil
	always []string       // options that are there even so
}

// shorten returns what of c differs from the defaults.
func (sh *shortener) shorten(c *schema.Config) *source.Object {
	return sh.section(schema.Root, "", reflect.ValueOf(c).Elem(), reflect.ValueOf(schema.Default()).Elem())
}

func (sh *shortener) section(s *schema.Section, path string, v, def reflect.Value) *source.Object {
	o := &source.Object{}
	for _, f := range s.Fields {
		key, value := schema.Join(path, f.Name), v.FieldByIndex(f.Index)
		name, n := f.Name, f.Plain(value)
		// Why not of a section: its parts are compared each by itself.
		same := f.Kind != schema.KindSection && n.JSON() == f.Plain(def.FieldByIndex(f.Index)).JSON()
		file := ""
		if sh.rep != nil {
			file = sh.rep.Of(key).File
		}
		switch {
		case f.Kind == schema.KindSection:
			inner := sh.section(f.Sub, key, value, def.FieldByIndex(f.Index))
			if len(inner.Members) == 0 {
				continue
			}
			n = &source.Node{Value: inner}
		case file != "":
			name, n = f.Name+schema.FileSuffix, &source.Node{Value: file}
		case same && !slices.Contains(sh.always, key):
			continue
		case f.Kind == schema.KindObjects:
			n = elements(f, value)
		}
		o.Members = append(o.Members, source.Member{Key: name, Value: n})
	}
	return o
}

// elements returns the shortest form of a list of objects.
func elements(f *schema.Field, list reflect.Value) *source.Node {
	def := reflect.New(f.Sub.Type).Elem()
	f.Sub.ApplyDefaults(def)
	items := make([]*source.Node, list.Len())
	for i := range items {
		items[i] = &source.Node{Value: new(shortener).section(f.Sub, "", list.Index(i), def)}
	}
	return &source.Node{Value: items}
}
