package node

import (
	"context"
	"fmt"
	"reflect"

	"sluice/gateway/advice"
	brokerjetstream "sluice/gateway/broker/jetstream"
	brokernats "sluice/gateway/broker/nats"
	"sluice/gateway/config"
	"sluice/gateway/metrics"
	"sluice/gateway/nats"
	presencenats "sluice/gateway/presence/nats"
)

// openNATS is the connections to NATS, and the options that they were made of.
type openNATS struct {
	section string // of the configuration, of the first half that has them
	options natsAt
	*nats.NATS
}

// natsAt is what decides which connections a half has.
type natsAt struct {
	nats.Options
	tls config.TLS
}

// openNATS connects to the servers of a half of the engine. Both have the same connections where
// their options are the same.
func (node *Node) openNATS(half config.Half) (*nats.NATS, error) {
	at := natsAt{natsSettings(half.NATS), half.NATS.TLS}
	for _, open := range node.nats {
		if reflect.DeepEqual(open.options, at) {
			return open.NATS, nil
		}
	}
	opt := at.Options
	var err error
	if opt.TLS, err = clientTLS(&half.NATS.TLS); err != nil {
		return nil, fmt.Errorf("gateway: %s.nats.tls.%w", half.Section, err)
	}
	opt.Node, opt.Log = node.id.String(), node.log
	conns, err := nats.Open(opt)
	if err != nil {
		return nil, fmt.Errorf("gateway: %s.nats: %w", half.Section, err)
	}
	node.nats = append(node.nats, openNATS{half.Section, at, conns})
	node.log.Info("nats: this node is one of those with this prefix here", "section", half.Section, "prefix", half.NATS.Prefix)
	if err := conns.Calls().Ready(); nats.ReasonOf(err) == nats.ReasonAuth {
		return nil, refusedBy(half, err)
	}
	return conns, nil
}

// natsSettings are the options of connections to NATS that are settings, but for TLS.
func natsSettings(n *config.NATS) nats.Options {
	return nats.Options{
		URL: n.URL, Prefix: n.Prefix, DialTimeout: n.DialTimeout, WriteTimeout: n.WriteTimeout, CredentialsFile: n.CredentialsFile, NKeySeedFile: n.NKeySeedFile,
		Domain: n.JetStream.Domain,
	}
}

// newNATSBroker makes the engine on NATS. The error says which option the servers refuse, as far as
// they answer.
func (node *Node) newNATSBroker(half config.Half) error {
	conns, err := node.openNATS(half)
	if err != nil {
		return err
	}
	n := half.NATS
	if !n.JetStream.Enabled {
		node.broker = brokernats.New(brokernats.Options{
			NATS: conns, Wildcards: n.AllowWildcards, Raw: brokernats.Raw{Enabled: n.RawMode.Enabled, Prefix: n.RawMode.Prefix, Replacements: n.RawMode.ChannelReplacements},
			Wait: node.cfg.HTTPAPI.PublishWait, ProbeEvery: n.ProbeInterval, Binary: node.isBinary, JSON: node.jsonLimits(), Log: node.log,
		})
		return nil
	}
	js := &n.JetStream
	engine, err := brokerjetstream.New(brokerjetstream.Options{
		NATS: conns, Node: node.id.String(), Shards: js.Shards, Replicas: js.Replicas, Memory: js.Storage == "memory", MaxBytes: int64(js.MaxBytes),
		HistorySize: node.longestHistory(), Wait: node.cfg.HTTPAPI.PublishWait, ProbeEvery: n.ProbeInterval,
		Binary: node.isBinary, JSON: node.jsonLimits(), Log: node.log,
	})
	if err != nil {
		return fmt.Errorf("gateway: %s.nats: %w", half.Section, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*n.DialTimeout)
	defer cancel()
	if err := engine.Check(ctx); err != nil {
		return refusedBy(half, err)
	}
	node.broker = engine
	return nil
}

// refusedBy is what the servers of a half refuse, with what to do about it if that is known.
func refusedBy(half config.Half, err error) error {
	if remedy := advice.Remedy(err, ""); remedy != "" {
		return fmt.Errorf("gateway: %s.nats: %w: %s", half.Section, err, remedy)
	}
	return fmt.Errorf("gateway: %s.nats: %w", half.Section, err)
}

// longestHistory is the largest history_size of a namespace.
func (node *Node) longestHistory() (size int) {
	ch := &node.cfg.Channel
	size = ch.WithoutNamespace.HistorySize
	for i := range ch.Namespaces {
		size = max(size, ch.Namespaces[i].HistorySize)
	}
	return size
}

func (node *Node) newNATSPresence(half config.Half) error {
	conns, err := node.openNATS(half)
	if err != nil {
		return err
	}
	manager, err := presencenats.New(conns, presencenats.Options{TTL: half.NATS.PresenceTTL, Replicas: half.NATS.JetStream.Replicas, JSON: node.jsonLimits(), Log: node.log})
	if err != nil {
		return fmt.Errorf("gateway: %s.nats: %w", half.Section, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*half.NATS.DialTimeout)
	defer cancel()
	if err := manager.Check(ctx); err != nil {
		return refusedBy(half, err)
	}
	node.presence, node.presenceReady = manager, manager.Ready
	node.places = manager.Places()
	return nil
}

// addNATS adds what the halves of the engine count that are on NATS.
func (c counters) addNATS(to *metrics.Engine) {
	for _, open := range c.node.nats {
		st := open.NATS.Stats()
		st.Calls.Errors = withUsual(st.Calls.Errors)
		to.NATS = append(to.NATS, metrics.NATS{Use: open.section, Stats: st})
	}
	switch engine := c.node.broker.(type) {
	case *brokernats.Engine:
		addCore(to, engine.Stats())
	case *brokerjetstream.Engine:
		addJetStream(to, engine.Stats())
	}
	if m, ok := c.node.presence.(*presencenats.Manager); ok {
		st := m.Counters()
		to.Presence = map[string]uint64{"changed": st.Changes, "commands": st.Commands, "failed": st.Failed, "skipped": st.Skipped}
		to.Places = map[string]uint64{
			"reserved": st.Places.Reserved, "refused": st.Places.Refused, "claimed": st.Places.Claims, "changed": st.Places.Changes, "failed": st.Places.Failed,
		}
	}
}

// natsShard is the shard in metrics of what NATS delivers.
const natsShard = "nats"

func addCore(to *metrics.Engine, st brokernats.Stats) {
	to.Calls, to.Errors = byName(st.Calls), withUsual(st.Errors)
	to.Shards = append(to.Shards, metrics.EngineShard{
		Name: natsShard, Ready: st.Ready, Channels: st.Channels, ProbeAge: st.ProbeAge, Lost: st.Lost, Failed: st.Failed, Skipped: skipped(st.Skipped, st.Parts),
		Odd: map[string]uint64{"unknown": st.Unknown, "dropped": st.Dropped},
	})
}

func addJetStream(to *metrics.Engine, st brokerjetstream.Stats) {
	to.Calls, to.Errors = byName(st.Calls), withUsual(st.Errors)
	ready := true
	for _, s := range st.Shards {
		to.Shards = append(to.Shards, metrics.EngineShard{Name: s.Name, Ready: s.Ready, ProbeAge: s.ProbeAge})
		ready = ready && s.Ready
	}
	one := followed(&st.Stats)
	one.Name, one.Ready, one.ProbeAge, one.Lost, one.Failed, one.Skipped = natsShard, ready, -1, st.Lost, st.Failed, skipped(st.Skipped, st.Parts)
	one.Odd["dropped"], one.Odd["doubted"], one.Odd["leader"], one.Odd["conflict"], one.Odd["read_again"] = st.NoRoom, st.Doubts, st.Leaders, st.Conflicts, st.ReadsAgain
	to.Shards = append(to.Shards, one)
}
