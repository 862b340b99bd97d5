package check

import (
	"fmt"
	"slices"
	"strings"

	"sluice/gateway/config/schema"
)

func (v *checker) client() {
	v.origins()
	if v.c.Client.Insecure {
		v.warn("client.insecure", "true: everybody can connect and subscribe; for development only")
	}
	v.compare(comparison{true, queuesTotal, less, queueSize, ", which then never counts", nil})
	v.userHeader()
	v.personal()
	for _, h := range v.c.Hooks() {
		if h.Proxy.Enabled {
			v.tls(h.Key+".http.tls", &h.Proxy.HTTP.TLS, false)
		}
	}
}

func (v *checker) personal() {
	p := &v.c.Client.SubscribeToUserPersonalChannel
	const section = "client.subscribe_to_user_personal_channel."
	const named, single = section + "personal_channel_namespace", section + "single_connection"
	if !p.Enabled {
		return
	}
	o, key := &v.c.Channel.WithoutNamespace, "channel.without_namespace"
	if p.PersonalChannelNamespace != "" {
		i := slices.IndexFunc(v.c.Channel.Namespaces, func(n schema.Namespace) bool { return n.Name == p.PersonalChannelNamespace })
		if i < 0 {
			v.Fail(named, "%q is not among channel.namespaces: allowed %s, or empty for none", p.PersonalChannelNamespace, v.namespaceNames()).
				With(single, schema.NamespacesKey)
			return
		}
		o, key = &v.c.Channel.Namespaces[i].ChannelOptions, fmt.Sprintf("%s[%d]", schema.NamespacesKey, i)
	}
	if p.SingleConnection && !o.Presence {
		v.Fail(single, "true needs presence in %s", key).With(named, key+".presence", schema.NamespacesKey)
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
