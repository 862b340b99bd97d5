package cluster

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// registry is the nodes that were heard, but for this one.
type registry struct {
	// Immutable after newRegistry.
	forget time.Duration
	young  time.Duration
	start  time.Time // what spans are counted from, by the monotonic clock

	// Guarded by mu.
	mu    sync.Mutex
	nodes map[string]*node
	// echoes is how many announcements of this node it has heard itself, echo when the
	// last one was, first when the first.
	echoes      uint64
	echo, first time.Duration
	forgotten   uint64 // nodes that went without a word
}

// node is what is known of another one. It is there from its first message on, and for
// a while after it went: its repeats have to be known, and whose it was.
type node struct {
	uid  string
	info Info // what it said of itself
	// known: it announced itself and has not gone since.
	known bool
	// silent: it missed an answer and was not heard since.
	silent bool
	heard  time.Duration
	echoes uint64 // of this node when it was last heard
	seen   window
}

const (
	// maxNodes bounds the registry.
	maxNodes = 4096
	// remembered is how long a node that went stays in it.
	remembered = 10 * time.Minute
	// echoesBeforeForget is how often this node has to have heard itself since it heard
	// another before it forgets it.
	echoesBeforeForget = 2
)

// newRegistry: forget is how long a node may be unheard; young how long after the first
// echo nodes may be there that have not answered it.
func newRegistry(forget, young time.Duration) *registry {
	return &registry{forget: forget, young: young, start: time.Now(), nodes: make(map[string]*node)}
}

func (r *registry) now() time.Duration { return time.Since(r.start) }

// take notes that a node was heard by its message with an id. It returns why the message
// is to be skipped, "" for not.
func (r *registry) take(uid string, id uint64) (skip string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.heard(uid)
	switch {
	case n == nil:
		return skipNodes
	case !n.seen.once(id):
		return skipRepeated
	}
	return ""
}

// heard returns what is known of a node that was heard, nil if there are too many. Caller
// holds mu.
func (r *registry) heard(uid string) *node {
	n := r.nodes[uid]
	if n == nil {
		if len(r.nodes) >= maxNodes {
			return nil
		}
		n = &node{uid: uid}
		r.nodes[uid] = n
	}
	n.heard, n.echoes, n.silent = r.now(), r.echoes, false
	return n
}

// announced notes what a node says of itself, and reports whether it was not known. What
// it says of its metrics only now and then stays.
func (r *registry) announced(info Info) (isNew bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.heard(info.UID)
	if n == nil {
		return false
	}
	if info.Metrics == nil {
		info.Metrics = n.info.Metrics
	}
	isNew, n.info, n.known = !n.known, info, true
	return isNew
}

// left notes that a node said it goes, and returns the name of one that was known.
func (r *registry) left(uid string) (name string, was bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.nodes[uid]
	if n == nil || !n.known {
		return "", false
	}
	n.known = false
	return n.info.Name, true
}

// echoed notes that this node has heard an announcement of its own.
func (r *registry) echoed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.echoes++
	r.echo = r.now()
	if r.first == 0 {
		r.first = max(r.echo, 1)
	}
}

// tick forgets who was not heard for long, and returns their names. Why not by time
// alone: who was stopped, or cut off, finds that nobody was heard for long.
func (r *registry) tick() (gone []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	for uid, n := range r.nodes {
		switch quiet := now - n.heard; {
		case n.known && quiet > r.forget && r.echoes >= n.echoes+echoesBeforeForget:
			n.known = false
			r.forgotten++
			gone = append(gone, n.title())
		case !n.known && quiet > remembered:
			delete(r.nodes, uid)
		}
	}
	return gone
}

// asked is what a question to all nodes begins with: who is known, and of these who is
// to be waited for. all: there may be others, so all of the time is to be waited.
func (r *registry) asked() (known, wait map[string]bool, all bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, wait = make(map[string]bool), make(map[string]bool)
	for uid, n := range r.nodes {
		if n.known {
			known[uid] = true
			if !n.silent {
				wait[uid] = true
			}
		}
	}
	return known, wait, r.first == 0 || r.now()-r.first < r.young
}

// missed notes that nodes did not answer in time.
func (r *registry) missed(uids map[string]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for uid := range uids {
		if n := r.nodes[uid]; n != nil {
			n.silent = true
		}
	}
}

// titles returns what nodes are called, in order.
func (r *registry) titles(uids map[string]bool) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for uid := range uids {
		if n := r.nodes[uid]; n != nil {
			out = append(out, n.title())
		} else {
			out = append(out, uid)
		}
	}
	slices.Sort(out)
	return out
}

// infos returns what nodes said of themselves when they announced themselves.
func (r *registry) infos(uids map[string]bool) []Info {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Info
	for uid := range uids {
		if n := r.nodes[uid]; n != nil {
			out = append(out, n.info)
		}
	}
	slices.SortFunc(out, func(a, b Info) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID)) })
	return out
}

// counts returns how many nodes are known, of these how many missed their last answer,
// and how many went without a word.
func (r *registry) counts() (known, silent int, forgotten uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.nodes {
		if n.known {
			known++
			if n.silent {
				silent++
			}
		}
	}
	return known, silent, r.forgotten
}

// ours reports whether a node was ever heard here.
func (r *registry) ours(uid string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.nodes[uid] != nil
}

// unheard returns for how long this node has not heard itself; never: not once.
func (r *registry) unheard() (since time.Duration, never bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now() - r.echo, r.first == 0
}

// title is what a node is called in logs and answers.
func (n *node) title() string { return cmp.Or(n.info.Name, n.uid) }
