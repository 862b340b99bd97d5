package check

import (
	"fmt"
	"time"

	"sluice/gateway/config/report"
)

// This file tells of times that are too short for what has to happen in them. Whoever wrote them mistook the unit.

// shortestTime is the least of what a time can be for the thing to work over a network.
type shortestTime struct {
	key   string
	value time.Duration
	least time.Duration
	off   bool // 0 means that there is none
	then  string
}

func (v *checker) shortTimes() {
	c, s, u := &v.c.Client, &v.c.HTTPServer, &v.c.UniSSE
	const network = "clients with a slow network do not get through in it"
	const load = "the node would do little else"
	const away = "clients would come back all the time"
	times := []shortestTime{
		{"client.stale_close_delay", c.StaleCloseDelay, time.Second, false, network},
		{"http_server.header_timeout", s.HeaderTimeout, time.Second, false, network},
		{"http_server.read_timeout", s.ReadTimeout, time.Second, false, network},
		{"http_server.idle_timeout", s.IdleTimeout, time.Second, false, "no client uses a connection twice then"},
		{"client.queue_max_age", c.QueueMaxAge, time.Second, false, "a short pause of a network ends streams"},
		{"client.expired_close_delay", c.ExpiredCloseDelay, time.Second, false, "no backend renews a connection in it"},
		{"client.expired_sub_close_delay", c.ExpiredSubCloseDelay, time.Second, false, "no backend renews a subscription in it"},
		{"client.presence_update_interval", c.PresenceUpdateInterval, time.Second, false, load},
		{"client.channel_position_check_delay", c.ChannelPositionCheckDelay, time.Second, false, load},
		{"client.channel_position_max_time_lag", c.ChannelPositionMaxTimeLag, 100 * time.Millisecond, true, away},
		{"uni_sse.max_lifetime", u.MaxLifetime, 10 * time.Second, true, away},
		{"uni_sse.retry", u.Retry.Max, 100 * time.Millisecond, true, away},
		{"http_api.publish_wait", v.c.HTTPAPI.PublishWait, 10 * time.Millisecond, false, "a publish that finds no room fails at once"},
		{"shutdown.timeout", v.c.Shutdown.Timeout, time.Second, false, "streams are cut, not ended"},
	}
	for _, h := range v.c.Hooks() {
		if h.Proxy.Enabled && h.Proxy.Timeout > 0 {
			times = append(times, shortestTime{h.Key + ".timeout", h.Proxy.Timeout, 10 * time.Millisecond, false, "a backend hardly answers in it, and whoever it was asked for is refused"})
		}
	}
	for _, t := range times {
		if t.value < t.least && !(t.off && t.value == 0) && v.sound(t.key) {
			v.note(t.key, report.KindUnusable, fmt.Sprintf("%s: %s; set it to %s or more", t.value, t.then, t.least))
		}
	}
}
