package codec

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// shared makes blocks of the publications of those subscriptions that which names.
func shared(r ConnectResult, which func(i int) bool) ConnectResult {
	r.Subs = append([]SubscribeResult(nil), r.Subs...)
	for i := range r.Subs {
		s := &r.Subs[i]
		if len(s.Publications) == 0 || !which(i) {
			continue
		}
		s.Block = EndText(AppendPublications(StartText(0), s.Publications, s.Delta))
		s.Publications = nil
	}
	return r
}

// together puts a push that was cut together, as pieces of a body in a framing.
func together(f Framing, event []byte, cuts []Cut) (pieces [][]byte) {
	from := 0
	for _, c := range cuts {
		pieces = append(pieces, AppendChunk(nil, f, event[from:c.At]), textOf(c.Block, f))
		from = c.At
	}
	return append(pieces, AppendChunk(nil, f, event[from:]))
}

func textOf(block *Frame, f Framing) []byte { return whole(block, f, false) }

// someConnect is a connect push of some channels, with what was missed in them.
func someConnect(rnd *rand.Rand) ConnectResult {
	text := func() string {
		return strings.Repeat(string([]rune{'a', '"', '\\', 'é', '\u2028', '<'}[rnd.IntN(6)]), rnd.IntN(40))
	}
	r := ConnectResult{Client: uuidClient, Version: "0", Session: uuidSession, Ping: 25, Data: QuoteJSON(text())}
	for i := range rnd.IntN(6) {
		s := SubscribeResult{
			Channel: fmt.Sprint("c", i, text()), Recoverable: true, Positioned: rnd.IntN(2) == 0, Epoch: "nyArdGkL",
			Recovered: true, WasRecovering: true, Delta: rnd.IntN(2) == 0, Offset: rnd.Uint64N(100),
		}
		same := text()
		for j := range rnd.IntN(8) {
			p := &Publication{Data: QuoteJSON(strings.Repeat(same, 1+rnd.IntN(9)) + text()), Offset: uint64(j + 1), Epoch: s.Epoch}
			if rnd.IntN(3) == 0 {
				p.Tags = []Tag{{"k" + text(), text()}}
				p.Info = &ClientInfo{User: text(), Client: uuidOther, ConnInfo: QuoteJSON(text())}
				p.Version = rnd.Uint64()
			}
			s.Publications = append(s.Publications, p)
		}
		r.Subs = append(r.Subs, s)
	}
	return r
}

func TestAPushPutTogetherFromBlocksIsThePush(t *testing.T) {
	cutSomewhere := 0
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 44))
		whole := someConnect(rnd)
		parts := shared(whole, func(int) bool { return rnd.IntN(3) > 0 })
		before := []byte("retry: 100\ndata: ")
		want := AppendConnect(append([]byte(nil), before...), &whole)
		require.Empty(t, whole.Cuts)
		for range 2 { // Cuts are set anew by each call
			event := AppendConnect(append([]byte(nil), before...), &parts)
			blocks := 0
			for i := range parts.Subs {
				if parts.Subs[i].Block != nil {
					blocks++
				}
			}
			require.Len(t, parts.Cuts, blocks)
			cutSomewhere += blocks
			got := ""
			for _, p := range together(FramingClose, event, parts.Cuts) {
				got += string(p)
			}
			require.Equal(t, string(want), got)
			events := readStream(t, FramingChunked, together(FramingChunked, append(event, "\nid: x\n\n"...), parts.Cuts)...)
			require.Len(t, events, 1)
			require.Equal(t, string(want[len(before):]), events[0].Data)
			require.Equal(t, "x", events[0].ID)
		}
	}
	require.Greater(t, cutSomewhere, 100)
}

func TestABlockDoesNotTravelInASubscribePush(t *testing.T) {
	r := SubscribeResult{Channel: "c", Recoverable: true, Epoch: "e", Offset: 3}
	want := string(AppendSubscribe(nil, &r))
	r.Block = EndText(append(StartText(1), "1"...))
	require.Equal(t, want, string(AppendSubscribe(nil, &r)))
}

func TestATextIsAPieceInBothFramings(t *testing.T) {
	for _, size := range []int{1, 15, 16, 255, 256, 4096, 1 << 20, 1<<24 + 1} {
		text := strings.Repeat("t", size)
		for _, room := range []int{0, size} {
			f := EndText(append(StartText(room), text...))
			require.False(t, f.HasID())
			chunk := fmt.Sprintf("%x\r\n%s\r\n", size, text)
			for _, fm := range forms(f) {
				require.True(t, map[Framing]string{FramingChunked: chunk, FramingClose: text}[fm.framing] == string(fm.bytes), fm.name)
			}
			require.Equal(t, len(chunk), f.Len())
		}
	}
}

func TestKeepAndUnkeepCountQueues(t *testing.T) {
	f := EndText(append(StartText(1), "1"...))
	for range 3 {
		first, bytes := f.Keep()
		require.Equal(t, []any{true, f.size()}, []any{first, bytes})
		f.Code(CodingGzip) // what it has more now counts from its next first queue on
		first, _ = f.Keep()
		require.False(t, first)
		require.Equal(t, 2, f.Kept())
		last, _ := f.Unkeep()
		require.False(t, last)
		last, less := f.Unkeep()
		require.Equal(t, []any{true, bytes}, []any{last, less})
		require.Zero(t, f.Kept())
	}
}

// FuzzCuts puts arbitrary text into what was missed and into what stands around
// it, and reads the push, cut at blocks or not, with the strict reader.
func FuzzCuts(f *testing.F) {
	f.Add("news", `{"a":1}`, `{"a":2}`, "tag", uint8(3), uint64(1))
	f.Add("hh:\r\n\ndata: {}\n\n", `"a\nb"`, "[ \"\xff\" ]", "\x00\r", uint8(7), uint64(9))
	for i, s := range jsonSeeds {
		f.Add(s, s, s, s, uint8(i), uint64(i))
	}
	f.Fuzz(func(t *testing.T, channel, first, second, text string, how uint8, offset uint64) {
		var pubs []*Publication
		for i, data := range []string{first, second, first + second} {
			payload, err := Compact([]byte(data), Limits{})
			if err != nil {
				payload = QuoteJSON(data)
			}
			pubs = append(pubs, &Publication{Data: payload, Offset: offset + uint64(i), Epoch: text, Tags: []Tag{{text, channel}}})
		}
		whole := ConnectResult{Client: text, Session: uuidSession, Data: QuoteJSON(second)}
		for i, ch := range []string{channel, channel + "b", channel + "c"} {
			whole.Subs = append(whole.Subs, SubscribeResult{
				Channel: ch, Epoch: text, Offset: offset, Delta: how>>i&1 != 0, Publications: pubs[i:], Recovered: true, Data: pubs[0].Data,
			})
		}
		want := string(AppendConnect(nil, &whole))
		require.True(t, json.Valid([]byte(want)), "%q", want)
		parts := shared(whole, func(i int) bool { return how>>(3+i)&1 == 0 })
		event := append(AppendConnect([]byte("data: "), &parts), "\n\n"...)
		for _, framing := range []Framing{FramingChunked, FramingClose} {
			events := readStream(t, framing, together(framing, event, parts.Cuts)...)
			require.Len(t, events, 1)
			require.Equal(t, want, events[0].Data)
		}
	})
}
