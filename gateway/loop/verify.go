package loop

import (
	"fmt"

	"sluice/codec"
)

// checker proves, in tests, that frames do not change between the moment they
// are first queued and their last release by this loop. A nil checker does
// nothing.
type checker struct {
	frames map[*codec.Frame]*checked
	sum    byte
}

type checked struct {
	sum   uint64
	coded [codec.CodingDcz + 1]uint64 // of the forms that were used; 0 for none
	refs  int
}

func newChecker() *checker { return &checker{frames: make(map[*codec.Frame]*checked)} }

func (c *checker) queued(f *codec.Frame) {
	if c == nil {
		return
	}
	k := c.frames[f]
	if k == nil {
		k = &checked{sum: f.Sum()}
		c.frames[f] = k
	}
	k.refs++
}

// released returns what is wrong with a frame, "" if nothing is.
func (c *checker) released(f *codec.Frame) (wrong string) {
	if c == nil {
		return ""
	}
	k := c.frames[f]
	if k == nil {
		return "a frame was released that was not queued"
	}
	k.refs--
	if k.refs > 0 {
		return ""
	}
	delete(c.frames, f)
	for coding, sum := range k.coded {
		if sum != 0 && f.CodedSum(codec.Coding(coding)) != sum {
			return fmt.Sprintf("the form of a frame for %v changed while it was queued", codec.Coding(coding))
		}
	}
	if sum := f.Sum(); sum != k.sum {
		return fmt.Sprintf("a frame changed while it was queued (%x, then %x)", k.sum, sum)
	}
	return ""
}

// used notes that a queued frame goes out in its form for a body.
func (c *checker) used(f *codec.Frame, b *codec.Body) {
	if c == nil {
		return
	}
	coding := b.Coding()
	if b.Dictionary() != nil {
		coding = codec.CodingDcz
	}
	if k := c.frames[f]; k != nil && k.coded[coding] == 0 {
		k.coded[coding] = f.CodedSum(coding)
	}
}

// refuseChanged panics over what [checker.released] said, once the queue is in
// order again: the stream that had the frame is ended.
func (l *Loop) refuseChanged(slot uint32, wrong string) {
	if wrong != "" {
		l.cur = slot + 1
		panic("BUG: loop: " + wrong)
	}
}

// read touches every byte that goes to the kernel, for the race detector.
func (c *checker) read(b []byte) {
	if c == nil {
		return
	}
	for _, v := range b {
		c.sum ^= v
	}
}
