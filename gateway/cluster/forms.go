package cluster

import (
	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/reference"
)

// inTheirForm returns a command as the reference's nodes know it, nil if they know none
// like it.
func inTheirForm(data any) *reference.Command {
	switch cmd := data.(type) {
	case *Subscribe:
		f := &cmd.Effective
		s := &reference.Subscribe{
			User: cmd.User, Channel: cmd.Channel, Client: cmd.Client, Session: cmd.Session, ExpireAt: cmd.ExpireAt,
			Presence: f.Presence, JoinLeave: f.JoinLeave, PushJoinLeave: f.PushJoinLeave, Position: f.Positioning, Recover: f.Recovery,
			Info: cmd.Info, Data: cmd.Data, Source: reference.SourceAPI,
		}
		if cmd.Since != nil {
			s.Since = &reference.Since{Offset: cmd.Since.Offset, Epoch: cmd.Since.Epoch}
		}
		return &reference.Command{Subscribe: s}
	case *Unsubscribe:
		return &reference.Command{Unsubscribe: &reference.Unsubscribe{
			Channel: cmd.Channel, User: cmd.User, Client: cmd.Client, Session: cmd.Session,
			Code: codec.UnsubscribeServer.Code, Reason: codec.UnsubscribeServer.Reason,
		}}
	case *Disconnect:
		return &reference.Command{Disconnect: &reference.Disconnect{
			User: cmd.User, Client: cmd.Client, Session: cmd.Session, Whitelist: cmd.Whitelist, Code: cmd.Code, Reason: cmd.Reason,
		}}
	case *Refresh:
		return &reference.Command{Refresh: &reference.Refresh{
			User: cmd.User, Client: cmd.Client, Session: cmd.Session, Expired: cmd.Expired, ExpireAt: cmd.ExpireAt, Info: cmd.Info,
		}}
	case *Evict: // which connection is newer they do not know: all others end there
		return &reference.Command{Disconnect: &reference.Disconnect{
			User: cmd.User, Whitelist: []string{cmd.Keep},
			Code: codec.DisconnectConnectionLimit.Code, Reason: codec.DisconnectConnectionLimit.Reason,
		}}
	}
	return nil
}

// inOurForm returns a command of theirs as ours know it, nil if there is none like it.
func inOurForm(cmd *reference.Command) any {
	switch {
	case cmd.Subscribe != nil && !cmd.Subscribe.AllUsers && cmd.Subscribe.Channel != "":
		s := cmd.Subscribe
		own := &Subscribe{
			Target: Target{User: s.User, Client: s.Client, Session: s.Session}, Channel: s.Channel, ExpireAt: s.ExpireAt, Info: s.Info, Data: s.Data,
			// What the sender's configuration says is in the flags, whatever ours says.
			Override: Override{
				Presence: &s.Presence, JoinLeave: &s.JoinLeave, ForcePushJoinLeave: &s.PushJoinLeave,
				ForcePositioning: &s.Position, ForceRecovery: &s.Recover,
			},
		}
		if s.Since != nil {
			own.Since = &broker.Position{Offset: s.Since.Offset, Epoch: s.Since.Epoch}
		}
		return own
	case cmd.Unsubscribe != nil:
		u := cmd.Unsubscribe
		return &Unsubscribe{Target: Target{User: u.User, Client: u.Client, Session: u.Session}, Channel: u.Channel}
	case cmd.Disconnect != nil:
		d := cmd.Disconnect
		if d.Code == 0 { // of no node, for each says why
			d.Code, d.Reason = codec.DisconnectForceNoReconnect.Code, codec.DisconnectForceNoReconnect.Reason
		}
		return &Disconnect{Target: Target{User: d.User, Client: d.Client, Session: d.Session}, Whitelist: d.Whitelist, Code: d.Code, Reason: d.Reason}
	case cmd.Refresh != nil:
		r := cmd.Refresh
		return &Refresh{Target: Target{User: r.User, Client: r.Client, Session: r.Session}, Expired: r.Expired, ExpireAt: r.ExpireAt, Info: r.Info}
	}
	return nil
}
