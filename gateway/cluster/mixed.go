package cluster

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"sluice/gateway/advice"
	"sluice/gateway/broker"
	"sluice/gateway/reference"
)

// Subjects of the reference's nodes, with the same prefix.
const (
	subjectReference     = "control"
	subjectReferenceNode = "node."
)

// mixed is the nodes of the reference in one fleet with ours (PROTOCOL 10.3). It tells
// them what this node is asked, obeys them, and answers their surveys: they wait for all
// they know. No loop is possible: what came from one kind of nodes is never sent to the
// other, and what a node of ours tells the reference's is not for us, who heard it in our
// own form.
type mixed struct {
	// Immutable after newMixed.
	c      *Cluster
	peers  *registry
	limits reference.Limits // of what they send

	// Atomic.
	lastSurvey atomic.Uint64

	// Owned by the announcer.
	metricsAt time.Time // when they were last told
}

// metricsEvery is how often an announcement tells metrics; in between the reference goes
// by the last ones.
const metricsEvery = time.Minute

func newMixed(c *Cluster) *mixed {
	return &mixed{
		c: c, peers: newRegistry(c.opt.Forget, c.opt.SurveyTimeout),
		limits: reference.Limits{Size: answerMax, JSON: c.opt.JSON},
	}
}

// subjects are what this node listens to beside its own.
func (x *mixed) subjects() []string {
	return []string{subjectReference, subjectReferenceNode + x.c.opt.UID}
}

// isReference reports whether a subject is one of the reference's nodes.
func isReference(subject string) bool {
	return subject != SubjectAll && subject[:min(len(subject), len(subjectNode))] != subjectNode
}

// send sends a command to all of the reference's nodes, or to one.
func (x *mixed) send(ctx context.Context, subject string, cmd *reference.Command) error {
	cmd.UID = x.c.opt.UID
	if err := x.c.opt.Carrier.Send(ctx, subject, cmd.Append(nil)); err != nil {
		x.c.count.unsent.Add(1)
		return fmt.Errorf("cluster: to the nodes of the reference: %w", err)
	}
	x.c.count.sent[kindReference].Add(1)
	return nil
}

// announce tells them that this node is there, and looks who of them is not. Announcer
// only.
func (x *mixed) announce(ctx context.Context) error {
	for _, name := range x.peers.tick() {
		x.c.opt.Log.Info("cluster: a node of the reference is gone, it said nothing", "node", name)
	}
	now := time.Now()
	withMetrics := x.metricsAt.IsZero() || now.Sub(x.metricsAt) >= metricsEvery
	if withMetrics {
		x.metricsAt = now
	}
	return x.send(ctx, subjectReference, &reference.Command{Node: x.describe(withMetrics)})
}

func (x *mixed) describe(withMetrics bool) *reference.Node {
	info := x.c.opt.Local.Info()
	n := &reference.Node{
		UID: x.c.opt.UID, Name: info.Name, Version: info.Version, Uptime: number(info.Uptime),
		NumClients: number(info.Counts.Clients), NumUsers: number(info.Counts.Users),
		NumChannels: number(info.Counts.Channels), NumSubs: number(info.Counts.Subscriptions),
	}
	if withMetrics {
		n.Metrics = info.Metrics
	}
	return n
}

func number(n int) uint32 { return uint32(min(max(n, 0), math.MaxUint32)) }

// leave tells them that this node goes.
func (x *mixed) leave(ctx context.Context) error {
	return x.send(ctx, subjectReference, &reference.Command{Shutdown: true})
}

// tell tells them what our own nodes were told in their form; what they have no form for
// they need not know.
func (x *mixed) tell(ctx context.Context, data any) error {
	if cmd := inTheirForm(data); cmd != nil {
		return x.send(ctx, subjectReference, cmd)
	}
	return nil
}

// receive takes what the carrier delivers of them: one goroutine at a time, which it does
// not hold up.
func (x *mixed) receive(payload []byte) {
	cmd, err := reference.DecodeCommand(payload, x.limits)
	switch {
	case err != nil || !validUID(cmd.UID):
		x.c.count.skipped[skipReference].Add(1)
	case cmd.UID == x.c.opt.UID:
		x.echoed(cmd)
	case x.c.nodes.ours(cmd.UID): // heard in our own form
	default:
		x.c.count.received[kindReference].Add(1)
		x.dispatch(cmd)
	}
}

func (x *mixed) echoed(cmd *reference.Command) {
	switch {
	case cmd.Node != nil:
		x.peers.echoed()
	case cmd.SurveyRequest != nil:
		x.c.offer(surveyKey(cmd.SurveyRequest.ID), &message{from: cmd.UID})
	}
}

// surveyKey keeps the ids of surveys among the reference's nodes apart from those of
// messages among ours.
func surveyKey(id uint64) uint64 { return id | 1<<63 }

func (x *mixed) dispatch(cmd *reference.Command) {
	switch {
	case cmd.Node != nil:
		n := cmd.Node
		if x.peers.announced(Info{
			UID: cmd.UID, Name: plain(n.Name, maxName), Version: plain(n.Version, maxName), Uptime: int(n.Uptime), Metrics: n.Metrics,
			Counts: Counts{Clients: int(n.NumClients), Users: int(n.NumUsers), Channels: int(n.NumChannels), Subscriptions: int(n.NumSubs)},
		}) {
			x.c.opt.Log.Info("cluster: a node of the reference is here", "node", plain(n.Name, maxName), "uid", cmd.UID)
			x.queue(&message{from: cmd.UID, kind: kindReference, data: cmd}) // to greet it
		}
	case cmd.Shutdown:
		if name, was := x.peers.left(cmd.UID); was {
			x.c.opt.Log.Info("cluster: a node of the reference is gone, it stopped", "node", name, "uid", cmd.UID)
		}
	case cmd.SurveyRequest != nil:
		x.queue(&message{from: cmd.UID, kind: kindReference, data: cmd})
	case cmd.SurveyResponse != nil:
		if !x.c.offer(surveyKey(cmd.SurveyResponse.ID), &message{from: cmd.UID, data: cmd.SurveyResponse}) {
			x.c.count.skipped[skipLate].Add(1)
		}
	default:
		data := inOurForm(cmd)
		if data == nil {
			x.c.count.skipped[skipReference].Add(1)
			return
		}
		x.queue(&message{from: cmd.UID, kind: kindReference, data: data})
	}
}

func (x *mixed) queue(m *message) {
	select {
	case x.c.queue(m) <- m:
	default:
		x.c.count.skipped[skipFull].Add(1)
	}
}

// answer greets a node that is new, or answers its survey.
func (x *mixed) answer(ctx context.Context, cmd *reference.Command) error {
	subject := subjectReferenceNode + cmd.UID
	if cmd.Node != nil {
		return x.send(ctx, subject, &reference.Command{Node: x.describe(false)})
	}
	answer := &reference.SurveyResponse{ID: cmd.SurveyRequest.ID, Code: reference.SurveyUnknownOp}
	if cmd.SurveyRequest.Op == reference.SurveyChannels {
		answer.Code = surveyFailed
		if data, err := x.channels(ctx, cmd.SurveyRequest.Data); err == nil {
			answer.Code, answer.Data = 0, data
		} else {
			x.c.opt.Log.Warn("cluster: a survey of a node of the reference failed here", "from", cmd.UID, "error", err, "remedy", advice.Remedy(err, advice.Away))
		}
	}
	return x.send(ctx, subject, &reference.Command{SurveyResponse: answer})
}

// surveyFailed is the code of an answer that this node could not give.
const surveyFailed = 1

func (x *mixed) channels(ctx context.Context, request []byte) ([]byte, error) {
	pattern, err := reference.DecodeChannelsRequest(request)
	if err != nil {
		return nil, err
	}
	found, err := x.c.opt.Local.Channels(ctx, plainPattern(pattern))
	if err != nil {
		return nil, err
	}
	clients := make(map[string]uint32, len(found))
	for _, ch := range found {
		clients[ch.Name] = number(ch.Clients)
	}
	data := reference.AppendChannelsResponse(nil, clients)
	if len(data) > answerMax {
		return nil, fmt.Errorf("cluster: %d bytes, at most %d: %w", len(data), answerMax, ErrTooLarge)
	}
	return data, nil
}

// askChannels surveys them for channels, and adds what they have to clients.
func (x *mixed) askChannels(ctx context.Context, pattern string, clients map[string]int) (silent []string, err error) {
	known, wait, all := x.peers.asked()
	if len(known) == 0 && !all {
		return nil, nil
	}
	id := x.lastSurvey.Add(1)
	q, done := x.c.question(surveyKey(id), len(known))
	defer done()
	within, cancel := context.WithTimeout(ctx, x.c.opt.SurveyTimeout)
	defer cancel()
	request := &reference.SurveyRequest{ID: id, Op: reference.SurveyChannels, Data: reference.AppendChannelsRequest(nil, pattern)}
	if err := x.send(within, subjectReference, &reference.Command{SurveyRequest: request}); err != nil {
		return nil, err
	}
	heard, held := false, 0
	defer func() { x.c.held.Add(-int64(held)) }()
	for len(wait) > 0 || all || !heard {
		select {
		case got := <-q.arrived:
			answer, ok := got.data.(*reference.SurveyResponse)
			if !ok {
				heard = true
				continue
			}
			delete(wait, got.from)
			if n, ok := x.add(clients, answer); ok {
				delete(known, got.from)
				held += n
				if x.c.held.Add(int64(n)) > maxAnswers {
					return nil, fmt.Errorf("cluster: answers of all nodes, more than %d bytes: %w", maxAnswers, ErrTooLarge)
				}
			}
			continue
		case <-within.Done():
		}
		break
	}
	if heard && ctx.Err() == nil {
		x.peers.missed(wait)
	}
	x.c.count.unanswered.Add(uint64(len(known)))
	silent = x.peers.titles(known)
	x.c.warn(kindReference, silent)
	return silent, nil
}

// add adds what a node of the reference has to clients, and returns what that holds.
func (x *mixed) add(clients map[string]int, answer *reference.SurveyResponse) (held int, ok bool) {
	if answer.Code != 0 {
		return 0, false
	}
	found, err := reference.DecodeChannelsResponse(answer.Data, x.limits)
	if err != nil {
		return 0, false
	}
	for name, n := range found {
		if _, ok := clients[name]; !ok {
			held += len(name) + channelCost
		}
		clients[name] += int(n)
	}
	return held, true
}

// ready returns nil while this node hears what it announces to them.
func (x *mixed) ready() error {
	switch since, never := x.peers.unheard(); {
	case never:
		return errors.New("cluster: this node has not heard itself on the control channel of the reference's nodes yet: is the user of Redis allowed that channel?")
	case since > x.c.opt.Forget:
		return errors.Join(fmt.Errorf("cluster: this node has not heard itself on the control channel of the reference's nodes for %s", since.Round(time.Second)), broker.ErrUnavailable)
	}
	return nil
}
