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
