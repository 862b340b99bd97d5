//go:build linux

package rig

import (
	"flag"
	"os"

	"sluice/bench/figures"
)

// Header begins the report of a run of mode against the rig's server.
func (r *Rig) Header(mode string) figures.Header {
	return figures.Header{Mode: mode, Machine: figures.ThisMachine(), Server: r.serverName(), Config: r.Flags.settings()}
}

// settings are the values of all flags that say what was measured.
func (f *CommonFlags) settings() map[string]string {
	values := map[string]string{}
	if f.set == nil {
		return values
	}
	f.set.VisitAll(func(x *flag.Flag) {
		switch x.Name {
		case "key", "token-secret", "o", "json":
		default:
			values[x.Name] = x.Value.String()
		}
	})
	return values
}

// finish writes a report where the flags say: the file, and standard output.
func (f *CommonFlags) finish(r figures.Report) error {
	if f.out != "" {
		if err := figures.WriteReportFile(f.out, r); err != nil {
			return err
		}
	}
	return figures.WriteReport(os.Stdout, r, f.asJSON)
}

// Conclude ends a mode with what its run returned: the report is written, also
// where it can be a failure (Verdict) and is.
func (f *CommonFlags) Conclude(r figures.Report, err error) error {
	if err == nil {
		err = f.finish(r)
	}
	if judged, ok := r.(interface{ Verdict() error }); err == nil && ok {
		err = judged.Verdict()
	}
	return err
}
