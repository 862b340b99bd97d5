package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"sort"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// standardDepth is the deepest nesting that encoding/json accepts.
const standardDepth = 10000

// jsonSeeds are texts around the edges of the grammar.
var jsonSeeds = []string{
	``, ` `, `null`, `nul`, `nullx`, ` {"a" : [ 1, 2.5e+3 , "x" ] , "b":{}} `, `[]`, `[ ]`, `{}`, `[1,]`, `{"a":1,}`, `{"a"}`, `{1:2}`,
	`[1 2]`, `{"a":1 "b":2}`, `]`, `[}`, `{} {}`, `01`, `-`, `-0`, `1.`, `.1`, `1e`, `1e+`, `1E400`, `+1`, `0x1`, `1.5e-07`, `"`, `"\`,
	`"\u12"`, `"\u00e9\ud83d\ude00\ud800"`, `"\x"`, `"\/\b\f\n\r\t\"\\"`, "\"\n\"", "\"\r\"", "\"\x00\"", "\x00", "{}\x00", "\"\x7f\u0085\"",
	"\"\xff\"", "\"\xe2\x80\xa8\"", "\"\xe2\x80\"", "[\"\xff\",\xff]", "\ufeff{}", "\u00a01", "\v1", "[\r\n1\r,\n2]", `{"<script>&":"\u2028"}`,
	`[[[[[[[[[[]]]]]]]]]]`, `{"a":{"a":{"a":{"a":{}}}}}`, "{\r\"x\":1}", `"data: {}\n\nid: 1"`,
}

// perByte is src with U+FFFD for each byte that is not UTF-8, the slow way.
func perByte(src string) string {
	var b strings.Builder
	for _, r := range src { // A range clause gives U+FFFD for each such byte.
		b.WriteRune(r)
	}
	return b.String()
}

// FuzzCompact holds Compact against encoding/json.
func FuzzCompact(f *testing.F) {
	for _, s := range jsonSeeds {
		f.Add([]byte(s))
	}
	lim := Limits{Depth: standardDepth, Number: math.MaxInt}
	f.Fuzz(func(t *testing.T, src []byte) {
		given := bytes.Clone(src)
		got, err := Compact(src, lim)
		require.Equal(t, given, src, "the source was written to")
		require.Equal(t, json.Valid(src), err == nil, "%q: %v", src, err)
		if err != nil {
			checkRefusal(t, src, err)
			return
		}
		text := got.String()
		require.NotEmpty(t, text)
		require.True(t, utf8.ValidString(text))
		for i := range len(text) {
			require.GreaterOrEqual(t, text[i], byte(0x20), "%q", text)
		}
		var want bytes.Buffer
		require.NoError(t, json.Compact(&want, []byte(perByte(string(src)))))
		require.Equal(t, want.String(), text)
		require.Equal(t, decoded(t, src), decoded(t, []byte(text)))

		again, err := Compact([]byte(text), lim)
		require.NoError(t, err)
		require.Equal(t, text, again.String(), "not idempotent")
	})
}

// checkRefusal checks that the offset is that of the offending byte or of the
// token around it: what is before is the beginning of some JSON value.
func checkRefusal(t *testing.T, src []byte, err error) {
	var e *SyntaxError
	require.True(t, errors.As(err, &e), "%v", err)
	require.LessOrEqual(t, e.Offset, len(src))
	require.Equal(t, e.Offset, offending(t, src[:e.Offset]), "%q: %v", src, err)
	const longestToken = len(`\u000`) // "fals" is shorter.
	at := offending(t, src)
	require.True(t, e.Offset <= at && at-e.Offset <= longestToken, "%q: %v, expected at %d", src, err, at)
}

// offending returns the index of the first byte of text that no JSON value has
// there, len(text) if all may be the beginning of one.
func offending(t *testing.T, text []byte) int {
	const never = 1 // is no part of any JSON text
	var e *json.SyntaxError
	require.True(t, errors.As(json.Unmarshal(append(bytes.Clone(text), never), new(any)), &e), "%q", text)
	return int(e.Offset) - 1
}

// decoded is the value of a text, with numbers as written.
func decoded(t testing.TB, text []byte) (v any) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	require.NoError(t, dec.Decode(&v), "%q", text)
	return v
}

// FuzzCompactLimits checks that limits only ever refuse, and what they say.
func FuzzCompactLimits(f *testing.F) {
	for i, s := range jsonSeeds {
		f.Add([]byte(s), uint8(i%6), uint8(i%5))
	}
	f.Fuzz(func(t *testing.T, src []byte, depth, number uint8) {
		free, freeErr := Compact(src, Limits{Depth: math.MaxInt, Number: math.MaxInt})
		lim := Limits{Depth: int(depth) + 1, Number: int(number) + 1}
		got, err := Compact(src, lim)
		if err == nil {
			require.NoError(t, freeErr)
			require.Equal(t, free, got)
		}
		if freeErr == nil {
			deepest, longest := measure(free.String())
			require.Equal(t, deepest <= lim.Depth && longest <= lim.Number, err == nil, "%q: %v", src, err)
		}
	})
}

// measure returns the depth of a compact text and the length of its longest
// number.
func measure(text string) (deepest, longest int) {
	depth, run, inString := 0, 0, false
	for i := 0; i < len(text); i++ {
		c := text[i]
		if inString {
			if c == '\\' {
				i++
			}
			inString = c != '"'
			continue
		}
		inString = c == '"'
		switch c {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		if strings.IndexByte("+-.eE0123456789", c) < 0 || c == 'e' && run == 0 { // the e of true and false
			run = 0
		} else {
			run++
		}
		deepest, longest = max(deepest, depth), max(longest, run)
	}
	return deepest, longest
}

// FuzzAppendString holds AppendString against encoding/json.
func FuzzAppendString(f *testing.F) {
	for _, s := range jsonSeeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := json.Marshal(s)
		require.NoError(t, err)
		require.Equal(t, string(want), string(AppendString(nil, s)))
		require.Equal(t, string(want), QuoteJSON(s).String())
		back, err := Compact(want, Limits{})
		require.NoError(t, err)
		require.Equal(t, QuoteJSON(s), back)
	})
}

// The following are the pushes as encoding/json writes them (PROTOCOL 2.2): a
// second opinion on what a frame holds.

type wirePush struct {
	Channel     string          `json:"channel,omitempty"`
	Pub         *wirePub        `json:"pub,omitempty"`
	Join        *wireJoin       `json:"join,omitempty"`
	Leave       *wireJoin       `json:"leave,omitempty"`
	Unsubscribe *wireDisconnect `json:"unsubscribe,omitempty"`
	Message     *wireMessage    `json:"message,omitempty"`
	Subscribe   *wireSub        `json:"subscribe,omitempty"`
	Connect     *wireConnect    `json:"connect,omitempty"`
	Disconnect  *wireDisconnect `json:"disconnect,omitempty"`
	Gap         *wireGap        `json:"gap,omitempty"`
}

type wirePub struct {
	Data    json.RawMessage   `json:"data,omitempty"`
	Info    *wireInfo         `json:"info,omitempty"`
	Offset  uint64            `json:"offset,omitempty"`
	Tags    map[string]string `json:"tags,omitempty"`
	Delta   bool              `json:"delta,omitempty"`
	Epoch   string            `json:"epoch,omitempty"`
	Version uint64            `json:"version,omitempty"`
}

type wireInfo struct {
	User     string          `json:"user"`
	Client   string          `json:"client"`
	ConnInfo json.RawMessage `json:"conn_info,omitempty"`
	ChanInfo json.RawMessage `json:"chan_info,omitempty"`
}

type wireJoin struct {
	Info wireInfo `json:"info"`
}

type wireDisconnect struct {
	Code   uint32 `json:"code,omitempty"`
	Reason string `json:"reason,omitempty"`
}

type wireGap struct {
	Dropped uint64 `json:"dropped,omitempty"`
	From    uint64 `json:"from,omitempty"`
	To      uint64 `json:"to,omitempty"`
}

type wireMessage struct {
	Data json.RawMessage `json:"data,omitempty"`
}

type wireSub struct {
	Recoverable  bool            `json:"recoverable,omitempty"`
	Epoch        string          `json:"epoch,omitempty"`
	Publications []wirePub       `json:"publications,omitempty"`
	Offset       uint64          `json:"offset,omitempty"`
	Data         json.RawMessage `json:"data,omitempty"`
}

type wireConnect struct {
	Client  string             `json:"client,omitempty"`
	Version string             `json:"version,omitempty"`
	Data    json.RawMessage    `json:"data,omitempty"`
	Subs    map[string]wireSub `json:"subs,omitempty"`
	Session string             `json:"session,omitempty"`
}

// fuzzInput is what a fuzz target was given, as the codec takes it.
type fuzzInput struct {
	channel, other, text string
	id                   string
	pub                  *Publication
}

// twin is the push object that the publication should come out as.
func (in *fuzzInput) twin() wirePub {
	p := in.pub
	w := wirePub{Data: raw(p.Data), Offset: p.Offset, Version: p.Version, Tags: map[string]string{}}
	for _, tag := range p.Tags {
		w.Tags[perByte(tag.Key)] = tag.Value
	}
	if p.Info != nil {
		w.Info = in.info()
	}
	if p.Offset == 1 {
		w.Epoch = p.Epoch
	}
	return w
}

func (in *fuzzInput) info() *wireInfo {
	c := in.pub.Info
	return &wireInfo{User: c.User, Client: c.Client, ConnInfo: raw(c.ConnInfo), ChanInfo: raw(c.ChanInfo)}
}

func raw(j JSON) json.RawMessage { return json.RawMessage(j.String()) }

// frameID is the part of s that may be the id of a frame.
func frameID(s string) string {
	id := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
	return id[:min(len(id), maxFrameID)]
}

// FuzzFrame puts arbitrary text into every string of every push and reads the
// frames back with the strict readers of testkit: one event for each frame,
// with one line of data that decodes to what was put in, and the id as given.
func FuzzFrame(f *testing.F) {
	f.Add("news", "42", "shutdown", `{"a":1}`, goldenID, uint64(1), uint64(0))
	f.Add("hh:\r\n\ndata: {}\n\n", "\x00\r", "a\n\nid: 7\n", `"a\nb"`, " x", uint64(2), uint64(5))
	f.Add("\u2028\u2029\ufeff", "\xff\xfe\xe2\x80", "<script>&\x7f", "[ \"\xff\" ,\r\n null ]", ":", uint64(math.MaxUint64), uint64(math.MaxUint64))
	f.Add("", "", "", "", "", uint64(0), uint64(0))
	for _, s := range jsonSeeds {
		f.Add(s, s, s, s, s, uint64(len(s)), uint64(len(s)))
	}
	f.Fuzz(func(t *testing.T, channel, other, text, data, id string, offset, version uint64) {
		payload, _ := Compact([]byte(data), Limits{}) // What is no JSON is no payload: the binary format's empty one.
		in := &fuzzInput{channel: channel, other: other, text: text, id: frameID(id), pub: &Publication{
			Data: payload, Offset: offset, Epoch: text, Version: version,
			Info: &ClientInfo{User: other, Client: text, ConnInfo: payload, ChanInfo: QuoteJSON(data)},
			Tags: []Tag{{other, text}},
		}}
		if tag := (Tag{channel, data}); perByte(channel) != perByte(other) {
			in.pub.Tags = append(in.pub.Tags, tag)
			sort.Slice(in.pub.Tags, func(i, j int) bool { return in.pub.Tags[i].Key < in.pub.Tags[j].Key })
		}
		in.check(t, append(in.publications(), in.others()...))
	})
}

// sent is a frame and the push that it should be read back as.
type sent struct {
	frame *Frame
	want  wirePush
}

func (in *fuzzInput) sent(buf []byte, want wirePush) sent { return sent{EndFrame(buf, in.id), want} }

func (in *fuzzInput) publications() []sent {
	full, delta := in.twin(), in.twin()
	bare := &Publication{Data: in.pub.Data}
	delta.Epoch, delta.Version, delta.Data = "", 0, raw(QuoteJSON(in.pub.Data.String()))
	if in.text != "" && utf8.ValidString(in.text) {
		delta.Delta, delta.Data = true, raw(QuoteJSON(in.text))
	}
	return []sent{
		{PubFrame(in.channel, in.pub, in.id), wirePush{Channel: in.channel, Pub: &full}},
		{PubFrame(in.channel, bare, in.id), wirePush{Channel: in.channel, Pub: &wirePub{Data: raw(bare.Data)}}},
		in.sent(AppendDeltaPub(StartFrame(0), in.channel, in.pub, in.text), wirePush{Channel: in.channel, Pub: &delta}),
	}
}

func (in *fuzzInput) others() []sent {
	d := &Disconnect{Code: uint32(in.pub.Version), Reason: in.text}
	told := &wireDisconnect{Code: d.Code, Reason: d.Reason}
	result := SubscribeResult{
		Channel: in.channel, Recoverable: true, Epoch: in.text, Offset: in.pub.Offset, Data: in.pub.Data,
		Publications: []*Publication{in.pub, in.pub},
	}
	sub := wireSub{Recoverable: true, Epoch: in.text, Offset: in.pub.Offset, Data: raw(in.pub.Data)}
	withMissed := sub
	withMissed.Publications = []wirePub{in.twin(), in.twin()}
	connect := &ConnectResult{Client: in.other, Version: in.text, Session: in.channel, Data: in.pub.Data, Subs: []SubscribeResult{result}}
	return []sent{
		in.sent(AppendJoin(StartFrame(0), in.channel, in.pub.Info), wirePush{Channel: in.channel, Join: &wireJoin{*in.info()}}),
		in.sent(AppendLeave(StartFrame(0), in.channel, in.pub.Info), wirePush{Channel: in.channel, Leave: &wireJoin{*in.info()}}),
		in.sent(AppendSubscribe(StartFrame(0), &result), wirePush{Channel: in.channel, Subscribe: &sub}),
		in.sent(AppendUnsubscribe(StartFrame(0), in.channel, d), wirePush{Channel: in.channel, Unsubscribe: told}),
		in.sent(AppendMessage(StartFrame(0), in.pub.Data), wirePush{Message: &wireMessage{Data: raw(in.pub.Data)}}),
		in.sent(AppendGap(StartFrame(0), in.channel, Gap{in.pub.Version, in.pub.Offset, in.pub.Offset}),
			wirePush{Channel: in.channel, Gap: &wireGap{in.pub.Version, in.pub.Offset, in.pub.Offset}}),
		in.sent(AppendDisconnect(StartFrame(0), d), wirePush{Disconnect: told}),
		in.sent(AppendConnect(StartFrame(0), connect), wirePush{Connect: &wireConnect{
			Client: in.other, Version: in.text, Session: in.channel, Data: raw(in.pub.Data),
			Subs: map[string]wireSub{in.channel: withMissed},
		}}),
	}
}

// check sends all in each form, with a ping behind each.
func (in *fuzzInput) check(t *testing.T, all []sent) {
	wants := make([]any, len(all))
	for i, s := range all {
		text, err := json.Marshal(s.want)
		require.NoError(t, err)
		wants[i] = decoded(t, text)
		require.Equal(t, in.id != "", s.frame.HasID())
	}
	for n, fm := range forms(PingFrame) {
		var pieces [][]byte
		for _, s := range all {
			pieces = append(pieces, forms(s.frame)[n].bytes, fm.bytes)
		}
		events := readStream(t, fm.framing, pieces...)
		require.Len(t, events, len(pieces), "%s: %q", fm.name, pieces)
		for i, ev := range events {
			if i%2 == 1 {
				require.Equal(t, "{}", ev.Data, fm.name)
				require.False(t, ev.HasID, fm.name)
				continue
			}
			require.NotContains(t, ev.Data, "\n", fm.name)
			require.True(t, json.Valid([]byte(ev.Data)), "%s: %q", fm.name, ev.Data)
			require.Equal(t, wants[i/2], decoded(t, []byte(ev.Data)), fm.name)
			require.Equal(t, fm.withID && in.id != "", ev.HasID, fm.name)
			if ev.HasID {
				require.Equal(t, in.id, ev.ID, fm.name)
			}
		}
	}
}
