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
	// Silent are nodes that did not answer in time, and Without those that cannot: they are
	// older, have no console, or failed. Of each what it announced: UID, name and version.
	Silent, Without []Info
}

// errNoConsole is the answer of a node that is not to be inspected.
var errNoConsole = errors.New("it has no console (admin.enabled)")

// Inspect asks all other nodes of ours. The error says that nobody could be asked, or that
// the question was too large; nodes that do not answer are none. Any goroutine but a turn.
func (c *Cluster) Inspect(ctx context.Context, question []byte) (in Inspection, err error) {
	if !c.started.Load() {
		return Inspection{}, nil
	}
	silent, _, all := c.nodes.asked()
	if len(silent) == 0 && !all {
		return Inspection{}, nil
	}
	without := make(map[string]bool)
	if len(question) > inspectMax {
		err = fmt.Errorf("cluster: a question of %d bytes, at most %d: %w", len(question), inspectMax, ErrTooLarge)
	} else {
		m := &message{kind: kindInspect, ask: true, data: &inspection{question}, id: c.lastID.Add(1)}
		_, err = c.askOthers(ctx, m, func(from string, a *answer) (int, error) {
			if len(a.Inspected) == 0 || len(a.Inspected) > inspectedMax {
				without[from] = true
				return 0, nil
			}
			delete(silent, from)
			in.Answers = append(in.Answers, Inspected{UID: from, Answer: a.Inspected})
			return len(a.Inspected), nil
		}, without)
	}
	for i := range in.Answers {
		in.Answers[i].Name = c.nodes.titles(map[string]bool{in.Answers[i].UID: true})[0]
	}
	for uid := range without {
		delete(silent, uid)
	}
	in.Silent, in.Without = c.nodes.infos(silent), c.nodes.infos(without)
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

// References returns the nodes of the reference, as they announced themselves. Any goroutine.
func (c *Cluster) References() []Info {
	if c.mixed == nil {
		return nil
	}
	theirs, _, _ := c.mixed.peers.asked()
	return c.mixed.peers.infos(theirs)
}
