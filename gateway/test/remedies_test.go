package test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Lines of the log that an operator meets in an outage say what to do. A panic is a bug,
// for which there is nothing to do.
func TestLinesOfAnOutageHaveARemedy(t *testing.T) {
	for _, dir := range []string{"api", "broker/redis", "cluster", "presence/redis", "redis", "session"} {
		files, err := os.ReadDir(filepath.Join("..", dir))
		require.NoError(t, err)
		for _, file := range files {
			if strings.HasSuffix(file.Name(), ".go") && !strings.HasSuffix(file.Name(), "_test.go") {
				remedies(t, filepath.Join("..", dir, file.Name()))
			}
		}
	}
}

// remedies reports calls of Warn and Error in a file that say no remedy.
func remedies(t *testing.T, path string) {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, nil, 0)
	require.NoError(t, err)
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		f, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || f.Sel.Name != "Warn" && f.Sel.Name != "Error" {
			return true
		}
		if text := literal(call.Args[0]); text == "" || strings.Contains(text, "panic") {
			return true
		}
		for _, arg := range call.Args {
			if literal(arg) == "remedy" {
				return true
			}
		}
		t.Errorf("%s: a line without a remedy", set.Position(call.Pos()))
		return true
	})
}

// literal is the text of a string, "" for anything else.
func literal(e ast.Expr) string {
	if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
		return strings.Trim(lit.Value, `"`)
	}
	return ""
}
