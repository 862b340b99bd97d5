package docs

import (
	"os"
	"sluice/gateway/config/schema"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config/report"
)

// extensions of all formats of config files.
var extensions = []string{".json", ".yaml", ".yml", ".toml"}

// oddText holds what formats treat in their own ways.
const oddText = "a \"b\" 'c' \\ \t\n # : - {x} [y] $z ${SLUICE} é 漢 😀 \u0001\u007f\u2028 end "

// full returns a valid configuration with as much as possible not at its default.
func full() *schema.Config {
	c := schema.Default()
	c.UniSSE.Enabled = true
	c.UniSSE.ConnectCodeToHTTPResponse.Enabled = true
	c.UniSSE.ConnectCodeToHTTPResponse.Transforms = []schema.HTTPResponseTemplate{
		{Code: 3500, To: schema.HTTPResponseTo{StatusCode: 401, Body: oddText}},
		{Code: 109, To: schema.HTTPResponseTo{StatusCode: 403}},
	}
	c.UniSSE.Retry = schema.DurationRange{Min: 5 * time.Second, Max: 5 * time.Second}
	c.UniSSE.MaxLifetime = 90 * time.Minute
	c.HTTPServer.InternalPort = "9000"
	c.HTTPServer.Address = "127.0.0.1"
	c.HTTPAPI.Key = oddText
	c.Client.PingInterval = -1
	c.Client.AllowedOrigins = []string{"https://*.example.com", "http://localhost:*"}
	c.Client.Token.HMACSecretKey = "yes"
	c.Client.Token.HMACPreviousSecretKey = "0x10"
	c.Client.HistoryMaxPublicationLimit = -5
	p := &c.Client.Proxy.Connect
	p.Enabled, p.Endpoint, p.Timeout = true, "https://backend/connect?a=b", 1500*time.Millisecond
	p.HTTPHeaders = []string{"Cookie", "X-A"}
	p.HTTP.StaticHeaders = map[string]string{"X-B": "two words", "x.c": "null"}
	p.HTTP.StatusToCodeTransforms = []schema.StatusTransform{
		{StatusCode: 404, ToError: schema.ClientError{Code: 404, Message: "not found", Temporary: true}},
		{StatusCode: 403, ToDisconnect: schema.Disconnect{Code: 4500, Reason: "no"}},
	}
	o := &c.Channel.WithoutNamespace
	o.AllowSubscribeForClient, o.HistorySize, o.HistoryTTL, o.ForceRecovery = true, 10, time.Minute, true
	live := schema.Default().Channel.WithoutNamespace
	live.SlowPolicy, live.ConflateKey, live.ChannelRegex = "drop_oldest", "no", `^[a-z]+\d*$`
	c.Channel.Namespaces = []schema.Namespace{{Name: "chat", ChannelOptions: *o}, {Name: "live-1.x", ChannelOptions: live}}
	return c
}

// What is rendered loads again, is the same, and gives no warning that the same options would not give otherwise.
func TestRenderedConfigLoadsAgain(t *testing.T) {
	_, rep := mustLoad(t, "c.json", `{}`)
	usual := rep.Warnings
	f := func(want *schema.Config, ext string, warnings []string) {
		t.Helper()
		text, err := Render(want, "x"+ext)
		require.NoError(t, err)
		got, rep := mustLoad(t, "x"+ext, string(text))
		require.Equal(t, plainConfig(want), plainConfig(got), ext)
		again, err := Render(got, "x"+ext)
		require.NoError(t, err)
		require.Equal(t, string(text), string(again))
		require.Len(t, rep.Warnings, len(warnings), "%s: %v", ext, rep.Warnings)
		for _, finding := range rep.Findings {
			require.Contains(t, append([]report.Kind{report.KindAdvice}, ofTheValues...), finding.Kind, finding.String())
		}
	}
	for _, ext := range extensions {
		f(schema.Default(), ext, usual)
		f(full(), ext, []string{"a weak key", "a weak previous key"})
	}
}

func TestRenderedMinimalConfigLoadsWithoutWarnings(t *testing.T) {
	for _, ext := range extensions {
		text, err := RenderMinimal(Secrets{
			Token: "tttttttttttttttttttttttttttttttt", APIKey: "kkkkkkkkkkkkkkkk", ConsolePassword: "pppppppp", ConsoleSecret: "ssssssssssssssssssssssssssssssss",
		}, "x"+ext)
		require.NoError(t, err)
		got, rep := mustLoad(t, "x"+ext, string(text))
		require.Empty(t, rep.Warnings, ext)
		want := schema.Default()
		want.UniSSE.Enabled = true
		want.Client.Token.HMACSecretKey, want.HTTPAPI.Key = "tttttttttttttttttttttttttttttttt", "kkkkkkkkkkkkkkkk"
		want.Admin.Password, want.Admin.Secret = "pppppppp", "ssssssssssssssssssssssssssssssss"
		o := &want.Channel.WithoutNamespace
		o.AllowSubscribeForClient, o.AllowSubscribeForAnonymous = true, true
		require.Equal(t, plainConfig(want), plainConfig(got), ext)
		for _, key := range []string{"uni_sse.enabled", "client.allowed_origins", "channel.without_namespace", "admin.enabled"} {
			require.True(t, rep.IsSet(key), "%s in %s", key, ext)
		}
		for _, key := range []string{"http_server", "channel.namespaces", "client.allow_anonymous_connect_without_token"} {
			require.False(t, rep.IsSet(key), key)
		}
	}
}

func TestRenderNeedsAKnownExtension(t *testing.T) {
	for _, path := range []string{"x.ini", "config", ""} {
		_, err := Render(schema.Default(), path)
		require.ErrorContains(t, err, "allowed .json, .yaml, .yml, .toml")
		_, err = RenderMinimal(Secrets{}, path)
		require.Error(t, err)
	}
}

// YAML and TOML explain every option; JSON has no comments.
func TestRenderedCommentsExplainEveryOption(t *testing.T) {
	for _, ext := range []string{".yaml", ".toml"} {
		text, err := Render(schema.Default(), "x"+ext)
		require.NoError(t, err)
		comments := ""
		for line := range strings.Lines(string(text)) {
			if comment, ok := strings.CutPrefix(strings.TrimSpace(line), "# "); ok {
				comments += comment + " "
				require.LessOrEqual(t, len(line), 110, line)
			}
		}
		for _, o := range schema.Options() {
			if !o.InObject {
				require.True(t, strings.Contains(comments, o.Doc), o.Key)
			}
		}
	}
}

func TestRenderedEnvironmentLoadsAgain(t *testing.T) {
	f := func(want *schema.Config, prefix string, nonZero bool) {
		t.Helper()
		text, err := RenderEnv(want, prefix, nonZero)
		require.NoError(t, err)
		got, rep, err := load(t, "config.json", map[string]string{".env": string(text), "config.json": "{}"})
		require.NoError(t, err)
		require.Equal(t, plainConfig(want), plainConfig(got))
		for _, finding := range rep.Findings {
			require.Contains(t, append([]report.Kind{report.KindAdvice}, ofTheValues...), finding.Kind, finding.String())
		}
		lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		require.IsIncreasing(t, lines)
		for _, line := range lines {
			require.True(t, strings.HasPrefix(line, prefix), line)
		}
	}
	f(schema.Default(), "SLUICE_", false)
	f(schema.Default(), "CENTRIFUGO_", false)
	f(full(), "SLUICE_", false)
	f(full(), "CENTRIFUGO_", true)

	_, err := RenderEnv(schema.Default(), "X_", false)
	require.ErrorContains(t, err, "allowed SLUICE_, CENTRIFUGO_")
	text, err := RenderEnv(schema.Default(), "SLUICE_", true)
	require.NoError(t, err)
	require.NotContains(t, string(text), "=false\n")
	require.NotContains(t, string(text), "=\n")
	require.NotContains(t, string(text), "=0\n")
	require.Contains(t, string(text), "SLUICE_HTTP_SERVER_PORT=8000\n")
}

func TestRenderedEnvironmentHasEveryOption(t *testing.T) {
	text, err := RenderEnv(schema.Default(), "SLUICE_", false)
	require.NoError(t, err)
	for _, o := range schema.Options() {
		if !o.InObject {
			require.Contains(t, "\n"+string(text), "\n"+o.Env+"=")
		}
	}
}

// The reference in the docs is generated, so that it cannot drift from the code.
func TestDocsHaveTheOptionReference(t *testing.T) {
	const path = "../../docs/options.md"
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	want, err := UpdateReference(text)
	require.NoError(t, err)
	require.True(t, string(want) == string(text), "the option reference in gateway/docs/options.md differs from the code: run `make docs`")
}
