package check

import (
	"fmt"
	"time"

	"sluice/gateway/config/report"
	"sluice/gateway/config/schema"
	"sluice/gateway/problem"
)

// Input is what is checked.
type Input struct {
	Config *schema.Config
	Report *report.Report // of how the configuration was read; it gets the findings
	Dir    string         // that relative paths of files are seen from; "" = that of the process
	Now    time.Time
}

// Run returns an error for everything that is wrong, each of an option. What deserves a look becomes a finding.
func Run(in Input) []error {
	v := &checker{c: in.Config, rep: in.Report, dir: in.Dir, now: in.Now}
	v.all()
	return v.errs
}

// checker is the state of one Run.
type checker struct {
	c    *schema.Config
	rep  *report.Report
	dir  string
	now  time.Time
	errs []error
}

func (v *checker) all() {
	v.usable()
	v.shortTimes()
	v.uniSSE()
	v.lacking()
	v.httpServer()
	v.client()
	v.hookTLS()
	v.secrets()
	v.httpAPI()
	v.limits()
	v.reach()
	v.idle()
	v.engines()
	v.operations()
	v.handlers()
}

// fail notes that key is wrong.
func (v *checker) fail(key, format string, args ...any) {
	v.errs = append(v.errs, v.rep.Wrong(key, fmt.Sprintf(format, args...)))
}

// warn notes that key deserves a look.
func (v *checker) warn(key, format string, args ...any) {
	v.note(key, report.KindAdvice, fmt.Sprintf(format, args...))
}

func (v *checker) note(key string, kind report.Kind, detail string) { v.rep.Note(key, kind, detail) }

func (v *checker) sound(keys ...string) bool { return v.rep.Sound(keys...) }

// showURL renders the value of key, or a part of it, as far as it may be seen.
func (v *checker) showURL(key, value string) string {
	if v.rep.Hidden(key) {
		return problem.Hidden
	}
	return problem.URL(value)
}

// lacking notes options of this table that nothing serves yet.
func (v *checker) lacking() {
	if v.c.Admin.Enabled && v.sound("admin.enabled") {
		v.note("admin.enabled", report.KindUnsupported, "not supported, ignored: the live page comes with the flag --dev")
	}
}

func (v *checker) operations() {
	if a := &v.c.Admin; a.Enabled {
		switch {
		case a.Insecure:
			v.warn("admin.insecure", "true: everybody who reaches the web pages can use them")
		case (a.Password == "" || a.Secret == "") && v.sound("admin.password", "admin.secret"):
			v.warn("admin.password", "password or secret is empty: nobody can log in to the web pages")
		}
	}
	s := &v.c.Shutdown
	if s.Grace >= s.Timeout && v.sound("shutdown.grace", "shutdown.timeout") {
		v.fail("shutdown.grace", "%s leaves no time to end streams: allowed less than shutdown.timeout (%s)", s.Grace, s.Timeout)
	}
}
