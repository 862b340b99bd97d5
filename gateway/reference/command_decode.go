package reference

import (
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"sluice/codec"
)

// DecodeCommand decodes a command. src is copied. Errors wrap ErrMalformed or
// ErrUnknownCommand. Of lim, Size, Entries and JSON count.
func DecodeCommand(src []byte, lim Limits) (*Command, error) {
	if err := lim.checkSize("command", len(src)); err != nil {
		return nil, err
	}
	c := new(Command)
	var part protowire.Number
	var body []byte
	f := fields{where: "command", rest: src}
	for f.next() {
		switch {
		case f.isBytes(cmdUID):
			c.UID = f.text()
		case f.typ == protowire.BytesType && f.num >= cmdNode && f.num <= cmdRefresh:
			if part != 0 && part != f.num {
				return nil, malformed(f.where, "one part expected, got fields %d and %d", part, f.num)
			}
			part, body = f.num, f.bytes
		}
	}
	if f.err != nil {
		return nil, f.err
	}
	d := partDecoder{lim: &lim}
	d.part(c, part, body)
	if c.Left = d.left; d.err != nil {
		return nil, d.err
	}
	return c, nil
}

// partDecoder decodes the part of one command.
type partDecoder struct {
	fields
	lim  *Limits
	left int
}

func (d *partDecoder) part(c *Command, part protowire.Number, body []byte) {
	d.rest = body
	switch part {
	case cmdNode:
		c.Node = d.node()
	case cmdUnsubscribe:
		c.Unsubscribe = d.unsubscribe()
	case cmdDisconnect:
		c.Disconnect = d.disconnect()
	case cmdShutdown:
		c.Shutdown = true
	case cmdSurveyRequest:
		c.SurveyRequest = d.surveyRequest()
	case cmdSurveyResponse:
		c.SurveyResponse = d.surveyResponse()
	case cmdSubscribe:
		c.Subscribe = d.subscribe()
	case cmdNotification:
		c.Notification = d.notification()
	case cmdRefresh:
		c.Refresh = d.refresh()
	default:
		d.err = fmt.Errorf("reference: command: one of the fields %d to %d expected, got none: %w", cmdNode, cmdRefresh, ErrUnknownCommand)
	}
}

// json returns the field's value as JSON; what is none is left out.
func (d *partDecoder) json() (value codec.JSON) {
	value, d.left = jsonOrNothing(d.bytes, d.left, d.lim)
	return value
}

// full reports that a list or map has as many entries as are believed.
func (d *partDecoder) full(name string, n int) bool {
	most := d.lim.Entries
	if most <= 0 {
		most = DefaultEntries
	}
	if n < most {
		return false
	}
	d.err = malformed(d.where, "field %d (%s): at most %d expected", d.num, name, most)
	return true
}

func (d *partDecoder) node() *Node {
	n := new(Node)
	d.where = "node"
	for d.next() {
		switch {
		case d.isBytes(1):
			n.UID = d.text()
		case d.isBytes(2):
			n.Name = d.text()
		case d.isBytes(3):
			n.Version = d.text()
		case d.isNumber(4):
			n.NumClients = uint32(d.value)
		case d.isNumber(5):
			n.NumUsers = uint32(d.value)
		case d.isNumber(6):
			n.NumChannels = uint32(d.value)
		case d.isNumber(7):
			n.Uptime = uint32(d.value)
		case d.isBytes(8):
			inner := partDecoder{fields: fields{where: "metrics", rest: d.bytes}, lim: d.lim}
			n.Metrics = inner.metrics()
			d.err = inner.err
		case d.isBytes(9):
			n.Data = d.copied()
		case d.isNumber(10):
			n.NumSubs = uint32(d.value)
		}
	}
	return n
}

func (d *partDecoder) metrics() *codec.NodeMetrics {
	m := &codec.NodeMetrics{Items: make(map[string]float64)}
	for d.next() {
		switch {
		case d.isFloat(1) && isFinite(d.float()):
			m.Interval = d.float()
		case d.isBytes(2):
			if d.full("items", len(m.Items)) {
				return nil
			}
			name, value, err := decodeMetric(d.bytes)
			if err != nil {
				d.err = err
				return nil
			}
			if isFinite(value) {
				m.Items[name] = value
			}
		}
	}
	return m
}

func decodeMetric(src []byte) (name string, value float64, err error) {
	f := fields{where: "metric", rest: src}
	for f.next() {
		switch {
		case f.isBytes(entryKey):
			name = f.text()
		case f.isFloat(entryValue):
			value = f.float()
		}
	}
	return name, value, f.err
}

func isFinite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

func (d *partDecoder) subscribe() *Subscribe {
	s := new(Subscribe)
	d.where = "subscribe"
	for d.next() {
		switch {
		case d.isBytes(1):
			s.User = d.text()
		case d.isBytes(2):
			s.Channel = d.text()
		case d.isNumber(3):
			s.Presence = d.flag()
		case d.isNumber(4):
			s.JoinLeave = d.flag()
		case d.isNumber(5):
			s.ExpireAt = int64(d.value)
		case d.isNumber(6):
			s.Position = d.flag()
		case d.isNumber(7):
			s.Recover = d.flag()
		case d.isBytes(8):
			s.Info = d.json()
		case d.isBytes(9):
			s.Client = d.text()
		case d.isBytes(10):
			s.Data = d.json()
		case d.isBytes(11):
			s.Since = new(Since)
			*s.Since, d.err = decodeSince(d.bytes)
		case d.isBytes(12):
			s.Session = d.text()
		case d.isNumber(13):
			s.PushJoinLeave = d.flag()
		case d.isNumber(14):
			s.Source = uint32(d.value)
		case d.isNumber(16):
			s.AllUsers = d.flag()
		}
	}
	return s
}

func decodeSince(src []byte) (s Since, err error) {
	f := fields{where: "recover_since", rest: src}
	for f.next() {
		switch {
		case f.isNumber(1):
			s.Offset = f.value
		case f.isBytes(2):
			s.Epoch = f.text()
		}
	}
	return s, f.err
}

func (d *partDecoder) unsubscribe() *Unsubscribe {
	u := new(Unsubscribe)
	d.where = "unsubscribe"
	for d.next() {
		switch {
		case d.isBytes(1):
			u.Channel = d.text()
		case d.isBytes(2):
			u.User = d.text()
		case d.isBytes(3):
			u.Client = d.text()
		case d.isBytes(4):
			u.Session = d.text()
		case d.isNumber(5):
			u.Code = uint32(d.value)
		case d.isBytes(6):
			u.Reason = d.text()
		}
	}
	return u
}

func (d *partDecoder) disconnect() *Disconnect {
	out := new(Disconnect)
	d.where = "disconnect"
	for d.next() {
		switch {
		case d.isBytes(1):
			out.User = d.text()
		case d.isBytes(2) && !d.full("whitelist", len(out.Whitelist)):
			out.Whitelist = append(out.Whitelist, d.text())
		case d.isNumber(3):
			out.Code = uint32(d.value)
		case d.isBytes(4):
			out.Reason = d.text()
		case d.isBytes(6):
			out.Client = d.text()
		case d.isBytes(7):
			out.Session = d.text()
		}
	}
	return out
}

func (d *partDecoder) refresh() *Refresh {
	r := new(Refresh)
	d.where = "refresh"
	for d.next() {
		switch {
		case d.isBytes(1):
			r.User = d.text()
		case d.isBytes(2):
			r.Client = d.text()
		case d.isNumber(3):
			r.Expired = d.flag()
		case d.isNumber(4):
			r.ExpireAt = int64(d.value)
		case d.isBytes(5):
			r.Info = d.json()
		case d.isBytes(6):
			r.Session = d.text()
		}
	}
	return r
}

func (d *partDecoder) surveyRequest() *SurveyRequest {
	s := new(SurveyRequest)
	d.where = "survey request"
	for d.next() {
		switch {
		case d.isNumber(1):
			s.ID = d.value
		case d.isBytes(2):
			s.Op = d.text()
		case d.isBytes(3):
			s.Data = d.copied()
		}
	}
	return s
}

func (d *partDecoder) surveyResponse() *SurveyResponse {
	s := new(SurveyResponse)
	d.where = "survey response"
	for d.next() {
		switch {
		case d.isNumber(1):
			s.ID = d.value
		case d.isNumber(2):
			s.Code = uint32(d.value)
		case d.isBytes(3):
			s.Data = d.copied()
		}
	}
	return s
}

func (d *partDecoder) notification() *Notification {
	n := new(Notification)
	d.where = "notification"
	for d.next() {
		switch {
		case d.isBytes(1):
			n.Op = d.text()
		case d.isBytes(2):
			n.Data = d.copied()
		}
	}
	return n
}
