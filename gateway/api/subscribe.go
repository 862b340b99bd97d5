package api

import (
	"time"

	"sluice/codec"
	"sluice/gateway/auth"
	"sluice/gateway/broker"
	"sluice/gateway/session"
)

// subscribe is PROTOCOL 7.5.
func (s *Server) subscribe(c *call, r *codec.SubscribeRequest) *failure {
	if _, fail := s.lookup(r.Channel); fail != nil {
		return fail
	}
	// The reference says 100 (PROTOCOL 12.20).
	if r.ExpireAt > 0 && r.ExpireAt <= time.Now().Unix() {
		return refuse(codec.ErrBadRequest, "expire_at: Unix seconds in the future expected")
	}
	cmd := session.SubscribeCommand{Channel: r.Channel, ExpireAt: max(r.ExpireAt, 0), Override: auth.NewOverride(r.Override)}
	var fail *failure
	if cmd.Info, fail = s.attachment("info", r.Info, r.B64Info); fail != nil {
		return fail
	}
	if cmd.Data, fail = s.attachment("data", r.Data, r.B64Data); fail != nil {
		return fail
	}
	if r.RecoverSince != nil {
		cmd.Since = &broker.Position{Offset: r.RecoverSince.Offset, Epoch: r.RecoverSince.Epoch}
	}
	target := session.Target{User: r.User, Client: r.Client, Session: r.Session}
	silent, err := s.opt.Sessions.Subscribe(c.ctx, target, cmd)
	if err != nil {
		return internal(err)
	}
	c.without(silent)
	c.dst = codec.AppendEmptyResult(c.dst)
	return nil
}

// attachment returns JSON that accompanies a request: that of the field with
// b64 before its name if it is set, else that of the field; zero without both.
func (s *Server) attachment(field string, raw []byte, b64 string) (codec.JSON, *failure) {
	if b64 != "" {
		field = "b64" + field
		var fail *failure
		if raw, fail = unbase64(field, b64); fail != nil {
			return codec.JSON{}, fail
		}
	}
	if len(raw) == 0 {
		return codec.JSON{}, nil
	}
	value, err := codec.Compact(raw, s.opt.Limits)
	if err != nil {
		return codec.JSON{}, refuse(codec.ErrBadRequest, field+": "+codec.Detail(err))
	}
	return value, nil
}
