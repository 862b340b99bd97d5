package gateway

import (
	"errors"
	"os"
	"path/filepath"

	"sluice/gateway/config"
)

// reloader reads the configuration anew on SIGHUP (PROTOCOL 9.4).
type reloader struct {
	// Immutable after newReloader.
	g       *Gateway
	src     config.Source
	hadFile bool

	// Owned by the goroutine that waits for signals.
	applied *config.Config
}

func newReloader(g *Gateway, src config.Source) *reloader {
	r := &reloader{g: g, src: src, applied: g.cfg}
	r.hadFile = r.fileIsThere()
	return r
}

func (r *reloader) fileIsThere() bool {
	if r.src.Path == "" {
		return false
	}
	_, err := os.Stat(filepath.Join(r.src.Dir, r.src.Path))
	return err == nil
}

// errFileGone keeps a reload from falling back to the defaults.
var errFileGone = errors.New("the config file that the server started with is not there any more")

// reload takes over what can change while streams are open, and logs what that
// was and what waits for a restart. A configuration that is wrong changes
// nothing.
func (r *reloader) reload() {
	if r.hadFile && !r.fileIsThere() {
		r.refuse(errFileGone)
		return
	}
	src := r.src
	src.Environ = os.Environ()
	cfg, report, err := config.Load(src)
	if err == nil {
		err = r.g.Reload(cfg)
	}
	if err != nil {
		r.refuse(err)
		return
	}
	for _, w := range report.Warnings {
		r.g.log.Warn(w)
	}
	live, _ := config.Diff(r.applied, cfg)
	_, restart := config.Diff(r.g.cfg, cfg) // since the start: what waited before waits still
	r.applied = cfg
	r.g.log.Info("the configuration was reloaded", "changed", changeTexts(live))
	if len(restart) > 0 {
		r.g.log.Warn("changed options wait for a restart", "options", changeTexts(restart))
	}
}

func (r *reloader) refuse(err error) {
	r.g.log.Error("the configuration was not reloaded, the old one stays", "error", err)
}

// changeTexts returns one text for each change; none holds a secret.
func changeTexts(changes []config.Change) []string {
	texts := make([]string, len(changes))
	for i, c := range changes {
		texts[i] = c.String()
	}
	return texts
}
