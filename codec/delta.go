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
