package session

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/auth"
	"sluice/gateway/broker"
	brokermemory "sluice/gateway/broker/memory"
	"sluice/gateway/channel"
	"sluice/gateway/testkit"
)

// tardy is an engine elsewhere, whose calls take as long as the first slice of a patience or
// a little more or less.
type tardy struct {
	broker.Broker
	slice time.Duration
}

func (e *tardy) Abilities() broker.Abilities {
	return broker.Abilities{History: true, Synchronous: true}
}

func (e *tardy) Subscribe(ctx context.Context, channels []string) error {
	time.Sleep(e.slice - 100*time.Microsecond + rand.N(200*time.Microsecond))
	return e.Broker.Subscribe(ctx, channels)
}

// pooledRequest is a request whose memory is that of others next.
type pooledRequest struct {
	request
	pool   *sync.Pool
	memory Memory
	conn   Conn
}

// Free spoils the memory: who reads it still fails, or tells what nobody said.
func (r *pooledRequest) Free() {
	pool, spoiled := r.pool, r
	spoiled.memory.plan = Plan{User: "spoiled", ExpireAt: 1, Data: codec.QuoteJSON("spoiled"), evicts: "spoiled", claim: 1}
	spoiled.memory.plan.one[0].Channel = "spoiled"
	spoiled.memory.opening.few.results[0].Channel = "spoiled"
	spoiled.memory.opening.few.at[0].Channel = "spoiled"
	spoiled.conn.MaxEvents, spoiled.conn.Padding = 1, 100
	pool.Put(r)
}

// pooledRequests is a pool of them.
func pooledRequests() (take func() *pooledRequest) {
	pool := new(sync.Pool)
	return func() *pooledRequest {
		r, ok := pool.Get().(*pooledRequest)
		if !ok {
			r = new(pooledRequest)
		}
		*r = pooledRequest{pool: pool}
		return r
	}
}

// planIn returns the plan of a connect in the memory of a request: its user and its data are
// its name.
func (r *rig) planIn(req *pooledRequest, name string) (*Plan, error) {
	p, err := r.Plan(&PlanRequest{Identity: &auth.Identity{User: name}, Memory: &req.memory})
	if err == nil {
		p.Data = codec.QuoteJSON(name)
	}
	return p, err
}

// The timer of an opening that waited may be about to run when the opening is over: it must
// not find the next one in its memory.
func TestATimerOfAnOpeningDoesNotFindTheNextOneInItsMemory(t *testing.T) {
	const slice = 2 * time.Millisecond
	r := newRigOn(t, &tardy{brokermemory.New(brokermemory.Options{}), slice}, nil, func(o *Options) {
		o.StaleCloseDelay = patienceSlices * slice
	})
	take := pooledRequests()
	end := time.Now().Add(time.Second)
	var all sync.WaitGroup
	for worker := range 64 {
		all.Go(func() {
			for i := 0; time.Now().Before(end); i++ {
				req, name := take(), fmt.Sprintf("c%d-%d", worker, i)
				p, err := r.planIn(req, name)
				if err != nil {
					t.Error(err)
					return
				}
				p.Grants = append(p.Grants, grant(name, channel.Options{}))
				sock, far := pairOf(t)
				req.conn = Conn{Socket: sock, Framing: codec.FramingClose, Request: req}
				r.Enter()
				err = r.Open(p, &req.conn)
				r.Leave()
				if err == nil {
					if got := readUntil(far, `"data":"`); !strings.Contains(got, `"data":"`+name+`"`) {
						t.Errorf("%s was told %q", name, got)
					}
				}
				_ = far.Close()
			}
		})
	}
	all.Wait()
	require.False(t, t.Failed())
}

// Streams that begin and end at once, some of them as soon as they are open, each read their
// own.
func TestOpeningsInTheMemoryOfOthersTellEachItsOwn(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"plain": nil, "debug": func(o *Options) { o.Log = debugLog(&testkit.LogBuffer{}) },
		"two_writes": func(o *Options) { o.TwoWrites = true },
	} {
		t.Run(name, func(t *testing.T) { openMany(t, newRig(t, nil, change)) })
	}
}

func openMany(t *testing.T, r *rig) {
	take := pooledRequests()
	end := time.Now().Add(time.Second)
	var all sync.WaitGroup
	for worker := range 32 {
		all.Go(func() {
			for i := 0; time.Now().Before(end); i++ {
				req, name := take(), fmt.Sprintf("c%d-%d", worker, i)
				p, err := r.planIn(req, name)
				if err != nil {
					t.Error(err)
					return
				}
				rules := channel.Options{}
				switch i % 8 {
				case 1:
					rules.Presence = true
				case 2:
					rules.JoinLeave = true
				case 3:
					rules.ForceRecovery = true
				}
				p.Grants = append(p.Grants, grant(name, rules))
				if i%5 == 0 {
					p.Grants = append(p.Grants, grant("all", channel.Options{}))
				}
				id := p.Client().String()
				sock, far := pairOf(t)
				req.conn = Conn{Socket: sock, Framing: codec.FramingClose, Request: req}
				bounded := i%4 == 0
				if bounded {
					req.conn.MaxEvents = 1
				}
				if i%7 == 0 {
					_ = far.Close()
				}
				r.Enter()
				_ = r.Open(p, &req.conn)
				r.Leave()
				if i%7 != 0 {
					got := readUntil(far, `"data":"`)
					if !strings.Contains(got, `"data":"`+name+`"`) || !strings.Contains(got, `"client":"`+id+`"`) ||
						!strings.Contains(got, `"`+name+`":{`) || strings.Contains(got, "spoiled") {
						t.Errorf("%s was told %q", name, got)
					}
					_ = far.Close()
				}
			}
		})
	}
	all.Wait()
	require.False(t, t.Failed())
}

// readUntil reads lines to the end of the first that has the text.
func readUntil(far net.Conn, text string) (got string) {
	_ = far.SetReadDeadline(time.Now().Add(testPatience))
	buf := make([]byte, 8<<10)
	for !strings.Contains(got, text) || !strings.HasSuffix(got, "\n\n") {
		n, err := far.Read(buf)
		got += string(buf[:n])
		if err != nil {
			return got + " " + err.Error()
		}
	}
	return got
}
