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
	for _, o := range schema.AllOptions() {
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
