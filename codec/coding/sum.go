package coding

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
)

// Sum is what gzip ends with: the checksum and the length of all texts of a body (RFC 1952
// section 2.3.1). The zero Sum is that of no text.
type Sum struct{ crc, size uint32 }

// Add adds a text.
func (s *Sum) Add(text []byte) {
	s.crc = crc32.Update(s.crc, crc32.IEEETable, text)
	s.size += uint32(len(text))
}

// AddEnd adds the text of an end that gzip's [Coding.AppendEnd] made.
func (s *Sum) AddEnd(end []byte) {
	for {
		n := int(binary.LittleEndian.Uint16(end))
		s.Add(end[4 : 4+n])
		if end = end[4+n:]; len(end) == 0 {
			return
		}
		end = end[1:] // the head of the next block
	}
}

// Join adds a text of which the sum is known.
func (s *Sum) Join(t *TextSum) {
	crc := s.crc
	// The checksum times x^(8 size), byte by byte: those of the highest powers of x,
	// which are the lowest bits, first.
	r := uint32(0)
	for range 4 {
		r = r>>8 ^ crc32.IEEETable[byte(r)] ^ t.high[crc>>4&0xF] ^ t.low[crc&0xF]
		crc >>= 8
	}
	s.crc = r ^ t.crc
	s.size += t.size
}

// TextSum is the Sum of a text, and what makes it quick to [Sum.Join]: the products of
// x^(8 size) and of all halves of a byte, for checksums are polynomials, and what is
// behind a text of so many bytes moves what is before it by so many powers of x.
type TextSum struct {
	Sum
	high, low [16]uint32
}

// SumText returns the sum of a text, which stands in two pieces.
func SumText(text, more []byte) TextSum {
	var t TextSum
	t.Add(text)
	t.Add(more)
	power := powerOfX(len(text) + len(more))
	for half := 8; half > 0; half >>= 1 {
		t.high[half] = power
		power = timesX(power)
	}
	for half := 8; half > 0; half >>= 1 {
		t.low[half] = power
		power = timesX(power)
	}
	for v := 1; v < 16; v++ {
		one := v & -v
		t.high[v] = t.high[one] ^ t.high[v^one]
		t.low[v] = t.low[one] ^ t.low[v^one]
	}
	return t
}

// timesX is a polynomial times x, modulo that of the checksum. The highest bit is x^0.
func timesX(p uint32) uint32 { return p>>1 ^ crc32.IEEE&-(p&1) }

func times(a, b uint32) (product uint32) {
	for ; a != 0; a <<= 1 {
		if a>>31 != 0 {
			product ^= b
		}
		b = timesX(b)
	}
	return product
}

// powers are x^8 to the powers 1, 2, 4 and so on.
var powers = func() (p [bits.UintSize]uint32) {
	p[0] = 1 << (31 - 8)
	for i := 1; i < len(p); i++ {
		p[i] = times(p[i-1], p[i-1])
	}
	return p
}()

// powerOfX returns x^(8n).
func powerOfX(n int) uint32 {
	p := uint32(1) << 31
	for ; n != 0; n &= n - 1 {
		p = times(p, powers[bits.TrailingZeros(uint(n))])
	}
	return p
}
