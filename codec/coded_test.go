package codec

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

var bothCodings = []Coding{CodingGzip, CodingZstd}

// codedStream is a stream as a client sees it, and the text that it must come to.
type codedStream struct {
	t    testing.TB
	body Body
	wire []byte
	text []byte
}

func newCodedStream(t testing.TB, c Coding, fr Framing, opening string) *codedStream {
	s := &codedStream{t: t, body: NewBody(c, fr)}
	s.send(Part{Frame: OpeningFrame(nil, c, fr, []byte(opening))}, opening)
	return s
}

func newDictionaryStream(t testing.TB, raw []byte, fr Framing, opening string) *codedStream {
	d, err := NewDictionary(raw)
	require.NoError(t, err)
	s := &codedStream{t: t, body: NewDictionaryBody(d, fr)}
	s.send(Part{Frame: DictionaryOpening(nil, d, fr, []byte(opening))}, opening)
	return s
}

// send sends a part that means some text, and reads it at once.
func (s *codedStream) send(p Part, text string) Form {
	form := s.body.Form(&p)
	for _, piece := range [][]byte{form.Leave, form.Lines, form.End} {
		s.wire = append(s.wire, piece...)
	}
	s.body.Sent(&p, &form)
	s.text = append(s.text, text...)
	return form
}

// event sends the event of a frame.
func (s *codedStream) event(f *Frame, withID bool) Form {
	lines, end := f.Event(FramingClose, withID)
	return s.send(Part{Frame: f, WithID: withID}, string(lines)+string(end))
}

// check reads all that was sent by now.
func (s *codedStream) check() {
	s.t.Helper()
	got, _ := s.inflated()
	require.Equal(s.t, string(s.text), string(got))
}

func (s *codedStream) inflated() (text []byte, whole bool) {
	if d := s.body.dictionary; d != nil {
		return testkit.InflatedWith(s.t, d.Bytes(), s.decoded())
	}
	return testkit.Inflated(s.t, s.body.coding.String(), s.decoded())
}

func (s *codedStream) decoded() []byte {
	if s.body.framing == FramingChunked {
		return []byte(unchunked(string(s.wire)))
	}
	return s.wire
}

// finish ends the body, which then is whole.
func (s *codedStream) finish() {
	s.t.Helper()
	s.wire = append(s.wire, s.body.Tail().buf...)
	if s.body.framing == FramingChunked {
		require.True(s.t, bytes.HasSuffix(s.wire, []byte("0\r\n\r\n")))
	}
	got, whole := s.inflated()
	require.True(s.t, whole, "the body is not whole")
	require.Equal(s.t, string(s.text), string(got))
}

// codedChannel is what a lane has of a channel.
type codedChannel struct {
	name   string
	groups []*Group
	offset uint64
	old    []*Frame
	// dictionary is that of some of its subscribers, nil for none.
	dictionary *Dictionary
}

func newCodedChannel(name string) *codedChannel {
	return &codedChannel{name: name, groups: []*Group{
		NewGroup(CodingGzip, true), NewGroup(CodingZstd, true), NewGroup(CodingGzip, false), NewGroup(CodingZstd, false),
	}}
}

// publish makes the frame of a publication of about so many bytes, with its forms.
func (c *codedChannel) publish(size int, id, grouped bool) *Frame {
	c.offset++
	data := fmt.Appendf(nil, `{"offset":%d`, c.offset)
	for i := 0; len(data) < size; i++ {
		data = fmt.Appendf(data, `,"%s%d":{"price":%d,"volume":%d}`, c.name, i, 1000+c.offset*7%13, i*i)
	}
	p := &Publication{Data: QuoteJSON(string(data)), Offset: c.offset, Epoch: "xyz"}
	f := OpenPubFrame(c.name, p)
	if id {
		f = PubFrame(c.name, p, string(AppendCursorEntry(nil, CursorEntry{1, 2, c.offset})))
	}
	for _, g := range c.groups {
		if grouped {
			g.Add(f)
		} else if size%2 == 0 { // the others go as they are
			f.Code(g.coding)
		}
	}
	if c.dictionary != nil && (grouped || size%4 == 0) {
		f.CodeWith(c.dictionary)
	}
	c.old = append(c.old, f)
	return f
}

// codedStep does what the bytes of a step say to streams that do not all get it.
func codedStep(channels []*codedChannel, streams []*codedStream, op, arg byte) {
	ch := channels[arg&1]
	size := []int{20, 100, 600, 2000, 70, 40000, 1500, 9000}[arg>>1&7]
	id, all := arg&16 != 0, arg&0xE0 != 0x20
	each := func(f func(s *codedStream)) {
		for i, s := range streams {
			if all || i&1 == int(arg>>6&1) {
				f(s)
			}
		}
	}
	switch op % 10 {
	case 0, 1, 2, 3: // what is usual: an event in its group
		f := ch.publish(size, id, true)
		each(func(s *codedStream) { s.event(f, true) })
	case 4:
		f := ch.publish(size, id, arg&2 == 0)
		each(func(s *codedStream) { s.event(f, false) })
	case 5:
		f := ch.publish(size, id, arg&2 == 0)
		text := bytes.Repeat([]byte("cursor"), size/6)
		each(func(s *codedStream) {
			end := AppendCodedEnd(nil, s.body.coding, s.body.framing, text)
			s.send(Part{Frame: f, Own: end}, string(f.Lines(FramingClose))+string(AppendEventEnd(nil, FramingClose, text)))
		})
	case 6:
		each(func(s *codedStream) { s.event(PingFrame, true) })
	case 7:
		f := NewPing(PingComment, 0)
		each(func(s *codedStream) { s.send(Part{Frame: f}, "") })
	case 8:
		text := fmt.Sprintf("retry: %d\nid: x\n\n", size)
		each(func(s *codedStream) {
			s.send(Part{Frame: OwnFrame(s.body.coding, s.body.framing, []byte(text))}, text)
			s.send(Part{Frame: PieceFrame(s.body.coding, s.body.framing, bytes.Repeat([]byte(text), 60))}, string(bytes.Repeat([]byte(text), 60)))
			s.send(Part{Frame: RawFrame(nil)}, "")
		})
	case 9:
		if len(ch.old) > 0 { // what waited, or can be left out
			f := ch.old[int(arg)%len(ch.old)]
			lines, end := f.Event(FramingClose, id)
			each(func(s *codedStream) { s.send(Part{Frame: f, WithID: id, Alone: true}, string(lines)+string(end)) })
			each(func(s *codedStream) { s.event(f, true) })
		}
	}
}

func runCoded(t testing.TB, steps []byte) {
	channels := []*codedChannel{newCodedChannel("news"), newCodedChannel("ticks")}
	var streams []*codedStream
	for _, c := range bothCodings {
		for _, fr := range []Framing{FramingChunked, FramingClose} {
			streams = append(streams, newCodedStream(t, c, fr, "\n"), newCodedStream(t, c, fr, ""))
		}
	}
	for i, fr := range []Framing{FramingChunked, FramingClose} {
		s := newDictionaryStream(t, []byte(`data: {"channel":"news","pub":{"data":{"offset":1,"news0":{"price":1000`), fr, strings.Repeat("opening\n", 1000*i))
		channels[i].dictionary = s.body.Dictionary() // of the other one it gets plain frames
		streams = append(streams, s)
	}
	for i := 0; i+1 < len(steps); i += 2 {
		codedStep(channels, streams, steps[i], steps[i+1])
		streams[i/2%len(streams)].check() // as soon as it is there
		if steps[i] == 255 {              // one who comes in the midst of a group
			streams = append(streams, newCodedStream(t, bothCodings[i&1], FramingChunked, "data: {}\n\n"))
		}
	}
	for _, s := range streams {
		s.check()
		s.finish()
	}
}

func TestCodedBodiesAreTheTextsThatWereSent(t *testing.T) {
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 15))
		steps := make([]byte, 160)
		for i := range steps {
			steps[i] = byte(r.Uint32())
		}
		runCoded(t, steps)
	}
}

// FuzzCoded does anything to coded streams, and reads each event as soon as it is there.
func FuzzCoded(f *testing.F) {
	f.Add([]byte{0, 16, 1, 16, 2, 16, 6, 0, 0, 16, 7, 0, 3, 16})
	f.Add([]byte{0, 17, 4, 35, 5, 0, 9, 9, 0, 17, 255, 0, 0, 17, 8, 3, 0, 22})
	f.Add(bytes.Repeat([]byte{0, 22}, 60))
	f.Fuzz(func(t *testing.T, steps []byte) { runCoded(t, steps[:min(len(steps), 240)]) })
}
