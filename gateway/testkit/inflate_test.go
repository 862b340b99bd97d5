package testkit_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

func TestInflate(t *testing.T) {
	var gz bytes.Buffer
	w := gzip.NewWriter(&gz)
	_, err := w.Write([]byte("some text"))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	enc, err := zstd.NewWriter(nil, zstd.WithWindowSize(64<<10))
	require.NoError(t, err)
	frame := enc.EncodeAll([]byte("some text"), nil)
	broken := bytes.Clone(gz.Bytes())
	broken[len(broken)-6]++
	for _, c := range []struct {
		name, coding string
		body         []byte
		want, err    string
	}{
		{"identity", "", []byte("some text"), "some text", ""},
		{"gzip", "gzip", gz.Bytes(), "some text", ""},
		{"zstd", "zstd", frame, "some text", ""},
		{"two frames", "zstd", bytes.Repeat(frame, 2), "some textsome text", ""},
		{"gzip without its trailer", "gzip", gz.Bytes()[:gz.Len()-8], "some text", "unexpected EOF"},
		{"gzip with half a trailer", "gzip", gz.Bytes()[:gz.Len()-3], "some text", "unexpected EOF"},
		{"gzip with another checksum", "gzip", broken, "some text", "invalid checksum"},
		{"two members", "gzip", bytes.Repeat(gz.Bytes(), 2), "some text", "behind the end"},
		{"nothing", "gzip", nil, "", "unexpected EOF"},
		{"half a frame", "zstd", frame[:len(frame)-2], "", "unexpected EOF"},
		{"another coding", "br", []byte("x"), "", `coding "br"`},
	} {
		text, err := io.ReadAll(testkit.Inflate(c.coding, bytes.NewReader(c.body)))
		require.Equal(t, c.want, string(text), c.name)
		if c.err == "" {
			require.NoError(t, err, c.name)
		} else {
			require.ErrorContains(t, err, c.err, c.name)
		}
	}
}
