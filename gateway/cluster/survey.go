package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// channelCost is what a channel costs in a survey beside its name, in bytes.
const channelCost = 48

// Channels returns the channels that have a subscriber on any node, with all of their
// clients, in no order; those that match a glob, all for "".
func (c *Cluster) Channels(ctx context.Context, pattern string) (found []Channel, silent []string, err error) {
	var here []Channel
	elsewhere := make(map[string]int)
	theirs := c.askReference(ctx, pattern)
	silent, err = c.ask(ctx, kindChannels, &query{pattern}, func(ctx context.Context) (err error) {
		here, err = c.opt.Local.Channels(ctx, pattern)
		return err
	}, func(_ string, a *answer) (size int, err error) {
		if len(a.Channels) == 0 {
			return 0, nil
		}
		var part map[string]int
		if err := json.Unmarshal(a.Channels, &part); err != nil {
			return 0, fmt.Errorf("cluster: an answer is no object of channels and counts: %w", err)
		}
		for name, n := range part {
			if _, ok := elsewhere[name]; !ok {
				size += len(name) + channelCost
			}
			elsewhere[name] += max(n, 0)
		}
		return size, nil
	})
	t := <-theirs
	silent = append(silent, t.silent...)
	if err = cmp.Or(err, t.err); err != nil {
		return nil, silent, err
	}
	return merge(merge(here, elsewhere), t.clients), silent, nil
}

// referenceChannels is what nodes of the reference answered to a survey.
type referenceChannels struct {
	clients map[string]int
	silent  []string
	err     error
}

// askReference surveys the nodes of the reference for channels, meanwhile.
func (c *Cluster) askReference(ctx context.Context, pattern string) <-chan referenceChannels {
	out := make(chan referenceChannels, 1)
	if c.mixed == nil || !c.started.Load() {
		out <- referenceChannels{}
		return out
	}
	go func() {
		t := referenceChannels{clients: make(map[string]int)}
		t.silent, t.err = c.mixed.askChannels(ctx, pattern, t.clients)
		out <- t
	}()
	return out
}

// merge adds what other nodes have to what this one has; elsewhere is used up.
func merge(here []Channel, elsewhere map[string]int) []Channel {
	for i := range here {
		if n, ok := elsewhere[here[i].Name]; ok {
			here[i].Clients += n
			delete(elsewhere, here[i].Name)
		}
	}
	for name, n := range elsewhere {
		here = append(here, Channel{name, n})
	}
	return here
}

// Nodes describes all nodes, this one first. One that does not answer is there by what
// it said of itself before.
func (c *Cluster) Nodes(ctx context.Context) (nodes []Info, silent []string, err error) {
	var me Info
	var others []Info
	answered := make(map[string]bool)
	known, _, _ := c.nodes.asked()
	silent, err = c.ask(ctx, kindInfo, nil, func(context.Context) error {
		me = c.opt.Local.Info()
		me.UID = c.opt.UID
		return nil
	}, func(from string, a *answer) (int, error) {
		if a.Info == nil {
			return 0, errors.New("cluster: an answer says nothing of its node")
		}
		a.Info.UID, a.Info.Name, a.Info.Version = from, plain(a.Info.Name, maxName), plain(a.Info.Version, maxName)
		others = append(others, *a.Info)
		answered[from] = true
		return 0, nil
	})
	for uid := range answered {
		delete(known, uid)
	}
	nodes = append(append([]Info{me}, others...), c.nodes.infos(known)...)
	if c.mixed != nil {
		theirs, _, _ := c.mixed.peers.asked()
		nodes = append(nodes, c.mixed.peers.infos(theirs)...)
	}
	return nodes, silent, err
}
