//go:build linux

package resume

import (
	json "github.com/goccy/go-json"

	"sluice/bench/load"
)

// resumer is the load.Handler of the resume mode: every stream is to get the
// same messages, the missed ones in its connect push and the later ones as
// events. It keeps the last event ids of one worker's streams.
type resumer struct {
	// Immutable after newResumer.
	goal    *load.Goal
	channel string
	next    uint32 // number of the first message that a stream is to get

	// Owned by the worker.
	seqs  []load.Sequence
	ids   [][]byte
	count resumeCount
	live  bool  // what comes from here on was not missed
	batch int64 // deliveries not yet added to goal
}

// resumeCount is what streams got.
type resumeCount struct {
	tally     load.Tally
	missed    int64 // messages that were missed, in connect pushes or as events behind them
	recovered int64 // streams that were told they were recovered
	pushBytes int64 // length of the connect pushes
	foreign   int64 // what is no message of ours
}

func (c *resumeCount) add(o resumeCount) {
	c.tally.Add(o.tally)
	c.missed += o.missed
	c.recovered += o.recovered
	c.pushBytes += o.pushBytes
	c.foreign += o.foreign
}

func newResumer(g *load.Goal, channel string, next uint32) *resumer {
	return &resumer{goal: g, channel: channel, next: next}
}

// recoveredPush is the part of a connect push that tells what was missed
// (PROTOCOL 2.2, 6.3).
type recoveredPush struct {
	Connect struct {
		Subs map[string]struct {
			Recovered    bool
			Publications []struct{ Data json.RawMessage }
		}
	}
}

// LastID implements load.idHandler.
func (d *resumer) LastID(stream int, id []byte) {
	for len(d.ids) <= stream {
		d.ids = append(d.ids, nil)
	}
	d.ids[stream] = append(d.ids[stream][:0], id...)
}

// Opened implements load.Handler.
func (d *resumer) Opened(stream int, push []byte) {
	for len(d.seqs) <= stream {
		d.seqs = append(d.seqs, load.StartSequence(d.next))
	}
	d.count.pushBytes += int64(len(push))
	var p recoveredPush
	if err := json.Unmarshal(push, &p); err != nil {
		d.count.foreign++
		return
	}
	sub := p.Connect.Subs[d.channel]
	if sub.Recovered {
		d.count.recovered++
	}
	for _, pub := range sub.Publications {
		if d.message(stream, pub.Data) {
			d.count.missed++
		}
	}
}

// Event implements load.Handler.
func (d *resumer) Event(stream int, data []byte, _ int64) {
	switch {
	case len(data) <= len(`{}`) || !d.message(stream, data):
	case d.live:
		d.batch++
	default:
		d.count.missed++
	}
}

// message reports whether data holds a message of the publisher that the
// stream did not have yet.
func (d *resumer) message(stream int, data []byte) bool {
	m, ok := load.ParsePayload(data)
	if !ok || m.Publisher != 0 {
		d.count.foreign++
		return false
	}
	return d.seqs[stream].Arrive(m.Seq, &d.count.tally)
}

// Flush implements load.Handler.
func (d *resumer) Flush() {
	if d.batch > 0 {
		d.goal.Add(d.batch)
		d.batch = 0
	}
}

// settle counts what did not arrive of the messages sent. On the worker only.
func (d *resumer) settle(sent uint32) {
	for i := range d.seqs {
		d.seqs[i].Settle(sent, &d.count.tally)
	}
}

// lastIDs returns a copy of the ids of this worker's streams.
func (d *resumer) lastIDs() []string {
	ids := make([]string, len(d.ids))
	for i, id := range d.ids {
		ids[i] = string(id)
	}
	return ids
}
