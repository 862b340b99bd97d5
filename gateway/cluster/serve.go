package cluster

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"runtime/debug"
	"time"

	"sluice/codec"
	"sluice/gateway/reference"
)

// seed spreads users over queues.
var seed = maphash.MakeSeed()

// queue is where a message waits to be carried out: commands about one user in one
// queue, in the order in which they came.
func (c *Cluster) queue(m *message) chan *message {
	user := ""
	switch cmd := m.data.(type) {
	case *Subscribe:
		user = cmd.User
	case *Unsubscribe:
		user = cmd.User
	case *Disconnect:
		user = cmd.User
	case *Refresh:
		user = cmd.User
	case *Evict:
		user = cmd.User
	case *inspection:
		return c.inspections
	default:
		return c.surveys
	}
	return c.commands[maphash.String(seed, user)%commandQueues]
}

// serve carries out what is in a queue, until the cluster is closed.
func (c *Cluster) serve(queue chan *message) {
	for {
		select {
		case <-c.ctx.Done():
			return
		case m := <-queue:
			c.carryOut(m)
		}
	}
}

// carryOut does what a message asks, and answers.
func (c *Cluster) carryOut(m *message) {
	ctx, cancel := context.WithTimeout(c.ctx, c.opt.CallTimeout)
	defer cancel()
	parts, err := c.local(ctx, m)
	if err != nil {
		c.opt.Log.Debug("cluster: a command failed here", "kind", m.kind, "from", m.from, "error", err)
	}
	switch {
	case m.kind == kindNext:
		if parts != nil {
			c.answer(m.from, parts[0])
		}
	case !m.ask:
	case err != nil:
		c.answer(m.from, failure(m.id, err))
	case len(parts) == 0:
		c.answer(m.from, &answer{To: m.id})
	default:
		c.keepRest(m.from, parts)
		c.answer(m.from, parts[0])
	}
}

// failure is the answer to what failed here.
func failure(to uint64, err error) *answer {
	a := &answer{To: to, Error: plain(err.Error(), maxText)}
	var known *codec.Error
	if errors.As(err, &known) && known.Code != codec.ErrInternal.Code {
		a.Code, a.Error = known.Code, known.Message
	}
	return a
}

func (c *Cluster) answer(to string, a *answer) {
	ctx, cancel := context.WithTimeout(c.ctx, c.opt.SurveyTimeout)
	defer cancel()
	_ = c.send(ctx, subjectNode+to, &message{kind: kindAnswer, data: a}) // counted; who asked does not wait for ever
}

// local does what a message asks. What it returns are the parts of the answer where there
// is more to say than that it is done. A panic is an error: other nodes must not be able
// to end this one.
func (c *Cluster) local(ctx context.Context, m *message) (parts []*answer, err error) {
	defer func() {
		if v := recover(); v != nil {
			c.opt.Log.Error("cluster: panic in a command of another node", "panic", v, "stack", string(debug.Stack()))
			parts, err = nil, fmt.Errorf("cluster: panic in a %s", m.kind)
		}
	}()
	switch cmd := m.data.(type) {
	case *Subscribe:
		return nil, c.opt.Local.Subscribe(ctx, cmd)
	case *Unsubscribe:
		return nil, c.opt.Local.Unsubscribe(ctx, cmd)
	case *Disconnect:
		return nil, c.opt.Local.Disconnect(ctx, cmd)
	case *Refresh:
		return nil, c.opt.Local.Refresh(ctx, cmd)
	case *Evict:
		return nil, c.opt.Local.Evict(ctx, cmd)
	case *query:
		found, err := c.opt.Local.Channels(ctx, plainPattern(cmd.Pattern))
		if err != nil {
			return nil, err
		}
		return channelParts(m.id, found)
	case *inspection:
		return c.inspected(ctx, m.id, cmd)
	case *next:
		return c.takeRest(m.from, cmd), nil
	case *reference.Command:
		return nil, c.mixed.answer(ctx, cmd)
	}
	info := c.opt.Local.Info()
	return []*answer{{To: m.id, Info: &info}}, nil
}

const (
	// partSize is about how much one message of a long answer carries, in bytes; why not
	// all at once: a server cuts off who does not read as much as fast.
	partSize = 256 << 10
	// answerMax bounds all of it.
	answerMax = 32 << 20
	// patternMax bounds a glob, in bytes.
	patternMax = 4096
)

// plainPattern returns a glob of bounded length: what is longer matches nothing.
func plainPattern(pattern string) string {
	if len(pattern) > patternMax {
		return "\x00"
	}
	return pattern
}

// channelParts returns the answer to a survey of channels, in parts.
func channelParts(to uint64, found []Channel) (parts []*answer, err error) {
	total := 0
	var part []byte
	end := func(more bool) {
		if len(part) > 0 {
			part = append(part, '}')
		}
		parts = append(parts, &answer{To: to, Part: len(parts), More: more, Channels: part})
		part = nil
	}
	for i := range found {
		if len(part) >= partSize {
			end(true)
		}
		if len(part) == 0 {
			part = append(make([]byte, 0, partSize+partSize/8), '{')
		} else {
			part = append(part, ',')
		}
		part = codec.AppendString(part, found[i].Name)
		part = fmt.Appendf(part, ":%d", found[i].Clients)
		if total += len(found[i].Name) + 8; total > answerMax {
			return nil, fmt.Errorf("cluster: %d channels, more than %d bytes: %w", len(found), answerMax, codec.ErrLimitExceeded)
		}
	}
	end(false)
	return parts, nil
}

// rests are the parts of long answers that were not asked for yet.
type rests struct {
	byAsker map[restKey]*rest
	bytes   int
}

type restKey struct {
	asker string
	to    uint64
}

type rest struct {
	parts []*answer
	bytes int
	asked time.Time // last
}

// restsMax bounds the parts that wait, in bytes.
const restsMax = 64 << 20

// keepRest keeps all parts but the first until they are asked for. Where there is no
// room the first part says that there are no more, and what went wrong.
func (c *Cluster) keepRest(asker string, parts []*answer) {
	if len(parts) < 2 {
		return
	}
	r := &rest{parts: parts[1:], asked: time.Now()}
	for _, p := range r.parts {
		r.bytes += len(p.Channels)
	}
	c.dropRests(r.asked)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rests.bytes+r.bytes > restsMax {
		*parts[0] = answer{To: parts[0].To, Error: "too many long answers wait there"}
		c.count.skipped[skipFull].Add(1)
		return
	}
	c.rests.byAsker[restKey{asker, parts[0].To}] = r
	c.rests.bytes += r.bytes
}

// takeRest returns the part that is asked for, nil if it is not there.
func (c *Cluster) takeRest(asker string, n *next) []*answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := restKey{asker, n.To}
	r := c.rests.byAsker[key]
	if r == nil || r.parts[0].Part != n.Part {
		return nil
	}
	part := r.parts[0]
	r.asked, r.parts = time.Now(), r.parts[1:]
	r.bytes -= len(part.Channels)
	c.rests.bytes -= len(part.Channels)
	if len(r.parts) == 0 {
		delete(c.rests.byAsker, key)
	}
	return []*answer{part}
}

// dropRests drops parts that nobody asks for any more.
func (c *Cluster) dropRests(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, r := range c.rests.byAsker {
		if now.Sub(r.asked) > 2*c.opt.SurveyTimeout {
			delete(c.rests.byAsker, key)
			c.rests.bytes -= r.bytes
		}
	}
}
