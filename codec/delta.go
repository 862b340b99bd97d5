package codec

import fdelta "github.com/shadowspore/fossil-delta"

// Delta returns the Fossil delta that makes next of prev, or "" if it would not
// be shorter than next, which then goes out whole (PROTOCOL 2.2).
func Delta(prev, next JSON) string {
	diff := fdelta.Create([]byte(prev.String()), []byte(next.String()))
	if len(diff) >= next.Len() {
		return ""
	}
	return string(diff)
}

// maxDeltaWork is how many bytes of payloads are compared for one recovery:
// anybody who may recover can ask for it, and unrelated payloads of 64 KiB cost
// milliseconds.
const maxDeltaWork = 256 << 10

// deltaWork bounds the deltas of one recovery. The zero value has done nothing.
type deltaWork struct{ bytes int }

// delta is [Delta] while there is work left to do, and "" from then on.
func (w *deltaWork) delta(prev, next JSON) string {
	if w.bytes += prev.Len() + next.Len(); w.bytes > maxDeltaWork {
		return ""
	}
	return Delta(prev, next)
}
