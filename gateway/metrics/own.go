package metrics

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/codec"
	"sluice/gateway/hub"
	"sluice/gateway/loop"
	"sluice/gateway/proxy"
	"sluice/gateway/session"
)

// ownFamilies are the names of Sluice.
func ownFamilies() []*family {
	return slices.Concat(streamFamilies(), publishFamilies(), compressionFamilies(), engineFamilies(), fleetFamilies(), backendFamilies(), relayFamilies(), connectFamilies(), broadcastFamilies(), workFamilies())
}

// batchBounds are the bounds of loop.Stats.Batches: how many frames at most.
var batchBounds = []float64{0, 1, 3, 7, 15, 31, 63}

func streamFamilies() []*family {
	return []*family{
		gauge("streams_open", "Streams whose socket a loop owns, those that are ending included.", func(s *state) int { return s.Loop.Open }),
		counter("streams_opened_total", "Sockets that loops took over.", func(s *state) uint64 { return s.Loop.Adopted }),
		counter("streams_tls_total", "Sockets with TLS that loops took over.", func(s *state) uint64 { return s.Loop.Secure }),
		labelled(prometheus.CounterValue, "stream_closes_total", "Streams that ended; each counts once, with the one reason it ended for.",
			[]string{"reason"}, func(s *state, e *emitter) {
				for _, r := range loop.Reasons() {
					e.count(s.Loop.Closes[r], r.String())
				}
			}),
		counter("stream_deliveries_total", "Frames written whole to streams.", func(s *state) uint64 { return s.Loop.Frames }),
		counter("stream_sent_bytes_total", "Bytes written to streams.", func(s *state) uint64 { return s.Loop.Bytes }),
		counter("stream_writes_total", "Write system calls that took bytes.", func(s *state) uint64 { return s.Loop.Writes }),
		counter("stream_writes_refused_total", "Write system calls that met a full socket.", func(s *state) uint64 { return s.Loop.Again }),
		{
			name: "stream_write_frames", help: "Frames that one write ended.",
			read: func(s *state, e *emitter) {
				e.histogram(batchBounds, s.Loop.Batches[:], float64(s.Loop.Frames))
			},
		},
		gauge("stream_queue_bytes", "Bytes queued for streams, with what each queued frame counts for beside its length.", func(s *state) int64 { return s.Loop.QueuedBytes }),
		gauge("stream_held_bytes", "Memory that blocked streams and openings hold: a frame that many wait for counts once.", func(s *state) int64 { return s.Loop.HeldBytes }),
		gauge("stream_held_max_bytes", "Most of that there may be (client.queues_max_total).", func(s *state) int64 { return s.HeldMax }),
		gauge("streams_blocked", "Streams whose socket takes no more for now.", func(s *state) int { return s.Loop.Blocked }),
		counter("stream_drops_total", "Frames dropped for slow or ending streams.", func(s *state) uint64 { return s.Loop.Dropped }),
		labelled(prometheus.CounterValue, "conflated_total", "Publications that a newer one of their key replaced: in a stream's queue, or in a lane before max_rate let them pass.",
			[]string{"where"}, func(s *state, e *emitter) {
				e.count(s.Loop.Conflated, "stream")
				e.count(s.Hub.Conflated, "lane")
			}),
		gauge("recovery_budget_used_bytes", "Memory taken for recovered data that has yet to leave.", func(s *state) int64 { return s.Node.Sessions.Recovery.Used }),
		gauge("recovery_budget_size_bytes", "Most memory for recovered data (uni_sse.recovery_max_total).", func(s *state) int64 { return s.Node.Sessions.Recovery.Size }),
		gauge("recovery_waiting", "Connects and subscriptions that wait for memory for what they missed.", func(s *state) int { return s.Node.Sessions.Recovery.Waiting }),
		durations("recovery_wait_seconds", "Waits for memory for recovered data.", nil, func(s *state, e *emitter) { e.durations(&s.Node.Sessions.Recovery.Waited) }),
		counter("recovery_refused_total", "Connects and subscriptions refused because no memory for what they missed came free in time.", func(s *state) uint64 { return s.Node.Sessions.Recovery.Refused }),
		labelled(prometheus.CounterValue, "resumes_total", "Wishes of clients to be recovered, by what came of them: complete, or not because the epoch is another one, the history has a gap, it was too large for one push, or the id that the client brought cannot be read.",
			[]string{"result"}, func(s *state, e *emitter) {
				r := &s.Node.Sessions.Resumes
				e.count(r.Complete, "complete")
				e.count(r.Epoch, "epoch")
				e.count(r.Gap, "gap")
				e.count(r.Size, "size")
				e.count(r.Lost, "unreadable")
			}),
	}
}

func publishFamilies() []*family {
	return []*family{
		counter("publications_total", "Publications that the engine delivered here.", func(s *state) uint64 { return s.Hub.Published }),
		durations("publication_lag_seconds",
			"From the moment the engine handed a publication over to the end of the flush in which the last loop with a subscriber offered it to the kernel; once for each publication that had one.",
			nil, func(s *state, e *emitter) { e.durations(&s.Shard.Lag) }),
		counter("publications_unpaced_total", "Publications that max_rate did not hold back, for want of room.", func(s *state) uint64 { return s.Hub.Unpaced }),
		gauge("lane_backlog", "Posts that wait in lanes.", func(s *state) int { return s.Hub.LaneBacklog }),
		gauge("lane_backlog_longest", "Posts that wait in the lane with the most.", func(s *state) int { return s.Hub.LaneLongest }),
		gauge("loop_backlog", "Posts that wait in loops.", func(s *state) int { return sum(s.LoopBacklog) }),
		gauge("loop_backlog_longest", "Posts that wait in the loop with the most.", func(s *state) int { return slices.Max(append([]int{0}, s.LoopBacklog...)) }),
		gauge("keeper_backlog", "Calls to presence, joins and leaves that wait to be made.", func(s *state) int { return s.Node.Sessions.KeeperBacklog }),
		gauge("keeper_backlog_longest", "Calls to presence, joins and leaves that wait for the loop with the most.", func(s *state) int { return s.Node.Sessions.KeeperLongest }),
		counter("keeper_refused_total", "Connects, and subscriptions by the server, that were put off because keeper_backlog was at its limit.", func(s *state) uint64 { return s.Node.Sessions.KeeperRefused }),
		counter("joins_dropped_total", "Joins and leaves that nobody was told of, because no publish credit came free in time.", func(s *state) uint64 { return s.Node.Sessions.JoinsDropped }),
		gauge("deliveries_waiting", "Deliveries that loops have yet to queue for their streams.", func(s *state) int { return s.Loop.Waiting }),
		counter("delivery_holds_total", "Times that deliveries of a loop waited for blocked streams that still took something.", func(s *state) uint64 { return s.Loop.Holds }),
		labelled(prometheus.CounterValue, "delivery_hold_seconds_total", "For how long deliveries did so.", nil, func(s *state, e *emitter) { e.add(s.Loop.Held.Seconds()) }),
		counter("streams_given_up_total", "Blocked streams that deliveries stopped waiting for.", func(s *state) uint64 { return s.Loop.GivenUp }),
		gauge("publish_credit_used_bytes", "Bytes of publications between the entrance and the sockets of streams.", func(s *state) int64 { return s.Hub.CreditUsed }),
		gauge("publish_credit_size_bytes", "Most bytes of publications that may be there.", func(s *state) int64 { return s.Hub.CreditSize }),
		durations("publish_credit_wait_seconds", "Waits of publishers that met no free credit.", nil, func(s *state, e *emitter) { e.durations(&s.Hub.CreditWait) }),
		counter("publish_credit_timeouts_total", "Publishes refused because no credit came free in time.", func(s *state) uint64 { return s.Hub.CreditFails }),
	}
}

func compressionFamilies() []*family {
	byCoding := func(name, help string, figure func(c *hub.CodingStats) float64) *family {
		return labelled(prometheus.CounterValue, name, help, []string{"coding"}, func(s *state, e *emitter) {
			for _, c := range append(codec.Codings(), codec.CodingDcz) {
				e.add(figure(&s.Hub.Coded[c]), c.String())
			}
		})
	}
	return []*family{
		labelled(prometheus.GaugeValue, "streams_compressed", "Streams whose body has a content coding.", []string{"coding"}, func(s *state, e *emitter) {
			for _, c := range codec.Codings() {
				e.add(float64(s.Loop.Coded[c]), c.String())
			}
		}),
		byCoding("compressed_frames_total", "Events that lanes compressed, each once for all subscribers.", func(c *hub.CodingStats) float64 { return float64(c.Frames) }),
		byCoding("compressed_raw_bytes_total", "Their bytes before.", func(c *hub.CodingStats) float64 { return float64(c.Raw) }),
		byCoding("compressed_bytes_total", "Their bytes, where they share no context.", func(c *hub.CodingStats) float64 { return float64(c.Coded) }),
		byCoding("compressed_group_raw_bytes_total", "Of their bytes before, those of events that share a context with others as well.", func(c *hub.CodingStats) float64 { return float64(c.GroupRaw) }),
		byCoding("compressed_group_bytes_total", "Their bytes where they do.", func(c *hub.CodingStats) float64 { return float64(c.Grouped) }),
		byCoding("compression_seconds_total", "For how long lanes compressed.", func(c *hub.CodingStats) float64 { return c.Took.Seconds() }),
		gauge("compression_groups", "Contexts that lanes go on with.", func(s *state) int { return s.Hub.Groups }),
		labelled(prometheus.CounterValue, "compression_groups_total", "Contexts made, and dropped to make room for another; publications that found no room for one.",
			[]string{"event"}, func(s *state, e *emitter) {
				e.count(s.Hub.GroupsMade, "made")
				e.count(s.Hub.GroupsDropped, "dropped")
				e.count(s.Hub.GroupsRefused, "refused")
			}),
	}
}

// engineFamilies are about what an engine within the process keeps.
func engineFamilies() []*family {
	return []*family{
		labelled(prometheus.GaugeValue, "engine_positions", "Channels whose offset and epoch the engine keeps, by whether anything was ever published there.",
			[]string{"channel"}, func(s *state, e *emitter) {
				for kind, n := range s.Positions {
					e.add(float64(n), kind)
				}
			}),
		gauge("engine_idempotency_results", "Idempotency keys that the engine remembers.", func(s *state) int { return s.Results }),
		counters("engine_forgotten_total", "what", "Positions of empty channels and idempotency keys that the engine forgot before their time, to make room.",
			func(s *state) map[string]uint64 { return s.Forgotten }),
	}
}

func connectFamilies() []*family {
	return []*family{
		counters("connects_refused_total", "reason", "Connects answered by a status, or told to come back, before anything was found out about them.",
			func(s *state) map[string]uint64 { return s.Refused }),
		labelled(prometheus.CounterValue, "connects_denied_total", "Connects that were told why they get no stream, by the code.",
			[]string{"code"}, func(s *state, e *emitter) {
				for code, n := range s.LoopState.Sessions.Refused {
					e.count(n, codeLabel(code))
				}
			}),
		gauge("connects_opening", "Connects on their way to a stream, and refresh hooks under way.", func(s *state) int { return s.Node.Sessions.Opening }),
		counters("listener_events_total", "event", "Connections accepted, and what else listeners did about some.",
			func(s *state) map[string]uint64 { return s.Accept }),
		gauge("listener_half_open", "Connections that have yet to end their handshake or send a whole request.", func(s *state) int { return s.HalfOpen }),
		gauge("listener_idle", "Connections between two requests.", func(s *state) int { return s.Idle }),
		gauge("listener_waiting_bytes", "Memory of connections that are no streams, by estimate.", func(s *state) int64 { return s.WaitingBytes }),
		labelled(prometheus.GaugeValue, "gate_connections", "Connections that the gate accepted and that are no streams, by state.",
			[]string{"state"}, func(s *state, e *emitter) {
				for state, n := range s.GateConnections {
					e.count(uint64(n), state)
				}
			}),
		gauge("gate_buffer_bytes", "Memory of beginnings of requests that wait at the gate for the rest.", func(s *state) int64 { return s.GateBytes }),
		counter("gate_queue_opened_total", "Times that plain requests took so long that for a second each had a worker of its own.", func(s *state) uint64 { return s.GateOpened }),
		counters("address_limited_total", "limit", "Connects over a limit by address: refused, or, as untracked, let pass because too many addresses came.",
			func(s *state) map[string]uint64 { return s.Limited }),
		gauge("connects_waiting", "Connects and wishes for tickets that wait for a hook or a key set.", func(s *state) int { return s.ConnectsWaiting }),
		gauge("tickets_waiting", "Tickets that wait to be used.", func(s *state) int { return s.TicketsWaiting }),
		counters("tickets_dropped_total", "reason", "Tickets that made room for a newer one of their user or address, or for others because theirs held the most; and wishes for one that found no room or stood for too much.",
			func(s *state) map[string]uint64 { return s.TicketsDropped }),
		gauge("addresses_open", "Addresses with open streams that count for a limit by address.", func(s *state) int { return s.Addresses }),
		labelled(prometheus.CounterValue, "token_lookups_total", "Connection tokens, by whether they were remembered.",
			[]string{"result"}, func(s *state, e *emitter) {
				e.count(s.Tokens.Stats.CacheHits.Load(), "hit")
				e.count(s.Tokens.Stats.CacheMisses.Load(), "miss")
			}),
		counter("token_evictions_total", "Connection tokens forgotten to make room.", func(s *state) uint64 { return s.Tokens.Stats.CacheEvictions.Load() }),
		gauge("tokens_remembered", "Connection tokens that need not be verified again.", func(s *state) int { return s.Tokens.Cached }),
		counter("tokens_refused_total", "Connection tokens refused, for whatever reason.", func(s *state) uint64 { return s.Tokens.Stats.Refused.Load() }),
		labelled(prometheus.CounterValue, "key_fetches_total", "Fetches of key sets.",
			[]string{"result"}, func(s *state, e *emitter) {
				failed := s.Tokens.Stats.KeyFetchErrors.Load()
				e.count(max(s.Tokens.Stats.KeyFetches.Load(), failed)-failed, "ok")
				e.count(failed, "error")
			}),
		labelled(prometheus.GaugeValue, "hook_waiting", "Calls of hooks that wait for a free place.",
			[]string{"type"}, func(s *state, e *emitter) {
				hooks(s, func(kind string, st *proxy.Stats) { e.add(float64(st.Waiting.Load()), kind) })
			}),
		counter("hook_calls_refused_total", "Calls of refresh hooks put off because no worker was free.", func(s *state) uint64 { return s.RefusedCalls }),
	}
}

func broadcastFamilies() []*family {
	return []*family{
		gauge("broadcast_channels", "Channels that have streams of the broadcast route here, or had some a short while ago.", func(s *state) int { return s.Broadcast.Channels }),
		gauge("broadcast_streams", "Streams of the broadcast route that are open, or on their way.", func(s *state) int { return s.Broadcast.Streams }),
		counters("broadcast_streams_total", "kind", "Streams of the broadcast route, by where they begin: shared = with the backlog for all, resumed = behind the checkpoint of a Last-Event-ID, relay = behind the position of a relay.",
			func(s *state) map[string]uint64 { return s.Broadcast.Opened }),
		counters("broadcast_refused_total", "reason", "Requests of the broadcast route that got no stream.", func(s *state) map[string]uint64 { return s.Broadcast.Refused }),
		labelled(prometheus.CounterValue, "broadcast_redirects_total", "Requests that were sent elsewhere: to the bare path, with an id that is no live checkpoint, or to the one spelling of the channel.", []string{"to"}, func(s *state, e *emitter) {
			e.count(s.Broadcast.Redirects, "bare")
			e.count(s.Broadcast.Respelled, "spelling")
		}),
		labelled(prometheus.CounterValue, "broadcast_backlogs_short_total", "Streams of the broadcast route that began with less than viewers may have missed, by why: the history did not reach back as far, it was over recovery_max_bytes, or over a megabyte where no position was noted yet.", []string{"reason"}, func(s *state, e *emitter) {
			short := &s.Node.Sessions.ShortBacklogs
			e.count(short[session.ShortHistory], "history")
			e.count(short[session.ShortSize], "size")
			e.count(short[session.ShortUnplaced], "unplaced")
		}),
		counter("broadcast_pressed_total", "Times that streams of a channel of the broadcast route began to end sooner, for want of room within broadcast.max_origin_streams.", func(s *state) uint64 { return s.Broadcast.Pressed }),
		labelled(prometheus.CounterValue, "broadcast_checkpoints_total", "Checkpoints, by whether their position was known; those without one keep streams alive.",
			[]string{"position"}, func(s *state, e *emitter) {
				e.count(s.Broadcast.Checkpoints, "known")
				e.count(s.Broadcast.Blank, "unknown")
			}),
	}
}

func workFamilies() []*family {
	return []*family{
		counter("log_lines_dropped_total", "Lines of the log that were not written: too many waited for a reader, or the output failed.", func(s *state) uint64 { return s.LogDropped }),
		gauge("api_bodies_bytes", "Bytes of large bodies of API calls that are being read, or whose calls are being answered.", func(s *state) int64 { return s.BodyBytes }),
		gauge("api_bodies_waiting", "Large bodies of API calls that wait for room.", func(s *state) int { return s.BodiesWaiting }),
		gauge("api_work_bytes", "Bytes that API calls hold beside their bodies: decoded batches, and answers that were not taken yet.", func(s *state) int64 { return s.WorkBytes }),
		gauge("api_work_waiting", "API calls that wait for room for what they hold.", func(s *state) int64 { return s.WorkWaiting }),
		counter("api_work_refused_total", "API calls and commands that found no room for what they hold, or asked for too much.", func(s *state) uint64 { return s.WorkRefused }),
		counters("api_refused_total", "reason", "API calls that reached no method.", func(s *state) map[string]uint64 { return s.APIRefused }),
		labelled(prometheus.CounterValue, "panics_total", "Panics that were kept to one stream or one publication: bugs.",
			[]string{"where"}, func(s *state, e *emitter) {
				e.count(s.Loop.Panics, "loop")
				e.count(s.Hub.LanePanics, "lane")
			}),
		counter("loop_stale_events_total", "Readiness of sockets that were gone when it was looked at.", func(s *state) uint64 { return s.Loop.Stale }),
		counters("pool_fallbacks_total", "pool", "Turns, and connections at the gate, that a pool refused and a goroutine ran or served.", func(s *state) map[string]uint64 { return s.Fallbacks }),
		counters("scrape_stale_total", "part", "Answers that a scrape did not get in time, so that it showed those of the scrape before.",
			func(s *state) map[string]uint64 { return s.stale }),
		labelled(prometheus.GaugeValue, "build_info", "Always 1; the labels are the version that runs and that of Go.",
			[]string{"version", "goversion"}, func(s *state, e *emitter) { e.add(1, s.Version, s.GoVersion) }),
	}
}
