package node

import (
	"context"
	"reflect"
	"strings"
	"time"

	"sluice/gateway/api"
	"sluice/gateway/broker"
	"sluice/gateway/config"
	"sluice/gateway/console"
	"sluice/gateway/console/watch"
)

// newWatch returns what the console looks at.
func (node *Node) newWatch() *watch.Watch {
	return watch.New(watch.Options{
		UID: node.id.String(), Name: node.nodeName(), Version: Version, Began: node.began,
		Figures: node.metrics.Read, Hub: node.hub, Sessions: node.sessions, Cluster: node.cluster,
		Match: api.CompilePattern, Rules: node.watchedRules, Position: node.watchedPosition, Log: node.log,
	})
}

// inspected answers the console of another node.
func (node *Node) inspected(ctx context.Context, question []byte) ([]byte, error) {
	return node.watch.Answer(ctx, question)
}

// watchedRules returns the namespace of a channel, its options as a file has them, and
// whether it keeps history.
func (node *Node) watchedRules(ch string) (namespace string, rules map[string]any, history bool, err error) {
	o, err := node.rules.Load().Lookup(ch)
	if err != nil {
		return "", nil, false, err
	}
	c := &node.applied.Load().Channel
	of := &c.WithoutNamespace
	for i := range c.Namespaces {
		if c.Namespaces[i].Name == o.Name {
			of = &c.Namespaces[i].ChannelOptions
		}
	}
	return o.Name, optionsOf(of), o.HasHistory(), nil
}

// optionsOf returns options of channels by their names, as a file has them.
func optionsOf(o *config.ChannelOptions) map[string]any {
	all := make(map[string]any)
	for field, value := range reflect.ValueOf(*o).Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch v := value.Interface().(type) {
		case time.Duration:
			all[name] = v.String()
		case []string:
			all[name] = append([]string{}, v...)
		default:
			all[name] = v
		}
	}
	return all
}

// watchedPosition reads where a channel is.
func (node *Node) watchedPosition(ctx context.Context, ch string) (*console.Position, error) {
	o, err := node.rules.Load().Lookup(ch)
	if err != nil {
		return nil, err
	}
	_, top, err := broker.Read(ctx, node.broker, broker.HistoryQuery{Channel: ch, MetaTTL: o.HistoryMetaTTL})
	if err != nil {
		return nil, err
	}
	return &console.Position{Offset: top.Offset, Epoch: top.Epoch}, nil
}
