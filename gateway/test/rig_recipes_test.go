package test

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// runner is what runs a program of the pages, by its language.
type runner struct {
	file     string   // its name
	programs []string // the first that there is runs it, with args and the file
	args     []string
	install  string
}

var runners = map[string]runner{
	"javascript": {"recipe.mjs", []string{"node"}, nil, "apt-get install nodejs"},
	"python":     {"recipe.py", []string{"python3"}, nil, "apt-get install python3"},
	"php":        {"recipe.php", []string{"php"}, nil, "apt-get install php-cli"},
	"ruby":       {"recipe.rb", []string{"ruby"}, nil, "apt-get install ruby"},
	"go":         {"recipe.go", []string{"go"}, []string{"run"}, "see go.dev"},
	"sh":         {"recipe.sh", []string{"sh"}, nil, "apt-get install dash"},
}

// recipe is a program of the pages, in a file of its own.
type recipe struct {
	language, program string
	args              []string
}

func newRecipe(t *testing.T, language, text string) *recipe {
	t.Helper()
	run, known := runners[language]
	require.True(t, known, "a recipe in %q, which nothing runs", language)
	path := filepath.Join(t.TempDir(), run.file)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return &recipe{language, testkit.NeedProgram(t, run.programs, run.install), append(slices.Clone(run.args), path)}
}

func (r *recipe) command(args ...string) *exec.Cmd {
	return exec.Command(r.program, append(slices.Clone(r.args), args...)...)
}

// following is a program that follows channels: a line for each publication, "channel data",
// or for each push, as JSON.
type following struct {
	// Immutable after follows.
	name  string
	cmd   *exec.Cmd
	errs  *testkit.LogBuffer
	ended chan error

	// Guarded by mu.
	mu    sync.Mutex
	seen  map[string][]int
	count int
	codes []int    // of disconnects, where it says
	lost  []string // channels with gaps, where it says
	bad   []string // lines that are neither
}

// follows starts a program, and ends it with the test if it has not ended by itself.
func follows(t *testing.T, name string, cmd *exec.Cmd, env ...string) *following {
	t.Helper()
	f := &following{name: name, cmd: cmd, errs: &testkit.LogBuffer{}, ended: make(chan error, 1), seen: make(map[string][]int)}
	cmd.Env, cmd.Stderr = append(os.Environ(), env...), f.errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // go run and shells start others
	cmd.WaitDelay = 10 * time.Second
	out, in := io.Pipe()
	cmd.Stdout = in
	require.NoError(t, cmd.Start())
	reading := make(chan struct{})
	go func() {
		defer close(reading)
		f.read(out)
	}()
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := cmd.Wait()
		_ = in.Close()
		<-reading
		f.ended <- err
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-done
		if t.Failed() {
			t.Logf("%s: %s", name, f.errs)
		}
	})
	return f
}

func (f *following) read(out io.Reader) {
	for lines := bufio.NewReader(out); ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		f.take(line)
	}
}

func (f *following) take(line string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if strings.HasPrefix(line, "{") {
		f.takePush(line)
		return
	}
	channel, data, _ := strings.Cut(line, " ")
	f.publication(channel, json.RawMessage(data))
}

func (f *following) publication(channel string, data json.RawMessage) {
	var v struct {
		N    int
		Text string
	}
	if err := json.Unmarshal(data, &v); err != nil || v.N == 0 || v.Text != "" && v.Text != oddText {
		f.bad = append(f.bad, string(data))
	}
	f.seen[channel] = append(f.seen[channel], v.N)
	f.count++
}

func (f *following) takePush(line string) {
	push := struct {
		pushBody
		Pub *struct{ Data json.RawMessage }
	}{}
	if err := json.Unmarshal([]byte(line), &push); err != nil {
		f.bad = append(f.bad, line)
		return
	}
	switch {
	case push.Pub != nil:
		f.publication(push.Channel, push.Pub.Data)
	case push.Disconnect != nil:
		f.codes = append(f.codes, int(push.Disconnect.Code))
	case push.Connect != nil:
		for channel, s := range push.Connect.Subs {
			if s.WasRecovering && !s.Recovered {
				f.lost = append(f.lost, channel)
			}
			for _, p := range s.Publications {
				f.publication(channel, p.Data)
			}
		}
	}
}

// wait waits until the program has printed so many publications.
func (f *following) wait(t *testing.T, count int) {
	t.Helper()
	testkit.EventuallyWithin(t, time.Minute, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.count >= count || len(f.bad) > 0
	}, f.name+" to print all")
	f.mu.Lock()
	defer f.mu.Unlock()
	require.Empty(t, f.bad, f.name)
}

// waitEnd waits until the program has ended by itself.
func (f *following) waitEnd(t *testing.T) error {
	t.Helper()
	select {
	case err := <-f.ended:
		return err
	case <-time.After(time.Minute):
		t.Fatalf("%s did not end: %s", f.name, f.errs)
		return nil
	}
}

// expect fails unless the program has printed 1 … each of all channels, and told no gap.
func (f *following) expect(t *testing.T, channels []string, each int) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	expectAllOnceInOrder(t, 0, f.seen, channels, each)
	require.Empty(t, f.lost, f.name)
	require.NotContains(t, f.errs.String(), "missing", f.name)
}
