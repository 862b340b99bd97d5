package redis

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"
)

// slotRange is the slots from first to last, and the address of their master.
type slotRange struct {
	first, last int
	addr        string
}

// topology is what is known of a Cluster. Any goroutine.
type topology struct {
	// Guarded by mu; replaced, never changed.
	mu     sync.Mutex
	ranges []slotRange
	owners *[slots]string    // nil before the first
	tags   map[string]string // for the address of each master one that lies in its slots
}

func (p *topology) set(ranges []slotRange) {
	if slices.Equal(p.get(), ranges) {
		return
	}
	owners := ownersOf(ranges)
	tags := tagsOf(owners, len(masters(ranges)))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ranges, p.owners, p.tags = ranges, owners, tags
}

func (p *topology) get() []slotRange {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ranges
}

// perMaster returns a tag for the address of each master.
func (p *topology) perMaster() map[string]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tags
}

// mostTags bounds the search for tags; each is found by about as many tries as there are
// slots for one of its master's.
const mostTags = 20 * slots

// owner returns the address of the master of a key, "" if it is not known.
func (p *topology) owner(key string) string {
	p.mu.Lock()
	owners := p.owners
	p.mu.Unlock()
	if owners == nil {
		return ""
	}
	return owners[SlotOf(key)]
}

// tagsOf finds a tag for each of so many masters.
func tagsOf(owners *[slots]string, want int) map[string]string {
	tags := make(map[string]string, want)
	for i := 0; len(tags) < want && i < mostTags; i++ {
		tag := strconv.Itoa(i)
		if addr := owners[SlotOf(tag)]; addr != "" && tags[addr] == "" {
			tags[addr] = tag
		}
	}
	return tags
}

// ownersOf returns the address of each slot's master, "" where there is none.
func ownersOf(ranges []slotRange) *[slots]string {
	owners := new([slots]string)
	for _, r := range ranges {
		for slot := r.first; slot <= r.last; slot++ {
			owners[slot] = r.addr
		}
	}
	return owners
}

// masters returns the addresses of masters, each once.
func masters(ranges []slotRange) []string {
	var all []string
	for _, r := range ranges {
		if !slices.Contains(all, r.addr) {
			all = append(all, r.addr)
		}
	}
	return all
}

// slots asks a node of a Cluster for the masters of all slots.
func (w *wire) slots() ([]slotRange, error) {
	v, err := w.ask("CLUSTER", "SLOTS")
	if err != nil {
		return nil, err
	}
	host, _, _ := net.SplitHostPort(w.addr)
	var all []slotRange
	for _, item := range v.items {
		if len(item.items) < 3 || len(item.items[2].items) < 2 {
			return nil, fmt.Errorf("%w: an entry of CLUSTER SLOTS", errProtocol)
		}
		node := item.items[2].items
		r := slotRange{addr: net.JoinHostPort(node[0].text, node[1].text)}
		switch node[0].text {
		case "": // the node does not know its own name
			r.addr = net.JoinHostPort(host, node[1].text)
		case "?":
			continue
		}
		var bad [2]error
		r.first, bad[0] = strconv.Atoi(item.items[0].text)
		r.last, bad[1] = strconv.Atoi(item.items[1].text)
		if bad != [2]error{} || r.first < 0 || r.last >= slots || r.first > r.last {
			return nil, fmt.Errorf("%w: slots of CLUSTER SLOTS", errProtocol)
		}
		all = append(all, r)
	}
	return all, nil
}

// anyMaster dials a master of a Cluster, whichever answers: the known ones first, then
// those of the options. It learns the slots on the way.
func (d *dialer) anyMaster(ctx context.Context) (*wire, error) {
	known := masters(d.cluster.get())
	rand.Shuffle(len(known), func(i, j int) { known[i], known[j] = known[j], known[i] })
	candidates := slices.Clone(known)
	for _, i := range rand.Perm(len(d.t.addrs)) {
		if !slices.Contains(candidates, d.t.addrs[i]) {
			candidates = append(candidates, d.t.addrs[i])
		}
	}
	var errs []error
	for i := 0; i < len(candidates); i++ {
		w, ranges, err := d.member(ctx, candidates[i])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		d.cluster.set(ranges)
		if !w.server.Replica {
			return w, nil
		}
		_ = w.Close()
		errs = append(errs, fmt.Errorf("%s is a replica", candidates[i]))
		for _, addr := range masters(ranges) {
			if !slices.Contains(candidates, addr) {
				candidates = append(candidates, addr)
			}
		}
	}
	return nil, &dialError{worstReason(errs), "", errors.Join(errs...)}
}

// member dials one node of a Cluster and asks it for the slots.
func (d *dialer) member(ctx context.Context, addr string) (*wire, []slotRange, error) {
	ctx, cancel := context.WithTimeout(ctx, d.t.connect)
	defer cancel()
	w, err := d.server(ctx, addr)
	if err != nil {
		return nil, nil, err
	}
	done := w.within(ctx)
	ranges, err := w.slots()
	if late := done(); late != nil && err == nil {
		err = late
	}
	if err != nil {
		_ = w.Close()
		return nil, nil, &dialError{ReasonTopology, addr, err}
	}
	return w, ranges, nil
}

// worstReason returns the reason that tells most of several errors.
func worstReason(errs []error) string {
	for _, err := range errs {
		var dial *dialError
		if errors.As(err, &dial) && dial.reason != ReasonDial {
			return dial.reason
		}
	}
	return ReasonDial
}

// learn asks a node of the Cluster for the slots.
func (d *dialer) learn(ctx context.Context) error {
	w, err := d.anyMaster(ctx)
	if err != nil {
		return err
	}
	return w.Close()
}
