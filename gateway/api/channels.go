package api

import (
	"cmp"
	"fmt"
	"slices"

	"sluice/codec"
)

// channelItem is what a channel takes in an answer, and until then, beside its name.
const channelItem = 80

// channels is PROTOCOL 7.10. A pattern that is no glob is error 100, as in the
// reference; the result is in the order of the names.
func (s *Server) channels(c *call, r *codec.ChannelsRequest) *failure {
	if len(r.Pattern) > maxPattern {
		return refuse(codec.ErrBadRequest, fmt.Sprintf("pattern: at most %d bytes expected", maxPattern))
	}
	if r.Pattern != "" {
		if _, err := CompilePattern(r.Pattern); err != nil {
			return refuse(codec.ErrInternal, "pattern: a glob expected")
		}
	}
	found, silent, err := s.opt.Sessions.Channels(c.ctx, r.Pattern)
	if err != nil {
		return internal(err)
	}
	c.without(silent)
	size := 0
	for i := range found {
		size += len(found[i].Channel) + channelItem
	}
	if fail := c.room(size); fail != nil {
		return fail
	}
	counts := make([]codec.ChannelCount, 0, len(found))
	for _, ch := range found {
		counts = append(counts, codec.ChannelCount(ch))
	}
	slices.SortFunc(counts, func(a, b codec.ChannelCount) int { return cmp.Compare(a.Channel, b.Channel) })
	c.dst = codec.AppendChannelsResult(c.dst, counts)
	return nil
}
