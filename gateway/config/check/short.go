package check

import (
	"time"

	"sluice/gateway/problem"
)

// This file tells of times that are too short for what has to happen in them. Whoever wrote them mistook the unit.

func (v *checker) shortTimes() {
	const network = "clients with a slow network do not get through in it"
	const load = "the node would do little else"
	const away = "clients would come back all the time"
	type least struct {
		key   string
		least time.Duration // over a network
		then  string
	}
	times := []least{
		{"client.stale_close_delay", time.Second, network},
		{"http_server.header_timeout", time.Second, network},
		{"http_server.read_timeout", time.Second, network},
		{"http_server.idle_timeout", time.Second, "no client uses a connection twice then"},
		{"client.queue_max_age", time.Second, "a short pause of a network ends streams"},
		{"client.expired_close_delay", time.Second, "no backend renews a connection in it"},
		{"client.expired_sub_close_delay", time.Second, "no backend renews a subscription in it"},
		{presenceTime, time.Second, load},
		{checkDelay, time.Second, load},
		{"client.channel_position_max_time_lag", 100 * time.Millisecond, away},
		{"uni_sse.max_lifetime", 10 * time.Second, away},
		{retry, 100 * time.Millisecond, away},
		{"http_api.publish_wait", 10 * time.Millisecond, "a publish that finds no room fails at once"},
		{"shutdown.timeout", time.Second, "streams are cut, not ended"},
	}
	for _, h := range v.c.Hooks() {
		if h.Proxy.Enabled {
			times = append(times, least{h.Key + ".timeout", 10 * time.Millisecond, "a backend hardly answers in it, and whoever it was asked for is refused"})
		}
	}
	for _, t := range times {
		if n, shown, _ := v.number(t.key); n > 0 && n < int64(t.least) { // 0: there is none
			v.Note(t.key, problem.Unusable, "%v: %s; set it to %s or more", shown, t.then, t.least)
		}
	}
}
