package node

import (
	"encoding/json"
	"errors"
	"net"
	"slices"

	"sluice/gateway/config"
	"sluice/gateway/console"
	"sluice/gateway/problem"
)

// consoleSettings shows the configuration.
type consoleSettings struct{ node *Node }

var _ console.Settings = consoleSettings{}

// Config implements console.Settings.
func (s consoleSettings) Config() *console.Config {
	node := s.node
	c := &console.Config{
		Options: node.shownOptions(), Warnings: []console.Warning{}, Exposure: []console.Exposed{},
		Reload: console.Reload{Changes: []console.Change{}},
	}
	for i, ln := range node.listeners {
		c.Exposure = append(c.Exposure, node.exposed(ln.Addr(), i > 0, len(node.listeners) > 1, net.InterfaceAddrs)...)
	}
	if r := node.reloader.Load(); r != nil {
		r.look(c)
	}
	return c
}

// shownOptions are all options with what is in force: of those that a reload takes what the
// last one took.
func (node *Node) shownOptions() []console.Option {
	began, applied := config.Show(node.cfg), config.Show(node.applied.Load())
	all := make([]console.Option, len(began))
	for i := range began {
		o := &began[i]
		if o.Live {
			o = &applied[i]
		}
		all[i] = console.Option{
			Name: o.Key, Value: json.RawMessage(o.Value), Default: json.RawMessage(o.Default),
			Changed: o.Changed, Secret: o.Secret != 0, Reload: o.Live, Doc: o.Doc,
		}
	}
	return all
}

// look adds what a reload would do now, and what is wrong with the file: it reads
// everything again, and applies nothing. Any goroutine.
func (r *Reloader) look(c *console.Config) {
	c.Reload.File = r.src.Path
	if r.hadFile && !r.fileIsThere() {
		c.Reload.Error = ErrFileGone.Error()
		return
	}
	cfg, report, err := Load(r.source())
	if report != nil {
		for _, f := range config.ByWeight(report.Findings) {
			c.Warnings = append(c.Warnings, warningOf(&f))
		}
	}
	for _, e := range slices.Backward(eachOf(errors.Join(err, Refused(report, err)))) {
		w := console.Warning{Level: console.LevelError, Text: problem.WithoutUserinfo(e.Error())}
		var key *config.KeyError
		if errors.As(e, &key) {
			w.Option = key.Key
		}
		c.Warnings = append([]console.Warning{w}, c.Warnings...)
	}
	if err != nil {
		c.Reload.Error = "the configuration is wrong, see above"
		return
	}
	live, _ := config.Diff(r.node.applied.Load(), cfg)
	_, restart := config.Diff(r.node.cfg, cfg) // since the start: what waited before waits still
	for _, change := range append(live, restart...) {
		to := change.To
		if change.From == "" && to == "" { // an entry of a list
			to = change.Text
		}
		c.Reload.Changes = append(c.Reload.Changes, console.Change{Name: change.Key, From: change.From, To: to, Taken: change.Live})
	}
}

func warningOf(f *config.Finding) console.Warning {
	w := console.Warning{Level: console.LevelNote, Option: f.Key, Text: f.String()}
	if f.Kind.Strict() {
		w.Level = console.LevelWarning
	}
	return w
}

// eachOf returns the errors that one joins.
func eachOf(err error) (all []error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // the tree itself is walked
		for _, e := range joined.Unwrap() {
			all = append(all, eachOf(e)...)
		}
		return all
	}
	if err == nil {
		return nil
	}
	return []error{err}
}
