package reference

import (
	"google.golang.org/protobuf/encoding/protowire"

	"sluice/codec"
)

// Fields of a ClientInfo.
const (
	infoUser   protowire.Number = 1
	infoClient protowire.Number = 2
	infoConn   protowire.Number = 3
	infoChan   protowire.Number = 4
)

// AppendInfo appends a ClientInfo, as it stands in the hash of a channel's presence.
func AppendInfo(dst []byte, c *codec.ClientInfo) []byte {
	dst = appendText(dst, infoUser, c.User)
	dst = appendText(dst, infoClient, c.Client)
	dst = appendJSON(dst, infoConn, c.ConnInfo)
	return appendJSON(dst, infoChan, c.ChanInfo)
}

func appendJSON(dst []byte, num protowire.Number, v codec.JSON) []byte {
	if v.IsZero() {
		return dst
	}
	return v.Append(appendLength(dst, num, v.Len()))
}

// sizeInfo is the length of what AppendInfo appends.
func sizeInfo(c *codec.ClientInfo) int {
	return sizeText(infoUser, len(c.User)) + sizeText(infoClient, len(c.Client)) +
		sizeText(infoConn, c.ConnInfo.Len()) + sizeText(infoChan, c.ChanInfo.Len())
}

// DecodeInfo decodes a ClientInfo. left says how many of conn_info and chan_info
// were not JSON and left out: clients of other protocols may have such ones, and
// are there all the same. Errors wrap ErrMalformed. src is copied.
func DecodeInfo(src []byte, lim Limits) (c *codec.ClientInfo, left int, err error) {
	if err := lim.checkSize("client info", len(src)); err != nil {
		return nil, 0, err
	}
	return decodeInfo(src, &lim)
}

func decodeInfo(src []byte, lim *Limits) (c *codec.ClientInfo, left int, err error) {
	c = new(codec.ClientInfo)
	var conn, channel []byte
	f := fields{where: "client info", rest: src}
	for f.next() {
		switch {
		case f.isBytes(infoUser):
			c.User = f.text()
		case f.isBytes(infoClient):
			c.Client = f.text()
		case f.isBytes(infoConn):
			conn = f.bytes
		case f.isBytes(infoChan):
			channel = f.bytes
		}
	}
	if f.err != nil {
		return nil, 0, f.err
	}
	c.ConnInfo, left = jsonOrNothing(conn, left, lim)
	c.ChanInfo, left = jsonOrNothing(channel, left, lim)
	return c, left, nil
}

// jsonOrNothing returns src as JSON; what is none is left out, and counted.
func jsonOrNothing(src []byte, left int, lim *Limits) (codec.JSON, int) {
	if len(src) == 0 {
		return codec.JSON{}, left
	}
	value, err := codec.Compact(src, lim.JSON)
	if err != nil {
		return codec.JSON{}, left + 1
	}
	return value, left
}
