package node

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/metrics"
)

// A field of metrics.Node that nobody sets is a metric that stays 0, and no other test
// complains: most of what it counts does not happen in tests.
func TestEveryNumberOfTheNodeIsSet(t *testing.T) {
	files, err := filepath.Glob("wiring_*.go")
	require.NoError(t, err)
	set := make(map[string]bool)
	for _, path := range files {
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CompositeLit:
				if is(n.Type, "metrics", "Node") {
					for _, element := range n.Elts {
						set[element.(*ast.KeyValueExpr).Key.(*ast.Ident).Name] = true
					}
				}
			case *ast.AssignStmt:
				for _, to := range n.Lhs {
					for name := range numbers {
						if is(to, "n", name) {
							set[name] = true
						}
					}
				}
			}
			return true
		})
	}
	for name := range numbers {
		require.True(t, set[name], "metrics.Node.%s: no line of counters.Node sets it", name)
	}
}

// numbers are the names of the fields of metrics.Node.
var numbers = func() map[string]bool {
	names := make(map[string]bool)
	for _, f := range reflect.VisibleFields(reflect.TypeFor[metrics.Node]()) {
		names[f.Name] = true
	}
	return names
}()

// is reports whether e is the selector x.name.
func is(e ast.Expr, x, name string) bool {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != name {
		return false
	}
	id, ok := sel.X.(*ast.Ident)
	return ok && id.Name == x
}
