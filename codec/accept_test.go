package codec_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
)

var both = []codec.Coding{codec.CodingZstd, codec.CodingGzip}

func TestAcceptedCoding(t *testing.T) {
	id, gz, zs := codec.CodingIdentity, codec.CodingGzip, codec.CodingZstd
	for _, c := range []struct {
		lines string // separated by |
		want  codec.Coding
	}{
		{"", id},
		{" ", id},
		{"gzip", gz},
		{"GZip", gz},
		{"x-gzip", gz},
		{"gzip, deflate, br, zstd", zs}, // Chromium
		{"deflate, gzip, br", gz},
		{"br, deflate", id},
		{"gzip|zstd", zs},
		{"br|deflate, gzip|", gz},
		{"gzip;q=1.0, zstd;q=0.999", gz},
		{"gzip; q=0.5, zstd ;q=0.5", zs},
		{"gzip;Q=0.001", gz},
		{"gzip;q=0", id},
		{"gzip;q=0.000", id},
		{"gzip;q=0, *", zs},
		{"zstd;q=0, *", gz},
		{"*", zs},
		{"*;q=0", id},
		{"*;q=0, gzip", gz},
		{"identity", id},
		{"identity, gzip", gz}, // as welcome, and ours to choose
		{"identity;q=0", id},   // nothing else is left
		{"identity;q=0, gzip", gz},
		{"identity;q=0, *;q=0", id},
		{"gzip;q=0.5, identity", id},
		{"gzip;q=0.5, identity;q=0.4", gz},
		{"gzip;q=0.5, *;q=0.7", zs},
		{"gzip;q=0.5, zstd;q=0.5, *;q=0.7", id},
		{"gzip;q=0.5, gzip;q=0", id},
		{"gzip, gzip;q=0, zstd;q=0.1", zs},
		{",,gzip,,", gz},
		{"\tgzip\t;\tq=1\t", gz},
		// No weights, so not wanted.
		{"gzip;q=2", id},
		{"gzip;q=1.001", id},
		{"gzip;q=0.1234", id},
		{"gzip;q=-1", id},
		{"gzip;q=.5", id},
		{"gzip;q=0,5", id},
		{"gzip;q", id},
		{"gzip;q=", id},
		{"gzip;level=1", id},
		{"gzip;q=1;q=1", id},
		{"gzip q=1", id},
		{"gz\x00ip", id},
		{"gzip" + strings.Repeat(",br", 300), gz},
		{"gzip" + strings.Repeat(",br", 400), id},
		{strings.Repeat("gzip|", 300), id},
	} {
		require.Equal(t, c.want, codec.AcceptedCoding(both, split(c.lines)), "%q", c.lines)
	}
}

func TestAcceptedCodingIsOfThoseOffered(t *testing.T) {
	lines := split("zstd, gzip, *")
	require.Equal(t, codec.CodingIdentity, codec.AcceptedCoding(nil, lines))
	require.Equal(t, codec.CodingGzip, codec.AcceptedCoding([]codec.Coding{codec.CodingGzip}, lines))
	require.Equal(t, codec.CodingGzip, codec.AcceptedCoding([]codec.Coding{codec.CodingGzip, codec.CodingZstd}, lines))
	require.Equal(t, codec.CodingIdentity, codec.AcceptedCoding(both, nil))
	require.Zero(t, testing.AllocsPerRun(100, func() { codec.AcceptedCoding(both, lines) }))
}

// Whatever a client sends: what it is given was offered, and it has not refused it.
func FuzzAcceptedCoding(f *testing.F) {
	for _, s := range []string{"gzip, deflate, br, zstd", "gzip;q=0|*;q=0.5", "identity;q=0", "gzip;q=0.5, *", ";;,q=;=", "gzip;q=1.000"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		lines := split(text)
		c := codec.AcceptedCoding(both, lines)
		switch c {
		case codec.CodingIdentity:
		case codec.CodingGzip, codec.CodingZstd:
			lower := strings.ToLower(text)
			if !strings.Contains(lower, c.String()) && !strings.Contains(lower, "*") {
				t.Fatalf("%q: %v, which nobody asked for", text, c)
			}
			if refused := append(split(text), []byte(c.String()+";q=0")); len(text) < 900 && codec.AcceptedCoding(both, refused) == c {
				t.Fatalf("%q: %v although it is refused", text, c)
			}
		default:
			t.Fatalf("%q: %v was not offered", text, c)
		}
	})
}

func split(lines string) (out [][]byte) {
	for _, line := range strings.Split(lines, "|") {
		out = append(out, []byte(line))
	}
	return out
}
