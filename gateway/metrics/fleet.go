package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/gateway/broker/relay"
	"sluice/gateway/tally"
)

// Engine is what a node counts whose engine, or a half of it, is on Redis or NATS. Maps are by
// label value.
type Engine struct {
	Calls  map[string]tally.Durations // of the engine, by kind
	Errors map[string]uint64          // of these, by reason
	Shards []EngineShard
	// Connections are those to each shard of each half.
	Connections []Connections
	// NATS are those to NATS, of each half that has some.
	NATS []NATS
	// Presence and Places are what became of calls, by event.
	Presence, Places map[string]uint64
}

// EngineShard is what the engine counts for one shard.
type EngineShard struct {
	Name                    string
	Ready                   bool
	Channels, Pending, Held int           // subscribed; of these, to be compared; bytes that wait for it
	ProbeAge                time.Duration // below 0: none has worked
	Lost, Failed            uint64        // pub/sub connections; probes
	Replayed                uint64        // publications brought from histories
	Compared                map[string]uint64
	Odd                     map[string]uint64
	Skipped                 map[string]uint64
}

// Connections are those of commands to one shard.
type Connections struct {
	Use, Shard        string // the section of the configuration that has them, and the shard
	Up                bool
	Commands, Retries uint64
	Batches, Batched  uint64 // batches of single commands, and how many those were
	Dials, DialErrors uint64
	Waiting, UnderWay int
	Errors            map[string]uint64
	Took              tally.Durations
}

// fleetFamilies are about many nodes, and the Redis that joins them.
func fleetFamilies() []*family {
	return []*family{
		labelled(prometheus.GaugeValue, "cluster_nodes", "Nodes that are known, this one included, by kind.", []string{"kind"}, func(s *state, e *emitter) {
			e.add(float64(s.Cluster.Nodes-s.Cluster.Reference), "sluice")
			e.add(float64(s.Cluster.Reference), "reference")
		}),
		gauge("cluster_nodes_silent", "Nodes that missed their last answer and were not heard since.", func(s *state) int { return s.Cluster.Silent }),
		counter("cluster_nodes_forgotten_total", "Nodes that went without a word.", func(s *state) uint64 { return s.Cluster.Forgotten }),
		counters("cluster_sent_total", "kind", "Messages sent to other nodes.", func(s *state) map[string]uint64 { return s.Cluster.Sent }),
		counters("cluster_received_total", "kind", "Messages of other nodes.", func(s *state) map[string]uint64 { return s.Cluster.Received }),
		counter("cluster_unsent_total", "Messages to other nodes that could not be sent.", func(s *state) uint64 { return s.Cluster.Unsent }),
		counters("cluster_skipped_total", "reason", "Messages of other nodes that were not obeyed.", func(s *state) map[string]uint64 { return s.Cluster.Skipped }),
		counter("cluster_unanswered_total", "Answers of other nodes that did not come in time.", func(s *state) uint64 { return s.Cluster.Unanswered }),
		durations("cluster_wait_seconds", "Waits of API calls for other nodes.", nil, func(s *state, e *emitter) { e.durations(&s.Cluster.Took) }),

		counter("channels_resynced_total", "Channels that the engine lost sight of and found again with nothing missing.", func(s *state) uint64 { return s.Hub.Resynced }),
		counter("channels_lost_total", "Channels in which publications may be missing for good: their subscribers with a position were told.", func(s *state) uint64 { return s.Hub.Lost }),
		gauge("channels_leaving", "Channels without a subscriber that the engine still delivers.", func(s *state) int { return s.Hub.Leaving }),
		counter("engine_unsubscribes_failed_total", "Calls that could not tell the engine so; they are made again.", func(s *state) uint64 { return s.Hub.UnsubscribeFails }),
		counter("engine_reader_waits_total", "Times that what the engine read waited for room in front of streams.", func(s *state) uint64 { return s.Hub.ReaderWaits }),
		counter("presence_calls_failed_total", "Calls to presence that failed, each of many changes; the next renewal makes up for them.", func(s *state) uint64 { return s.Node.Sessions.PresenceFailed }),
		counter("places_calls_failed_total", "Calls about places of users that failed; the next renewal makes up for them.", func(s *state) uint64 { return s.Node.Sessions.PlacesFailed }),
		counter("places_alone_total", "Connects whose user was counted on this node only, because the places of all nodes were out of reach.", func(s *state) uint64 { return s.Node.Sessions.PlacesAlone }),
		counter("evictions_failed_total", "Connects after which older connections of the user may have stayed on other nodes.", func(s *state) uint64 { return s.Node.Sessions.EvictionsFailed }),
		counter("evictions_late_total", "Connects of which other nodes were told only when they could be reached again.", func(s *state) uint64 { return s.Node.Sessions.EvictionsLate }),
		gauge("evictions_owed", "Connects of which other nodes are yet to be told, a second time included.", func(s *state) int { return s.Node.Sessions.EvictionsOwed }),
		counter("commands_unordered_total", "Commands that did not wait for what was published before them, because the engine was away or late.", func(s *state) uint64 { return s.Node.Sessions.Unordered }),
	}
}

// backendFamilies show nothing where no part of the engine is outside of the process.
func backendFamilies() []*family {
	return append(append(shardFamilies(), natsFamilies()...),
		durations("engine_call_seconds", "Calls of the engine to Redis or NATS, with their waits.", []string{"call"}, func(s *state, e *emitter) {
			for call, took := range s.Engine.Calls {
				e.durations(&took, call)
			}
		}),
		counters("engine_errors_total", "reason", "Calls of the engine to Redis or NATS that failed.", func(s *state) map[string]uint64 { return s.Engine.Errors }),
		counters("presence_redis_total", "event", "Changes of presence in Redis or NATS, the commands that they were sent as, calls that failed, and values there that are no client's.",
			func(s *state) map[string]uint64 { return s.Engine.Presence }),
		counters("user_places_total", "event", "Places of users on all nodes: reserved and refused, claimed for a single connection, renewed or given back, and calls that failed.",
			func(s *state) map[string]uint64 { return s.Engine.Places }),
		connections(prometheus.GaugeValue, "redis_up", "Whether commands are carried out by a shard.", func(c *Connections) float64 { return flag(c.Up) }),
		connections(prometheus.CounterValue, "redis_commands_total", "Commands to a shard.", func(c *Connections) float64 { return float64(c.Commands) }),
		connections(prometheus.CounterValue, "redis_retries_total", "Commands that were tried again.", func(c *Connections) float64 { return float64(c.Retries) }),
		connections(prometheus.CounterValue, "redis_batches_total", "Batches in which commands of several callers went to a shard.", func(c *Connections) float64 { return float64(c.Batches) }),
		connections(prometheus.CounterValue, "redis_batched_commands_total", "Commands that went in batches.", func(c *Connections) float64 { return float64(c.Batched) }),
		connections(prometheus.CounterValue, "redis_dials_total", "Connections made to a shard.", func(c *Connections) float64 { return float64(c.Dials) }),
		connections(prometheus.CounterValue, "redis_dials_failed_total", "Connections to a shard that could not be made.", func(c *Connections) float64 { return float64(c.DialErrors) }),
		connections(prometheus.GaugeValue, "redis_waiting", "Callers that wait for a shard.", func(c *Connections) float64 { return float64(c.Waiting) }),
		connections(prometheus.GaugeValue, "redis_under_way", "Commands and pipelines that a shard has yet to answer.", func(c *Connections) float64 { return float64(c.UnderWay) }),
		labelled(prometheus.CounterValue, "redis_command_errors_total", "Attempts of commands that failed.", []string{"use", "shard", "reason"}, func(s *state, e *emitter) {
			for i := range s.Engine.Connections {
				c := &s.Engine.Connections[i]
				for reason, n := range c.Errors {
					e.count(n, c.Use, c.Shard, reason)
				}
			}
		}),
		durations("redis_call_seconds", "Calls to a shard, each one command or one pipeline, with their waits.", []string{"use", "shard"}, func(s *state, e *emitter) {
			for i := range s.Engine.Connections {
				c := &s.Engine.Connections[i]
				e.durations(&c.Took, c.Use, c.Shard)
			}
		}),
	)
}

func flag(on bool) float64 {
	if on {
		return 1
	}
	return 0
}

// connections is a family of one value for each shard of each half.
func connections(kind prometheus.ValueType, name, help string, read func(c *Connections) float64) *family {
	return labelled(kind, name, help, []string{"use", "shard"}, func(s *state, e *emitter) {
		for i := range s.Engine.Connections {
			c := &s.Engine.Connections[i]
			e.add(read(c), c.Use, c.Shard)
		}
	})
}

// shardFamilies are what the engine counts for each shard.
func shardFamilies() []*family {
	return []*family{
		shards(prometheus.GaugeValue, "engine_ready", "Whether a shard takes what is published and brings it back.", func(r *EngineShard) float64 { return flag(r.Ready) }),
		labelled(prometheus.GaugeValue, "engine_probe_age_seconds", "Time since the last message to itself that a node got back through a shard had been sent.", []string{"shard"}, func(s *state, e *emitter) {
			for i := range s.Engine.Shards {
				if r := &s.Engine.Shards[i]; r.ProbeAge >= 0 {
					e.add(r.ProbeAge.Seconds(), r.Name)
				}
			}
		}),
		shards(prometheus.CounterValue, "engine_probes_failed_total", "Such messages that did not come back in time.", func(r *EngineShard) float64 { return float64(r.Failed) }),
		shards(prometheus.CounterValue, "engine_connections_lost_total", "Losses of the connection that brings what is published.", func(r *EngineShard) float64 { return float64(r.Lost) }),
		shards(prometheus.GaugeValue, "engine_channels", "Channels that a shard delivers to this node.", func(r *EngineShard) float64 { return float64(r.Channels) }),
		shards(prometheus.GaugeValue, "engine_comparing", "Channels that wait to be compared with their histories, after a loss or a doubt.", func(r *EngineShard) float64 { return float64(r.Pending) }),
		shards(prometheus.GaugeValue, "engine_held_bytes", "Bytes of publications that wait for that.", func(r *EngineShard) float64 { return float64(r.Held) }),
		shards(prometheus.CounterValue, "engine_replayed_total", "Publications that were missed and brought from histories.", func(r *EngineShard) float64 { return float64(r.Replayed) }),
		shardCounters("engine_compared_total", "result", "Comparisons of a channel with its history: nothing is missing any more, subscribers were told of a loss, told because the history went back, or the history could not be read yet.",
			func(r *EngineShard) map[string]uint64 { return r.Compared }),
		shardCounters("engine_odd_total", "what", "What is not as expected in what comes: offsets that jump ahead, repeats, places that no history has, and the like.",
			func(r *EngineShard) map[string]uint64 { return r.Odd }),
		shardCounters("engine_skipped_total", "reason", "Payloads and entries that were not passed on because they are no publications, and parts of some that were left out.",
			func(r *EngineShard) map[string]uint64 { return r.Skipped }),
	}
}

// shards is a family of one value for each shard of the engine.
func shards(kind prometheus.ValueType, name, help string, read func(r *EngineShard) float64) *family {
	return labelled(kind, name, help, []string{"shard"}, func(s *state, e *emitter) {
		for i := range s.Engine.Shards {
			e.add(read(&s.Engine.Shards[i]), s.Engine.Shards[i].Name)
		}
	})
}

// shardCounters is a family of counters by shard and the values of one more label.
func shardCounters(name, label, help string, read func(r *EngineShard) map[string]uint64) *family {
	return labelled(prometheus.CounterValue, name, help, []string{"shard", label}, func(s *state, e *emitter) {
		for i := range s.Engine.Shards {
			for value, n := range read(&s.Engine.Shards[i]) {
				e.count(n, s.Engine.Shards[i].Name, value)
			}
		}
	})
}

// relayFamilies show nothing where publications do not come from another node.
func relayFamilies() []*family {
	one := func(kind prometheus.ValueType, name, help string, read func(r *relay.Stats) float64) *family {
		return labelled(kind, name, help, nil, func(s *state, e *emitter) {
			if s.Relay != nil {
				e.add(read(s.Relay))
			}
		})
	}
	many := func(name, label, help string, read func(r *relay.Stats) map[string]uint64) *family {
		return counters(name, label, help, func(s *state) map[string]uint64 {
			if s.Relay == nil {
				return nil
			}
			return read(s.Relay)
		})
	}
	return []*family{
		one(prometheus.GaugeValue, "relay_channels", "Channels that are relayed, or on their way to be.", func(r *relay.Stats) float64 { return float64(r.Channels) }),
		one(prometheus.GaugeValue, "relay_streams", "Streams of the origin that are open.", func(r *relay.Stats) float64 { return float64(r.Streams) }),
		many("relay_ends_total", "reason", "Streams of the origin that ended, and attempts at one that failed.", func(r *relay.Stats) map[string]uint64 { return r.Ends }),
		one(prometheus.CounterValue, "relay_received_bytes_total", "Bytes of streams of the origin.", func(r *relay.Stats) float64 { return float64(r.Bytes) }),
		one(prometheus.CounterValue, "relay_publications_total", "Publications of the origin that were new.", func(r *relay.Stats) float64 { return float64(r.Taken) }),
		many("relay_dropped_total", "what", "Events of the origin that were not passed on: publications that had come before, events that are not for a relay, events that were too long.", func(r *relay.Stats) map[string]uint64 {
			return map[string]uint64{"repeat": r.Repeats, "other": r.Skipped, "too_long": r.TooLong}
		}),
		many("relay_gaps_total", "why", "Times that subscribers of a channel were told of a gap: publications are missing for good, or the origin began anew.", func(r *relay.Stats) map[string]uint64 {
			return map[string]uint64{"missing": r.Gaps - min(r.Gaps, r.Epochs), "epoch": r.Epochs}
		}),
		many("relay_refused_total", "reason", "Channels that the origin was not asked for: too many, or it had just said that it does not have them.", func(r *relay.Stats) map[string]uint64 {
			return map[string]uint64{"channels": r.Refused, "absent": r.Absent}
		}),
		one(prometheus.GaugeValue, "relay_kept_bytes", "Publications kept for those who come back.", func(r *relay.Stats) float64 { return float64(r.Kept) }),
		one(prometheus.GaugeValue, "relay_kept_max_bytes", "Most of them there may be (relay.total_max_bytes).", func(r *relay.Stats) float64 { return float64(r.KeptMax) }),
		one(prometheus.CounterValue, "relay_trimmed_total", "Publications forgotten before their time for want of room.", func(r *relay.Stats) float64 { return float64(r.Trimmed) }),
	}
}
