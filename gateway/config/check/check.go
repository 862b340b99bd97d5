package check

import (
	"sluice/gateway/config/report"
	"sluice/gateway/config/schema"
	"sluice/gateway/problem"
)

// Run returns an error for everything that is wrong with c, each of an option. What deserves a look becomes a finding of rep, the
// report of how c was read. dir is where relative paths of files are seen from, "" = that of the process.
func Run(c *schema.Config, rep *report.Report, dir string) []error {
	v := &checker{c: c, rep: rep, dir: dir}
	v.usable()
	v.shortTimes()
	v.server()
	v.client()
	v.secrets()
	v.publicationLimits()
	v.connectionLimits()
	v.times()
	for _, ns := range v.namespaces() {
		v.history(ns.key, ns.options)
		v.broadcast(ns.key, ns.options)
	}
	v.route()
	v.edge()
	v.idle()
	v.engines()
	v.relay()
	v.operations()
	v.handlers()
	return rep.Tell(v.List)
}

// checker is the state of one Run.
type checker struct {
	problem.List // what was found, by whole keys
	c            *schema.Config
	rep          *report.Report
	dir          string
}

// warn notes that key deserves a look.
func (v *checker) warn(key, format string, args ...any) *problem.Problem {
	return v.Note(key, problem.Advice, format, args...)
}

// sound reports whether all keys could be decoded. Who looks at others only to tell of one says so with Problem.With instead.
func (v *checker) sound(keys ...string) bool { return v.rep.Sound(keys...) }

func (v *checker) operations() {
	v.console()
	if s := &v.c.Shutdown; s.Grace >= s.Timeout {
		v.Fail("shutdown.grace", "%s leaves no time to end streams: allowed less than shutdown.timeout (%s)", s.Grace, s.Timeout).With("shutdown.timeout")
	}
}
