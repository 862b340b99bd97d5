package metrics

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/docs"
)

// Who operates a node finds each of our metrics in the table of what to watch.
func TestDocsHaveEveryOwnMetric(t *testing.T) {
	page, err := docs.Find("operations")
	require.NoError(t, err)
	_, text, found := strings.Cut(page.Text, "\n## What to watch\n")
	require.True(t, found)
	text, _, _ = strings.Cut(text, "\n## ")
	for _, f := range ownFamilies() {
		if !regexp.MustCompile("(?m)^\\|[^|]*`" + f.name + "[`{]").MatchString(text) {
			t.Errorf("%s: no row of \"What to watch\" in docs/operations.md names it", f.name)
		}
	}
}
