package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"sluice/gateway/config"
	"sluice/gateway/node"
)

// configCommands are the commands that write, check and explain configurations
// (PROTOCOL 9.3).
func configCommands(stdout, stderr io.Writer) []*cobra.Command {
	c := &configCommand{stdout: stdout, stderr: stderr}
	return []*cobra.Command{c.genconfig(), c.checkconfig(), c.convertconfig(), c.defaultconfig(), c.defaultenv(), c.configdoc()}
}

// configCommand is what a command on configurations was given.
type configCommand struct {
	stdout, stderr         io.Writer
	path, base             string
	strict, dryRun, noZero bool
	prefix, write          string
}

// reported prints what a command found wrong on the standard output, as the
// reference does, and makes it end with code 1.
func reported(stdout io.Writer, format string, args ...any) error {
	fmt.Fprintf(stdout, format+"\n", args...)
	return errReported
}

// loadBase returns the defaults, or the base file over them.
func (c *configCommand) loadBase() (*config.Config, error) {
	if c.base == "" {
		return config.Default(), nil
	}
	if _, err := os.Stat(c.base); err != nil {
		return nil, reported(c.stdout, "error: base file %s", plainError(err))
	}
	cfg, report, err := node.Load(config.Source{Path: c.base, Environ: os.Environ()})
	printWarnings(c.stderr, report)
	if err != nil {
		return nil, reported(c.stdout, "error: %s", plainError(err))
	}
	return cfg, nil
}

// printWarnings writes what loading a configuration noticed, one line each.
func printWarnings(w io.Writer, report *config.Report) {
	for _, warning := range report.Warnings {
		fmt.Fprintln(w, "warning:", warning)
	}
}

// writeNew writes a file that must not be there, for the owner's eyes only. The
// error wraps fs.ErrExist if it is there. What could not be written whole is
// removed.
func writeNew(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(path)
	}
	return err
}

// plainError renders an error for a person: file errors without the name of the
// system call, ours without the package.
func plainError(err error) string {
	var file *fs.PathError
	if errors.As(err, &file) {
		return file.Path + ": " + file.Err.Error()
	}
	return strings.ReplaceAll("\n"+err.Error(), "\nconfig: ", "\n")[1:]
}

// markConfigFile makes the shell complete flags with the names of config files.
func markConfigFile(cmd *cobra.Command, flags ...string) {
	for _, flag := range flags {
		if err := cmd.MarkFlagFilename(flag, "json", "yaml", "yml", "toml"); err != nil {
			panic("BUG: " + err.Error())
		}
	}
}
