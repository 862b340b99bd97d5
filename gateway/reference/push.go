package reference

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"

	"sluice/codec"
)

// Fields of a Push, and of its join and leave.
const (
	pushChannel protowire.Number = 2
	pushPub     protowire.Number = 4
	pushJoin    protowire.Number = 5
	pushLeave   protowire.Number = 6

	eventInfo protowire.Number = 1
)

// AppendPublicationPush appends what goes through NATS: a publication with its
// channel, with p.Offset if there is one, and with whether a delta was asked for. binary
// is the data if p.Binary.
func AppendPublicationPush(dst []byte, channel string, p *codec.Publication, binary []byte) []byte {
	dst = appendText(dst, pushChannel, channel)
	at := len(dst)
	return insertLength(appendPublication(dst, p, binary, p.Offset, p.Delta), at, pushPub)
}

// AppendJoinPush and AppendLeavePush append what goes through NATS for a join and a
// leave.
func AppendJoinPush(dst []byte, channel string, c *codec.ClientInfo) []byte {
	return appendEventPush(dst, channel, pushJoin, c)
}

// AppendLeavePush is described with AppendJoinPush.
func AppendLeavePush(dst []byte, channel string, c *codec.ClientInfo) []byte {
	return appendEventPush(dst, channel, pushLeave, c)
}

func appendEventPush(dst []byte, channel string, num protowire.Number, c *codec.ClientInfo) []byte {
	dst = appendText(dst, pushChannel, channel)
	at := len(dst)
	dst = insertLength(AppendInfo(dst, c), at, eventInfo)
	return insertLength(dst, at, num)
}

// DecodePush decodes what goes through NATS. The channel in it decides who gets it, not
// the subject. A publication has the offset that stands in it, and is of KindBare; errors are as
// those of Decode.
func DecodePush(src []byte, lim Limits) (channel string, out Payload, err error) {
	if err := lim.checkSize("push", len(src)); err != nil {
		return "", Payload{}, err
	}
	var body []byte
	f := fields{where: "push", rest: src}
	for f.next() {
		switch {
		case f.isBytes(pushChannel):
			channel = f.text()
		case f.isBytes(pushPub):
			out.Kind, body = KindBare, f.bytes
		case f.isBytes(pushJoin):
			out.Kind, body = KindJoin, f.bytes
		case f.isBytes(pushLeave):
			out.Kind, body = KindLeave, f.bytes
		}
	}
	switch {
	case f.err != nil:
		return "", Payload{}, f.err
	case channel == "":
		return "", Payload{}, malformed("push", "field %d (channel) expected, got none", pushChannel)
	case out.Kind == KindBare:
		out, err = decodePushed(body, &lim)
	case out.Kind == KindNone:
		return "", Payload{}, malformed("push", "field %d, %d or %d (publication, join, leave) expected, got none", pushPub, pushJoin, pushLeave)
	default:
		out, err = decodePushedEvent(out.Kind, body, &lim)
	}
	if out.Kind == KindNone {
		channel = ""
	}
	return channel, out, err
}

// decodePushed decodes a publication whose message says all about it.
func decodePushed(src []byte, lim *Limits) (Payload, error) {
	m, err := scanPublication(src)
	if err != nil {
		return Payload{}, err
	}
	p, left, err := m.build("", lim)
	if err != nil && !errors.Is(err, ErrData) {
		return Payload{}, err
	}
	return Payload{Kind: KindBare, Offset: m.offset, Publication: p, Message: src, Left: left}, err
}

func decodePushedEvent(kind Kind, src []byte, lim *Limits) (Payload, error) {
	var info []byte
	f := fields{where: "join or leave", rest: src}
	for f.next() {
		if f.isBytes(eventInfo) {
			info = f.bytes
		}
	}
	if f.err != nil {
		return Payload{}, f.err
	}
	return decodeEvent(kind, info, lim)
}
