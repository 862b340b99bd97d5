package reqid

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
)

func TestOnlyFitIDsAreTakenOver(t *testing.T) {
	f := func(sent string, fit bool) {
		t.Helper()
		var h fasthttp.RequestHeader
		h.Set(Header, sent)
		var id ID
		id.Take(&h)
		require.Equal(t, fit, id.Known() == sent && sent != "", "%q", sent)
		require.Equal(t, fit, id.String() == sent, "%q", sent)
		require.True(t, Fit([]byte(id.String())), "what is made is fit")
	}
	f("a", true)
	f("Az09._-", true)
	f(strings.Repeat("x", MaxLen), true)
	f(strings.Repeat("x", MaxLen+1), false)
	f("", false)
	for _, ch := range " \t\"'\\<>;,:=%/+@{}~\x00\x7f\u00e9" {
		f("a"+string(ch)+"b", false)
	}
}

func TestAnIDIsMadeOnceAndWhenItIsRead(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	var id ID
	var h fasthttp.ResponseHeader
	log.Debug("not written", "request", &id)
	id.Echo(&h)
	require.Empty(t, id.Known())
	require.Empty(t, h.Peek(Header))

	log.Info("written", "request", &id)
	require.NotEmpty(t, id.Known())
	require.Contains(t, out.String(), "request="+id.Known())
	id.Echo(&h)
	require.Equal(t, id.Known(), string(h.Peek(Header)))
}

func TestReadersOfAnIDReadTheSame(t *testing.T) {
	var id ID
	texts := make([]string, 16)
	var readers sync.WaitGroup
	for i := range texts {
		readers.Go(func() { texts[i] = id.String() })
	}
	readers.Wait()
	for _, text := range texts {
		require.Equal(t, id.Known(), text)
	}
	var other ID
	require.NotEqual(t, id.String(), other.String())
}
