package codec

import "strconv"

// decodePlain is [DecodeConnect] for requests as nearly all clients write them: a token,
// name, version and subs, none of them twice, in names of lower case and texts of printable
// ASCII without escapes. Of others it reports false, and what it has set means nothing. Why:
// a decoder that goes by types makes seven things of the shortest request.
func decodePlain(src []byte, r *ConnectRequest) bool {
	p := plainReader{src: src}
	subs := false
	ok := p.object(func(name []byte) bool {
		switch string(name) {
		case "token":
			return p.textOnce(&r.Token)
		case "name":
			return p.textOnce(&r.Name)
		case "version":
			return p.textOnce(&r.Version)
		case "subs":
			if subs {
				return false
			}
			subs = true
			return p.object(func(channel []byte) bool { return p.sub(r, channel) })
		}
		return false
	})
	return ok && p.next() == 0 && p.pos == len(p.src)
}

// plainSubs is how many subs a plain request has at most.
const plainSubs = 32

// sub reads the value of a channel.
func (p *plainReader) sub(r *ConnectRequest, channel []byte) bool {
	if len(r.Subs) == plainSubs {
		return false
	}
	for i := range r.Subs {
		if r.Subs[i].Channel == string(channel) {
			return false
		}
	}
	s := SubRequest{Channel: string(channel)}
	if !p.word("null") {
		recovers, offset := false, false
		ok := p.object(func(name []byte) bool {
			switch string(name) {
			case "recover":
				s.Recover = p.word("true")
				again := recovers
				recovers = true
				return !again && (s.Recover || p.word("false"))
			case "offset":
				again := offset
				offset = true
				return !again && p.uint(&s.Offset)
			case "epoch":
				return p.textOnce(&s.Epoch)
			case "delta":
				return p.textOnce(&s.Delta)
			}
			return false
		})
		if !ok {
			return false
		}
	}
	r.Subs = append(r.Subs, s)
	return true
}

// plainReader reads JSON that is plain, see decodePlain; its methods report whether it was.
type plainReader struct {
	src []byte
	pos int
}

// next returns the next byte that is not white space, 0 at the end.
func (p *plainReader) next() byte {
	for ; p.pos < len(p.src); p.pos++ {
		switch b := p.src[p.pos]; b {
		case ' ', '\t', '\n', '\r':
		default:
			return b
		}
	}
	return 0
}

// took goes past the next byte if it is this one.
func (p *plainReader) took(b byte) bool {
	if p.next() != b {
		return false
	}
	p.pos++
	return true
}

// object calls member for each, which reads its value.
func (p *plainReader) object(member func(name []byte) bool) bool {
	if !p.took('{') {
		return false
	}
	if p.took('}') {
		return true
	}
	for {
		name, ok := p.text()
		if !ok || !p.took(':') || !member(name) {
			return false
		}
		if p.took('}') {
			return true
		}
		if !p.took(',') {
			return false
		}
	}
}

func (p *plainReader) text() ([]byte, bool) {
	if !p.took('"') {
		return nil, false
	}
	for start := p.pos; p.pos < len(p.src); p.pos++ {
		switch b := p.src[p.pos]; {
		case b == '"':
			p.pos++
			return p.src[start : p.pos-1], true
		case b == '\\', b < ' ', b > '~':
			return nil, false
		}
	}
	return nil, false
}

// textOnce reads what was empty until now, into a copy.
func (p *plainReader) textOnce(to *string) bool {
	text, ok := p.text()
	if !ok || len(text) == 0 || *to != "" {
		return false
	}
	*to = string(text)
	return true
}

func (p *plainReader) word(w string) bool {
	p.next()
	if len(p.src)-p.pos < len(w) || string(p.src[p.pos:p.pos+len(w)]) != w {
		return false
	}
	p.pos += len(w) // what follows is looked at by whoever reads on
	return true
}

func (p *plainReader) uint(to *uint64) bool {
	p.next()
	start := p.pos
	for p.pos < len(p.src) && p.src[p.pos] >= '0' && p.src[p.pos] <= '9' {
		p.pos++
	}
	digits := p.src[start:p.pos]
	if len(digits) > 1 && digits[0] == '0' {
		return false
	}
	var err error
	*to, err = strconv.ParseUint(string(digits), 10, 64)
	return err == nil
}
