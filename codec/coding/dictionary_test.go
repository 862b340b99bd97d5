package coding

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// quote is a small event of JSON, as tickers send them.
func quote(r *rand.Rand, n int) []byte {
	at := 1764493214123 + 250*n
	return fmt.Appendf(nil, `data: {"channel":"ticks:us","pub":{"data":{"symbol":"SYM%c","bid":%.2f,"volume":%d,"time":%d},"offset":%d}}`+"\n",
		'A'+r.IntN(26), 500*r.Float64(), r.IntN(5e6), at, n)
}

func quotes(seed uint64, size int) (all []byte) {
	r := rand.New(rand.NewPCG(seed, 42))
	for n := 1; len(all) < size; n++ {
		all = append(all, quote(r, n)...)
	}
	return all[:size]
}

func newDictionary(t testing.TB, raw []byte) *Dictionary {
	t.Helper()
	d, err := NewDictionary(raw)
	require.NoError(t, err)
	return d
}

func TestADictionaryIsOfABoundedSize(t *testing.T) {
	_, err := NewDictionary(nil)
	require.EqualError(t, err, "a dictionary of 0 bytes: expected 1 to 65536")
	_, err = NewDictionary(make([]byte, DictionaryMax+1))
	require.EqualError(t, err, "a dictionary of 65537 bytes: expected 1 to 65536")
}

// Every event is there as soon as its bytes are, also between frames that know nothing of the
// dictionary, whatever the sizes of both.
func TestTextsReferToADictionary(t *testing.T) {
	for _, size := range []int{1, 7, 8, 9, 1000, 32 << 10, DictionaryMax - 1, DictionaryMax} {
		raw := quotes(1, size)
		d := newDictionary(t, raw)
		require.Equal(t, sha256.Sum256(raw), d.Hash())
		body, want := d.AppendHead(nil), []byte(nil)
		require.Len(t, body, 40)
		r := rand.New(rand.NewPCG(2, 2))
		all := texts()
		for n := range 3 * len(all) {
			text := all[n/3]
			switch n % 3 {
			case 0:
				body = d.AppendWhole(body, text)
			case 1:
				text = quote(r, n)
				body = Zstd.AppendEnd(d.AppendOpen(body, text), []byte("id: 1\n\n"))
				text = append(text, "id: 1\n\n"...)
			default:
				body = Zstd.AppendWhole(body, text, true)
			}
			body = Zstd.AppendEmpty(body, false)
			want = append(want, text...)
			if n%19 == 0 {
				got, _ := testkit.InflatedWith(t, raw, body)
				require.True(t, bytes.Equal(want, got), "%d: %d bytes, expected %d", n, len(got), len(want))
			}
		}
		got, whole := testkit.InflatedWith(t, raw, body)
		require.True(t, whole)
		require.True(t, bytes.Equal(want, got))
	}
}

// What stands nowhere but in the first bytes of the largest dictionary is within the window.
func TestAllOfADictionaryIsReferredTo(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	raw := make([]byte, DictionaryMax)
	for i := range raw {
		raw[i] = byte(r.Uint32())
	}
	d := newDictionary(t, raw)
	for _, at := range []int{0, DictionaryMax / 2, DictionaryMax - 1000} {
		body := d.AppendWhole(d.AppendHead(nil), raw[at:at+1000])
		require.Less(t, len(body), 100)
		got, _ := testkit.InflatedWith(t, raw, body)
		require.True(t, bytes.Equal(raw[at:at+1000], got))
	}
}

// The reference implementation reads it.
func TestTheZstdProgramReadsIt(t *testing.T) {
	program := testkit.NeedProgram(t, []string{"zstd"}, "apt-get install zstd")
	raw := quotes(1, 32<<10)
	d := newDictionary(t, raw)
	dir := t.TempDir()
	body, want := d.AppendHead(nil), []byte(nil)
	r := rand.New(rand.NewPCG(2, 2))
	for n := range 100 {
		text := quote(r, n)
		body = Zstd.AppendEnd(d.AppendOpen(body, text), []byte("\n"))
		want = append(append(want, text...), '\n')
	}
	require.Less(t, len(body), len(want)/2)
	for name, content := range map[string][]byte{"dictionary": raw, "body.zst": body} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
	cmd := exec.Command(program, "-dc", "-D", "dictionary", "body.zst")
	cmd.Dir = dir
	got, err := cmd.Output()
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got))
}

// However many ask at once, it has a bounded number of encoders, each of bounded memory.
func TestEncodersOfADictionaryAreFew(t *testing.T) {
	d := newDictionary(t, quotes(1, DictionaryMax))
	text := quotes(9, 300)
	want := d.AppendWhole(nil, text)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			for range 20 {
				if got := d.AppendWhole(nil, text); !bytes.Equal(want, got) {
					t.Error("another form of the same text")
				}
			}
		})
	}
	wg.Wait()
	runtime.ReadMemStats(&after)
	per := (after.TotalAlloc - before.TotalAlloc) >> 10
	t.Logf("%d KiB were allocated, of encoders at most %d at once", per, cap(d.places))
	require.LessOrEqual(t, cap(d.places), runtime.GOMAXPROCS(0))
	require.Empty(t, d.places)
}

func FuzzDictionary(f *testing.F) {
	f.Add([]byte("abcabcabc"), []byte(`{"a":1}`), []byte("abcabc"))
	f.Add([]byte{0x37, 0xa4, 0x30, 0xec, 1, 0, 0, 0}, bytes.Repeat([]byte{0}, 5000), []byte("x"))
	f.Fuzz(func(t *testing.T, raw, a, b []byte) {
		d, err := NewDictionary(raw)
		if err != nil {
			return
		}
		body := d.AppendHead(nil)
		body = Zstd.AppendEnd(d.AppendOpen(body, a), b)
		body = Zstd.AppendWhole(body, a, true)
		body = d.AppendWhole(body, b)
		got, whole := testkit.InflatedWith(t, raw, body)
		require.True(t, whole)
		require.True(t, bytes.Equal(bytes.Join([][]byte{a, b, a, b}, nil), got))
	})
}

func BenchmarkDictionary(b *testing.B) {
	d := newDictionary(b, quotes(1, 32<<10))
	text := quotes(9, 300)
	out := make([]byte, 0, 1000)
	b.ReportAllocs()
	for b.Loop() {
		out = d.AppendWhole(out[:0], text)
	}
}
