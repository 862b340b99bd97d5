package cli

import (
	"fmt"
	"io"
	"log/slog"

	"sluice/gateway/advice"
	"sluice/gateway/config"
	"sluice/gateway/logs"
)

// newLogger logs as the section log says: JSON lines or text, to the file or to
// standard output; in development text for people.
func newLogger(cfg *config.Config, dev bool, stdout, stderr io.Writer) (*slog.Logger, *logs.Output, error) {
	to := logs.Logger{Level: cfg.Log.Level, Text: cfg.Log.Format == "text", To: stdout}
	switch {
	case cfg.Log.File != "":
		f, err := logs.OpenFile(cfg.Log.File)
		if err != nil {
			return nil, nil, fmt.Errorf("log.file cannot be opened: %w", advice.File(err, "log.file"))
		}
		to.File = f
	case dev:
		to.To, to.Text = stderr, true
	}
	log, out := logs.New(to)
	return log, out, nil
}
