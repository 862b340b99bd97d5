package codec

import (
	"errors"

	json "github.com/goccy/go-json"
)

// Arrived is a push as a node got it from another one over its broadcast route. Of
// Pub and Gap at most one is set; none of them for pushes that channels without
// clients have no use for.
type Arrived struct {
	Channel string
	Pub     *Publication
	Gap     *Gap
}

// errDelta refuses what stands for the whole only with the publication before it.
var errDelta = errors.New("codec: the publication is a delta: a whole one expected")

// arrivedWire is an Arrived as it is written.
type arrivedWire struct {
	Channel string   `json:"channel"`
	Pub     *pubWire `json:"pub"`
	Gap     *gapWire `json:"gap"`
}

type pubWire struct {
	Data    json.RawMessage   `json:"data"`
	Info    *infoWire         `json:"info"`
	Offset  uint64            `json:"offset"`
	Tags    map[string]string `json:"tags"`
	Delta   bool              `json:"delta"`
	Channel string            `json:"channel"`
	Epoch   string            `json:"epoch"`
	Version uint64            `json:"version"`
}

type infoWire struct {
	User     string          `json:"user"`
	Client   string          `json:"client"`
	ConnInfo json.RawMessage `json:"conn_info"`
	ChanInfo json.RawMessage `json:"chan_info"`
}

type gapWire struct {
	Dropped uint64 `json:"dropped"`
	From    uint64 `json:"from"`
	To      uint64 `json:"to"`
}

// DecodePush decodes a push that another node sent: the reverse of [AppendPub] and
// [AppendGap]. Nothing in src is believed: what it says is validated and copied, and a
// publication has data. Offset and epoch are as they came. Unknown members are
// ignored.
func DecodePush(src []byte, lim Limits) (Arrived, error) {
	var wire arrivedWire
	if err := decode(src, lim, &wire); err != nil {
		return Arrived{}, err
	}
	got := Arrived{Channel: wire.Channel}
	switch {
	case wire.Pub != nil:
		p, err := wire.Pub.publication(wire.Channel, lim)
		if err != nil {
			return Arrived{}, err
		}
		got.Pub = p
	case wire.Gap != nil:
		got.Gap = &Gap{Dropped: wire.Gap.Dropped, From: wire.Gap.From, To: wire.Gap.To}
	}
	return got, nil
}

func (w *pubWire) publication(channel string, lim Limits) (*Publication, error) {
	if w.Delta {
		return nil, errDelta
	}
	room, err := compactInRoom(channel, w.Data, lim)
	if err != nil {
		return nil, &FieldError{Field: "data", Want: "acceptable JSON", Cause: err}
	}
	p := &Publication{
		Data: room.value, Room: room, Tags: sortedTags(w.Tags), Offset: w.Offset, Epoch: w.Epoch, Version: w.Version, Channel: w.Channel,
	}
	if w.Info != nil {
		if p.Info, err = w.Info.info(lim); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (w *infoWire) info(lim Limits) (*ClientInfo, error) {
	c := &ClientInfo{User: w.User, Client: w.Client}
	for _, part := range []struct {
		field string
		src   []byte
		into  *JSON
	}{{"conn_info", w.ConnInfo, &c.ConnInfo}, {"chan_info", w.ChanInfo, &c.ChanInfo}} {
		if len(part.src) == 0 {
			continue
		}
		v, err := Compact(part.src, lim)
		if err != nil {
			return nil, &FieldError{Field: part.field, Want: "acceptable JSON", Cause: err}
		}
		*part.into = v
	}
	return c, nil
}
