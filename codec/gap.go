package codec

// Gap tells a client that a channel's publications were dropped on its stream,
// because it did not read them in time (slow_policy drop_oldest). The push is
// Sluice's own; it comes before the channel's next event.
type Gap struct {
	Dropped  uint64
	From, To uint64 // offsets of the first and last one dropped, 0 without history
}

// AppendGap appends the push `{"channel":C,"gap":{"dropped":N}}`, with "from"
// and "to" where offsets are known.
func AppendGap(dst []byte, channel string, g Gap) []byte {
	o := pushOpen(dst, channel, "gap")
	o.uint("dropped", g.Dropped)
	o.uint("from", g.From)
	o.uint("to", g.To)
	return pushClose(&o)
}
