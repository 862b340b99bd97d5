package check

import (
	"reflect"

	"sluice/gateway/config/report"
	"sluice/gateway/config/schema"
)

// This file notes options that are allowed each by itself and do not fit together: limits that another one keeps from ever being
// reached, and times that end before what needs them.

// comparison is a rule about two options that are numbers or durations; of a range its end counts.
type comparison struct {
	matters bool
	key     string
	is      string // less or more: what it should not be
	than    string // the other option
	then    string // what follows, and what to do
	others  []string
}

const (
	less = "less"
	more = "more"
)

const (
	publicationSize = "http_api.max_publication_size"
	bodySize        = "http_api.max_body_size"
	queuesTotal     = "client.queues_max_total"
	queueSize       = "client.queue_max_size"
	checkDelay      = "client.channel_position_check_delay"
	presenceTime    = "client.presence_update_interval"
	retry           = "uni_sse.retry"
	metaTTL         = "channel.history_meta_ttl"
)

func (v *checker) compare(rules ...comparison) {
	for _, r := range rules {
		n, shown, _ := v.number(r.key)
		bound, limit, name := v.number(r.than)
		if r.matters && (r.is == less && n < bound || r.is == more && n > bound) {
			v.warn(r.key, "%v is %s than %s (%v)%s", shown, r.is, name, limit, r.then).With(append(r.others, r.than)...)
		}
	}
}

// number returns the value of an option, and how a text shows that and its name.
func (v *checker) number(key string) (n int64, shown any, name string) {
	place := reflect.ValueOf(v.c).Elem().FieldByIndex(schema.FindOption(key).Path)
	if r, ok := place.Interface().(schema.DurationRange); ok {
		return int64(r.Max), r.Max, "the longest of " + key
	}
	return place.Int(), place.Interface(), key
}

// publicationLimits compares the largest publication with what else bounds one.
func (v *checker) publicationLimits() {
	a, c := &v.c.HTTPAPI, &v.c.Client
	if a.Disabled {
		return
	}
	largest, size := bodySize, a.MaxBodySize
	if a.MaxPublicationSize > 0 && a.MaxPublicationSize <= size {
		largest, size = publicationSize, a.MaxPublicationSize
	}
	// Why only where a size was chosen: by default it is what fits into a call, 32 times the queue, and that is fine for
	// whoever publishes nothing large.
	chosen := a.MaxPublicationSize > 0
	both, orLess := []string{publicationSize, bodySize}, ", or "+publicationSize+" to less"
	v.compare(
		comparison{size > a.PublishInflightMaxBytes, bodySize, more, "http_api.publish_inflight_max_bytes",
			": a publication above that takes all room, and waits until every other has left", nil},
		comparison{true, publicationSize, more, bodySize,
			", so that it never counts: a call that holds such a publication gets 413; set it to less, or " + bodySize + " to more", nil},
		comparison{true, queuesTotal, less, largest,
			": one such publication that waits for a slow stream is more than may wait, and slow streams are closed (slow_total); set it to several times that" + orLess, both},
		// client.queue_max_size may be said not to count already.
		comparison{chosen && c.QueueMaxSize <= c.QueuesMaxTotal, queueSize, less, largest,
			": such a publication closes a stream that is full and has another one waiting (slow_bytes); set it to several times that" + orLess, append(both, queuesTotal)},
		comparison{chosen, "uni_sse.recovery_max_bytes", less, largest, ": who misses such a publication recovers nothing; set it to more" + orLess, both},
		comparison{chosen, "client.hold_max_bytes", less, largest, ": such a publication ends the connects that are reading history; set it to more" + orLess, both},
	)
}

// connectionLimits compares the limits of a part of the connections with those of all. 0 is none.
func (v *checker) connectionLimits() {
	const streams, node, rate = "uni_sse.max_streams", "client.connection_limit", "client.connection_rate_limit"
	const user, address, addressRate = "client.user_connection_limit", "client.address_connection_limit", "client.address_connection_rate_limit"
	pairs := [][2]string{{node, streams}, {address, node}, {address, streams}, {addressRate, rate}}
	if v.c.Client.UserConnectionLimitScope == "node" || v.c.PresenceHalf().Type == "memory" { // of several nodes a user may have more than one of them takes
		pairs = append(pairs, [2]string{user, node}, [2]string{user, streams})
	}
	for _, pair := range pairs {
		all, _, _ := v.number(pair[1])
		v.compare(comparison{all > 0, pair[0], more, pair[1], ", so that it is never reached; set it to less", nil})
	}
}

func (v *checker) times() {
	c, def := &v.c.Client, &schema.Default().Client
	v.compare(comparison{c.Proxy.Connect.Enabled, "client.proxy.connect.timeout", more, "client.stale_close_delay",
		", in which a connect must finish, so that it is never reached; set it to less", nil})
	const expired = "client.expired_close_delay"
	if c.Proxy.Refresh.Enabled && c.ExpiredCloseDelay != def.ExpiredCloseDelay && v.rep.Of(expired) != (report.Origin{}) {
		v.warn(expired, "%s has no effect with client.proxy.refresh, which is asked at the expiry", c.ExpiredCloseDelay)
	}
	const empty = "channel.history_empty_ttl"
	v.compare(
		comparison{c.ChannelPositionCheckDelay != def.ChannelPositionCheckDelay, checkDelay, less, presenceTime, ", at which checks happen, so that it means that", nil},
		comparison{true, empty, more, metaTTL, ", after which positions of empty channels are forgotten all the same; set it to at most that", nil},
		comparison{true, empty, less, retry,
			": a client that comes back after that is told of a gap in a channel where nothing happened; set it to more", nil},
	)
}
