package node

import (
	"errors"
	"os"
	"path/filepath"

	"sluice/gateway/auth"
	"sluice/gateway/channel"
	"sluice/gateway/config"
)

// loadRules makes what a reload may replace.
func (node *Node) loadRules(cfg *config.Config) error {
	channels := ChannelConfig(&cfg.Channel)
	dictionaries, err := node.dictionaries.Read(dictionaryFiles(&channels))
	if err != nil {
		return err
	}
	setDictionaries(&channels, dictionaries)
	rules, err := channel.NewRules(channels)
	if err != nil {
		return err
	}
	opt := AuthOptions(&cfg.Client)
	opt.Log, opt.Previous, opt.MaxFetches = node.log, node.verifier.Load(), node.files.fetches
	verifier, err := auth.NewVerifier(opt)
	if err != nil {
		return err
	}
	node.dictionaries.Set(dictionaries)
	node.rules.Store(rules)
	node.keys.Store(auth.NewAPIKeys(apiKeyOptions(cfg)))
	if old := node.verifier.Swap(verifier); old != nil {
		old.Close()
	}
	return nil
}

// Reload takes over what can change while streams are open: what package config
// has tagged live. On an error everything stays as it was. Streams that are open
// keep what they were given. What TLS files hold is looked at, too, now and not
// only within a second; what is wrong with it is logged, and the former stays in
// use. Not from two goroutines at once, and not during Stop.
func (node *Node) Reload(cfg *config.Config) error {
	if err := node.loadRules(cfg); err != nil {
		return err
	}
	node.hub.SetPolicy(policy(&cfg.Channel, node.rules.Load()))
	node.limits.Set(addressLimits(&cfg.Client))
	node.sessions.Set(node.sessionLive(&cfg.Client))
	if node.sse != nil {
		node.sse.Set(sseLive(&cfg.Client))
	}
	if node.console != nil {
		node.console.Set(consoleLive(&cfg.Admin))
	}
	node.certs.reload()
	node.applied.Store(cfg)
	return nil
}

// Reloader reads the configuration anew on SIGHUP (PROTOCOL 9.4).
type Reloader struct {
	// Immutable after NewReloader.
	node    *Node
	src     config.Source
	hadFile bool
}

// NewReloader returns what reads src anew, for a node that was made from it. From here on the
// console of the node shows what a reload would do.
func NewReloader(node *Node, src config.Source) *Reloader {
	r := &Reloader{node: node, src: src}
	r.hadFile = r.fileIsThere()
	node.reloader.Store(r)
	return r
}

// source is where the configuration is read from, now.
func (r *Reloader) source() config.Source {
	src := r.src
	src.Environ = os.Environ()
	return src
}

func (r *Reloader) fileIsThere() bool {
	if r.src.Path == "" {
		return false
	}
	_, err := os.Stat(filepath.Join(r.src.Dir, r.src.Path))
	return err == nil
}

// ErrFileGone keeps a reload from falling back to the defaults.
var ErrFileGone = errors.New("the config file that the server started with is not there any more")

// Reload takes over what can change while streams are open, and logs what that
// was and what waits for a restart. A configuration that is wrong changes
// nothing.
func (r *Reloader) Reload() {
	if r.hadFile && !r.fileIsThere() {
		r.refuse(ErrFileGone)
		return
	}
	before := r.node.applied.Load()
	cfg, report, err := Load(r.source())
	if err == nil {
		err = r.node.Reload(cfg)
	}
	if err != nil {
		r.refuse(err)
		return
	}
	for _, w := range report.Warnings {
		r.node.log.Warn(w)
	}
	live, _ := config.Diff(before, cfg)
	_, restart := config.Diff(r.node.cfg, cfg) // since the start: what waited before waits still
	r.node.log.Info("the configuration was reloaded", "changed", changeTexts(live))
	if len(restart) > 0 {
		r.node.log.Warn("changed options wait for a restart", "options", changeTexts(restart))
	}
}

func (r *Reloader) refuse(err error) {
	r.node.log.Error("the configuration was not reloaded, the old one stays", "error", err)
}

// changeTexts returns one text for each change; none holds a secret.
func changeTexts(changes []config.Change) []string {
	texts := make([]string, len(changes))
	for i, c := range changes {
		texts[i] = c.String()
	}
	return texts
}
