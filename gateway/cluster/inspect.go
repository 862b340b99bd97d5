package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// An inspection is a question of one node's console to those of all others: JSON there and
// JSON back, which this package does not look into. Nodes of the reference are not asked,
// and ours answer if they have a console.

const (
	// inspectMax bounds a question, and inspectedMax an answer, in bytes.
	inspectMax   = 256 << 10
	inspectedMax = 1 << 20
)

// inspection is the data of a question.
type inspection struct {
	Question json.RawMessage `json:"question"`
}

// Inspected is the answer of a node.
type Inspected struct {
	UID, Name string
	Answer    json.RawMessage
}

// Inspection is what came of a question to all other nodes.
type Inspection struct {
	Answers []Inspected
	// Silent are the names of nodes that did not answer in time, and Without of those that
	// cannot: they are older, have no console, or failed. Both in order.
	Silent, Without []string
}

// errNoConsole is the answer of a node that is not to be inspected.
var errNoConsole = errors.New("it has no console (admin.enabled)")

// Inspect asks all other nodes of ours. The error says that nobody could be asked, or that the
// question was too large; nodes that do not answer are none. Any goroutine but a turn.
func (c *Cluster) Inspect(ctx context.Context, question []byte) (in Inspection, err error) {
	if !c.started.Load() {
		return Inspection{}, nil
	}
	if len(question) > inspectMax {
		return Inspection{}, fmt.Errorf("cluster: a question of %d bytes, at most %d: %w", len(question), inspectMax, ErrTooLarge)
	}
	if known, _, all := c.nodes.asked(); len(known) == 0 && !all {
		return Inspection{}, nil
	}
	m := &message{kind: kindInspect, ask: true, data: &inspection{question}, id: c.lastID.Add(1)}
	without := make(map[string]bool)
	in.Silent, err = c.askOthers(ctx, m, func(from string, a *answer) (int, error) {
		if len(a.Inspected) == 0 || len(a.Inspected) > inspectedMax {
			without[from] = true
			return 0, nil
		}
		in.Answers = append(in.Answers, Inspected{UID: from, Answer: a.Inspected})
		return len(a.Inspected), nil
	}, without)
	for i := range in.Answers {
		in.Answers[i].Name = c.nodes.titles(map[string]bool{in.Answers[i].UID: true})[0]
	}
	in.Without = c.nodes.titles(without)
	return in, err
}

// inspected is the answer to a question of another node.
func (c *Cluster) inspected(ctx context.Context, to uint64, q *inspection) ([]*answer, error) {
	if c.opt.Inspect == nil {
		return nil, errNoConsole
	}
	data, err := c.opt.Inspect(ctx, q.Question)
	if err != nil {
		return nil, err
	}
	if len(data) > inspectedMax {
		return nil, fmt.Errorf("cluster: an answer of %d bytes, at most %d: %w", len(data), inspectedMax, ErrTooLarge)
	}
	return []*answer{{To: to, Inspected: data}}, nil
}

// Peers returns what the other nodes said of themselves when they announced themselves,
// those of the reference included: UID, name and version, and of the reference's the rest.
// Any goroutine.
func (c *Cluster) Peers() (ours, reference []Info) {
	if c.opt.Carrier == nil {
		return nil, nil
	}
	known, _, _ := c.nodes.asked()
	ours = c.nodes.infos(known)
	if c.mixed != nil {
		theirs, _, _ := c.mixed.peers.asked()
		reference = c.mixed.peers.infos(theirs)
	}
	return ours, reference
}
