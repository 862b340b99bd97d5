package docs

import (
	"encoding/json"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// checker is a program that says whether a file is one of its language.
type checker struct {
	file    string // its name
	command []string
	install string
}

var checkers = map[string]checker{
	"sh":         {"block.sh", []string{"sh", "-n"}, "apt-get install dash"},
	"javascript": {"block.mjs", []string{"node", "--check"}, "apt-get install nodejs"},
	"python":     {"block.py", []string{"python3", "-c", "import ast, sys; ast.parse(open(sys.argv[1]).read())"}, "apt-get install python3"},
	"php":        {"block.php", []string{"php", "-l"}, "apt-get install php-cli"},
	"ruby":       {"block.rb", []string{"ruby", "-c"}, "apt-get install ruby"},
}

// inProcess are the languages that need no program. Text is a picture or an
// example; what is in nginx's, systemd's (ini) and the recipes' blocks is run by
// package test.
var inProcess = map[string]func(text string) error{
	"text":  func(string) error { return nil },
	"nginx": func(string) error { return nil },
	"ini":   func(string) error { return nil },
	"html":  func(string) error { return nil },
	"json":  func(text string) error { return json.Unmarshal([]byte(text), new(any)) },
	"yaml":  func(text string) error { return yaml.Unmarshal([]byte(text), new(any)) },
	"go": func(text string) error {
		_, err := parser.ParseFile(token.NewFileSet(), "", text, parser.AllErrors)
		return err
	},
}

// Each block of code names its language and is of it.
func TestBlocksAreOfTheirLanguage(t *testing.T) {
	byLanguage := make(map[string][]block)
	for _, d := range documents(t) {
		for _, b := range d.code {
			_, outside := checkers[b.language]
			require.True(t, outside || inProcess[b.language] != nil, "%s: a block in %q, which nothing checks:\n%s", d.path, b.language, b.text)
			byLanguage[b.language] = append(byLanguage[b.language], b)
		}
	}
	for language, blocks := range byLanguage {
		t.Run(language, func(t *testing.T) {
			for _, b := range blocks {
				if check := inProcess[language]; check != nil {
					require.NoError(t, check(b.text), b.text)
					continue
				}
				c := checkers[language]
				program := testkit.NeedProgram(t, c.command[:1], c.install)
				path := filepath.Join(t.TempDir(), c.file)
				require.NoError(t, os.WriteFile(path, []byte(b.text), 0o600))
				out, err := exec.Command(program, append(c.command[1:len(c.command):len(c.command)], path)...).CombinedOutput()
				require.NoError(t, err, "%s\n%s", out, b.text)
			}
		})
	}
}

// Files, targets and tests that the pages name are there.
func TestNamesInThePagesAreOfThingsThatExist(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	require.NoError(t, err)
	for _, d := range documents(t) {
		for _, b := range d.code {
			if b.language == "sh" {
				for line := range strings.Lines(b.text) {
					expectTargets(t, d.path, string(makefile), line)
				}
			}
		}
		for _, m := range inlineCode.FindAllStringSubmatch(d.prose, -1) {
			expectTargets(t, d.path, string(makefile), m[1])
			expectFile(t, d.path, m[1])
		}
	}
}

// expectTargets fails if a command asks make for a target that there is not.
func expectTargets(t *testing.T, where, makefile, command string) {
	t.Helper()
	command, _, _ = strings.Cut(command, "#")
	_, targets, found := strings.Cut(" "+command, " make ")
	if !found || strings.HasPrefix(strings.TrimSpace(command), "go ") {
		return
	}
	for _, target := range strings.Fields(targets) {
		if !strings.Contains(target, "=") && !strings.Contains(makefile, "\n"+target+":") {
			t.Errorf("%s: `%s`: the Makefile has no target %s", where, strings.TrimSpace(command), target)
		}
	}
}

// expectFile fails if code is the path of a file of ours that there is not.
func expectFile(t *testing.T, where, code string) {
	t.Helper()
	path, _, _ := strings.Cut(code, " ")
	top, _, below := strings.Cut(path, "/")
	if !below || strings.ContainsAny(path, "*…") || (top != "gateway" && top != "codec" && top != "bench") {
		return
	}
	if _, err := os.Stat(filepath.Join(root, path)); err != nil && path != "bench/out" {
		t.Errorf("%s: `%s`: %v", where, code, err)
	}
}

// mapFiles are files that gateway/doc.go names.
var mapFiles = regexp.MustCompile(`[a-z]+(?:/[a-z_]+)+\.go\b`)

// The map of the house names files that are there.
func TestTheMapNamesFilesThatExist(t *testing.T) {
	text, err := os.ReadFile("../doc.go")
	require.NoError(t, err)
	named := mapFiles.FindAllString(string(text), -1)
	require.NotEmpty(t, named)
	for _, path := range named {
		_, here := os.Stat(filepath.Join("..", path))
		_, above := os.Stat(filepath.Join(root, path))
		require.True(t, here == nil || above == nil, "gateway/doc.go: no file %s", path)
	}
}
