package metrics

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/gateway/hub"
	"sluice/gateway/loop"
	"sluice/gateway/proxy"
	"sluice/gateway/session"
)

// The values of labels that are the same everywhere here.
const (
	transport = "uni_sse"
	protocol  = "http"
	http1     = "h1"
	hookName  = "default"
	// noNamespace: traffic is not counted by namespace, as it is not in the
	// reference's free edition; the label keeps its place.
	noNamespace = ""
)

// referenceFamilies are the names of PROTOCOL 9.5, for dashboards and alerts
// that exist. Left out are those of parts that are not here: consumers_*,
// node_pub_sub_lag_seconds (there is no broker between nodes), and
// client_num_reply_errors (streams have no replies).
//
// Durations that the reference shows as summaries with quantiles are summaries
// of count and sum here: quantiles come from the _histogram beside them.
func referenceFamilies() []*family {
	return append(nodeFamilies(), append(clientFamilies(), callFamilies()...)...)
}

func nodeFamilies() []*family {
	messages := func(s *state, e *emitter) {
		e.count(s.Hub.Published, "publication", noNamespace)
		e.count(s.Hub.Joins, "join", noNamespace)
		e.count(s.Hub.Leaves, "leave", noNamespace)
	}
	byType := []string{"type", "channel_namespace"}
	return []*family{
		gauge("node_num_clients", "Open connections of this node.", func(s *state) int { return sum(s.LoopState.Sessions.Clients[:]) }),
		gauge("node_num_users", "Different users with a connection to this node, counted anew every 10 s.", func(s *state) int { return s.users }),
		gauge("node_num_channels", "Channels with a subscriber on this node.", func(s *state) int { return s.Hub.Channels }),
		gauge("node_num_subscriptions", "Subscriptions of open connections of this node.", func(s *state) int { return s.Shard.Subscriptions }),
		gauge("node_num_nodes", "Nodes of the cluster.", func(s *state) int { return s.Cluster.Nodes }),
		labelled(prometheus.GaugeValue, "node_build", "Always 1; the label is the version that runs.", []string{"version"},
			func(s *state, e *emitter) { e.add(1, s.Version) }),
		labelled(prometheus.CounterValue, "node_messages_sent_count", "Messages that this node gave to its engine.", byType, messages),
		labelled(prometheus.CounterValue, "node_messages_received_count", "Messages that the engine gave to this node.", byType, messages),
		labelled(prometheus.CounterValue, "node_action_count", "Connections and subscriptions that came and went.",
			[]string{"action", "channel_namespace"}, actions),
		counter("node_client_connection_limit", "Connects refused because of a limit on connections or connects.", func(s *state) uint64 { return s.LimitRefused }),
		labelled(prometheus.CounterValue, "node_incoming_http_requests_total",
			"HTTP requests that reached a handler, with prometheus.instrument_http_handlers; a stream, and one refused at connect, counts as 200 when it is handed over.",
			[]string{"path", "method", "status"}, func(s *state, e *emitter) {
				for r, n := range s.Requests {
					e.count(n, r.Path, r.Method, strconv.Itoa(r.Status))
				}
			}),
		durations("node_broadcast_duration_seconds",
			"From the moment the engine handed a message over until the last loop offered it to the kernel for its subscribers.", byType,
			func(s *state, e *emitter) { e.durations(&s.Shard.Lag, "publication", noNamespace) }),
		counters("broker_publish_suppressed_count", "reason", "Publications that the engine dropped: their idempotency key was used before, or their version was not newer.",
			func(s *state) map[string]uint64 { return s.Suppressed }),
	}
}

func actions(s *state, e *emitter) {
	ses := &s.LoopState.Sessions
	clients, subs := sum(ses.Accepted[:]), sum(ses.Subscribed[:])
	e.count(clients, "add_client", noNamespace)
	e.count(clients-uint64(sum(ses.Clients[:])), "remove_client", noNamespace)
	e.count(subs, "add_subscription", noNamespace)
	e.count(subs-uint64(sum(ses.Subscriptions[:])), "remove_subscription", noNamespace)
}

// nameLabel and versionLabel are what is shown of a client's own words.
func nameLabel(k session.ClientKind) string {
	if k&session.Named != 0 {
		return "unregistered"
	}
	return "unnamed"
}

// transportOf returns what the clients of a kind came by.
func transportOf(k session.ClientKind) string {
	if k == session.Broadcast {
		return "broadcast"
	}
	return transport
}

func versionLabel(k session.ClientKind) string {
	if k&session.Versioned != 0 {
		return "unregistered"
	}
	return "unversioned"
}

func clientFamilies() []*family {
	client := []string{"transport", "accept_protocol", "client_name", "client_version"}
	subscription := []string{"client_name", "channel_namespace"}
	kinds := func(emit func(k session.ClientKind)) {
		for k := range session.ClientKinds {
			emit(k)
		}
	}
	return []*family{
		labelled(prometheus.CounterValue, "client_connections_accepted", "Connections that were opened.", client, func(s *state, e *emitter) {
			kinds(func(k session.ClientKind) {
				e.count(s.LoopState.Sessions.Accepted[k], transportOf(k), http1, nameLabel(k), versionLabel(k))
			})
		}),
		labelled(prometheus.GaugeValue, "client_connections_inflight", "Connections that are open.", client, func(s *state, e *emitter) {
			kinds(func(k session.ClientKind) {
				e.add(float64(s.LoopState.Sessions.Clients[k]), transportOf(k), http1, nameLabel(k), versionLabel(k))
			})
		}),
		labelled(prometheus.CounterValue, "client_subscriptions_accepted", "Subscriptions that were made.", subscription, func(s *state, e *emitter) {
			for named, n := range s.LoopState.Sessions.Subscribed {
				e.count(n, nameLabel(session.ClientKind(named)), noNamespace)
			}
		}),
		labelled(prometheus.GaugeValue, "client_subscriptions_inflight", "Subscriptions of open connections.", subscription, func(s *state, e *emitter) {
			for named, n := range s.LoopState.Sessions.Subscriptions {
				e.add(float64(n), nameLabel(session.ClientKind(named)), noNamespace)
			}
		}),
		labelled(prometheus.CounterValue, "client_num_server_disconnects", "Connections and connects that the server ended, by the code it told.",
			[]string{"code"}, disconnects),
		labelled(prometheus.CounterValue, "client_num_server_unsubscribes", "Subscriptions that the server ended while the connection went on.",
			[]string{"code", "channel_namespace"}, func(s *state, e *emitter) { e.count(s.LoopState.Sessions.Unsubscribed, "2000", noNamespace) }),
		labelled(prometheus.CounterValue, "client_recover", "Wishes of clients to be recovered.",
			[]string{"recovered", "channel_namespace", "has_recovered_publications"}, func(s *state, e *emitter) {
				r := &s.Node.Sessions.Resumes
				e.count(r.Missed, "yes", noNamespace, "yes")
				e.count(r.Complete-r.Missed, "yes", noNamespace, "no")
				e.count(r.Epoch+r.Gap+r.Size+r.Lost, "no", noNamespace, "no")
			}),
		summaries("client_command_duration_seconds", "From the request of a connect to its connect push, or to its refusal.",
			[]string{"method", "channel_namespace"}, connectTook),
		durations("client_command_duration_seconds_histogram", "From the request of a connect to its connect push, or to its refusal.",
			[]string{"method", "channel_namespace"}, connectTook),
		labelled(prometheus.CounterValue, "transport_messages_sent", "Pushes queued for clients.", pushLabels, func(s *state, e *emitter) {
			pushes(s, func(frame string, sent hub.Sent) { e.count(sent.Frames, transport, frame, noNamespace) })
		}),
		labelled(prometheus.CounterValue, "transport_messages_sent_size", "Bytes of pushes queued for clients, in chunks and with the id line that all subscribers share.", pushLabels,
			func(s *state, e *emitter) {
				pushes(s, func(frame string, sent hub.Sent) { e.count(sent.Bytes, transport, frame, noNamespace) })
			}),
	}
}

func connectTook(s *state, e *emitter) { e.durations(&s.ConnectTook, "connect", noNamespace) }

// codeLabel is a code as a label; 0 stands for all that are nobody's here.
func codeLabel(code uint32) string {
	if code == 0 {
		return "other"
	}
	return strconv.FormatUint(uint64(code), 10)
}

// disconnects adds to those that sessions tell the slow streams, which their
// loop ends; not each of them could still be told.
func disconnects(s *state, e *emitter) {
	told := make(map[uint32]uint64)
	for _, from := range []map[uint32]uint64{s.LoopState.Sessions.Disconnects, s.LoopState.Sessions.Refused} {
		for code, n := range from {
			told[code] += n
		}
	}
	const slow = 3008
	told[slow] += s.Loop.Closes[loop.ReasonSlowBytes] + s.Loop.Closes[loop.ReasonSlowAge] + s.Loop.Closes[loop.ReasonSlowTotal]
	for code, n := range told {
		e.count(n, codeLabel(code))
	}
}

var pushLabels = []string{"transport", "frame_type", "channel_namespace"}

// pushes calls emit for each type of frame.
func pushes(s *state, emit func(frame string, sent hub.Sent)) {
	ses := &s.LoopState.Sessions.Sent
	pub := s.Shard.Sent[hub.PushPublication]
	pub.Frames += ses[session.PushMissed].Frames
	pub.Bytes += ses[session.PushMissed].Bytes
	emit("push_publication", pub)
	emit("push_join", s.Shard.Sent[hub.PushJoin])
	emit("push_leave", s.Shard.Sent[hub.PushLeave])
	emit("push_connect", ses[session.PushConnect])
	emit("push_subscribe", ses[session.PushSubscribe])
	emit("push_unsubscribe", ses[session.PushUnsubscribe])
	emit("push_refresh", ses[session.PushRefresh])
	emit("push_disconnect", ses[session.PushDisconnect])
	emit("server_ping", ses[session.PushPing])
}

func callFamilies() []*family {
	method, hook := []string{"protocol", "method"}, []string{"protocol", "type", "name"}
	apiTook := func(s *state, e *emitter) {
		for i := range s.API {
			e.durations(&s.API[i].Took, protocol, s.API[i].Name)
		}
	}
	hookTook := func(s *state, e *emitter) {
		hooks(s, func(kind string, st *proxy.Stats) {
			took := st.Took.Read()
			e.durations(&took, protocol, kind, hookName)
		})
	}
	return []*family{
		summaries("api_command_duration_seconds", "Durations of API calls.", method, apiTook),
		durations("api_command_duration_seconds_histogram", "Durations of API calls.", method, apiTook),
		labelled(prometheus.CounterValue, "api_command_errors_total", "API calls answered with an error, by its code.",
			[]string{"protocol", "method", "error"}, func(s *state, e *emitter) {
				for i := range s.API {
					for code, n := range s.API[i].Errors {
						e.count(n, protocol, s.API[i].Name, codeLabel(code))
					}
				}
			}),
		summaries("proxy_duration_seconds", "Durations of calls of hooks, the wait for a free place included.", hook, hookTook),
		durations("proxy_duration_seconds_histogram", "Durations of calls of hooks, the wait for a free place included.", hook, hookTook),
		labelled(prometheus.CounterValue, "proxy_errors", "Calls of hooks that brought no usable answer.", hook, func(s *state, e *emitter) {
			hooks(s, func(kind string, st *proxy.Stats) { e.count(st.Errors.Load(), protocol, kind, hookName) })
		}),
		labelled(prometheus.GaugeValue, "proxy_inflight_requests", "Calls of hooks that were sent and not answered yet.", hook, func(s *state, e *emitter) {
			hooks(s, func(kind string, st *proxy.Stats) { e.add(float64(st.InFlight.Load()), protocol, kind, hookName) })
		}),
	}
}

// hooks calls emit for each hook that is on.
func hooks(s *state, emit func(kind string, st *proxy.Stats)) {
	if s.Connect != nil {
		emit("connect", s.Connect)
	}
	if s.Refresh != nil {
		emit("refresh", s.Refresh)
	}
}

func sum[T int | uint64](list []T) (n T) {
	for _, v := range list {
		n += v
	}
	return n
}
