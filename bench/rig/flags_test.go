//go:build linux

package rig

import (
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/bench/load"
)

func TestTargetFlagsMustDescribeOneServer(t *testing.T) {
	f := func(flags targetFlags, want string) {
		t.Helper()
		_, err := flags.external()
		require.ErrorContains(t, err, want)
	}
	f(targetFlags{API: "http://127.0.0.1/api"}, "-url")
	f(targetFlags{URL: "http://127.0.0.1/x"}, "-anonymous")
	f(targetFlags{URL: "http://127.0.0.1/x", Anonymous: true, PIDs: "12,x"}, "-P")

	got, err := (&targetFlags{}).external()
	require.NoError(t, err)
	require.Nil(t, got)
	got, err = (&targetFlags{URL: "http://127.0.0.1/x", API: "http://127.0.0.1/api/", Secret: "s", PIDs: "12,34", Channel: "c"}).external()
	require.NoError(t, err)
	require.Equal(t, &load.Target{StreamURL: "http://127.0.0.1/x", APIURL: "http://127.0.0.1/api", Secret: "s", Channel: "c", PIDs: []int{12, 34}}, got)
}
