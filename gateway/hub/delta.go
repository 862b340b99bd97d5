package hub

import "sluice/codec"

// encodeDelta adds the forms for subscribers that negotiated Fossil deltas: the
// whole payload, and where the publisher asked for it, the history has the
// payload before it and it comes out shorter, the difference (PROTOCOL 2.2).
func (d *delivery) encodeDelta(ev *event, id string) {
	p := ev.pub
	d.full = deltaFrame(ev.channel, p, "", id)
	if ev.prev == nil {
		return
	}
	if diff := codec.Delta(ev.prev.Data, p.Data); diff != "" {
		d.delta = deltaFrame(ev.channel, p, diff, id)
	}
}

func deltaFrame(channel string, p *codec.Publication, diff, id string) *codec.Frame {
	buf := codec.StartFrame(p.Size() + len(channel) + infoRoom)
	return codec.EndFrame(codec.AppendDeltaPub(buf, channel, p, diff), id)
}
