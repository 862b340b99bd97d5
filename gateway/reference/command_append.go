package reference

import (
	"maps"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"sluice/codec"
)

// Fields of a Command.
const (
	cmdUID            protowire.Number = 1
	cmdNode           protowire.Number = 4
	cmdUnsubscribe    protowire.Number = 5
	cmdDisconnect     protowire.Number = 6
	cmdShutdown       protowire.Number = 7
	cmdSurveyRequest  protowire.Number = 8
	cmdSurveyResponse protowire.Number = 9
	cmdSubscribe      protowire.Number = 10
	cmdNotification   protowire.Number = 11
	cmdRefresh        protowire.Number = 12
)

// Append appends the command. The same command gives the same bytes: maps are written
// in the order of their keys.
func (c *Command) Append(dst []byte) []byte {
	dst = appendText(dst, cmdUID, c.UID)
	at := len(dst)
	switch {
	case c.Node != nil:
		return insertLength(c.Node.append(dst), at, cmdNode)
	case c.Unsubscribe != nil:
		return insertLength(c.Unsubscribe.append(dst), at, cmdUnsubscribe)
	case c.Disconnect != nil:
		return insertLength(c.Disconnect.append(dst), at, cmdDisconnect)
	case c.Shutdown:
		return appendLength(dst, cmdShutdown, 0)
	case c.SurveyRequest != nil:
		return insertLength(c.SurveyRequest.append(dst), at, cmdSurveyRequest)
	case c.SurveyResponse != nil:
		return insertLength(c.SurveyResponse.append(dst), at, cmdSurveyResponse)
	case c.Subscribe != nil:
		return insertLength(c.Subscribe.append(dst), at, cmdSubscribe)
	case c.Notification != nil:
		return insertLength(c.Notification.append(dst), at, cmdNotification)
	case c.Refresh != nil:
		return insertLength(c.Refresh.append(dst), at, cmdRefresh)
	}
	return dst
}

func (n *Node) append(dst []byte) []byte {
	dst = appendText(dst, 1, n.UID)
	dst = appendText(dst, 2, n.Name)
	dst = appendText(dst, 3, n.Version)
	dst = appendNumber(dst, 4, uint64(n.NumClients))
	dst = appendNumber(dst, 5, uint64(n.NumUsers))
	dst = appendNumber(dst, 6, uint64(n.NumChannels))
	dst = appendNumber(dst, 7, uint64(n.Uptime))
	if n.Metrics != nil {
		at := len(dst)
		dst = insertLength(appendMetrics(dst, n.Metrics), at, 8)
	}
	dst = appendText(dst, 9, n.Data)
	return appendNumber(dst, 10, uint64(n.NumSubs))
}

func appendMetrics(dst []byte, m *codec.NodeMetrics) []byte {
	if m.Interval != 0 {
		dst = appendFloat(dst, 1, m.Interval)
	}
	for _, name := range slices.Sorted(maps.Keys(m.Items)) {
		at := len(dst)
		dst = append(appendLength(dst, entryKey, len(name)), name...)
		dst = insertLength(appendFloat(dst, entryValue, m.Items[name]), at, 2)
	}
	return dst
}

// appendFloat writes zero too.
func appendFloat(dst []byte, num protowire.Number, v float64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(dst, num, protowire.Fixed64Type), math.Float64bits(v))
}

func (s *Subscribe) append(dst []byte) []byte {
	dst = appendText(dst, 1, s.User)
	dst = appendText(dst, 2, s.Channel)
	dst = appendBool(dst, 3, s.Presence)
	dst = appendBool(dst, 4, s.JoinLeave)
	dst = appendNumber(dst, 5, uint64(s.ExpireAt))
	dst = appendBool(dst, 6, s.Position)
	dst = appendBool(dst, 7, s.Recover)
	dst = appendJSON(dst, 8, s.Info)
	dst = appendText(dst, 9, s.Client)
	dst = appendJSON(dst, 10, s.Data)
	if s.Since != nil {
		at := len(dst)
		dst = appendNumber(dst, 1, s.Since.Offset)
		dst = insertLength(appendText(dst, 2, s.Since.Epoch), at, 11)
	}
	dst = appendText(dst, 12, s.Session)
	dst = appendBool(dst, 13, s.PushJoinLeave)
	dst = appendNumber(dst, 14, uint64(s.Source))
	return appendBool(dst, 16, s.AllUsers)
}

func (u *Unsubscribe) append(dst []byte) []byte {
	dst = appendText(dst, 1, u.Channel)
	dst = appendText(dst, 2, u.User)
	dst = appendText(dst, 3, u.Client)
	dst = appendText(dst, 4, u.Session)
	dst = appendNumber(dst, 5, uint64(u.Code))
	return appendText(dst, 6, u.Reason)
}

func (d *Disconnect) append(dst []byte) []byte {
	dst = appendText(dst, 1, d.User)
	for _, client := range d.Whitelist {
		dst = append(appendLength(dst, 2, len(client)), client...)
	}
	dst = appendNumber(dst, 3, uint64(d.Code))
	dst = appendText(dst, 4, d.Reason)
	dst = appendText(dst, 6, d.Client)
	return appendText(dst, 7, d.Session)
}

func (r *Refresh) append(dst []byte) []byte {
	dst = appendText(dst, 1, r.User)
	dst = appendText(dst, 2, r.Client)
	dst = appendBool(dst, 3, r.Expired)
	dst = appendNumber(dst, 4, uint64(r.ExpireAt))
	dst = appendJSON(dst, 5, r.Info)
	return appendText(dst, 6, r.Session)
}

func (s *SurveyRequest) append(dst []byte) []byte {
	return appendText(appendText(appendNumber(dst, 1, s.ID), 2, s.Op), 3, s.Data)
}

func (s *SurveyResponse) append(dst []byte) []byte {
	return appendText(appendNumber(appendNumber(dst, 1, s.ID), 2, uint64(s.Code)), 3, s.Data)
}

func (n *Notification) append(dst []byte) []byte {
	return appendText(appendText(dst, 1, n.Op), 2, n.Data)
}
