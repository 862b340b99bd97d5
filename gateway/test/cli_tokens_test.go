package test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"sluice/gateway/cli"
	"sluice/gateway/testkit"
)

const cliSecret = "the secret of the command line"

// command runs the command line and returns what it said.
func command(args ...string) (stdout, stderr string, code int) {
	var out, err bytes.Buffer
	code = cli.Main(args, &out, &err)
	return out.String(), err.String(), code
}

func configFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.json")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// requireLog: the standard error holds log lines only.
func requireLog(t *testing.T, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		require.True(t, json.Valid([]byte(line)), "%q", line)
		require.NotContains(t, line, cliSecret)
	}
}

func hmacConfig(t *testing.T, more string) string {
	t.Helper()
	return configFile(t, fmt.Sprintf(`{"client":{"token":{"hmac_secret_key":%q%s}},"channel":{"namespaces":[{"name":"chat"}]}}`, cliSecret, more))
}

// claimsOf checks the signature of a token and returns its claims as written.
func claimsOf(t *testing.T, token string) string {
	t.Helper()
	parsed, err := jwt.Parse(token, func(*jwt.Token) (any, error) { return []byte(cliSecret), nil },
		jwt.WithValidMethods([]string{"HS256"}), jwt.WithoutClaimsValidation())
	require.NoError(t, err)
	require.Equal(t, map[string]any{"alg": "HS256", "typ": "JWT"}, parsed.Header)
	text, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	require.NoError(t, err)
	return string(text)
}

func TestGentoken(t *testing.T) {
	path := hmacConfig(t, "")
	f := func(sentence, claims string, args ...string) {
		t.Helper()
		now := time.Now().Unix()
		out, errs, code := command(append([]string{"gentoken", "-c", path}, args...)...)
		require.Equal(t, 0, code)
		requireLog(t, errs)
		first, token, _ := strings.Cut(out, "\n")
		require.Equal(t, sentence, first)
		require.True(t, strings.HasSuffix(token, "\n"))
		got := claimsOf(t, strings.TrimSuffix(token, "\n"))
		require.Regexp(t, "^"+claims+"$", got)
		var times struct{ Exp, Iat int64 }
		require.NoError(t, json.Unmarshal([]byte(got), &times))
		require.GreaterOrEqual(t, times.Iat, now)
		require.LessOrEqual(t, times.Iat, time.Now().Unix())
	}
	f(`HMAC SHA-256 JWT for user "42" with expiration TTL 168h0m0s:`, `{"sub":"42","exp":\d+,"iat":\d+}`, "-u", "42")
	f(`HMAC SHA-256 JWT for user "42" with expiration TTL 1m0s:`, `{"sub":"42","exp":\d+,"iat":\d+}`, "--user", "42", "--ttl", "60")
	f(`HMAC SHA-256 JWT for user "42" without expiration:`, `{"sub":"42","iat":\d+}`, "-u", "42", "-t", "-1")
	f(`HMAC SHA-256 JWT for user "42" with expiration TTL 0s:`, `{"sub":"42","iat":\d+}`, "-u", "42", "-t", "0")
	f(`HMAC SHA-256 JWT for anonymous user with expiration TTL 168h0m0s:`, `{"exp":\d+,"iat":\d+}`)
	path = hmacConfig(t, `,"user_id_claim":"uid"`)
	f(`HMAC SHA-256 JWT for user "a"b" with expiration TTL 168h0m0s:`, `{"sub":"a\\"b","exp":\d+,"iat":\d+,"uid":"a\\"b"}`, "-u", `a"b`)
	path = hmacConfig(t, `,"user_id_claim":"sub"`)
	f(`HMAC SHA-256 JWT for user "7" with expiration TTL 168h0m0s:`, `{"sub":"7","exp":\d+,"iat":\d+}`, "-u", "7")

	out, _, code := command("gentoken", "-c", path, "-q", "-u", "42")
	require.Equal(t, 0, code)
	require.NotContains(t, out, "\n")
	claimsOf(t, out)
}

func TestGensubtoken(t *testing.T) {
	path := hmacConfig(t, "")
	out, _, code := command("gensubtoken", "-c", path, "-u", "42", "-s", "news", "-t", "10")
	require.Equal(t, 0, code)
	first, token, _ := strings.Cut(out, "\n")
	require.Equal(t, `HMAC SHA-256 JWT for user "42" and channel "news" with expiration TTL 10s:`, first)
	require.Regexp(t, `^{"sub":"42","exp":\d+,"iat":\d+,"channel":"news"}$`, claimsOf(t, strings.TrimSpace(token)))

	out, _, code = command("gensubtoken", "-c", path, "-u", "42")
	require.Equal(t, 1, code)
	require.Equal(t, "channel is required\n", out)

	token, _, _ = command("gensubtoken", "-c", path, "--channel", "chat:1", "--quiet", "-t", "-1")
	out, _, code = command("checksubtoken", "-c", path, token)
	require.Equal(t, 0, code)
	require.Regexp(t, `^valid subscription token for anonymous user and channel "chat:1"\npayload: {"iat":\d+,"channel":"chat:1"}\n$`, out)
	token, _, _ = command("gensubtoken", "-c", path, "-u", "7", "-s", "x", "-q")
	out, _, _ = command("checksubtoken", "-c", path, token)
	require.True(t, strings.HasPrefix(out, "valid subscription token for user \"7\" and channel \"x\"\n"), out)
	out, _, code = command("checktoken", "-c", path, token)
	require.Equal(t, 1, code)
	require.Contains(t, out, "invalid token: claim channel: a connection token expected, this is a subscription token")
	token, _, _ = command("gensubtoken", "-c", path, "-s", "nope:1", "-q")
	out, _, code = command("checksubtoken", "-c", path, token)
	require.Equal(t, 1, code)
	require.Contains(t, out, `has error: unknown channel: channel "nope:1"`)
	token, _, _ = command("gentoken", "-c", path, "-q")
	out, _, code = command("checksubtoken", "-c", path, token)
	require.Equal(t, 1, code)
	require.Contains(t, out, "has error: invalid token: ")
}

func TestChecktoken(t *testing.T) {
	path := hmacConfig(t, "")
	mint := func(claims map[string]any) string { return testkit.HS256(t, cliSecret, claims) }
	valid := func(token, want string) {
		t.Helper()
		out, errs, code := command("checktoken", "-c", path, token)
		require.Equal(t, want, out)
		require.Equal(t, 0, code)
		requireLog(t, errs)
	}
	valid(mint(map[string]any{"sub": "7"}), "valid token for user 7\npayload: {\"sub\":\"7\"}\n")
	valid(mint(map[string]any{}), "valid token for anonymous user\npayload: {}\n")
	valid(testkit.RawToken(map[string]string{"alg": "HS256"}, []byte(`{ "sub" : "7" }`), func(b []byte) []byte {
		sig, err := jwt.SigningMethodHS256.Sign(string(b), []byte(cliSecret))
		require.NoError(t, err)
		return sig
	}), "valid token for user 7\npayload: { \"sub\" : \"7\" }\n")
	generated, _, _ := command("gentoken", "-c", path, "-q", "-u", "42")
	out, _, code := command("checktoken", "-c", path, generated)
	require.Equal(t, 0, code)
	require.True(t, strings.HasPrefix(out, "valid token for user 42\npayload: {"), out)

	invalid := func(want string, args ...string) {
		t.Helper()
		out, errs, code := command(append([]string{"checktoken", "-c", path}, args...)...)
		require.Equal(t, 1, code)
		requireLog(t, errs)
		require.Regexp(t, "^error: "+regexp.QuoteMeta(want), out)
		require.True(t, strings.HasSuffix(out, "\n"))
		require.NotContains(t, out, cliSecret)
	}
	invalid("provide token to check [sluice checktoken <TOKEN>]")
	invalid("provide token to check", "a", "b")
	invalid("the token has 1 parts", "junk")
	invalid("the token's header", "!.e30.")
	invalid("the token's claims", "e30.!.")
	invalid(`token with algorithm HS256 and claims {"sub":"7"} has error: invalid token: `, testkit.HS256(t, "another", map[string]any{"sub": "7"}))
	invalid(`token with algorithm HS256 and claims {"exp":1} has error: token expired: exp is over since 1970-01-01T00:00:01Z`, mint(map[string]any{"exp": 1}))
	invalid(`token with algorithm HS256 and claims {"sub":1} has error: invalid token: claim sub: a string expected, got the number 1: write "1"`, mint(map[string]any{"sub": 1}))
	invalid(`token with algorithm HS256 and claims {"channel":"x"} has error: invalid token: `, mint(map[string]any{"channel": "x"}))
	invalid(`token with algorithm HS256 and claims {"channels":["nope:1"]} has error: unknown channel`, mint(map[string]any{"channels": []string{"nope:1"}}))
	invalid(`token with algorithm none and claims {} has error: invalid token: `, testkit.RawToken(map[string]string{"alg": "none"}, []byte(`{}`), nil))

	path = configFile(t, `{"client":{"insecure_skip_token_signature_verify":true,"token":{"hmac_secret_key":"x"}}}`)
	out, errs, code := command("checktoken", "-c", path, mint(map[string]any{}))
	require.Equal(t, 1, code, "the signature counts: %s", out)
	require.Contains(t, errs, "insecure_skip_token_signature_verify", "warnings are log lines on the standard error")
}

func TestChecktokenWithAKeyServer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"keys":[]}`))
	}))
	path := configFile(t, fmt.Sprintf(`{"client":{"token":{"jwks_public_endpoint":%q}}}`, server.URL))
	token := testkit.RawToken(map[string]string{"alg": "RS256", "kid": "k"}, []byte(`{}`), func([]byte) []byte { return []byte("x") })
	var out string
	var code int
	testkit.Eventually(t, func() bool {
		began := time.Now()
		out, _, code = command("checktoken", "-c", path, token)
		return time.Since(began) < 900*time.Millisecond // more than a fetch may take
	}, "a key set to be fetched in time")
	require.Equal(t, 1, code)
	require.Contains(t, out, "has error: invalid token: ")
	server.Close()
	out, _, code = command("checktoken", "-c", path, token)
	require.Equal(t, 1, code)
	require.Contains(t, out, "has error: internal server error: ")
}

func TestTokenCommandsNeedAUsableConfiguration(t *testing.T) {
	for _, name := range []string{"gentoken", "checktoken", "gensubtoken", "checksubtoken"} {
		out, errs, code := command(name, "-c", configFile(t, `{"client":5}`))
		require.Equal(t, 1, code)
		require.True(t, strings.HasPrefix(out, "error getting config: "), out)
		requireLog(t, errs)
	}
	out, _, code := command("gentoken", "-c", configFile(t, `{}`))
	require.Equal(t, 1, code)
	require.Equal(t, "error: no HMAC secret key set\n", out)
	t.Chdir(t.TempDir())
	out, errs, code := command("gentoken")
	require.Equal(t, 1, code)
	require.Equal(t, "error: no HMAC secret key set\n", out)
	require.Contains(t, errs, "not found; going on with environment, flags and defaults")
}

func TestUnknownCommandsAreErrors(t *testing.T) {
	out, errs, code := command("gentokens")
	require.Equal(t, 1, code)
	require.Empty(t, out)
	require.Contains(t, errs, `unknown command "gentokens"`)
}
