package config

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// quietYAML is the part of quiet that has to do with the way in.
const quietYAML = "uni_sse: {enabled: true}\nhttp_api: {key: kkkkkkkkkkkkkkkk}\nclient: {token: {hmac_secret_key: ssssssssssssssssssssssssssssssss}}\n"

func TestAKeyGivenTwiceInYAMLIsNamed(t *testing.T) {
	c, rep := mustLoad(t, file("c.yaml", "pid_file: a\n"+quietYAML+"pid_file: b"))
	require.Equal(t, "b", c.PIDFile)
	require.Equal(t, "file c.yaml:5: pid_file: given twice; the last one counts", rep.Warnings[0])
}

func TestNamespacesOfYAMLCanShareOptions(t *testing.T) {
	c, rep := mustLoad(t, file("c.yaml", quietYAML+`
channel:
  without_namespace: &base
    allow_subscribe_for_client: true
    presence: true
    history_size: 10
    history_ttl: 60s
  namespaces:
    - name: chat
      <<: *base
      history_size: 20
    - <<: *base
      name: news
`))
	require.Empty(t, rep.Findings)
	require.Equal(t, []int{10, 20, 10}, []int{c.Channel.WithoutNamespace.HistorySize, c.Channel.Namespaces[0].HistorySize, c.Channel.Namespaces[1].HistorySize})
	require.True(t, c.Channel.Namespaces[0].Presence && c.Channel.Namespaces[1].Presence)
}
