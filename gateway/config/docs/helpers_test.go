package docs

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
	"sluice/gateway/config/report"
	"sluice/gateway/config/schema"
)

// load loads the file with this name of those given by their names.
func load(t *testing.T, name string, files map[string]string) (*schema.Config, *report.Report, error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return config.Load(config.Source{Path: name, Required: true, Dir: dir})
}

// loadOne loads a file that is not on the disk.
func loadOne(t *testing.T, name, text string) (*schema.Config, *report.Report, error) {
	t.Helper()
	return config.LoadFile(config.Source{Path: name, Required: true, Read: func(path string) ([]byte, error) {
		if path != name {
			return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
		}
		return []byte(text), nil
	}})
}

func mustLoad(t *testing.T, name, text string) (*schema.Config, *report.Report) {
	t.Helper()
	c, rep, err := loadOne(t, name, text)
	require.NoError(t, err, text)
	return c, rep
}

// plainConfig replaces empty lists and maps by nil ones: a file cannot tell them apart.
func plainConfig(c *schema.Config) *schema.Config {
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				walk(v.Field(i))
			}
		case reflect.Slice, reflect.Map:
			if v.Len() == 0 {
				v.SetZero()
			}
			for i := 0; v.Kind() == reflect.Slice && i < v.Len(); i++ {
				walk(v.Index(i))
			}
		}
	}
	walk(reflect.ValueOf(c).Elem())
	return c
}

// sampleOf returns a value for an option, as JSON, which is not its default; "" for lists of objects.
func sampleOf(o *schema.Field) string {
	limits := map[string]string{"node.loops": "3", "node.lanes": "3", "http_api.max_depth": "99", "http_server.max_head_size": "5000"}
	if l := limits[o.Key]; l != "" {
		return l
	}
	text := "/sample"
	for _, e := range o.Enum {
		if e != "" && e != o.Default {
			text = e
		}
	}
	return map[schema.Kind]string{
		"bool": fmt.Sprint(o.Default != "true"), "int": "2000000", "port": "4242", "duration": `"17s"`, "duration range": `"1s-2s"`,
		"list of strings": `["` + text + `"]`, "map of strings": `{"K": "v"}`, "string": `"` + text + `"`,
	}[o.Kind]
}
