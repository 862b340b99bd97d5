package test

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
)

// deployed are the files for Grafana and Prometheus, and the expressions in
// them.
func deployed(t *testing.T) map[string][]string {
	t.Helper()
	found := make(map[string][]string)
	read := func(path string, decode func([]byte, any) error) {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		var doc any
		require.NoError(t, decode(text, &doc), path)
		found[path] = expressions(doc)
		require.NotEmpty(t, found[path], path)
	}
	read("../deploy/grafana/sluice.json", json.Unmarshal)
	read("../deploy/prometheus/alerts.yml", func(b []byte, v any) error { return yaml.Unmarshal(b, v) })
	return found
}

// expressions returns every text under a key that holds one.
func expressions(doc any) (found []string) {
	switch v := doc.(type) {
	case []any:
		for _, item := range v {
			found = append(found, expressions(item)...)
		}
	case map[string]any:
		for key, item := range v {
			text, isText := item.(string)
			if isText && (key == "expr" || key == "query" && strings.Contains(text, "(")) {
				found = append(found, text)
				continue
			}
			found = append(found, expressions(item)...)
		}
	}
	return found
}

var (
	metricNames = regexp.MustCompile(`(?:\$\{namespace\}|\b(?:sluice|process|go))_[a-z0-9_]+`)
	labelPairs  = regexp.MustCompile(`\b([a-z_]+)(=~?|!=)"([^"]*)"`)
	groupings   = regexp.MustCompile(`\bby \(([a-z_, ]*)\)`)
)

// scrapeLabels are added by Prometheus.
var scrapeLabels = []string{"instance", "job", "le"}

// Dashboards and alerts name metrics, labels and values that there are.
func TestDashboardsAndAlertsNameWhatThereIs(t *testing.T) {
	text := scrapeAll(t)
	shown := make(map[string]bool)
	values := make(map[string]map[string]bool)
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		name, labels, _ := strings.Cut(line[:strings.LastIndex(line, " ")], "{")
		shown[name] = true
		for _, pair := range labelPairs.FindAllStringSubmatch(labels, -1) {
			if values[pair[1]] == nil {
				values[pair[1]] = make(map[string]bool)
			}
			values[pair[1]][pair[3]] = true
		}
	}
	for path, list := range deployed(t) {
		for _, expr := range list {
			for _, name := range metricNames.FindAllString(expr, -1) {
				name = strings.Replace(name, "${namespace}", "sluice", 1)
				require.True(t, shown[name], "%s: %q is no metric, in %s", path, name, expr)
			}
			for _, pair := range labelPairs.FindAllStringSubmatch(expr, -1) {
				label, op, value := pair[1], pair[2], pair[3]
				if slices.Contains(scrapeLabels, label) {
					continue
				}
				re := regexp.MustCompile("^(?:" + value + ")$")
				match := slices.ContainsFunc(slices.Collect(maps.Keys(values[label])), func(v string) bool {
					return v == value || op == "=~" && re.MatchString(v)
				})
				require.True(t, match, "%s: no metric has %s%s%q, in %s", path, label, op, value, expr)
			}
			for _, by := range groupings.FindAllStringSubmatch(expr, -1) {
				for _, label := range strings.FieldsFunc(by[1], func(r rune) bool { return r == ',' || r == ' ' }) {
					require.True(t, slices.Contains(scrapeLabels, label) || values[label] != nil, "%s: no metric has the label %q, in %s", path, label, expr)
				}
			}
		}
	}
}
