package fronts

import (
	"os"
	"strings"
	"testing"
	"time"
)

// Each kind has a command with the origin, the port and the idle limit in its
// configuration or arguments, unless its program is missing.
func TestCommands(t *testing.T) {
	for _, k := range Kinds() {
		if Named(k.Name).Install != k.Install {
			t.Errorf("%s is not found by its name", k.Name)
		}
		k.Programs = []string{os.Args[0]} // whatever can be run
		s := Setup{Files: "../../gateway/deploy/fronts", Dir: t.TempDir(), Port: 12345, Origin: "127.0.0.1:54321", Idle: 77 * time.Second}
		cmd, text, err := k.Command(s)
		if err != nil {
			t.Errorf("%s: %v", k.Name, err)
			continue
		}
		text += strings.Join(cmd.Args, " ")
		for _, want := range []string{"12345", "54321", "77"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %s expected in\n%s", k.Name, want, text)
			}
		}
	}
}

func TestMissing(t *testing.T) {
	k := Kinds()[0]
	k.Programs = []string{"there is no such program"}
	if _, _, err := k.Command(Setup{}); err == nil || !strings.Contains(err.Error(), "apt-get install nginx") {
		t.Errorf("expected the install line, got %v", err)
	}
	k = Named("nginx")
	k.Programs = []string{os.Args[0]}
	if _, _, err := k.Command(Setup{Files: t.TempDir()}); err == nil {
		t.Error("expected an error without the files")
	}
}
