package codec

// MissedFrames makes the frames of publications of one channel that a client missed, as
// events of their own, each with the channel's cursor as its id. With deltas, each after
// the first is the difference to the one before.
func MissedFrames(channel, epoch string, pubs []*Publication, deltas bool) []*Frame {
	frames := make([]*Frame, len(pubs))
	var work deltaWork
	e := CursorEntry{Channel: Tag32(channel), Epoch: Tag32(epoch)}
	for i, p := range pubs {
		e.Offset = p.Offset
		id := string(AppendCursorEntry(nil, e))
		if !deltas {
			frames[i] = PubFrame(channel, p, id)
			continue
		}
		delta := ""
		if i > 0 {
			delta = work.delta(pubs[i-1].Data, p.Data)
		}
		frames[i] = EndFrame(AppendDeltaPub(StartFrame(pubRoom(channel, p)), channel, p, delta), id)
	}
	return frames
}
