package cli

import (
	"fmt"
	"os"
	"path/filepath"

	"sluice/gateway/advice"
)

// writePID writes pid_file and returns what removes it.
func writePID(path string) (remove func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	if err := os.WriteFile(filepath.Clean(path), fmt.Appendf(nil, "%d\n", os.Getpid()), 0o644); err != nil {
		return nil, fmt.Errorf("pid_file cannot be written: %w", advice.File(err, "pid_file"))
	}
	return func() { _ = os.Remove(path) }, nil
}
