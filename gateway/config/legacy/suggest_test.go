package legacy

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config/schema"
)

// Every real name, cut behind one of its words or with a word more, leads back to itself.
func TestEveryNameIsFoundByItsParts(t *testing.T) {
	var keys []string
	for _, o := range schema.Options() {
		if !o.InObject {
			keys = append(keys, o.Key)
		}
	}
	n := 0
	for _, key := range keys {
		require.Equal(t, []string{key}, partOf(key+"_of_it", keys))
		for cut := key; ; n++ {
			i := strings.LastIndexAny(cut, "._")
			if i < 0 || cut[i] == '.' {
				break
			}
			cut = cut[:i]
			alike := 0
			for _, other := range keys {
				if strings.HasPrefix(other, cut+"_") && !strings.Contains(other[len(cut):], ".") {
					alike++
				}
			}
			if alike <= maxMeant {
				require.Contains(t, partOf(cut, keys), key, cut)
			}
		}
	}
	require.Greater(t, n, 100)
}

// What took the place of a name of version 3 or before is an option, and none of these names is one of versions 4 and 5.
func TestNamesBeforeVersion4(t *testing.T) {
	const inNamespace = "channel.namespaces[0]"
	for name, now := range olderChannel {
		alone, inside := SuggestKey("", name, schema.Root), SuggestKey(inNamespace, name, schema.ChannelSection())
		require.Contains(t, alone.Why, "a name of version 3")
		require.Equal(t, alone.Why, inside.Why)
		if now == "" {
			require.Empty(t, alone.Key+inside.Key)
			continue
		}
		require.NotNil(t, schema.ChannelSection().ByName[now], now)
		require.Equal(t, []string{schema.WithoutNamespace + now, inNamespace + "." + now}, []string{alone.Key, inside.Key})
		require.Nil(t, Targets(name), name)
	}
	for name, now := range older {
		require.Equal(t, now, SuggestKey("", name, schema.Root).Key)
		f := schema.FindOption(now)
		require.Equal(t, now != "", f != nil, now)
	}
}
