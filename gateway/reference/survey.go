package reference

import (
	"maps"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// SurveyChannels is the op of the survey for channels: its data are those of
// AppendChannelsRequest and AppendChannelsResponse.
const SurveyChannels = "channels"

const channelsField protowire.Number = 1

// AppendChannelsRequest appends what is asked: channels whose names match a glob, all
// for "".
func AppendChannelsRequest(dst []byte, pattern string) []byte {
	return appendText(dst, channelsField, pattern)
}

// DecodeChannelsRequest decodes the pattern. src is copied; errors wrap ErrMalformed.
func DecodeChannelsRequest(src []byte) (pattern string, err error) {
	f := fields{where: "survey for channels", rest: src}
	for f.next() {
		if f.isBytes(channelsField) {
			pattern = f.text()
		}
	}
	return pattern, f.err
}

// AppendChannelsResponse appends how many clients each channel has on the node, in the
// order of their names.
func AppendChannelsResponse(dst []byte, clients map[string]uint32) []byte {
	for _, name := range slices.Sorted(maps.Keys(clients)) {
		at := len(dst)
		dst = append(appendLength(dst, entryKey, len(name)), name...)
		inner := len(dst)
		dst = insertLength(appendNumber(dst, 1, uint64(clients[name])), inner, entryValue)
		dst = insertLength(dst, at, channelsField)
	}
	return dst
}

// DecodeChannelsResponse decodes how many clients each channel has. src is copied; errors
// wrap ErrMalformed. Of lim, Size and Entries count.
func DecodeChannelsResponse(src []byte, lim Limits) (map[string]uint32, error) {
	if err := lim.checkSize("channels of a survey", len(src)); err != nil {
		return nil, err
	}
	clients := make(map[string]uint32)
	d := partDecoder{fields: fields{where: "channels of a survey", rest: src}, lim: &lim}
	for d.next() {
		if !d.isBytes(channelsField) || d.full("channels", len(clients)) {
			continue
		}
		name, n, err := decodeChannel(d.bytes)
		if err != nil {
			return nil, err
		}
		clients[name] = n
	}
	if d.err != nil {
		return nil, d.err
	}
	return clients, nil
}

func decodeChannel(src []byte) (name string, clients uint32, err error) {
	var info []byte
	f := fields{where: "channel of a survey", rest: src}
	for f.next() {
		switch {
		case f.isBytes(entryKey):
			name = f.text()
		case f.isBytes(entryValue):
			info = f.bytes
		}
	}
	if f.err != nil {
		return "", 0, f.err
	}
	f = fields{where: "clients of a channel", rest: info}
	for f.next() {
		if f.isNumber(1) {
			clients = uint32(f.value)
		}
	}
	return name, clients, f.err
}
