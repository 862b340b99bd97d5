package dictionary

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"sluice/codec"
)

func write(t *testing.T, content string) string {
	path := filepath.Join(t.TempDir(), "dictionary")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func TestFilesThatAreNoDictionaries(t *testing.T) {
	large := write(t, string(make([]byte, codec.DictionaryMax+1)))
	for path, want := range map[string]string{
		"/nowhere/x":  "no such file or directory",
		t.TempDir():   "not a regular file",
		"/dev/zero":   "not a regular file",
		write(t, ""):  "empty",
		large:         "larger than 65536 bytes",
		large + "/on": "not a directory",
	} {
		_, err := Open(path)
		require.EqualError(t, err, fmt.Sprintf("%q is no dictionary (%s): allowed the path of a file of 1 to 65536 bytes, as `sluice gendictionary` writes it", path, want))
		_, err = new(Store).Read([]File{{"some.key", "news", path}})
		require.ErrorContains(t, err, fmt.Sprintf("some.key: %q is no dictionary", path))
	}
}

// A dictionary that has not changed is the same one, so that streams from before and after a
// reload share what is made for them.
func TestWhatIsTheSameIsTheSameDictionary(t *testing.T) {
	var s Store
	one, two := write(t, "one"), write(t, "two")
	files := []File{{"a", "", one}, {"b", "news", one}, {"c", "ticks", two}}
	before, err := s.Read(files)
	require.NoError(t, err)
	require.Same(t, before.Of(""), before.Of("news"))
	require.NotSame(t, before.Of(""), before.Of("ticks"))
	require.Nil(t, before.Of("other"))
	s.Set(before)
	require.NoError(t, os.WriteFile(two, []byte("another"), 0o600))
	after, err := s.Read(files)
	require.NoError(t, err)
	require.Same(t, before.Of(""), after.Of(""))
	require.NotSame(t, before.Of("ticks"), after.Of("ticks"))
}

func ask(s *Store, p *Paths, method, path string, header ...string) *fasthttp.Response {
	var ctx fasthttp.RequestCtx
	ctx.Request.Header.SetMethod(method)
	ctx.Request.SetRequestURI(path)
	for i := 0; i < len(header); i += 2 {
		ctx.Request.Header.Set(header[i], header[i+1])
	}
	s.Handle(&ctx, p)
	return &ctx.Response
}

func TestDictionariesAreServed(t *testing.T) {
	var s Store
	p := &Paths{Prefix: "/connection/uni_sse/dictionary/", Match: "/connection/uni_sse"}
	require.Equal(t, 404, ask(&s, p, "GET", p.Prefix).StatusCode())
	table, err := s.Read([]File{{"b", "news", write(t, "content")}})
	require.NoError(t, err)
	s.Set(table)
	hash := sha256.Sum256([]byte("content"))
	name := hex.EncodeToString(hash[:8])
	for _, method := range []string{"GET", "HEAD"} {
		r := ask(&s, p, method, p.Prefix+name)
		require.Equal(t, 200, r.StatusCode())
		require.Equal(t, "content", string(r.Body()))
		for field, want := range map[string]string{
			"Use-As-Dictionary": `match="/connection/uni_sse*"`, "Cache-Control": "public, max-age=604800, immutable",
			"Access-Control-Allow-Origin": "*", "ETag": `"` + name + `"`, "Content-Type": "application/octet-stream",
		} {
			require.Equal(t, want, string(r.Header.Peek(field)), field)
		}
	}
	r := ask(&s, p, "GET", p.Prefix+name, "If-None-Match", `"x", W/"`+name+`"`)
	require.Equal(t, 304, r.StatusCode())
	require.Empty(t, r.Body())
	require.NotEmpty(t, r.Header.Peek("Use-As-Dictionary"))

	r = ask(&s, p, "GET", p.Prefix+"news")
	require.Equal(t, 307, r.StatusCode())
	require.Equal(t, p.Prefix+name, string(r.Header.Peek("Location")))
	require.Equal(t, "public, max-age=60", string(r.Header.Peek("Cache-Control")))

	for _, path := range []string{p.Prefix, p.Prefix + "other", p.Prefix + name[:15], p.Prefix + name + "0", p.Prefix + "%00", p.Prefix + "news/x"} {
		r := ask(&s, p, "GET", path)
		require.Equal(t, 404, r.StatusCode(), path)
		require.Equal(t, "no-store", string(r.Header.Peek("Cache-Control")))
	}
	r = ask(&s, p, "POST", p.Prefix+name)
	require.Equal(t, 405, r.StatusCode())
	require.Equal(t, "GET, HEAD", string(r.Header.Peek("Allow")))
}

func TestAPathIsAPatternOfItself(t *testing.T) {
	require.Equal(t, `"/a\\:b\\*\\(\"c\\)-d.e"`, quote(escape(`/a:b*("c)-d.e`)))
	require.False(t, bytes.ContainsAny([]byte(escape("/connection/uni_sse")), `\`))
}
