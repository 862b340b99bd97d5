package sse_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/channel"
	"sluice/gateway/session"
	"sluice/gateway/testkit"
)

// granted connects and returns the channels of the connect push, sorted.
func (n *node) granted(t *testing.T, tok string, requested ...string) []string {
	t.Helper()
	c := testkit.Connect(t, n.addr, testkit.ConnectOptions{Token: tok, Subs: subs(requested...)})
	defer c.Close()
	var got []string
	for ch := range c.ExpectConnect(t).Subs {
		got = append(got, ch)
	}
	slices.Sort(got)
	return got
}

func TestProtocol_5_1_NameAnatomy(t *testing.T) {
	n := newNode(t, func(s *settings) {
		s.channels.Namespaces = []channel.Namespace{
			open("open", channel.Options{}), {Name: "shut"}, {Name: "lim", Options: channel.Options{AllowUserLimitedChannels: true}},
		}
	})
	one := token(t, "1", nil)
	f := func(name, ch string, want bool) {
		t.Run(name, func(t *testing.T) {
			got := n.granted(t, one, ch)
			if want {
				require.Equal(t, []string{ch}, got)
			} else {
				require.Empty(t, got)
			}
		})
	}
	f("no_boundary", "news", true)
	f("namespace", "open:x", true)
	f("first_boundary_selects", "open:x:y", true)
	f("closed_namespace", "shut:x", false)
	f("nothing_before_the_boundary", ":x", true)
	f("nothing_behind_the_boundary", "open:", true)
	f("private", "$news", false)
	f("private_in_a_namespace", "$open:x", false)
	f("user_limited", "lim:x#1", true)
	f("user_limited_to_another", "lim:x#2", false)
	f("user_limited_to_several", "lim:x#2,1,3", true)
	f("the_last_hash_counts", "lim:x#1#2", false)
	f("no_hash_in_a_limited_only_namespace", "lim:x", false)
	f("hash_means_nothing_when_off", "open:x#2", true)
	f("length_is_not_limited_12_16", strings.Repeat("x", 300), true)
	f("spaces_and_slashes", "a b/c", true)
	f("quotes_and_angles", `a"<b>&\`, true)
	t.Run("unknown_namespace_of_a_private_name", func(t *testing.T) {
		n.refused(t, testkit.ConnectOptions{Token: one, Subs: subs("$nope:x")}, 3501, "bad request")
	})
	t.Run("empty_name_is_dropped", func(t *testing.T) {
		require.Equal(t, []string{"news"}, n.granted(t, one, "", "news"))
	})
	t.Run("separators_switched_off", func(t *testing.T) {
		n := newNode(t, func(s *settings) { s.channels.Separators = channel.Separators{} })
		require.Equal(t, []string{"$a", "a#2", "nope:x"}, n.granted(t, "", "$a", "nope:x", "a#2"))
	})
}

func TestProtocol_5_2_NameValidity(t *testing.T) {
	n := newNode(t, func(s *settings) {
		s.channels.Namespaces = []channel.Namespace{
			open("open", channel.Options{}), open("num", channel.Options{ChannelRegex: `^\d+$`}), open("any", channel.Options{ChannelRegex: "b"}),
		}
		s.channels.WithoutNamespace.ChannelRegex = "^n"
	})
	one := token(t, "1", map[string]any{"channels": []string{"num:token", "open:é"}})
	require.Equal(t, []string{"num:token", "open:é"}, n.granted(t, one), "not applied to token channels")
	anon := func(chs ...string) []string { return n.granted(t, "", chs...) }
	require.Equal(t, []string{"num:12"}, anon("num:12", "num:a", "num:"))
	require.Equal(t, []string{"any:abc"}, anon("any:abc", "any:acd"), "unanchored, without the namespace")
	require.Equal(t, []string{"news"}, anon("news", "xnews"), "the whole name without a namespace")
	require.Equal(t, []string{"any:bé"}, anon("any:bé"), "a regular expression replaces the ASCII rule")
	require.Equal(t, []string{"open:e"}, anon("open:e", "open:é"))
}

// Options of a namespace, for the table of permissions.
var (
	client     = channel.Options{AllowSubscribeForClient: true}
	both       = channel.Options{AllowSubscribeForClient: true, AllowSubscribeForAnonymous: true}
	anonOnly   = channel.Options{AllowSubscribeForAnonymous: true}
	limited    = channel.Options{AllowUserLimitedChannels: true}
	limitedToo = channel.Options{AllowSubscribeForClient: true, AllowSubscribeForAnonymous: true, AllowUserLimitedChannels: true}
	proxied    = channel.Options{AllowSubscribeForClient: true, AllowSubscribeForAnonymous: true, SubscribeProxyEnabled: true}
)

var permissions = map[string]struct {
	o        channel.Options
	user     string
	insecure bool
	name     string
	want     bool
}{
	"closed_user":                 {channel.Options{}, "1", false, "x", false},
	"closed_anonymous":            {channel.Options{}, "", false, "x", false},
	"client_user":                 {client, "1", false, "x", true},
	"client_anonymous":            {client, "", false, "x", false},
	"both_anonymous":              {both, "", false, "x", true},
	"anonymous_alone_is_useless":  {anonOnly, "", false, "x", false},
	"anonymous_alone_user":        {anonOnly, "1", false, "x", false},
	"limited_listed":              {limited, "1", false, "x#1", true},
	"limited_not_listed":          {limited, "1", false, "x#2", false},
	"limited_anonymous":           {limited, "", false, "x#", false},
	"limited_wins_over_allow":     {limitedToo, "1", false, "x#2", false},
	"limited_without_hash":        {limitedToo, "1", false, "x", true},
	"proxy_is_ignored":            {proxied, "1", false, "x", false},
	"private":                     {both, "1", false, "$x", false},
	"insecure_closed":             {channel.Options{}, "", true, "x", true},
	"insecure_user":               {channel.Options{}, "1", true, "x", true},
	"insecure_limited":            {limited, "1", true, "x#2", true},
	"insecure_private":            {both, "1", true, "$x", false},
	"insecure_invalid_name":       {both, "1", true, "é", false},
	"insecure_proxy_stays_closed": {proxied, "1", true, "x", false},
}

func TestProtocol_5_4_Permissions(t *testing.T) {
	for name, r := range permissions {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, func(s *settings) {
				s.channels.WithoutNamespace = r.o
				s.session.Insecure, s.sse.Insecure = r.insecure, r.insecure
			})
			tok := ""
			if r.user != "" {
				tok = token(t, r.user, nil)
			}
			require.Equal(t, r.want, len(n.granted(t, tok, r.name)) == 1)
		})
	}
}

func TestProtocol_5_4_WhatIsGranted(t *testing.T) {
	t.Run("the_example", func(t *testing.T) {
		n := newNode(t, func(s *settings) {
			s.channels.WithoutNamespace = limitedToo
			s.channels.Namespaces = []channel.Namespace{{Name: "onlyauth", Options: client}}
		})
		require.Equal(t, []string{"news", "onlyauth:x", "u#41,42", "u#42"},
			n.granted(t, token(t, "42", nil), "u#42", "u#41,42", "u#1", "onlyauth:x", "$p2", "news"))
	})
	t.Run("token_channels_need_no_permission", func(t *testing.T) {
		n := newNode(t, func(s *settings) {
			s.channels.WithoutNamespace = limited
			s.channels.Namespaces = []channel.Namespace{{Name: "shut"}}
		})
		require.Equal(t, []string{"$p", "shut:a", "x#9"},
			n.granted(t, token(t, "1", map[string]any{"channels": []string{"$p", "shut:a", "x#9", ""}})))
	})
	t.Run("subs_win_over_channels_12_15", func(t *testing.T) {
		n := newNode(t, nil)
		require.Equal(t, []string{"a"}, n.granted(t, token(t, "1", map[string]any{
			"channels": []string{"b"}, "subs": map[string]any{"a": map[string]any{}, "": map[string]any{}},
		})))
	})
	t.Run("token_options_win_over_connect_subs", func(t *testing.T) {
		n := newNode(t, kinds)
		first := n.publish(t, "rec:a", `1`)
		c := testkit.Connect(t, n.addr, testkit.ConnectOptions{
			Token: token(t, "1", map[string]any{"subs": map[string]any{"rec:a": map[string]any{"data": 7}}}),
			Subs:  recovering("rec:a", 0, first.Epoch),
		})
		sub := c.ExpectConnect(t).Subs["rec:a"]
		require.JSONEq(t, `7`, string(sub.Data))
		require.True(t, sub.Recovered)
		require.Len(t, sub.Publications, 1)
	})
}

func TestProtocol_4_4_Override(t *testing.T) {
	n := newNode(t, func(s *settings) {
		kinds(s)
		s.channels.Namespaces = append(s.channels.Namespaces,
			channel.Namespace{Name: "base", Options: history(channel.Options{Presence: true, JoinLeave: true, ForcePushJoinLeave: true, ForceRecovery: true})})
	})
	on, off := map[string]bool{"value": true}, map[string]bool{"value": false}
	f := func(name, ch string, override map[string]any, want string, events ...string) {
		t.Run(name, func(t *testing.T) {
			user := "u" + name
			c := testkit.Connect(t, n.addr, testkit.ConnectOptions{Token: token(t, user, map[string]any{
				"subs": map[string]any{ch: map[string]any{"override": override}},
			})})
			require.Contains(t, connectPush(t, c), `"subs":{"`+ch+`":`+want+`}`)
			for _, kind := range events {
				require.Equal(t, kind, c.Next(t).Kind)
			}
			n.publishWith(t, ch, `1`, withoutHistory)
			require.Equal(t, "pub", c.Next(t).Kind, "and no more events before")
		})
	}
	f("recovery_off", "base:1", map[string]any{"force_recovery": off}, `{}`, "join")
	f("positioning_on_recovery_off", "base:2", map[string]any{"force_recovery": off, "force_positioning": on},
		`{"epoch":"<epoch>","positioned":true}`, "join")
	f("recovery_on", "hist:3", map[string]any{"force_recovery": on}, `{"recoverable":true,"epoch":"<epoch>","positioned":true}`)
	f("join_leave_off", "base:4", map[string]any{"join_leave": off}, `{"recoverable":true,"epoch":"<epoch>","positioned":true}`)
	f("push_off", "base:5", map[string]any{"force_push_join_leave": off}, `{"recoverable":true,"epoch":"<epoch>","positioned":true}`)
	f("everything_on", "plain:6", map[string]any{"join_leave": on, "force_push_join_leave": on, "presence": on}, `{}`, "join")
	t.Run("presence", func(t *testing.T) {
		for ch, want := range map[string]int{"base:7": 0, "plain:8": 1} {
			override := on
			if want == 0 {
				override = off
			}
			c := testkit.Connect(t, n.addr, testkit.ConnectOptions{Token: token(t, "p", map[string]any{
				"subs": map[string]any{ch: map[string]any{"override": map[string]any{"presence": override}}},
			})})
			c.ExpectConnect(t)
			stats, err := n.presence.Stats(t.Context(), ch)
			require.NoError(t, err)
			require.Equal(t, want, stats.Clients, ch)
		}
	})
}

func TestProtocol_5_5_PersonalChannel(t *testing.T) {
	personal := func(namespace string, single bool) func(*settings) {
		return func(s *settings) {
			kinds(s)
			s.channels.Namespaces = append(s.channels.Namespaces,
				channel.Namespace{Name: "personal", Options: history(channel.Options{Presence: true, ForceRecovery: true})})
			s.session.Personal = session.Personal{Enabled: true, Namespace: namespace, SingleConnection: single}
		}
	}
	t.Run("without_namespace", func(t *testing.T) {
		n := newNode(t, personal("", false))
		require.Equal(t, []string{"#1"}, n.granted(t, token(t, "1", nil)))
		require.Empty(t, n.granted(t, ""), "not for anonymous users")
	})
	t.Run("in_a_namespace", func(t *testing.T) {
		n := newNode(t, personal("personal", false))
		require.Equal(t, []string{"news", "personal:#1"}, n.granted(t, token(t, "1", nil), "news"))
	})
	t.Run("replaces_the_token_subscription", func(t *testing.T) {
		n := newNode(t, personal("personal", false))
		c := testkit.Connect(t, n.addr, testkit.ConnectOptions{Token: token(t, "1", map[string]any{
			"subs": map[string]any{"personal:#1": map[string]any{"data": 7}},
		})})
		require.Empty(t, c.ExpectConnect(t).Subs["personal:#1"].Data)
	})
	t.Run("recovers_through_connect_subs", func(t *testing.T) {
		n := newNode(t, personal("personal", false))
		first := n.publish(t, "personal:#1", `"missed"`)
		c := testkit.Connect(t, n.addr, testkit.ConnectOptions{
			Token: token(t, "1", nil), Subs: recovering("personal:#1", 0, first.Epoch),
		})
		sub := c.ExpectConnect(t).Subs["personal:#1"]
		require.True(t, sub.Recovered)
		require.Len(t, sub.Publications, 1)
	})
	t.Run("counts_for_the_channel_limit", func(t *testing.T) {
		n := newNode(t, func(s *settings) { personal("", false)(s); s.session.ChannelLimit = 1 })
		n.refused(t, testkit.ConnectOptions{Token: token(t, "1", nil), Subs: subs("news")}, 3505, "channel limit")
	})
	t.Run("single_connection", func(t *testing.T) {
		n := newNode(t, personal("personal", true))
		one := testkit.ConnectOptions{Token: token(t, "1", nil)}
		a := testkit.Connect(t, n.addr, one)
		a.ExpectConnect(t)
		other := testkit.Connect(t, n.addr, testkit.ConnectOptions{Token: token(t, "2", nil)})
		other.ExpectConnect(t)
		b := testkit.Connect(t, n.addr, one)
		b.ExpectConnect(t)
		require.Equal(t, "connection limit", a.ExpectDisconnect(t, 3504).Reason)
		n.publish(t, "personal:#1", `1`)
		require.Equal(t, "pub", b.Next(t).Kind, "the new one stays")
		n.publish(t, "personal:#2", `1`)
		require.Equal(t, "pub", other.Next(t).Kind, "other users are not touched")
	})
}

func TestProtocol_5_6_Limits(t *testing.T) {
	t.Run("channel_limit_default_128", func(t *testing.T) {
		n := newNode(t, nil)
		var names []string
		for i := range 129 {
			names = append(names, fmt.Sprintf("c%03d", i))
		}
		require.Len(t, n.granted(t, "", names[:128]...), 128)
		n.refused(t, testkit.ConnectOptions{Method: "POST", Subs: subs(names...)}, 3505, "channel limit")
	})
	t.Run("channels_not_granted_do_not_count", func(t *testing.T) {
		n := newNode(t, func(s *settings) { s.session.ChannelLimit = 1 })
		require.Equal(t, []string{"a"}, n.granted(t, "", "a", "$b", "$c"))
	})
	t.Run("user_connection_limit", func(t *testing.T) {
		n := newNode(t, func(s *settings) { s.session.UserConnectionLimit = 2 })
		one := testkit.ConnectOptions{Token: token(t, "1", nil)}
		for range 2 {
			testkit.Connect(t, n.addr, one).ExpectConnect(t)
		}
		n.refused(t, one, 3504, "connection limit")
		testkit.Connect(t, n.addr, testkit.ConnectOptions{Token: token(t, "2", nil)}).ExpectConnect(t)
		for range 4 {
			n.subscribe(t, nil) // anonymous ones are not limited
		}
	})
}
