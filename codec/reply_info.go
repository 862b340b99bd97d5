package codec

import (
	"cmp"
	"math"
	"slices"
	"strconv"
)

// NodeMetrics are sums over an interval of one node.
type NodeMetrics struct {
	Interval float64 // seconds
	Items    map[string]float64
}

// NodeResult is one node in the result of info (PROTOCOL 7.10).
type NodeResult struct {
	UID, Name, Version                               string
	Clients, Users, Channels, Subscriptions, Seconds int          // Seconds: since its start
	Metrics                                          *NodeMetrics // nil before the first interval is over
}

// AppendInfoResult appends the nodes.
func AppendInfoResult(dst []byte, nodes []NodeResult) []byte {
	dst = append(dst, `{"nodes":[`...)
	for i := range nodes {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendNode(dst, &nodes[i])
	}
	return append(dst, "]}"...)
}

func appendNode(dst []byte, n *NodeResult) []byte {
	o := object{dst: dst}
	o.begin()
	o.strAlways("uid", n.UID)
	o.strAlways("name", n.Name)
	o.strAlways("version", n.Version)
	o.uintAlways("num_clients", uint64(n.Clients))
	o.uintAlways("num_users", uint64(n.Users))
	o.uintAlways("num_channels", uint64(n.Channels))
	o.uint("uptime", uint64(n.Seconds))
	if n.Metrics != nil {
		o.key("metrics")
		o.metrics(n.Metrics)
	}
	o.uintAlways("num_subs", uint64(n.Subscriptions))
	o.end()
	return o.dst
}

// metrics appends the object in the order of its keys. What JSON cannot say,
// infinity and NaN, is left out.
func (o *object) metrics(m *NodeMetrics) {
	o.begin()
	o.key("interval")
	o.dst = appendFloat(o.dst, m.Interval)
	o.key("items")
	o.begin()
	type item struct {
		name  string
		value float64
	}
	items := make([]item, 0, len(m.Items))
	for name, v := range m.Items {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			items = append(items, item{name, v})
		}
	}
	slices.SortFunc(items, func(a, b item) int { return cmp.Compare(a.name, b.name) })
	for i, it := range items {
		if i > 0 {
			o.dst = append(o.dst, ',')
		}
		o.dst = AppendString(o.dst, it.name)
		o.dst = append(o.dst, ':')
		o.dst = appendFloat(o.dst, it.value)
	}
	o.end()
	o.end()
}

// appendFloat appends a finite number, without an exponent where it has few
// digits.
func appendFloat(dst []byte, v float64) []byte {
	if abs := math.Abs(v); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		return strconv.AppendFloat(dst, v, 'e', -1, 64)
	}
	return strconv.AppendFloat(dst, v, 'f', -1, 64)
}
