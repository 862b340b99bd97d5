package check

import (
	"sluice/gateway/config/schema"
)

// This file notes limits that are allowed each by itself and do not fit together.

func (v *checker) limits() {
	if !v.c.HTTPAPI.Disabled {
		v.publicationLimits()
	}
	v.channelLimits()
}

// largestPublication returns the largest data that a publication can have, and the option that says so.
func largestPublication(a *schema.HTTPAPI) (size int, key string) {
	if a.MaxPublicationSize > 0 && a.MaxPublicationSize <= a.MaxBodySize {
		return a.MaxPublicationSize, "http_api.max_publication_size"
	}
	return a.MaxBodySize, "http_api.max_body_size"
}

func (v *checker) publicationLimits() {
	const publication, body = "http_api.max_publication_size", "http_api.max_body_size"
	a, c := &v.c.HTTPAPI, &v.c.Client
	if !v.sound(publication, body) {
		return
	}
	if a.MaxPublicationSize > a.MaxBodySize {
		v.warn(publication, "%d is more than %s (%d), so that it never counts: a call that holds such a publication gets 413; set it to less, or %s to more",
			a.MaxPublicationSize, body, a.MaxBodySize, body)
	}
	largest, key := largestPublication(a)
	const total, queue = "client.queues_max_total", "client.queue_max_size"
	if c.QueuesMaxTotal < largest && v.sound(total) {
		v.warn(total, "%d is less than %s (%d): one such publication that waits for a slow stream is more than may wait, and slow streams are closed (slow_total); set it to several times that, or %s to less",
			c.QueuesMaxTotal, key, largest, publication)
	}
	// Why only where a size was chosen: by default it is what fits into a call, 32 times the queue, and that is fine for
	// whoever publishes nothing large. And client.queue_max_size may be said not to count already.
	if a.MaxPublicationSize > 0 && c.QueueMaxSize < largest && c.QueueMaxSize <= c.QueuesMaxTotal && v.sound(total, queue) {
		v.warn(queue, "%d is less than %s (%d): such a publication closes a stream that is full and has another one waiting (slow_bytes); set it to several times that, or %s to less",
			c.QueueMaxSize, key, largest, publication)
	}
}

func (v *checker) channelLimits() {
	ch := &v.c.Channel
	const empty, meta = "channel.history_empty_ttl", "channel.history_meta_ttl"
	if ch.HistoryEmptyTTL > ch.HistoryMetaTTL && v.sound(empty, meta) {
		v.warn(empty, "%s is more than %s (%s), after which positions of empty channels are forgotten all the same; set it to at most that",
			ch.HistoryEmptyTTL, meta, ch.HistoryMetaTTL)
	}
}

func (v *checker) httpAPI() {
	a := &v.c.HTTPAPI
	if a.Disabled {
		return
	}
	if largest, _ := largestPublication(a); largest > a.PublishInflightMaxBytes && v.sound("http_api.max_body_size", "http_api.publish_inflight_max_bytes") {
		v.warn("http_api.max_body_size", "%d is more than http_api.publish_inflight_max_bytes (%d): a publication above that takes all room, and waits until every other has left",
			a.MaxBodySize, a.PublishInflightMaxBytes)
	}
}

func (v *checker) uniSSE() {
	s := &v.c.UniSSE
	const cursor = "uni_sse.cursor_exact_bytes"
	if s.CursorExactBytes >= v.c.HTTPServer.MaxHeadSize && v.sound(cursor, "http_server.max_head_size") {
		v.fail(cursor, "%d: the cursor comes back in a header: allowed less than http_server.max_head_size (%d)",
			s.CursorExactBytes, v.c.HTTPServer.MaxHeadSize)
	}
}
