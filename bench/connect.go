//go:build linux

package main

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
)

// connectFlags are the settings of the connect mode.
type connectFlags struct {
	commonFlags
	connects, rounds int
	floor            bool
	kinds            string
}

func setupConnect(fs *flag.FlagSet) func(ctx context.Context) error {
	f := &connectFlags{}
	f.register(fs)
	f.registerPeers(fs)
	fs.StringVar(&f.kinds, "kinds", kindAnonymous+","+kindHS256+","+kindCached+","+kindRS256, "credentials to connect our server with; peers are connected to anonymously")
	fs.IntVar(&f.connects, "connects", 2000, "streams that are opened and then closed in each turn")
	fs.IntVar(&f.rounds, "rounds", 5, "rounds, in each of which every kind of connect takes a turn")
	fs.BoolVar(&f.floor, "floor", true, "take turns with the floor program")
	return func(ctx context.Context) error {
		r, err := runConnect(ctx, f)
		if err != nil {
			return err
		}
		return f.finish(r)
	}
}

// The kinds of connect. Tokens of the same kind and turn differ in user and
// id, so that no server can have seen one before; only repeatedUsers take
// turns with one token each in the cached kind.
const (
	kindFloor     = "floor"
	kindAnonymous = "anonymous"
	kindHS256     = "HS256"
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
func (serverHost) opened() error    { return nil }
func (serverHost) left() error      { return nil }
func (h serverHost) rested(ctx context.Context) (time.Duration, error) {
	return restedCPU(ctx, h.pids, h.quiet)
}

// floorHost is the floor, which works only while an answer is awaited.
type floorHost struct{ *floor }

func (h floorHost) expect(n int) error                            { return h.accept(n) }
func (h floorHost) opened() error                                 { return h.accepted() }
func (h floorHost) left() error                                   { return h.closeAll() }
func (h floorHost) rested(context.Context) (time.Duration, error) { return h.cpu() }

// connectKind is one way to connect.
type connectKind struct {
	name string
	host connectHost
	to   *host
	mint func(i int) (string, error) // token of the turn's i-th stream; nil: none
}

// connects runs the turns of a connect mode.
type connects struct {
	f      *connectFlags
	r      *rig
	rsa    *rsa.PrivateKey // nil: no RS256
	kinds  []connectKind
	serial int // of the turn; part of the token ids
	source int // next group of source addresses
}

func (f *connectFlags) check() error {
	if f.connects < 1 || f.rounds < 1 {
		return errors.New("bench: -connects and -rounds should be above zero")
	}
	return nil
}

func runConnect(ctx context.Context, f *connectFlags) (*connectReport, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	x := &connects{f: f}
	if f.url == "" && !f.anonymous {
		key, public, err := newKeyPair()
		if err != nil {
			return nil, err
		}
		x.rsa, f.own.rsaPublicKey = key, public
	}
	return withRig(ctx, &f.commonFlags, f.connects+64, func(r *rig) (*connectReport, error) {
		if len(r.target.pids) == 0 {
			return nil, errNoPID
		}
		x.r = r
		return x.run(ctx)
	})
}

// run lets the kinds take turns.
func (x *connects) run(ctx context.Context) (*connectReport, error) {
	x.kinds = x.serverKinds()
	if x.f.floor {
		fl, err := x.startFloor(ctx)
		if err != nil {
			return nil, err
		}
		defer fl.stop()
		x.kinds = append(x.kinds, connectKind{
			name: kindFloor, host: floorHost{fl}, to: &host{name: kindFloor, target: x.r.target, streams: fl.addr, streamURL: x.r.streamURL},
		})
	}
	for _, h := range x.r.peers {
		x.kinds = append(x.kinds, connectKind{name: h.name, host: serverHost{h.target.pids, x.f.quiet}, to: h})
	}
	report := newConnectReport(x.f, x.r)
	for round := range x.f.rounds + 1 { // the first warms up, and shows the tokens that are repeated
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

// serverKinds are the kinds that the server can be asked for.
func (x *connects) serverKinds() []connectKind {
	t := x.r.target
	kinds := []connectKind{{name: kindAnonymous}}
	if t.secret != "" {
		kinds = append(kinds, connectKind{name: kindHS256, mint: func(i int) (string, error) {
			return signToken(jwt.SigningMethodHS256, []byte(t.secret), x.freshClaims(i))
		}}, connectKind{name: kindCached, mint: func(i int) (string, error) { return t.token(i % repeatedUsers) }})
	}
	if x.rsa != nil {
		kinds = append(kinds, connectKind{name: kindRS256, mint: func(i int) (string, error) {
			return signToken(jwt.SigningMethodRS256, x.rsa, x.freshClaims(i))
		}})
	}
	for i := range kinds {
		kinds[i].host, kinds[i].to = serverHost{t.pids, x.f.quiet}, &x.r.host
	}
	return slices.DeleteFunc(kinds, func(k connectKind) bool {
		return x.f.kinds != "" && !slices.Contains(strings.Split(x.f.kinds, ","), k.name)
	})
}

// freshClaims are those of a token that was never shown.
func (x *connects) freshClaims(i int) jwt.MapClaims {
	return jwt.MapClaims{"sub": userName(i), "jti": strconv.Itoa(x.serial) + "-" + strconv.Itoa(i)}
}

// startFloor starts a floor that begins streams with the bytes that the server
// begins an anonymous one with.
func (x *connects) startFloor(ctx context.Context) (*floor, error) {
	request, err := x.r.target.request(x.r.streamURL, "", "")
	if err != nil {
		return nil, err
	}
	hello, err := captureHello(ctx, x.r.streams, request, x.f.quiet)
	if err != nil {
		return nil, err
	}
	binary, err := buildFloor(ctx, x.r.dir)
	if err != nil {
		return nil, err
	}
	return startFloor(ctx, binary, x.r.dir, hello)
}

// requests are those of a turn of kind k.
func (x *connects) requests(k connectKind) (requests [][]byte, err error) {
	tokens := make([]string, x.f.connects)
	if k.mint != nil {
		if tokens, err = mintAll(x.f.connects, k.mint); err != nil {
			return nil, err
		}
	}
	requests = make([][]byte, x.f.connects)
	for i := range requests {
		if requests[i], err = k.to.target.request(k.to.streamURL, tokens[i], ""); err != nil {
			return nil, err
		}
	}
	return requests, nil
}

// turn opens the streams of kind k, and closes them.
func (x *connects) turn(ctx context.Context, k connectKind, round int) (turn connectTurn, err error) {
	turn = connectTurn{Kind: k.name, Round: round}
	x.serial++
	x.r.progress.say("round %d of %d, %s: making requests", round, x.f.rounds, k.name)
	requests, err := x.requests(k)
	if err != nil {
		return turn, err
	}
	cpu0, err := k.host.rested(ctx)
	if err != nil {
		return turn, err
	}
	c, err := x.r.newClientOf(k.to, requests, x.source, func(int) eventHandler { return silent{} })
	if err != nil {
		return turn, err
	}
	x.source += sourcesOf(len(requests))
	x.r.progress.show(func() string {
		return fmt.Sprintf("round %d of %d, %s: %d of %d streams open", round, x.f.rounds, k.name, c.opened.Load(), len(requests))
	})
	begin := time.Now()
	if err = k.host.expect(len(requests)); err == nil {
		err = c.open(ctx, len(requests), x.f.quiet)
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
		err = c.err()
	}
	c.close()
	if err == nil {
		err = k.host.left()
	}
	if err == nil {
		cpu2, err = k.host.rested(ctx)
	}
	turn.fill(len(requests), elapsed, cpu1-cpu0, cpu2-cpu0)
	return turn, err
}
