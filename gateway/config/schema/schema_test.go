package schema

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestEveryOptionIsDocumentedAndNamedOnce(t *testing.T) {
	keys, envs := map[string]bool{}, map[string]string{}
	for _, o := range Options() {
		require.NotEmpty(t, o.Kind, o.Key)
		require.NotEmpty(t, o.Doc, o.Key)
		require.True(t, strings.HasSuffix(o.Doc, "."), "%s: %s", o.Key, o.Doc)
		require.False(t, keys[o.Key], o.Key)
		keys[o.Key] = true
		if o.Env != "" {
			require.Empty(t, envs[o.Env], o.Key)
			envs[o.Env] = o.Key
		}
	}
	require.Greater(t, len(keys), 200)
}

func TestOptionsDescribeTheirTags(t *testing.T) {
	byKey := map[string]*Field{}
	for _, o := range Options() {
		byKey[o.Key] = o
	}
	port := byKey["http_server.port"]
	require.Equal(t, "SLUICE_HTTP_SERVER_PORT", port.Env)
	require.Equal(t, "port", string(port.Kind))
	require.Equal(t, "8000", port.Default)

	o := byKey["channel.namespaces[].slow_policy"]
	require.Equal(t, "SLUICE_CHANNEL_NAMESPACES_<NAME>_SLOW_POLICY", o.Env)
	require.Equal(t, []string{"disconnect", "drop_oldest"}, o.Enum)
	require.True(t, o.InObject)

	o = byKey["client.connect_code_to_unidirectional_disconnect.transforms[].to.code"]
	require.Equal(t, "", o.Env)
	require.True(t, o.InObject)

	require.Equal(t, "bytes", byKey["client.queue_max_size"].Unit)
	require.True(t, byKey["client.queue_max_size"].ZeroDefault)
	require.Equal(t, SecretAll, byKey["http_api.key"].Secret)
	require.Equal(t, SecretNone, byKey["http_api.handler_prefix"].Secret)
	require.Equal(t, "list of objects", string(byKey["channel.namespaces"].Kind))
}

func TestConfigIsPlainData(t *testing.T) {
	var check func(reflect.Type, string)
	check = func(typ reflect.Type, path string) {
		switch typ.Kind() {
		case reflect.Struct:
			for i := range typ.NumField() {
				check(typ.Field(i).Type, path+"."+typ.Field(i).Name)
			}
		case reflect.Slice:
			check(typ.Elem(), path+"[]")
		case reflect.Map:
			check(typ.Elem(), path+"{}")
		case reflect.Bool, reflect.Int, reflect.Int64, reflect.String:
		default:
			t.Errorf("%s is a %s", path, typ.Kind())
		}
	}
	check(reflect.TypeFor[Config](), "Config")
}

func TestDefaultsAreThoseOfTheProtocol(t *testing.T) {
	c := Default()
	require.Equal(t, "/connection/uni_sse", c.UniSSE.HandlerPrefix)
	require.Equal(t, 65536, c.UniSSE.MaxRequestBodySize)
	require.Equal(t, DurationRange{Min: 3 * time.Second, Max: 9 * time.Second}, c.UniSSE.Retry)
	require.True(t, c.UniSSE.LastEventID)
	require.Equal(t, 8000, c.HTTPServer.Port)
	require.Equal(t, "", c.HTTPServer.InternalPort)
	require.Equal(t, 73728, c.HTTPServer.MaxHeadSize)
	require.Equal(t, 25*time.Second, c.Client.PingInterval)
	require.Equal(t, 8*time.Second, c.Client.PongTimeout)
	require.Equal(t, 25*time.Second, c.Client.ExpiredCloseDelay)
	require.Equal(t, 25*time.Second, c.Client.ExpiredSubCloseDelay)
	require.Equal(t, 10*time.Second, c.Client.StaleCloseDelay)
	require.Equal(t, 27*time.Second, c.Client.PresenceUpdateInterval)
	require.Equal(t, 40*time.Second, c.Client.ChannelPositionCheckDelay)
	require.Equal(t, 128, c.Client.ChannelLimit)
	require.Equal(t, 1<<20, c.Client.QueueMaxSize)
	require.Equal(t, 300, c.Client.HistoryMaxPublicationLimit)
	require.Equal(t, 300, c.Client.RecoveryMaxPublicationLimit)
	require.Equal(t, 30*time.Second, c.Client.QueueMaxAge)
	require.Equal(t, 1<<30, c.Client.QueuesMaxTotal)
	require.Equal(t, 1<<20, c.Client.HoldMaxBytes)
	require.Equal(t, time.Second, c.Client.Proxy.Connect.Timeout)
	require.Equal(t, 720*time.Hour, c.Channel.HistoryMetaTTL)
	require.Equal(t, 255, c.Channel.MaxLength)
	require.Equal(t, []string{"$", ":", "#", ","},
		[]string{c.Channel.PrivatePrefix, c.Channel.NamespaceBoundary, c.Channel.UserBoundary, c.Channel.UserSeparator})
	require.Equal(t, "disconnect", c.Channel.WithoutNamespace.SlowPolicy)
	require.Equal(t, "/api", c.HTTPAPI.HandlerPrefix)
	require.Equal(t, time.Second, c.HTTPAPI.PublishWait)
	require.Equal(t, 64<<20, c.HTTPAPI.PublishInflightMaxBytes)
	require.Equal(t, 32<<20, c.HTTPAPI.MaxBodySize)
	require.Equal(t, 128, c.HTTPAPI.MaxDepth)
	require.Equal(t, "/health", c.Health.HandlerPrefix)
	require.Equal(t, "/metrics", c.Prometheus.HandlerPrefix)
	require.Equal(t, "/debug/pprof", c.Debug.HandlerPrefix)
	require.Equal(t, "/connection/init", c.Init.HandlerPrefix)
	require.Equal(t, "info", c.Log.Level)
	require.Equal(t, 30*time.Second, c.Shutdown.Timeout)
	require.Equal(t, "memory", c.Engine.Type)
	require.Equal(t, []string{"redis://127.0.0.1:6379"}, c.Broker.Redis.Address)
	require.Equal(t, "centrifugo", c.PresenceManager.Redis.Prefix)
	require.Equal(t, 4*time.Second, c.Engine.Redis.IOTimeout)
	require.Equal(t, 60*time.Second, c.Engine.Redis.PresenceTTL)
	require.Equal(t, "nats://localhost:4222", c.Broker.NATS.URL)
	require.Equal(t, "fleet", c.Client.UserConnectionLimitScope)
	require.Equal(t, time.Second, c.Cluster.SurveyTimeout)
}

func TestHalvesOfTheEngine(t *testing.T) {
	c := Default()
	c.Engine.Type = "redis"
	require.Equal(t, Half{"engine", "redis", &c.Engine.Redis, nil}, c.BrokerHalf())
	require.Equal(t, Half{"engine", "redis", &c.Engine.Redis, nil}, c.PresenceHalf())
	c.Broker.Enabled, c.Broker.Type, c.PresenceManager.Enabled = true, "nats", true
	require.Equal(t, Half{"broker", "nats", &c.Broker.Redis, &c.Broker.NATS}, c.BrokerHalf())
	require.Equal(t, Half{"presence_manager", "memory", &c.PresenceManager.Redis, &c.PresenceManager.NATS}, c.PresenceHalf())
}

func TestDefaultsAreNotShared(t *testing.T) {
	a, b := Default(), Default()
	a.Engine.Redis.Address[0] = "changed"
	require.Equal(t, "redis://127.0.0.1:6379", b.Engine.Redis.Address[0])
}
