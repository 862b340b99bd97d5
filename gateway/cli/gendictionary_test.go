package cli

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whoever trains a dictionary is told which of the flags is wrong.
func TestADictionaryIsTrainedFromAnAPI(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/api/history":
			w.WriteHeader(http.StatusNotFound)
		case r.Header.Get("X-API-Key") != "right":
			w.WriteHeader(http.StatusUnauthorized)
		default:
			_, _ = w.Write([]byte(`{"result":{"publications":[]}}`))
		}
	}))
	defer api.Close()
	file := func(key string) string {
		name := filepath.Join(t.TempDir(), "key")
		require.NoError(t, os.WriteFile(name, []byte(key+"\n"), 0o600))
		return name
	}
	right, wrong := file("right"), file("wrong")
	f := func(want, url, key string) {
		t.Helper()
		out, errs, code := command("gendictionary", "--api", url, "--key-file", key, "--channel", "ticks")
		require.Equal(t, 1, code)
		require.Empty(t, out)
		require.Contains(t, errs, want)
	}
	f("expected --api, --key-file and --channel", "", right)
	f("--api \"localhost:8000/api\": expected a URL such as http://localhost:8000/api", "localhost:8000/api", right)
	f("expected a URL such as", "http:///api", right)
	f("--key-file: open", api.URL+"/api", filepath.Join(t.TempDir(), "none"))
	f("expected its URL, with its path, as --api", api.URL, right)
	f("expected http_api.key of the node in the file of --key-file", api.URL+"/api", wrong)
	f("0 events have nothing in common", api.URL+"/api", right)
}
