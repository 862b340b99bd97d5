//go:build linux

package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	natsgo "github.com/nats-io/nats.go"
)

// batches writes atomic batches of a size into a subject of the engine's stream, one after the other, as fast as a client
// can that does nothing else, and returns messages/s. It is what the server's own bench does (nats bench js pub batch).
func batches(ctx context.Context, f *Flags, addr string, size int) (float64, error) {
	nc, err := natsgo.Connect(addr)
	if err != nil {
		return 0, err
	}
	defer nc.Close()
	data := []byte(`"` + strings.Repeat("x", f.Size-2) + `"`)
	inbox := natsgo.NewInbox()
	acks := make(chan *natsgo.Msg, 1)
	if _, err := nc.ChanSubscribe(inbox, acks); err != nil {
		return 0, err
	}
	sent := 0
	begun := time.Now()
	for n := 0; time.Since(begun) < f.Duration && ctx.Err() == nil; n++ {
		id := strconv.FormatInt(begun.UnixNano(), 36) + strconv.Itoa(n)
		for i := 1; i <= size; i++ {
			m := &natsgo.Msg{Subject: "bench-js.0.live.client.floor", Data: data, Header: natsgo.Header{
				"Nats-Batch-Id": {id}, "Nats-Batch-Sequence": {strconv.Itoa(i)},
			}}
			if i == size {
				m.Header["Nats-Batch-Commit"], m.Reply = []string{"1"}, inbox
			}
			if err := nc.PublishMsg(m); err != nil {
				return 0, err
			}
		}
		select {
		case ack := <-acks:
			if strings.Contains(string(ack.Data), `"error"`) {
				return 0, fmt.Errorf("bench: a batch was answered %s", ack.Data)
			}
		case <-time.After(10 * time.Second):
			return 0, errors.New("bench: a batch was not answered")
		}
		sent += size
	}
	return float64(sent) / time.Since(begun).Seconds(), ctx.Err()
}
