package problem

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What is shown instead tells which value is meant.
func TestUserinfoIsMaskedAndTheRestIsShown(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		require.Equal(t, want, WithoutUserinfo(text))
	}
	f(`plain`, `plain`)
	f(`"a@b" and "c"`, `"(hidden)@b" and "c"`)
	f(`"https://u:p@h/x" is wrong: allowed "/y"`, `"https://(hidden)@h/x" is wrong: allowed "/y"`)
	f(`"http://u:p\"q@h" and @`, `"http://(hidden)@h" and @`)
	f("`u:p@h(`: no", "`(hidden)@h(`: no")
	f(`allowed a-z and @ here`, `allowed a-z and @ here`)
}
