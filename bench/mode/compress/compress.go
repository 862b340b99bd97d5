//go:build linux

package compress

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"time"

	"sluice/bench/proc"
	"sluice/bench/rig"
)

// Flags are the settings of the mode.
type Flags struct {
	rig.CommonFlags
	Streams, Size, Messages, Rounds int
}

// Setup declares the flags of the mode, and returns what runs it.
func Setup(fs *flag.FlagSet) func(ctx context.Context) error {
	f := &Flags{}
	f.Register(fs)
	fs.IntVar(&f.Streams, "streams", 1000, "open streams of each side, on a channel of its own")
	fs.IntVar(&f.Size, "size", 2048, "about how many bytes of JSON data a message has")
	fs.IntVar(&f.Messages, "messages", 200, "messages per turn, each when all streams have the one before")
	fs.IntVar(&f.Rounds, "rounds", 5, "rounds, in each of which every side takes a turn")
	return func(ctx context.Context) error { return f.Conclude(Run(ctx, f)) }
}

// side is streams that ask for the same, on a channel that only they have.
type side struct {
	name   string
	accept string   // Accept-Encoding
	others []string // more channels, which nobody publishes in: then there are no groups
	*readers
	sent int
}

// sides are all of them, the one that others are compared with first.
func sides() []*side {
	quiet := []string{rig.CompressedPrefix + "quiet"}
	return []*side{
		{name: "identity"}, {name: "gzip", accept: "gzip", others: quiet}, {name: "gzip groups", accept: "gzip"},
		{name: "zstd", accept: "zstd", others: quiet}, {name: "zstd groups", accept: "zstd"},
	}
}

// Run runs the mode.
func Run(ctx context.Context, f *Flags) (*Report, error) {
	if f.Streams < 1 || f.Messages < 1 || f.Rounds < 1 || f.Size < 64 {
		return nil, errors.New("bench: -streams, -messages and -rounds should be above zero, -size at least 64")
	}
	if f.URL != "" {
		return nil, errors.New("bench: this mode starts a server of its own; leave -url out")
	}
	f.Own.Compressed = true
	all := sides()
	return rig.With(ctx, &f.CommonFlags, len(all)*(f.Streams+1)+64, func(r *rig.Rig) (*Report, error) {
		return measure(ctx, f, r, all)
	})
}

// measure opens the streams of all sides, and lets these take turns.
func measure(ctx context.Context, f *Flags, r *rig.Rig, all []*side) (*Report, error) {
	defer func() {
		for _, s := range all {
			s.readers.close()
		}
	}()
	for i, s := range all {
		if err := s.open(ctx, f, r, i); err != nil {
			return nil, fmt.Errorf("bench: %s: %w", s.name, err)
		}
	}
	report := newReport(f, r)
	for round := range f.Rounds + 1 {
		for i := range all {
			s := all[(i+round)%len(all)]
			r.Progress.Show(func() string { return fmt.Sprintf("round %d of %d, %s", round, f.Rounds, s.name) })
			t, err := s.turn(ctx, f, r)
			if err != nil {
				return nil, fmt.Errorf("bench: round %d, %s: %w", round, s.name, err)
			}
			if t.Round = round; round > 0 { // the first one warms up
				report.Turns = append(report.Turns, t)
			}
		}
	}
	return report, nil
}

func (s *side) channel(i int) string { return fmt.Sprintf("%sside%d", rig.CompressedPrefix, i) }

// open opens the streams of the side, and one whose text is read.
func (s *side) open(ctx context.Context, f *Flags, r *rig.Rig, i int) error {
	channel := s.channel(i)
	s.readers = newReaders(channel)
	for k := range f.Streams + 1 {
		request, err := r.RequestOn(k, append([]string{channel}, s.others...)...)
		if err != nil {
			return err
		}
		if s.accept != "" {
			request = bytes.Replace(request, []byte("Accept: "), []byte("Accept-Encoding: "+s.accept+"\r\nAccept: "), 1)
		}
		if err := s.readers.add(ctx, r.Streams.String(), request, k == f.Streams); err != nil {
			return err
		}
	}
	return nil
}

// turn publishes messages, each when every stream has the one before.
func (s *side) turn(ctx context.Context, f *Flags, r *rig.Rig) (t Turn, err error) {
	t = Turn{Side: s.name}
	bytes0, cpu0 := s.bytes.Load(), time.Duration(0)
	if cpu0, err = proc.CPU(r.Target.PIDs); err != nil {
		return t, err
	}
	began := time.Now()
	for range f.Messages {
		s.sent++
		data := quotes(s.sent, f.Size)
		if err := publish(ctx, r, s.readers.channel, data); err != nil {
			return t, err
		}
		if err := s.await(ctx, s.sent, data, f.Quiet); err != nil {
			return t, err
		}
	}
	t.Seconds = time.Since(began).Seconds()
	cpu, err := proc.CPU(r.Target.PIDs)
	if err != nil {
		return t, err
	}
	t.fill(f.Messages*f.Streams, s.bytes.Load()-bytes0, cpu-cpu0)
	return t, nil
}

// publish publishes one message.
func publish(ctx context.Context, r *rig.Rig, channel string, data []byte) error {
	body := fmt.Appendf(nil, `{"channel":%q,"data":%s}`, channel, data)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.Target.APIURL+"/publish", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("X-API-Key", r.Target.APIKey)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(answer.Body)
	if err = errors.Join(err, answer.Body.Close()); err == nil && (answer.StatusCode != http.StatusOK || !bytes.HasPrefix(text, []byte(`{"result"`))) {
		err = fmt.Errorf("bench: a message was answered with %d %.200s", answer.StatusCode, text)
	}
	return err
}

// quotes is a message like those of a market: most of it its neighbours have too.
func quotes(n, size int) []byte {
	b := fmt.Appendf(nil, `{"n":%d,"at":%d,"book":[`, n, 1764500000000+n*977)
	for i := 0; len(b) < size-80; i++ {
		if i > 0 {
			b = append(b, ',')
		}
		seed := uint32(n*31+i) * 2654435761
		b = fmt.Appendf(b, `{"symbol":"SLC%02d","bid":%d.%02d,"ask":%d.%02d,"size":%d}`, i, 100+i, seed>>8%100, 101+i, seed>>16%100, seed%500)
	}
	return append(b, "]}"...)
}
