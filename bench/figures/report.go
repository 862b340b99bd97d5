//go:build linux

package figures

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	json "github.com/goccy/go-json"
)

// Report is what a mode hands back: fields for machines, a table for people.
type Report interface {
	WriteTable(w io.Writer) error
}

// Wrongs collects what a verdict has against a run.
type Wrongs []error

// Count adds what happened n times and should not have happened once.
func (w *Wrongs) Count(n int64, what string) {
	if n != 0 {
		*w = append(*w, fmt.Errorf("bench: %d %s", n, what))
	}
}

// WriteReportFile writes r as indented JSON into a file, and makes its folder.
func WriteReportFile(path string, r Report) error {
	b, err := encodeReport(r)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if err == nil {
		err = os.WriteFile(path, b, 0o644)
	}
	if err != nil {
		return fmt.Errorf("bench: -o: %w", err)
	}
	return nil
}

func encodeReport(r Report) ([]byte, error) {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("bench: report: %w", err)
	}
	return append(b, '\n'), nil
}

// WriteReport prints r as indented JSON or as a table.
func WriteReport(w io.Writer, r Report, asJSON bool) error {
	if !asJSON {
		return r.WriteTable(w)
	}
	b, err := encodeReport(r)
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}
