package check

import (
	"fmt"
	"slices"
	"strings"

	"sluice/gateway/config/schema"
)

func (v *checker) client() {
	c := &v.c.Client
	v.origins()
	if c.Insecure {
		v.warn("client.insecure", "true: everybody can connect and subscribe; for development only")
	}
	if c.QueuesMaxTotal < c.QueueMaxSize && v.sound("client.queues_max_total", "client.queue_max_size") {
		v.warn("client.queues_max_total", "%d is less than client.queue_max_size (%d), which then never counts", c.QueuesMaxTotal, c.QueueMaxSize)
	}
	v.userHeader()
	v.personal()
}

func (v *checker) personal() {
	p := &v.c.Client.SubscribeToUserPersonalChannel
	const section = "client.subscribe_to_user_personal_channel."
	if !p.Enabled || !v.sound(section+"personal_channel_namespace", section+"single_connection", schema.NamespacesKey) {
		return
	}
	o, key := &v.c.Channel.WithoutNamespace, "channel.without_namespace"
	if p.PersonalChannelNamespace != "" {
		i := slices.IndexFunc(v.c.Channel.Namespaces, func(n schema.Namespace) bool { return n.Name == p.PersonalChannelNamespace })
		if i < 0 {
			v.fail(section+"personal_channel_namespace", "%q is not among channel.namespaces: allowed %s, or empty for none",
				p.PersonalChannelNamespace, v.namespaceNames())
			return
		}
		o, key = &v.c.Channel.Namespaces[i].ChannelOptions, fmt.Sprintf("%s[%d]", schema.NamespacesKey, i)
	}
	if p.SingleConnection && !o.Presence && v.sound(key+".presence") {
		v.fail(section+"single_connection", "true needs presence in %s", key)
	}
}

func (v *checker) namespaceNames() string {
	if len(v.c.Channel.Namespaces) == 0 {
		return "the name of a namespace (there are none)"
	}
	names := make([]string, 0, len(v.c.Channel.Namespaces))
	for _, n := range v.c.Channel.Namespaces {
		names = append(names, fmt.Sprintf("%q", n.Name))
	}
	return strings.Join(names, ", ")
}
