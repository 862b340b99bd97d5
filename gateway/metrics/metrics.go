// Package metrics serves the counters of a node to Prometheus. It is the only
// package that imports its library: everybody else counts in plain fields of a
// Stats, which are read when somebody asks.
//
//	scrape ─► Exporter ─► Source.State       what needs no waiting for
//	                   ─► Source.Loop(i)     a post to each loop, an answer from its turn
//
// Promises: a scrape takes at most Options.Wait plus the time to write it out;
// a loop is neither blocked by a scrape nor waited for longer than that, and
// what it said last stands in for it, counted in scrape_stale_total; scrapes at
// the same time share one reading. The sets of label values are bounded: by
// tables here and there, never by what clients send.
//
// A new metric is a field in its package's Stats and one line in own.go. The
// names in reference.go are those of PROTOCOL 9.5.
package metrics

import (
	"net/http"
	"regexp"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"
	"github.com/valyala/fasthttp"

	"sluice/gateway/problem"
)

// Options of an [Exporter]. Source and Namespace must be set; the zero value of the
// others means the default named.
type Options struct {
	Source Source
	// Namespace is the first part of all names (prometheus.metrics_namespace).
	Namespace string
	// Wait is how long a scrape waits for loops; 1 s.
	Wait time.Duration
	// UsersEvery is how often users are counted anew; 10 s. Why not at each
	// scrape: it is the one number that costs a walk over all sessions.
	UsersEvery time.Duration
}

var namespacePattern = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// Check returns what is wrong with the options, by their keys below prometheus.
func (o *Options) Check() problem.List {
	var l problem.List
	if !namespacePattern.MatchString(o.Namespace) {
		l.Fail("metrics_namespace", "%q cannot start a metric name: allowed letters, digits and _, not a digit first", o.Namespace)
	}
	return l
}

// Exporter answers scrapes. Make it with [New]; its methods may be called from
// any goroutine but not from a turn.
type Exporter struct {
	// Immutable after New.
	own  *prometheus.Registry // the source's
	from *collector
	all  prometheus.Gatherers // and those of the process
}

// New makes an exporter with a registry of its own: the metrics of the source,
// and those of the process and of Go. The error is that of Options.Check.
func New(opt Options) (*Exporter, error) {
	if err := opt.Check().Err("metrics"); err != nil {
		return nil, err
	}
	if opt.Wait <= 0 {
		opt.Wait = time.Second
	}
	if opt.UsersEvery <= 0 {
		opt.UsersEvery = 10 * time.Second
	}
	own, process := prometheus.NewRegistry(), prometheus.NewRegistry()
	from := newCollector(opt)
	own.MustRegister(from)
	process.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return &Exporter{own: own, from: from, all: prometheus.Gatherers{own, process}}, nil
}

// Handle answers a scrape in the format that it asks for.
func (e *Exporter) Handle(ctx *fasthttp.RequestCtx) {
	families, err := e.all.Gather()
	if err != nil {
		ctx.Error("the metrics cannot be gathered: "+err.Error(), fasthttp.StatusInternalServerError)
		return
	}
	accept := http.Header{"Accept": {string(ctx.Request.Header.Peek(fasthttp.HeaderAccept))}}
	format := expfmt.NegotiateAccept(accept, expfmt.DefaultAcceptedFormats()...)
	ctx.SetContentType(string(format))
	// Writes into the response do not fail.
	encoder := expfmt.NewEncoder(ctx.Response.BodyWriter(), format)
	for _, f := range families {
		_ = encoder.Encode(f)
	}
}
