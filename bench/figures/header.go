//go:build linux

package figures

import (
	"fmt"
	"io"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"sluice/bench/proc"
)

// Machine is where and when the figures were taken.
type Machine struct {
	CPUs   int    `json:"cpus"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
	When   string `json:"when"`
	// Load is the load average of the minute before; absent in older files, -1 if
	// it is unknown.
	Load float64 `json:"load_average,omitempty"`
}

// ThisMachine is the machine now.
func ThisMachine() Machine {
	m := Machine{CPUs: runtime.NumCPU(), Go: runtime.Version(), When: time.Now().UTC().Format(time.RFC3339), Load: proc.LoadAtStart}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	return m
}

// String is one line of a table's title.
func (m Machine) String() string {
	return fmt.Sprintf("%d CPUs shared by server and bench, load average %.2f before, Linux %s, %s, %s", m.CPUs, m.Load, m.Kernel, m.Go, m.When)
}

// Header begins every report.
type Header struct {
	Mode    string            `json:"mode"`
	Machine Machine           `json:"machine"`
	Server  string            `json:"server"`
	Config  map[string]string `json:"config"` // the flags of the run, secrets left out
}

// WriteTitle begins a table: what was done, to which server, on which machine.
func (h Header) WriteTitle(w io.Writer, format string, args ...any) {
	fmt.Fprintf(w, format, args...)
	fmt.Fprintf(w, "\n%s\n%s\n\n", h.Server, h.Machine)
}
