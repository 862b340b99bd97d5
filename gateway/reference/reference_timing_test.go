package reference

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"sluice/codec"
)

// BenchmarkPayload is a publication on its way to other nodes and from there, with
// the same by encoding/json for comparison.
func BenchmarkPayload(b *testing.B) {
	for _, size := range []int{128, 16 << 10} {
		p := &codec.Publication{
			Data: compact(b, `{"a":"`+strings.Repeat("x", size-8)+`"}`), Offset: 123456, Epoch: "nyArdGkL", Time: 1_700_000_001_000,
		}
		src, buf := AppendPositioned(nil, p, nil), make([]byte, 0, size+256)
		run := func(name string, do func()) {
			b.Run(fmt.Sprintf("%d/%s", size, name), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(size))
				for b.Loop() {
					do()
				}
			})
		}
		run("append", func() { buf = AppendMessage(buf[:0], p, nil) })
		run("decode", func() {
			if _, err := Decode(src, Limits{Epoch: "nyArdGkL"}); err != nil {
				b.Fatal(err)
			}
		})
		text, _ := json.Marshal(p)
		run("encoding/json decode", func() {
			var out struct{ Data, Epoch, Offset, Time any }
			if err := json.Unmarshal(text, &out); err != nil {
				b.Fatal(err)
			}
		})
	}
}
