package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"sluice/gateway/nats"
)

// NATS is the two connections to NATS of a half of the engine.
type NATS struct {
	Use string // the section of the configuration that has them
	nats.Stats
}

// natsFamilies show nothing where no part of the engine is on NATS.
func natsFamilies() []*family {
	each := func(kind prometheus.ValueType, name, help string, read func(n *NATS) (calls, feed float64)) *family {
		return labelled(kind, name, help, []string{"use", "connection"}, func(s *state, e *emitter) {
			for i := range s.Engine.NATS {
				n := &s.Engine.NATS[i]
				calls, feed := read(n)
				e.add(calls, n.Use, "calls")
				e.add(feed, n.Use, "feed")
			}
		})
	}
	one := func(kind prometheus.ValueType, name, help string, read func(n *NATS) float64) *family {
		return labelled(kind, name, help, []string{"use"}, func(s *state, e *emitter) {
			for i := range s.Engine.NATS {
				e.add(read(&s.Engine.NATS[i]), s.Engine.NATS[i].Use)
			}
		})
	}
	const counter, gauge = prometheus.CounterValue, prometheus.GaugeValue
	return []*family{
		each(gauge, "nats_up", "Whether there is a connection to NATS: for what is asked, and for what is delivered.", func(n *NATS) (float64, float64) { return flag(n.Calls.Up), flag(n.Feed.Up) }),
		each(counter, "nats_connects_total", "Connections to NATS that were made.", func(n *NATS) (float64, float64) { return float64(n.Calls.Dials), float64(n.Feed.Dials) }),
		each(counter, "nats_losses_total", "Connections to NATS that were lost.", func(n *NATS) (float64, float64) { return float64(n.Calls.Losses), float64(n.Feed.Losses) }),
		one(counter, "nats_requests_total", "Requests and messages sent to NATS.", func(n *NATS) float64 { return float64(n.Calls.Asked) }),
		one(gauge, "nats_waiting", "Callers that wait until others are answered.", func(n *NATS) float64 { return float64(n.Calls.Waiting) }),
		one(gauge, "nats_under_way", "Requests that NATS has yet to answer.", func(n *NATS) float64 { return float64(n.Calls.UnderWay) }),
		labelled(counter, "nats_errors_total", "Requests to NATS that failed.", []string{"use", "reason"}, func(s *state, e *emitter) {
			for i := range s.Engine.NATS {
				for reason, n := range s.Engine.NATS[i].Calls.Errors {
					e.count(n, s.Engine.NATS[i].Use, reason)
				}
			}
		}),
		durations("nats_call_seconds", "Calls to NATS, each one request or several at once, with their waits.", []string{"use"}, func(s *state, e *emitter) {
			for i := range s.Engine.NATS {
				e.durations(&s.Engine.NATS[i].Calls.Took, s.Engine.NATS[i].Use)
			}
		}),
		one(gauge, "nats_subscriptions", "Subjects that are delivered to this node.", func(n *NATS) float64 { return float64(n.Feed.Subscriptions) }),
		one(counter, "nats_messages_total", "Messages that NATS delivered.", func(n *NATS) float64 { return float64(n.Feed.Messages) }),
		one(counter, "nats_received_bytes_total", "Bytes of them.", func(n *NATS) float64 { return float64(n.Feed.Bytes) }),
		one(gauge, "nats_waiting_messages", "Messages that came and wait for room in front of streams.", func(n *NATS) float64 { return float64(n.Feed.Waiting) }),
		one(gauge, "nats_waiting_bytes", "Bytes of them.", func(n *NATS) float64 { return float64(n.Feed.WaitingBytes) }),
		one(counter, "nats_dropped_total", "Messages that came and found no room: with histories they are read again, without they are lost.", func(n *NATS) float64 { return float64(n.Feed.Dropped) }),
		one(counter, "nats_markers_total", "Messages to itself that this node got back.", func(n *NATS) float64 { return float64(n.Feed.Markers) }),
		durations("nats_marker_seconds", "Time that such a message took.", []string{"use"}, func(s *state, e *emitter) {
			for i := range s.Engine.NATS {
				e.durations(&s.Engine.NATS[i].Feed.MarkerTime, s.Engine.NATS[i].Use)
			}
		}),
	}
}
