package node

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPathsOfTargets(t *testing.T) {
	for target, want := range map[string]string{
		"/": "/", "/a?b=://c/d": "/a", "http://h/a/b?c": "/a/b", "http://h": "/", "https://h?x=/a": "/", "*": "*", "": "",
	} {
		require.Equal(t, want, string(targetPath([]byte(target))), target)
	}
}
