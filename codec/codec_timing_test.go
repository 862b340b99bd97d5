package codec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// Sinks keep results alive.
var (
	sinkBytes []byte
	sinkFrame *Frame
	sinkJSON  JSON
	sinkErr   error
	sinkInt   int
	sinkBool  bool
)

// payload returns compact JSON of about n bytes, such as applications publish.
func payload(n int) string {
	const item = `{"id":123456,"name":"Alice é","ok":true,"price":-12.5e3,"tags":["a","b"]}`
	var b strings.Builder
	b.WriteByte('[')
	for b.WriteString(item); b.Len()+len(item) < n; {
		b.WriteString("," + item)
	}
	b.WriteByte(']')
	return b.String()
}

// BenchmarkPubFrame compares the frame of a publication with the same bytes
// made by encoding/json and fmt.
func BenchmarkPubFrame(b *testing.B) {
	for _, size := range []int{128, 16 << 10} {
		p := &Publication{Data: mustCompact(b, payload(size)), Offset: 123456, Epoch: "nyArdGkL", Tags: []Tag{{"t", "1"}}}
		b.Run(fmt.Sprintf("%d/codec", size), func(b *testing.B) {
			b.SetBytes(int64(p.Data.Len()))
			b.ReportAllocs()
			for b.Loop() {
				sinkFrame = PubFrame("hh:fresh", p, goldenID)
			}
		})
		b.Run(fmt.Sprintf("%d/baseline", size), func(b *testing.B) {
			b.SetBytes(int64(p.Data.Len()))
			b.ReportAllocs()
			for b.Loop() {
				push := wirePush{Channel: "hh:fresh", Pub: &wirePub{
					Data: json.RawMessage(p.Data.String()), Offset: p.Offset, Tags: map[string]string{"t": "1"},
				}}
				text, err := json.Marshal(push)
				if err != nil {
					b.Fatal(err)
				}
				event := fmt.Appendf(nil, "data: %s\n\n", text)
				line := "id: " + goldenID + "\n"
				sinkBytes = fmt.Appendf(nil, "%x\r\n%s\r\n%x\r\n%s\r\n", len(line), line, len(event), event)
			}
		})
	}
}

// BenchmarkCompact compares Compact with the two passes of encoding/json that
// give the same guarantee.
func BenchmarkCompact(b *testing.B) {
	var indented bytes.Buffer
	if err := json.Indent(&indented, []byte(payload(16<<10)), "", "  "); err != nil {
		b.Fatal(err)
	}
	for name, src := range map[string][]byte{
		"128": []byte(payload(128)), "16384": []byte(payload(16 << 10)), "indented": indented.Bytes(),
		"invalid-utf8": []byte(strconv.Quote(strings.Repeat("x", 16<<10)) + " \n"),
	} {
		if name == "invalid-utf8" {
			src[100] = 0xff
		}
		b.Run(name+"/codec", func(b *testing.B) {
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			for b.Loop() {
				sinkJSON, sinkErr = Compact(src, Limits{})
			}
		})
		b.Run(name+"/baseline", func(b *testing.B) {
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			for b.Loop() {
				var out bytes.Buffer
				sinkErr = json.Compact(&out, bytes.ToValidUTF8(src, []byte("\ufffd")))
				sinkBytes = out.Bytes()
			}
		})
	}
}

// BenchmarkAppendString compares AppendString with json.Marshal.
func BenchmarkAppendString(b *testing.B) {
	buf := make([]byte, 0, 64<<10)
	for name, s := range map[string]string{
		"channel": "hh:fresh/42", "ascii-4096": strings.Repeat("abcdefgh", 512),
		"json-4096": payload(4096), "cyrillic-4096": strings.Repeat("привет ", 315),
	} {
		b.Run(name+"/codec", func(b *testing.B) {
			b.SetBytes(int64(len(s)))
			b.ReportAllocs()
			for b.Loop() {
				sinkBytes = AppendString(buf, s)
			}
		})
		b.Run(name+"/baseline", func(b *testing.B) {
			b.SetBytes(int64(len(s)))
			b.ReportAllocs()
			for b.Loop() {
				sinkBytes, sinkErr = json.Marshal(s)
			}
		})
	}
}
