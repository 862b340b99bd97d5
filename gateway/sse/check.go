package sse

import (
	"fmt"

	"sluice/gateway/problem"
)

// Check returns what is wrong with the options, by their keys in the
// configuration.
func (o *Options) Check() problem.List {
	var l problem.List
	if longest := o.RetryMax; o.ShedMax < longest {
		l.Fail("uni_sse.shed_retry_max", "%s is less than the longest of uni_sse.retry (%s): allowed that or more", o.ShedMax, longest).With("uni_sse.retry")
	}
	l.Token("client.user_id_http_header", o.UserIDHeader, "a header name")
	l.Token("client.token_cookie", o.TokenCookie, "a cookie name")
	o.Responses.check(&l, "uni_sse.connect_code_to_http_response")
	o.Disconnects.check(&l, "client.connect_code_to_unidirectional_disconnect")
	return l
}

// check adds what is wrong below that key.
func (r *Responses) check(l *problem.List, key string) {
	for i, t := range r.Transforms {
		at := fmt.Sprintf("%s.transforms[%d]", key, i)
		if t.Code == 0 {
			l.Fail(at+".code", "0 or missing: allowed the code of an error or disconnect, 109 or 3500 for example")
		}
		if t.Status < 200 || t.Status > 599 {
			l.Fail(at+".to.status_code", "%d is not the status of a response: allowed 200-599", t.Status)
		}
	}
	if !r.Enabled && len(r.Transforms) > 0 {
		l.Idle(key+".transforms", key+".enabled")
	}
}

func (d *Disconnects) check(l *problem.List, key string) {
	for i, t := range d.Transforms {
		at := fmt.Sprintf("%s.transforms[%d]", key, i)
		if t.Code == 0 {
			l.Fail(at+".code", "0 or missing: allowed the code of a client error, 109 for example")
		}
		if t.To.Code == 0 {
			l.Fail(at+".to.code", "0 or missing: allowed a disconnect code, 4000-4999 for your own")
		}
		l.Reason(at+".to.reason", t.To.Reason)
	}
	if !d.Enabled && len(d.Transforms) > 0 {
		l.Idle(key+".transforms", key+".enabled")
	}
}
