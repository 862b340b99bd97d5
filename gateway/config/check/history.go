package check

import (
	"fmt"
	"time"

	"sluice/gateway/config/schema"
)

// This file compares what a namespace keeps with what clients that come back can have of it.

// namedOptions are the options of a namespace, or of none, with the key that they stand under.
type namedOptions struct {
	key     string
	options *schema.ChannelOptions
}

func (v *checker) namespaces() []namedOptions {
	ch := &v.c.Channel
	all := []namedOptions{{"channel.without_namespace", &ch.WithoutNamespace}}
	for i := range ch.Namespaces {
		all = append(all, namedOptions{fmt.Sprintf("%s[%d]", schema.NamespacesKey, i), &ch.Namespaces[i].ChannelOptions})
	}
	return all
}

func (v *checker) history(at string, o *schema.ChannelOptions) {
	away := v.c.UniSSE.Retry.Max
	if o.ForceRecovery {
		recovery, size, ttl := at+".force_recovery", at+".history_size", at+".history_ttl"
		const limit = "client.recovery_max_publication_limit"
		if most := v.c.Client.RecoveryMaxPublicationLimit; most > 0 && o.HistorySize > most && o.ForceRecoveryMode != "cache" {
			v.warn(size, "%d is more than %s (%d): who missed more than that recovers nothing; set that to as much, or this to less", o.HistorySize, limit, most).With(recovery, limit)
		}
		if o.HistoryTTL > 0 && o.HistoryTTL < away {
			v.warn(ttl, "%s is less than the longest of %s (%s): who comes back after that recovers nothing; set it to more", o.HistoryTTL, retry, away).With(recovery, retry)
		}
	}
	if !o.ForceRecovery && !o.ForcePositioning {
		return
	}
	key, ttl := at+".history_meta_ttl", o.HistoryMetaTTL
	if ttl == 0 {
		key, ttl = metaTTL, v.c.Channel.HistoryMetaTTL
	}
	if interval := checkInterval(&v.c.Client); ttl < interval {
		v.warn(key, "%s is less than the time between two checks of a position (%s, %s in steps of %s), which keep it alive in %s; set it to more",
			ttl, interval, checkDelay, presenceTime, at).With(checkDelay, retry, presenceTime)
	} else if o.ForceRecovery && ttl < away {
		v.warn(key, "%s is less than the longest of %s (%s): who comes back to %s after that is told of a gap; set it to more", ttl, retry, away, at).
			With(checkDelay, retry, presenceTime)
	}
}

// checkInterval is the longest time between two checks of a position: they happen at the first look at which one is due.
func checkInterval(c *schema.Client) time.Duration {
	look := c.PresenceUpdateInterval
	return (c.ChannelPositionCheckDelay + look - 1) / look * look
}
