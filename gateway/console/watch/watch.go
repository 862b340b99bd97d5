// Package watch is what a console can look at: the figures of a day, channels and clients,
// of this node and of all others that have a console.
//
//	sampler ─ every 5 s ─► series.Ring ─┐
//	hub.Channels, hub.Rates ────────────┼─► Watch ─► console of this node
//	session.FindClients, Clients ───────┘     └────► Watch.Answer: consoles of others
//
// Promises: nobody who looks holds up who is served. What walks over all channels or
// sessions does so in pieces, one search of each kind at a time and one more for other
// nodes; what was found stands for two seconds, so that pages and reloads do not walk again.
// What is held, and what goes between nodes, is bounded; a node that does not answer is
// named, and nothing fails for it. Names, users and infos are texts of clients: they are
// passed on as JSON strings and values, and nothing is made of them.
package watch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"sluice/gateway/cluster"
	"sluice/gateway/console"
	"sluice/gateway/console/series"
	"sluice/gateway/hub"
	"sluice/gateway/metrics"
	"sluice/gateway/session"
)

// Options of a [Watch]. All must be set, but Log.
type Options struct {
	UID, Name, Version string
	Began              time.Time
	// Figures reads the counters of the node; it may wait for its loops for a while.
	Figures  func() (*metrics.Reading, error)
	Hub      *hub.Hub
	Sessions *session.Manager
	Cluster  *cluster.Cluster
	// Match compiles a glob.
	Match func(glob string) (func(string) bool, error)
	// Rules returns the namespace of a channel and its options; the error, for people, says
	// that no channel can be called so. history says that it keeps some.
	Rules func(channel string) (namespace string, rules map[string]any, history bool, err error)
	// Position reads where a channel is that keeps history.
	Position func(ctx context.Context, channel string) (*console.Position, error)
	Log      *slog.Logger
}

// Watch implements console.Watch. Make it with [New]; its methods may be called from any
// goroutine but not from a turn.
type Watch struct {
	// Immutable after New.
	opt  Options
	ring *series.Ring

	// Owned by the sampler.
	sampler sampler

	// Owned by who has the key beside it.
	channelsKey, clientsKey key
	channels                listing
	clients                 finding
	nowKey                  key
	now                     map[string]elsewhere // by range
	// The same for other nodes, whose questions must not wait for ours: theirs may wait for
	// us.
	answersKey key
}

var _ console.Watch = (*Watch)(nil)

// fresh is for how long what was found stands.
const fresh = 2 * time.Second

// New makes a watch. The figures begin with [Watch.Run].
func New(opt Options) *Watch {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	return &Watch{
		opt: opt, ring: series.New(folds()), now: make(map[string]elsewhere),
		channelsKey: newKey(), clientsKey: newKey(), nowKey: newKey(), answersKey: newKey(),
	}
}

// key is had by one at a time.
type key chan struct{}

func newKey() key { return make(key, 1) }

// take waits for the key until ctx ends. Whoever has it gives it back.
func (k key) take(ctx context.Context) error {
	select {
	case k <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("watch: others are looking: %w", context.Cause(ctx))
	}
}

func (k key) back() { <-k }

// forget drops what was found and does not stand any more. Sampler only.
func (w *Watch) forget() {
	stale := func(k key, at *time.Time, drop func()) {
		select {
		case k <- struct{}{}:
			if time.Since(*at) > fresh {
				drop()
			}
			k.back()
		default: // in use
		}
	}
	stale(w.channelsKey, &w.channels.at, func() { w.channels = listing{} })
	stale(w.clientsKey, &w.clients.at, func() { w.clients = finding{} })
}

// question is what a console asks those of other nodes. Op says which fields there are.
type question struct {
	Op    string `json:"op"`
	Range string `json:"range,omitempty"`
	// Names are of channels, Q is a part of names or a glob.
	Names []string `json:"names,omitempty"`
	Q     string   `json:"q,omitempty"`
	By    string   `json:"by,omitempty"`
	Order string   `json:"order,omitempty"`
	Desc  bool     `json:"desc,omitempty"`
	Most  int      `json:"most,omitempty"`
	// Of are streams by the node that has them.
	Of     map[string][]ref `json:"of,omitempty"`
	Client string           `json:"client,omitempty"`
}

// The ops.
const (
	opNow    = "now"
	opRates  = "rates"
	opTop    = "top"
	opFind   = "find"
	opRows   = "rows"
	opClient = "client"
)

// errUnknownOp is the answer to a question of a newer node.
var errUnknownOp = errors.New("watch: this node is older: it does not know what is asked")

// Answer answers a question of another node's console, see cluster.Options.Inspect.
func (w *Watch) Answer(ctx context.Context, data []byte) ([]byte, error) {
	var q question
	if err := json.Unmarshal(data, &q); err != nil {
		return nil, fmt.Errorf("watch: a question expected: %w", err)
	}
	if len(q.Names) > console.MaxLimit || len(q.Q) > textMost || q.Most < 0 || q.Most > findMost {
		return nil, errors.New("watch: a smaller question expected")
	}
	var v any
	var err error
	switch q.Op {
	case opNow:
		v, err = w.nowHere(q.Range)
	case opRates:
		v, err = w.ratesHere(ctx, q.Names)
	case opTop:
		v, err = w.topHere(ctx, q.Q, q.Most)
	case opFind:
		v, err = w.findHere(ctx, &q)
	case opRows:
		v, err = w.rowsHere(ctx, q.Of[w.opt.UID])
	case opClient:
		v, err = w.clientHere(ctx, q.Client)
	default:
		err = errUnknownOp
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

const (
	// textMost bounds what is searched for, in bytes.
	textMost = 512
	// findMost is how many rows, from the first one on, can be looked at in an order.
	findMost = 20_000
	// findStep is in which portions they are asked for.
	findStep = 1000
)

// portion returns how many rows to ask for, of whom so many are wanted.
func portion(n int) int { return min((n+findStep-1)/findStep*findStep, findMost) }

// ask asks the consoles of all other nodes, and gives each answer to take. The names of those
// that did not answer as they should are returned.
func ask[T any](ctx context.Context, w *Watch, q *question, take func(uid, name string, v *T)) (silent []string) {
	silent, without := askApart(ctx, w, q, take)
	return append(silent, without...)
}

// askApart is ask, with those that have no console, or an older one, apart from those that
// are silent.
func askApart[T any](ctx context.Context, w *Watch, q *question, take func(uid, name string, v *T)) (silent, without []string) {
	in := w.inspect(ctx, q)
	for _, a := range in.Answers {
		v := new(T)
		if err := json.Unmarshal(a.Answer, v); err != nil {
			w.opt.Log.Debug("an answer of another node's console makes no sense", "node", a.Name, "op", q.Op, "error", err)
			silent = append(silent, a.Name)
			continue
		}
		take(a.UID, a.Name, v)
	}
	return append(silent, titles(in.Silent)...), titles(in.Without)
}

// inspect asks the consoles of all other nodes.
func (w *Watch) inspect(ctx context.Context, q *question) cluster.Inspection {
	data, err := json.Marshal(q)
	if err != nil {
		panic(fmt.Sprintf("BUG: watch: a question that is no JSON: %v", err))
	}
	in, err := w.opt.Cluster.Inspect(ctx, data)
	if err != nil {
		w.opt.Log.Debug("other nodes could not be asked", "op", q.Op, "error", err)
	}
	return in
}

// titles returns what nodes are called.
func titles(all ...[]cluster.Info) (names []string) {
	for _, nodes := range all {
		for _, n := range nodes {
			names = append(names, title(n.Name, n.UID))
		}
	}
	return names
}

func title(name, uid string) string {
	if name == "" {
		return uid
	}
	return name
}
