//go:build linux

package connect

import (
	"context"
	"crypto/rsa"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sluice/bench/load"
	"sluice/bench/proc"
	"sluice/bench/rig"
)

// Flags are the settings of the connect mode.
type Flags struct {
	rig.CommonFlags
	Connects, Rounds int
	Floor            bool
	Kinds            string
}

// allKinds are the credentials that -kinds may name.
var allKinds = []string{KindAnonymous, KindHS256, kindCached, kindRS256}

// Setup declares the flags of the mode connect, and returns what runs it.
func Setup(fs *flag.FlagSet) func(ctx context.Context) error {
	f := &Flags{}
	f.Register(fs)
	f.RegisterPeers(fs)
	fs.StringVar(&f.Kinds, "kinds", strings.Join(allKinds, ","), "credentials to connect our server with, and that of -before; other peers are connected to anonymously")
	fs.IntVar(&f.Connects, "connects", 2000, "streams that are opened and then closed in each turn")
	fs.IntVar(&f.Rounds, "rounds", 5, "rounds, in each of which every kind of connect takes a turn")
	fs.BoolVar(&f.Floor, "floor", true, "take turns with the floor program")
	return func(ctx context.Context) error {
		return f.Conclude(Run(ctx, f))
	}
}

// The kinds of connect. Tokens of the same kind and turn differ in user and
// id, so that no server can have seen one before; only repeatedUsers take
// turns with one token each in the cached kind.
const (
	KindFloor     = "floor"
	KindAnonymous = "anonymous"
	KindHS256     = "HS256"
	kindCached    = "HS256 cached"
	kindRS256     = "RS256"

	repeatedUsers = 100
)

// connectHost is who accepts: a server, or the floor. One goroutine at a time.
type connectHost interface {
	expect(n int) error                                // n streams are about to connect
	opened() error                                     // they have their connect pushes
	left() error                                       // the client has closed them
	rested(ctx context.Context) (time.Duration, error) // CPU time so far, when there is nothing left to do
}

// serverHost is a server, which needs to be told nothing.
type serverHost struct {
	pids  []int
	quiet time.Duration
}

func (serverHost) expect(int) error { return nil }

func (serverHost) opened() error { return nil }

func (serverHost) left() error { return nil }

func (h serverHost) rested(ctx context.Context) (time.Duration, error) {
	return proc.RestedCPU(ctx, h.pids, h.quiet)
}

// floorHost is the floor, which works only while an answer is awaited.
type floorHost struct{ *rig.Floor }

func (h floorHost) expect(n int) error { return h.Accept(n) }

func (h floorHost) opened() error { return h.Accepted() }

func (h floorHost) left() error { return h.CloseAll() }

func (h floorHost) rested(context.Context) (time.Duration, error) { return h.CPU() }

// connectKind is one way to connect.
type connectKind struct {
	name string
	host connectHost
	to   *rig.Host
	mint func(i int) (string, error) // token of the turn's i-th stream; nil: none
}

// connects runs the turns of a connect mode.
type connects struct {
	f      *Flags
	r      *rig.Rig
	rsa    *rsa.PrivateKey // nil: no RS256
	kinds  []connectKind
	serial int // of the turn; part of the token ids
	source int // next group of source addresses
}

func (f *Flags) check() error {
	if f.Connects < 1 || f.Rounds < 1 {
		return errors.New("bench: -connects and -rounds should be above zero")
	}
	for _, kind := range strings.Split(f.Kinds, ",") {
		if f.Kinds != "" && !slices.Contains(allKinds, kind) {
			return fmt.Errorf("bench: unknown -kinds %q: any of %s", kind, strings.Join(allKinds, ","))
		}
	}
	return nil
}

// Run runs the mode connect.
func Run(ctx context.Context, f *Flags) (*Report, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	x := &connects{f: f}
	if f.URL == "" && !f.Anonymous {
		key, public, err := load.NewKeyPair()
		if err != nil {
			return nil, err
		}
		x.rsa, f.Own.RSAPublicKey = key, public
	}
	return rig.With(ctx, &f.CommonFlags, f.Connects+64, func(r *rig.Rig) (*Report, error) {
		if len(r.Target.PIDs) == 0 {
			return nil, proc.ErrNoPID
		}
		x.r = r
		return x.run(ctx)
	})
}

// run lets the kinds take turns.
func (x *connects) run(ctx context.Context) (*Report, error) {
	x.kinds = x.serverKinds(&x.r.Host)
	if x.f.Floor {
		fl, err := x.startFloor(ctx)
		if err != nil {
			return nil, err
		}
		defer fl.Stop()
		x.kinds = append(x.kinds, connectKind{
			name: KindFloor, host: floorHost{fl}, to: &rig.Host{Name: KindFloor, Target: x.r.Target, Streams: fl.Addr, StreamURL: x.r.StreamURL},
		})
	}
	for _, h := range x.r.Peers {
		if h.Name == rig.BeforeSide {
			x.kinds = append(x.kinds, x.serverKinds(h)...)
			continue
		}
		x.kinds = append(x.kinds, connectKind{name: h.Name, host: serverHost{h.Target.PIDs, x.f.Quiet}, to: h})
	}
	report := newReport(x.f, x.r)
	for round := range x.f.Rounds + 1 { // the first warms up, and shows the tokens that are repeated
		for i := range x.kinds {
			k := x.kinds[(i+round)%len(x.kinds)]
			turn, err := x.turn(ctx, k, round)
			if err != nil {
				return nil, fmt.Errorf("bench: round %d, %s: %w", round, k.name, err)
			}
			if round > 0 {
				report.Turns = append(report.Turns, turn)
			}
		}
	}
	report.sumUp()
	return report, nil
}

// serverKinds are the kinds that a server of ours can be asked for.
func (x *connects) serverKinds(h *rig.Host) []connectKind {
	t := h.Target
	kinds := []connectKind{{name: KindAnonymous}}
	if t.Secret != "" {
		kinds = append(kinds, connectKind{name: KindHS256, mint: func(i int) (string, error) {
			return load.SignToken(jwt.SigningMethodHS256, []byte(t.Secret), x.freshClaims(i))
		}}, connectKind{name: kindCached, mint: func(i int) (string, error) { return t.Token(i % repeatedUsers) }})
	}
	if x.rsa != nil {
		kinds = append(kinds, connectKind{name: kindRS256, mint: func(i int) (string, error) {
			return load.SignToken(jwt.SigningMethodRS256, x.rsa, x.freshClaims(i))
		}})
	}
	kinds = slices.DeleteFunc(kinds, func(k connectKind) bool {
		return x.f.Kinds != "" && !slices.Contains(strings.Split(x.f.Kinds, ","), k.name)
	})
	for i := range kinds {
		k := &kinds[i]
		k.host, k.to = serverHost{t.PIDs, x.f.Quiet}, h
		if h.Name == rig.BeforeSide {
			k.name = nameBefore(k.name)
		}
	}
	return kinds
}

// nameBefore is what a kind of ours is called where the program before is asked: its
// anonymous connects by its own name, as those of peers.
func nameBefore(kind string) string {
	if kind == KindAnonymous {
		return rig.BeforeSide
	}
	return rig.BeforeSide + ", " + kind
}

// freshClaims are those of a token that was never shown.
func (x *connects) freshClaims(i int) jwt.MapClaims {
	return jwt.MapClaims{"sub": load.UserName(i), "jti": strconv.Itoa(x.serial) + "-" + strconv.Itoa(i)}
}

// startFloor starts a floor that begins streams with the bytes that the server
// begins an anonymous one with.
func (x *connects) startFloor(ctx context.Context) (*rig.Floor, error) {
	request, err := x.r.Target.Request(x.r.StreamURL, "", "")
	if err != nil {
		return nil, err
	}
	hello, err := rig.CaptureHello(ctx, x.r.Streams, request, x.f.Quiet)
	if err != nil {
		return nil, err
	}
	binary, err := rig.BuildFloor(ctx, x.r.Dir)
	if err != nil {
		return nil, err
	}
	return rig.StartFloor(ctx, binary, x.r.Dir, hello)
}

// requests are those of a turn of kind k.
func (x *connects) requests(k connectKind) (requests [][]byte, err error) {
	tokens := make([]string, x.f.Connects)
	if k.mint != nil {
		if tokens, err = load.MintAll(x.f.Connects, k.mint); err != nil {
			return nil, err
		}
	}
	requests = make([][]byte, x.f.Connects)
	for i := range requests {
		if requests[i], err = k.to.Target.Request(k.to.StreamURL, tokens[i], ""); err != nil {
			return nil, err
		}
	}
	return requests, nil
}

// turn opens the streams of kind k, and closes them.
func (x *connects) turn(ctx context.Context, k connectKind, round int) (turn connectTurn, err error) {
	turn = connectTurn{Kind: k.name, Round: round}
	x.serial++
	x.r.Progress.Say("round %d of %d, %s: making requests", round, x.f.Rounds, k.name)
	requests, err := x.requests(k)
	if err != nil {
		return turn, err
	}
	cpu0, err := k.host.rested(ctx)
	if err != nil {
		return turn, err
	}
	c, err := x.r.NewClientOf(k.to, requests, x.source, load.Ignore)
	if err != nil {
		return turn, err
	}
	x.source += load.SourcesOf(len(requests))
	x.r.Progress.Show(func() string {
		return fmt.Sprintf("round %d of %d, %s: %d of %d streams open", round, x.f.Rounds, k.name, c.Opened.Load(), len(requests))
	})
	begin := time.Now()
	if err = k.host.expect(len(requests)); err == nil {
		err = c.Open(ctx, len(requests), x.f.Quiet)
	}
	if err == nil {
		err = k.host.opened()
	}
	elapsed := time.Since(begin)
	var cpu1, cpu2 time.Duration
	if err == nil {
		cpu1, err = k.host.rested(ctx)
	}
	if err == nil {
		err = c.Err()
	}
	c.Close()
	if err == nil {
		err = k.host.left()
	}
	if err == nil {
		cpu2, err = k.host.rested(ctx)
	}
	turn.fill(len(requests), elapsed, cpu1-cpu0, cpu2-cpu0)
	return turn, err
}
