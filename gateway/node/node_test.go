package node

import (
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

// The commit is that of the linker, or what Go has stamped, and says whether it is all.
func TestCommit(t *testing.T) {
	f := func(want string, settings ...debug.BuildSetting) {
		t.Helper()
		require.Equal(t, want, commitOf(&debug.BuildInfo{Settings: settings}))
	}
	revision := debug.BuildSetting{Key: "vcs.revision", Value: "853f3c3d"}
	f("")
	f("", debug.BuildSetting{Key: "vcs.modified", Value: "true"})
	f("853f3c3d", debug.BuildSetting{Key: "vcs", Value: "git"}, revision, debug.BuildSetting{Key: "vcs.modified", Value: "false"})
	f("853f3c3d-dirty", revision, debug.BuildSetting{Key: "vcs.modified", Value: "true"})
	defer func(was string) { builtFrom = was }(builtFrom)
	builtFrom = "04bac5a6"
	require.Equal(t, "04bac5a6", Commit())
}
