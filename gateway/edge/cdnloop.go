package edge

import "bytes"

const (
	// loopName is what a node of ours calls itself in CDN-Loop (RFC 8586), and loopNode
	// the parameter that says which one it is.
	loopName, loopNode = "sluice", "node"
	// maxHops is how many relays may lie behind a stream.
	maxHops = 8
)

// hops returns how many nodes of ours a request came through, by its CDN-Loop headers, and
// whether this one was among them. What cannot be read is skipped: it is not ours.
func hops(headers [][]byte, node string) (n int, own bool) {
	for _, list := range headers {
		for len(list) > 0 {
			var entry []byte
			entry, list = cutQuoted(list, ',')
			name, parameters := cutQuoted(entry, ';')
			if !bytes.EqualFold(trim(name), []byte(loopName)) {
				continue
			}
			n++
			for len(parameters) > 0 {
				var p []byte
				p, parameters = cutQuoted(parameters, ';')
				key, value, _ := bytes.Cut(p, []byte("="))
				own = own || bytes.EqualFold(trim(key), []byte(loopNode)) && unquoted(trim(value)) == node
			}
		}
	}
	return n, own
}

// cutQuoted cuts b at the first separator that is not within a quoted string (RFC 9110
// section 5.6.4).
func cutQuoted(b []byte, separator byte) (before, after []byte) {
	quoted := false
	for i := 0; i < len(b); i++ {
		switch {
		case quoted && b[i] == '\\':
			i++
		case b[i] == '"':
			quoted = !quoted
		case b[i] == separator && !quoted:
			return b[:i], b[i+1:]
		}
	}
	return b, nil
}

// unquoted returns the text of a token or quoted string.
func unquoted(b []byte) string {
	if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' {
		return string(b)
	}
	b = b[1 : len(b)-1]
	text := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] == '\\' && i+1 < len(b) {
			i++
		}
		text = append(text, b[i])
	}
	return string(text)
}

func trim(b []byte) []byte { return bytes.Trim(b, " \t") }
