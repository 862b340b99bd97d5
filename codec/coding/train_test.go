package coding

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestATrainedDictionaryIsWhatTextsHaveInCommon(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	var texts [][]byte
	for n := range 300 {
		texts = append(texts, quote(r, n))
	}
	texts[7] = append([]byte("SECRET-OF-ONE-EVENT-ALONE"), texts[7]...)
	raw := Train(texts, 8<<10)
	require.Equal(t, raw, Train(texts, 8<<10))
	require.NotEmpty(t, raw)
	require.LessOrEqual(t, len(raw), 8<<10)
	require.NotContains(t, string(raw), "SECRET")
	require.Contains(t, string(raw), `"channel":"ticks:us"`)
	d, whole, small := newDictionary(t, raw), 0, 0
	for n := range 100 {
		text := quote(r, 1000+n)
		whole, small = whole+len(text), small+len(d.AppendWhole(nil, text))
	}
	t.Logf("%d bytes of dictionary: %d %% of events of %d bytes", len(raw), 100*small/whole, whole/100)
	require.Less(t, 100*small/whole, 60)
	require.Empty(t, Train(nil, 100))
	require.Empty(t, Train([][]byte{[]byte("alone"), bytes.Repeat([]byte("x"), 100)}, 100))
	require.LessOrEqual(t, len(Train(texts, 10)), 10)
}
