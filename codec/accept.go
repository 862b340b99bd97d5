package codec

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"slices"
)

// maxAccept is how many bytes of Accept-Encoding are looked at: a browser sends 40.
const maxAccept = 1 << 10

// AcceptedCoding returns what a client wants most of the codings that are offered, by the
// lines of its Accept-Encoding (RFC 9110 section 12.5.3); of those that it wants as much,
// the first one. It is CodingIdentity for a client that wants none of them, that does not
// say, or whose lines are too long to be true, also where it refuses identity: it comes to
// read, and there is nothing else.
func AcceptedCoding(offered []Coding, lines [][]byte) Coding {
	size := 0
	for _, line := range lines {
		size += len(line)
	}
	if size == 0 || size > maxAccept {
		return CodingIdentity
	}
	var a accepted
	for _, line := range lines {
		for element := range bytes.SplitSeq(line, []byte(",")) {
			a.add(element)
		}
	}
	best, most := CodingIdentity, uint16(0)
	for _, c := range offered {
		if w, _ := a.weight(c); w > most {
			best, most = c, w
		}
	}
	if w, told := a.weight(CodingIdentity); told && w > most {
		return CodingIdentity
	}
	return best
}

// codings is how many codings there are.
const codings = CodingDcz + 1

// Codings returns those that compress.
func Codings() []Coding { return []Coding{CodingGzip, CodingZstd} }

// accepted is what a client said of codings: weights in thousandths, plus 1; 0 for those
// that it did not name.
type accepted struct {
	named [codings]uint16
	any   uint16 // of those that are not named
}

// weight returns the weight of a coding, and whether the client told it.
func (a *accepted) weight(c Coding) (thousandths uint16, told bool) {
	w := a.named[c]
	if w == 0 {
		w = a.any
	}
	return max(w, 1) - 1, w > 0
}

// add takes an element of the list. What cannot be read is not wanted; of a coding that is
// there twice, the lower weight counts.
func (a *accepted) add(element []byte) {
	name, parameters, _ := bytes.Cut(element, []byte(";"))
	name = bytes.Trim(name, " \t")
	at := &a.any
	if string(name) != "*" {
		c, ok := parseCoding(name)
		if !ok {
			return
		}
		at = &a.named[c]
	}
	if w := 1 + parseWeight(parameters); *at == 0 || w < *at {
		*at = w
	}
}

// ParseCoding reads a name of a content coding, whose case does not matter.
func ParseCoding(name string) (c Coding, ok bool) { return parseCoding([]byte(name)) }

func parseCoding(name []byte) (Coding, bool) {
	if bytes.EqualFold(name, []byte("x-gzip")) { // RFC 9110 section 8.4.1.3
		return CodingGzip, true
	}
	for c := range codings {
		if bytes.EqualFold(name, []byte(c.String())) {
			return c, true
		}
	}
	return 0, false
}

// parseWeight reads what stands behind the name of an element, if anything, and returns
// thousandths: 0 for what is no weight.
func parseWeight(parameters []byte) uint16 {
	text := bytes.Trim(parameters, " \t")
	if len(text) == 0 {
		return 1000
	}
	if len(text) < len("q=0") || text[0]|0x20 != 'q' || text[1] != '=' {
		return 0
	}
	whole, digits := text[2], text[3:]
	if whole != '0' && whole != '1' || len(digits) > len(".000") || len(digits) > 0 && digits[0] != '.' {
		return 0
	}
	weight, unit := uint16(whole-'0')*1000, uint16(100)
	for _, ch := range digits[min(1, len(digits)):] {
		if ch < '0' || ch > '9' {
			return 0
		}
		weight += uint16(ch-'0') * unit
		unit /= 10
	}
	if weight > 1000 {
		return 0
	}
	return weight
}

// Offer is what the body of a stream may be coded in.
type Offer struct {
	Codings      []Coding // the preferred one first
	Dictionaries []*Dictionary
}

// Vary has a head say what an answer that is chosen from the offer depends on.
func (o *Offer) Vary(h *StreamHead) {
	h.VaryCoding = len(o.Codings) > 0
	h.VaryDictionary = slices.Contains(o.Codings, CodingDcz)
}

// Choose chooses for a client, by the lines of the fields of its request, and has the head
// say so. Where it chooses CodingDcz, the stream has CodingZstd and the dictionary. What
// lines returns is used until its next call only.
func (o *Offer) Choose(h *StreamHead, lines func(field string) [][]byte) (Coding, *Dictionary) {
	if o.Vary(h); !h.VaryCoding {
		return CodingIdentity, nil
	}
	offered, dictionary := o.Codings, (*Dictionary)(nil)
	if i := slices.Index(offered, CodingDcz); i >= 0 {
		if dictionary = o.available(lines("Available-Dictionary")); dictionary == nil {
			offered = slices.Delete(slices.Clone(offered), i, i+1)
		}
	}
	h.Coding = AcceptedCoding(offered, lines("Accept-Encoding"))
	if h.Coding == CodingDcz {
		return CodingZstd, dictionary
	}
	return h.Coding, nil
}

// available returns the dictionary that a client has; nil for none of them.
func (o *Offer) available(lines [][]byte) *Dictionary {
	hash, ok := AvailableDictionary(lines)
	for _, d := range o.Dictionaries {
		if ok && d.Hash() == hash {
			return d
		}
	}
	return nil
}

// maxAvailable is how many bytes of Available-Dictionary are looked at: with the quotes of
// a byte sequence and its SHA-256 there are 46, and parameters may follow.
const maxAvailable = 256

// AvailableDictionary returns the SHA-256 of the dictionary that a client has, by the lines
// of its Available-Dictionary: one byte sequence (RFC 9842 section 2.2, RFC 9651 section
// 4.2.7). Whatever else they say, it has none.
func AvailableDictionary(lines [][]byte) (hash [sha256.Size]byte, ok bool) {
	if len(lines) != 1 || len(lines[0]) > maxAvailable {
		return hash, false
	}
	text, opened := bytes.CutPrefix(bytes.Trim(lines[0], " "), []byte(":"))
	text, parameters, closed := bytes.Cut(text, []byte(":"))
	if !opened || !closed || len(parameters) > 0 && parameters[0] != ';' {
		return hash, false
	}
	text = bytes.TrimRight(text, "=") // which may be missing
	if len(text) != base64.RawStdEncoding.EncodedLen(len(hash)) {
		return hash, false
	}
	n, err := base64.RawStdEncoding.Decode(hash[:], text)
	if err != nil || n != len(hash) {
		return [sha256.Size]byte{}, false
	}
	return hash, true
}
