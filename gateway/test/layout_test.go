package test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sluice/gateway/api"
)

// row says what a package may import: packages of ours (below "sluice/"), and
// modules or packages of others. A new package needs a row; an import that is
// not in its row is an import upwards, or a dependency that nobody decided on.
type row struct {
	ours   string
	others string
}

const (
	modGoccy    = "github.com/goccy/go-json"
	modFasthttp = "github.com/valyala/fasthttp"
	modAnts     = "github.com/panjf2000/ants/v2"
	modJwt      = "github.com/golang-jwt/jwt/v5"
	modGlob     = "github.com/gobwas/glob"
	modYaml     = "github.com/goccy/go-yaml"
	modUnix     = "golang.org/x/sys/unix"
	modTestify  = "github.com/stretchr/testify/require"
	modRueidis  = "github.com/redis/rueidis"
	modNats     = "github.com/nats-io/nats.go"
	modProcfs   = "github.com/prometheus/procfs"
	modCompress = "github.com/klauspost/compress"

	modSystemd = "github.com/coreos/go-systemd/v22"

	modProtowire = "google.golang.org/protobuf/encoding/protowire"
	modHistogram = "github.com/HdrHistogram/hdrhistogram-go"

	// What the modes of bench stand on, and all of them.
	benchFloor = "bench/rig bench/load bench/figures bench/proc"
	benchModes = "bench/mode/compress bench/mode/connect bench/mode/engine bench/mode/fanout bench/mode/fronts bench/mode/jetstream bench/mode/open bench/mode/publish bench/mode/resume"
)

var layout = map[string]row{
	"codec":                         {ours: "codec/coding", others: modGoccy + " github.com/shadowspore/fossil-delta"},
	"codec/coding":                  {others: modCompress + "/flate " + modCompress + "/zstd"},
	"gateway/actor":                 {others: modAnts},
	"gateway/problem":               {},
	"gateway/docs":                  {},
	"gateway/tally":                 {},
	"gateway/pause":                 {},
	"gateway/logs":                  {},
	"gateway/shrink":                {},
	"gateway/reqid":                 {others: modFasthttp},
	"gateway/testkit":               {others: modJwt + " " + modCompress + "/zstd"},
	"gateway/testkit/recordings":    {},
	"gateway/loop":                  {ours: "codec gateway/actor gateway/loop/uring", others: modUnix},
	"gateway/loop/uring":            {others: modUnix},
	"gateway/gate":                  {others: modAnts + " " + modUnix},
	"gateway/front/strict":          {others: modFasthttp},
	"gateway/front/client":          {ours: "gateway/front/strict gateway/problem gateway/shrink", others: modFasthttp},
	"gateway/front/local":           {others: modUnix},
	"gateway/front":                 {ours: "gateway/front/client gateway/front/local gateway/front/strict gateway/gate gateway/loop gateway/problem gateway/shrink", others: "github.com/pires/go-proxyproto"},
	"gateway/channel":               {ours: "codec gateway/problem"},
	"gateway/origin":                {ours: "gateway/problem", others: modFasthttp + " " + modGlob + " " + modGlob + "/syntax golang.org/x/net/publicsuffix"},
	"gateway/auth":                  {ours: "codec gateway/problem", others: modJwt + " " + modGoccy + " github.com/hashicorp/golang-lru/v2"},
	"gateway/broker":                {ours: "codec"},
	"gateway/redis":                 {ours: "gateway/problem gateway/tally", others: modRueidis},
	"gateway/nats":                  {ours: "gateway/problem gateway/shrink gateway/tally", others: modNats + " " + modNats + "/jetstream " + modGoccy},
	"gateway/reference":             {ours: "codec", others: modProtowire},
	"gateway/proxy":                 {ours: "codec gateway/auth gateway/problem gateway/tally", others: modGoccy + " golang.org/x/sync/semaphore"},
	"gateway/broker/history":        {ours: "codec gateway/broker"},
	"gateway/broker/follow":         {ours: "codec gateway/broker gateway/pause gateway/shrink"},
	"gateway/broker/redis":          {ours: "codec gateway/advice gateway/broker gateway/broker/follow gateway/broker/history gateway/pause gateway/redis gateway/reference gateway/tally"},
	"gateway/broker/nats":           {ours: "codec gateway/advice gateway/broker gateway/nats gateway/pause gateway/reference gateway/tally"},
	"gateway/broker/jetstream":      {ours: "codec gateway/advice gateway/broker gateway/broker/follow gateway/broker/history gateway/broker/nats gateway/nats gateway/pause gateway/reference gateway/tally", others: modNats + "/jetstream github.com/hashicorp/golang-lru/v2/simplelru"},
	"gateway/broker/memory":         {ours: "codec gateway/broker gateway/broker/history gateway/shrink"},
	"gateway/broker/relay":          {ours: "codec gateway/auth gateway/broker gateway/broker/history gateway/shrink"},
	"gateway/cluster":               {ours: "codec gateway/advice gateway/broker gateway/reference gateway/tally"},
	"gateway/cluster/clustertest":   {ours: "gateway/broker gateway/cluster gateway/testkit", others: modTestify}, // for tests: in no other row
	"gateway/broker/brokertest":     {ours: "codec gateway/broker gateway/testkit", others: modTestify},
	"gateway/broker/remotetest":     {ours: "codec gateway/broker gateway/broker/memory"},
	"gateway/presence":              {ours: "codec"},
	"gateway/presence/memory":       {ours: "codec gateway/presence gateway/shrink"},
	"gateway/presence/redis":        {ours: "codec gateway/broker gateway/cluster gateway/presence gateway/problem gateway/redis gateway/reference"},
	"gateway/presence/nats":         {ours: "codec gateway/broker gateway/cluster gateway/nats gateway/pause gateway/presence gateway/problem gateway/reference", others: modNats + "/jetstream " + modGoccy},
	"gateway/presence/presencetest": {ours: "codec gateway/presence", others: modTestify}, // for tests: in no other row
	"gateway/hub": {
		ours:   "codec gateway/actor gateway/broker gateway/loop gateway/shrink gateway/tally",
		others: "golang.org/x/sync/semaphore",
	},
	"gateway/session": {
		ours:   "codec gateway/actor gateway/advice gateway/auth gateway/broker gateway/channel gateway/cluster gateway/hub gateway/loop gateway/presence gateway/problem gateway/shrink gateway/tally",
		others: "golang.org/x/sync/semaphore",
	},
	"gateway/hijack":     {ours: "gateway/broker gateway/loop gateway/session gateway/tally", others: modFasthttp},
	"gateway/dictionary": {ours: "codec", others: modFasthttp},
	"gateway/edge":       {ours: "codec gateway/broker gateway/channel gateway/hijack gateway/hub gateway/loop gateway/reqid gateway/session", others: modFasthttp},
	"gateway/sse": {
		ours:   "codec gateway/auth gateway/channel gateway/front gateway/front/client gateway/hijack gateway/loop gateway/origin gateway/problem gateway/reqid gateway/session gateway/shrink gateway/tally",
		others: modFasthttp + " golang.org/x/time/rate",
	},
	"gateway/api": {
		ours:   "codec gateway/advice gateway/auth gateway/broker gateway/channel gateway/origin gateway/presence gateway/reqid gateway/session gateway/tally",
		others: modFasthttp + " " + modGlob + " " + modGlob + "/syntax " + modGoccy,
	},
	"gateway/metrics": {
		ours:   "codec gateway/auth gateway/broker/relay gateway/cluster gateway/hub gateway/loop gateway/nats gateway/problem gateway/proxy gateway/session gateway/tally",
		others: modFasthttp + " github.com/prometheus/client_golang/prometheus github.com/prometheus/client_golang/prometheus/collectors github.com/prometheus/common/expfmt golang.org/x/sync/singleflight",
	},
	"gateway/heap":    {},
	"gateway/advice":  {ours: "gateway/front/local"},
	"gateway/systemd": {others: modSystemd + "/activation " + modSystemd + "/daemon " + modUnix},
	"gateway/node":    {ours: "*", others: modFasthttp + " " + modJwt},
	"gateway/cli": {
		ours:   "codec gateway/advice gateway/auth gateway/channel gateway/config gateway/config/docs gateway/config/legacy gateway/console gateway/docs gateway/front/client gateway/front/local gateway/logs gateway/node gateway/systemd",
		others: modFasthttp + " " + modJwt + " github.com/spf13/cobra github.com/spf13/pflag",
	},
	"gateway/test":           {},
	"gateway":                {},
	"gateway/admin":          {ours: "gateway/origin", others: modFasthttp + " " + modFasthttp + "/pprofhandler " + modGoccy},
	"gateway/console/series": {},
	"gateway/console/watch":  {ours: "gateway/cluster gateway/console gateway/console/series gateway/hub gateway/loop gateway/metrics gateway/session gateway/tally"},
	"gateway/console":        {ours: "codec gateway/front/client gateway/logs gateway/origin", others: modFasthttp + " " + modJwt},
	"gateway/config/source":  {ours: "gateway/problem", others: modYaml + "/ast " + modYaml + "/lexer " + modYaml + "/parser " + modYaml + "/token github.com/pelletier/go-toml/v2 github.com/pelletier/go-toml/v2/unstable"},
	"gateway/config/schema":  {ours: "gateway/front/local gateway/config/source gateway/problem"},
	"gateway/config/report":  {ours: "gateway/config/schema gateway/config/source gateway/problem"},
	"gateway/config/legacy":  {ours: "gateway/config/report gateway/config/schema gateway/config/source"},
	"gateway/config/check":   {ours: "gateway/config/report gateway/config/schema gateway/config/source gateway/front/client gateway/front/local gateway/origin gateway/problem"},
	"gateway/config/docs":    {ours: "gateway/config gateway/config/legacy gateway/config/report gateway/config/schema gateway/config/source"},
	"gateway/config":         {ours: "gateway/config/check gateway/config/legacy gateway/config/report gateway/config/schema gateway/config/source gateway/problem"},
	"bench/proc":             {others: modProcfs + " " + modUnix},
	"bench/figures":          {ours: "bench/proc", others: modHistogram + " " + modGoccy + " " + modUnix},
	"bench/load":             {ours: "bench/proc", others: modGoccy + " " + modJwt + " " + modUnix},
	"bench/rig":              {ours: "bench/figures bench/load bench/proc", others: modGoccy + " " + modUnix},
	"bench/fronts":           {},
	"bench/mode/compress":    {ours: benchFloor, others: modCompress + "/zstd"},
	"bench/mode/connect":     {ours: benchFloor, others: modJwt},
	"bench/mode/jetstream":   {ours: "bench/rig bench/figures codec gateway/broker gateway/broker/jetstream gateway/nats", others: modHistogram + " " + modNats},
	"bench/mode/engine":      {ours: benchFloor + " bench/mode/fanout bench/mode/publish codec gateway/broker gateway/broker/redis gateway/redis", others: modHistogram},
	"bench/mode/fanout":      {ours: benchFloor, others: modHistogram + " " + modUnix},
	"bench/mode/fronts":      {ours: benchFloor + " bench/fronts bench/mode/publish"},
	"bench/mode/open":        {ours: benchFloor},
	"bench/mode/publish":     {ours: benchFloor, others: modHistogram + " " + modUnix},
	"bench/mode/resume":      {ours: benchFloor, others: modGoccy},
	"bench/budgets":          {ours: benchModes + " " + benchFloor},
	"bench/charts":           {ours: benchModes + " " + benchFloor, others: modGoccy},
	"bench":                  {ours: benchModes + " bench/budgets bench/charts"},
	"bench/standin":          {}, // for tests, as is modetest: in no other row
	"bench/mode/modetest":    {ours: benchFloor + " bench/standin", others: modTestify + " " + modUnix},
	"":                       {ours: "gateway/cli"},

	"gateway/testkit/child":    {},
	"gateway/testkit/tcpproxy": {ours: "gateway/testkit gateway/testkit/child"},
	"gateway/testkit/redisrig": {ours: "gateway/testkit gateway/testkit/child gateway/testkit/tcpproxy"},
	"gateway/testkit/natsrig":  {ours: "gateway/testkit gateway/testkit/child gateway/testkit/tcpproxy", others: modNats + " " + modNats + "/jetstream"},
}

type listed struct {
	ImportPath string
	Doc        string
	Standard   bool
	Imports    []string
	GoFiles    []string // of this system, without tests
}

func listPackages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Doc,Standard,Imports,GoFiles", "sluice/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestImportsRunDownward(t *testing.T) {
	for _, p := range listPackages(t) {
		name := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, "sluice"), "/")
		r, ok := layout[name]
		if !ok {
			t.Errorf("package %q has no row in the layout table: add one, with what it may import and why", p.ImportPath)
			continue
		}
		for _, imp := range p.Imports {
			if own, isOwn := strings.CutPrefix(imp, "sluice/"); isOwn {
				if forTests(own) && !forTests(name) {
					t.Errorf("%s imports %s, which is for tests only", p.ImportPath, own)
				} else if !allows(r.ours, own) {
					t.Errorf("%s imports %s, which its row does not allow", p.ImportPath, imp)
				}
			} else if strings.Contains(strings.SplitN(imp, "/", 2)[0], ".") && !allows(r.others, imp) {
				t.Errorf("%s imports %s, which its row does not allow", p.ImportPath, imp)
			}
		}
	}
}

// forTests reports whether a room only serves tests: the kit, and the suites that judge
// implementations of a contract (brokertest, presencetest).
func forTests(name string) bool {
	return strings.HasPrefix(name, "gateway/testkit") || strings.HasPrefix(name, "gateway/") && strings.HasSuffix(name, "test") && name != "gateway/test"
}

func allows(list, name string) bool {
	return list == "*" || slices.Contains(strings.Fields(list), name)
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, p := range listPackages(t) {
		if p.Doc == "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

func TestLayoutHasNoRowForMissingPackage(t *testing.T) {
	var names []string
	for _, p := range listPackages(t) {
		names = append(names, strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, "sluice"), "/"))
	}
	for name := range layout {
		if !slices.Contains(names, name) {
			t.Errorf("the layout table has a row for %q, but there is no such package", name)
		}
	}
}

// The root of the gateway is the map, and nothing else.
func TestTheRootIsTheMap(t *testing.T) {
	files, err := filepath.Glob("../*.go")
	if err != nil || len(files) != 1 || filepath.Base(files[0]) != "doc.go" {
		t.Errorf("gateway/ holds %v (%v): doc.go only; what runs is in a room", files, err)
	}
}

// mostFiles bounds a room: above it nobody finds anything by looking.
const mostFiles = 25

// tableRows returns the names of files that are rows of a table: whoever looks for one
// looks in the table, and another row must not need another room.
func tableRows() map[string][]string {
	var methods []string
	for _, path := range api.Paths("/")[1:] {
		methods = append(methods, strings.TrimPrefix(path, "/")+".go")
	}
	return map[string][]string{"sluice/gateway/api": methods}
}

// A reader finds the room by its name, and the file in the room by its name.
func TestRoomsHaveFewFiles(t *testing.T) {
	rows := tableRows()
	for _, p := range listPackages(t) {
		files := slices.DeleteFunc(p.GoFiles, func(name string) bool { return slices.Contains(rows[p.ImportPath], name) })
		if n := len(files); n > mostFiles {
			t.Errorf("%s has %d files: at most %d, so make a room of what belongs together", p.ImportPath, n, mostFiles)
		}
	}
}

const (
	// longestFile and longestFunction bound what is read at once, in lines.
	longestFile, longestFunction = 400, 60
	// slack is for the last thought.
	slack = 1.1
)

// Files and functions are read, and so have a length at which one can.
func TestFilesAndFunctionsAreShort(t *testing.T) {
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		if lines := set.Position(f.FileEnd).Line; float64(lines) > longestFile*slack {
			t.Errorf("%s has %d lines: at most about %d, so split it by what it holds", path, lines, longestFile)
		}
		for _, decl := range f.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if lines := set.Position(fn.End()).Line - set.Position(fn.Pos()).Line + 1; float64(lines) > longestFunction*slack {
				t.Errorf("%s: %s has %d lines: at most about %d", path, fn.Name.Name, lines, longestFunction)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
