package channel

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"sluice/codec"
)

func TestValidName(t *testing.T) {
	r := newRules(t, withNamespaces(
		Namespace{Name: "digits", Options: Options{ChannelRegex: `^[0-9]+$`}},
		Namespace{Name: "free", Options: Options{ChannelRegex: `x`}},
		Namespace{Name: "plain"},
	))
	f := func(ch string, want bool) {
		t.Helper()
		o, err := r.Lookup(ch)
		require.NoError(t, err)
		require.Equal(t, want, r.ValidName(ch, o), "%q", ch)
	}
	f("news", true)
	f("any ascii \x00\n~", true)
	f("größe", false)
	f("\xff", false)
	f("plain:ü", false)
	f("plain:u", true)
	f("digits:42", true) // the part after the boundary alone
	f("digits:4x", false)
	f("digits:", false)
	f("$digits:42", true)
	f("free:größe x", true) // unanchored, and not bound to ASCII
	f("free:y", false)

	r = newRules(t, func(c *Config) { c.WithoutNamespace.ChannelRegex = `^[$]?ch$` })
	f("ch", true) // the whole name, prefix included
	f("$ch", true)
	f("chx", false)
	f(":ch", true)
}

func TestPrivateAndUserLimitedNames(t *testing.T) {
	r := newRules(t, nil)
	require.True(t, r.IsPrivate("$x"))
	require.True(t, r.IsPrivate("$"))
	require.False(t, r.IsPrivate("x$"))
	require.False(t, r.IsPrivate(""))
	require.True(t, r.IsUserLimited("a#1"))
	require.True(t, r.IsUserLimited("#"))
	require.False(t, r.IsUserLimited("a"))

	off := newRules(t, func(c *Config) { c.Separators = Separators{} })
	require.False(t, off.IsPrivate("$x"))
	require.False(t, off.IsUserLimited("a#1"))
	require.False(t, off.UserAllowed("a#1", "1"))
}

func TestUserAllowedReadsTheListAfterTheLastBoundary(t *testing.T) {
	r := newRules(t, nil)
	f := func(ch, user string, want bool) {
		t.Helper()
		require.Equal(t, want, r.UserAllowed(ch, user), "%q in %q", user, ch)
	}
	f("u#42", "42", true)
	f("u#41,42", "42", true)
	f("u#41,42,43", "42", true)
	f("u#1", "42", false)
	f("u#421", "42", false)
	f("u#142", "42", false)
	f("u#1#42", "42", true)
	f("u#42#1", "42", false)
	f("u#42,1", "42,1", false)
	f("u#", "", false)
	f("u#1,,2", "", false)
	f("u", "", false)
	f("u", "u", false)
	f("u# 42", "42", false)
	f("ns:#42", "42", true)

	r = newRules(t, func(c *Config) { c.Separators.UserSeparator = "" })
	f("u#42", "42", true)
	f("u#42,1", "42", false)
	f("u#42,1", "42,1", true)
	f("u#42", "4", false)
}

func TestPersonalChannelNames(t *testing.T) {
	r := newRules(t, nil)
	require.Equal(t, "#42", r.Personal("", "42"))
	require.Equal(t, "personal:#42", r.Personal("personal", "42"))
}

// TestGrantRequested goes through PROTOCOL 5.4 line by line.
func TestGrantRequested(t *testing.T) {
	const (
		client  = 1 << iota // allow_subscribe_for_client
		anon                // allow_subscribe_for_anonymous
		limited             // allow_user_limited_channels
		proxied             // subscribe_proxy_enabled
	)
	options := func(flags int) Options {
		return Options{
			AllowSubscribeForClient:    flags&client != 0,
			AllowSubscribeForAnonymous: flags&anon != 0,
			AllowUserLimitedChannels:   flags&limited != 0,
			SubscribeProxyEnabled:      flags&proxied != 0,
		}
	}
	for _, c := range []struct {
		name     string
		flags    int
		ch, user string
		granted  bool
		insecure bool // granted with client.insecure
	}{
		{"closed namespace", 0, "ns:x", "42", false, true},
		{"open to clients", client, "ns:x", "42", true, true},
		{"open to clients, anonymous asks", client, "ns:x", "", false, true},
		{"open to anonymous", client | anon, "ns:x", "", true, true},
		{"open to anonymous alone is useless", anon, "ns:x", "", false, true},
		{"open to anonymous alone is useless to users too", anon, "ns:x", "42", false, true},
		{"private", client | anon | limited, "$ns:x", "42", false, false},
		{"private and listed", client | anon | limited, "$ns:x#42", "42", false, false},
		{"name not valid", client | anon | limited, "ns:ü", "42", false, false},
		{"subscribe proxy", client | anon | limited | proxied, "ns:x", "42", false, false},
		{"listed", limited, "ns:x#42", "42", true, true},
		{"listed among others", limited, "ns:x#41,42", "42", true, true},
		{"listed, subscribe proxy", limited | proxied, "ns:x#42", "42", false, false},
		{"not listed", limited, "ns:x#1", "42", false, true},
		{"not listed, open to clients", client | anon | limited, "ns:x#1", "42", false, true},
		{"empty list, anonymous asks", client | anon | limited, "ns:x#", "", false, true},
		{"mark without meaning", client, "ns:x#1", "42", true, true},
		{"mark without meaning, closed", 0, "ns:x#42", "42", false, true},
		{"no mark, limited namespace", limited, "ns:x", "42", false, true},
		{"personal channel of oneself", limited, "ns:#42", "42", true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRules(t, withNamespaces(Namespace{Name: "ns", Options: options(c.flags)}))
			for _, insecure := range []bool{false, true} {
				o, granted, err := r.GrantRequested(c.ch, c.user, insecure)
				require.NoError(t, err)
				require.Equal(t, "ns", o.Name)
				want := c.granted
				if insecure {
					want = c.insecure
				}
				require.Equal(t, want, granted, "insecure %v", insecure)
			}
		})
	}
}

func TestGrantRequestedExampleOfTheProtocol(t *testing.T) {
	all := Options{AllowSubscribeForClient: true, AllowSubscribeForAnonymous: true, AllowUserLimitedChannels: true}
	r := newRules(t, func(c *Config) {
		c.WithoutNamespace = all
		c.Namespaces = []Namespace{{Name: "onlyauth", Options: Options{AllowSubscribeForClient: true}}}
	})
	var got []string
	for _, ch := range []string{"u#42", "u#41,42", "u#1", "onlyauth:x", "$p2", "news", ""} {
		_, granted, err := r.GrantRequested(ch, "42", false)
		require.NoError(t, err)
		if granted {
			got = append(got, ch)
		}
	}
	require.Equal(t, []string{"u#42", "u#41,42", "onlyauth:x", "news"}, got)
}

func TestGrantRequestedOfUnknownNamespaceRefusesTheConnect(t *testing.T) {
	r := newRules(t, nil)
	for _, insecure := range []bool{false, true} {
		o, granted, err := r.GrantRequested("nope:x", "42", insecure)
		require.Nil(t, o)
		require.False(t, granted)
		require.Same(t, codec.DisconnectBadRequest, err)
	}
}

func TestNamesHaveALimitForClientsAndOneForAll(t *testing.T) {
	f := func(asked, all, length int, granted, found bool) {
		t.Helper()
		r := newRules(t, func(c *Config) {
			c.WithoutNamespace.AllowSubscribeForClient = true
			c.MaxLength, c.ServerMaxLength = asked, all
		})
		ch := strings.Repeat("x", length)
		_, got, err := r.GrantRequested(ch, "42", false)
		require.NoError(t, err)
		require.Equal(t, granted, got)
		_, got, err = r.GrantRequested(ch, "42", true)
		require.NoError(t, err)
		require.Equal(t, granted, got, "client.insecure does not make it shorter")
		o, err := r.Lookup(ch)
		if found {
			require.NoError(t, err)
			return
		}
		require.Nil(t, o)
		require.Equal(t, &TooLongError{length, all}, err)
		require.ErrorIs(t, err, codec.ErrBadRequest)
	}
	f(255, 8192, 255, true, true)
	f(255, 8192, 256, false, true)
	f(255, 8192, 5000, false, true) // PROTOCOL 7.3
	f(255, 8192, 8192, false, true)
	f(255, 8192, 8193, false, false)
	f(0, 0, 100_000, true, true)
	f(0, 100, 101, false, false)
	f(255, 100, 101, false, false)
}

// FuzzNames checks the rules of names against a second, plainer reading of
// PROTOCOL 5.1 and 5.4.
func FuzzNames(f *testing.F) {
	for _, seed := range [][2]string{
		{"ns:x", "42"}, {"$ns:x", ""}, {"u#1,42", "42"}, {"u#42#1", "1"}, {":x", "x"}, {"no:x", "1"}, {"ns:#ü", "ü"}, {"$", "$"}, {"#", ""},
	} {
		f.Add(seed[0], seed[1])
	}
	open := Options{AllowSubscribeForClient: true, AllowUserLimitedChannels: true}
	r := newRules(f, func(c *Config) {
		c.WithoutNamespace = open
		c.Namespaces = []Namespace{{Name: "ns", Options: open}}
	})
	f.Fuzz(func(t *testing.T, ch, user string) {
		name, _, hasBoundary := strings.Cut(strings.TrimPrefix(ch, "$"), ":")
		known := !hasBoundary || name == "" || name == "ns"
		o, granted, err := r.GrantRequested(ch, user, false)
		require.Equal(t, known, err == nil)
		if !known {
			return
		}
		require.Equal(t, hasBoundary && name == "ns", o.Name == "ns")
		ascii := utf8.RuneCountInString(ch) == len(ch) && !strings.ContainsFunc(ch, func(c rune) bool { return c >= 0x80 })
		require.Equal(t, ascii, r.ValidName(ch, o))
		parts := strings.Split(ch, "#")
		mine := len(parts) == 1
		for _, id := range strings.Split(parts[len(parts)-1], ",") {
			mine = mine || id == user
		}
		require.Equal(t, ch != "" && len(ch) <= DefaultMaxLength && ascii && ch[0] != '$' && user != "" && mine, granted, "%q for %q", ch, user)
	})
}

func TestBroadcastIsForChannelsThatEverybodyMayHave(t *testing.T) {
	on := Options{Broadcast: true, HistorySize: 1, HistoryTTL: time.Minute}
	r, err := NewRules(Config{
		Separators: DefaultSeparators(), MaxLength: 20, ServerMaxLength: 100,
		WithoutNamespace: Options{HistorySize: 1, HistoryTTL: time.Minute},
		Namespaces:       []Namespace{{Name: "live", Options: on}},
	})
	require.NoError(t, err)
	for ch, want := range map[string]bool{
		"live:a": true, "live:": true, "live:a/b?c d": true, "live:ü": true, "live:12345678901234567890": false,
		"a": false, "": false, "none:a": false, "$live:a": false, "live:a#1": false, "live:\x00": false, "live:\n": false,
		"live:\u0085": false, "live:\xff": false, "live:\x7f": false,
	} {
		o, ok := r.Broadcast(ch)
		require.Equal(t, want, ok, "%q", ch)
		require.Equal(t, ch == "none:a", o == nil, "%q", ch)
	}
}
