package gateway

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"sluice/gateway/config"
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

func (c *configCommand) genconfig() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "genconfig",
		Short: "Write a minimal configuration with random secrets",
		Long: "Write a minimal configuration: the endpoint switched on, random secrets for tokens and the API, and\n" +
			"channels without a namespace for whoever has a token, as `sluice gentoken` prints one. Only the owner\n" +
			"can read the file; one that is there already is left alone.",
		Example: "  sluice genconfig                  writes config.json\n" +
			"  sluice genconfig -c config.yaml   the extension picks the format: json, yaml, yml, toml",
		Args: noArgs,
	}
	cmd.Flags().StringVarP(&c.path, "config", "c", "config.json", "file to write")
	markConfigFile(cmd, "config")
	cmd.RunE = func(*cobra.Command, []string) error {
		text, err := config.RenderMinimal(config.Secrets{Token: newTokenKey(), APIKey: rand.Text()}, c.path)
		if err == nil {
			err = writeNew(c.path, text)
		}
		if errors.Is(err, fs.ErrExist) {
			return reported(c.stdout, "error: output config file already exists: %s", c.path)
		}
		if err != nil {
			return reported(c.stdout, "error: %s", plainError(err))
		}
		fmt.Fprintf(c.stderr, "%s written. Next: sluice -c %s\nA token for a client: sluice gentoken -c %s -u 42\n", c.path, c.path, c.path)
		return nil
	}
	return cmd
}

// newTokenKey returns a random key that is long enough for each HMAC algorithm.
func newTokenKey() string { return rand.Text() + rand.Text() + rand.Text() }

func (c *configCommand) defaultconfig() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "defaultconfig",
		Short: "Write a configuration with every option and its default",
		Long: "Write a configuration with every option. Each has its default, or what a base file and, with it, the\n" +
			"environment say. YAML and TOML say for each option what it does. The defaults alone serve nobody: they\n" +
			"have no endpoint and no keys, which checkconfig --strict fails on.",
		Example: "  sluice defaultconfig -c all.yaml                 every option, explained\n" +
			"  sluice defaultconfig -c all.json --dry-run       print instead of writing\n" +
			"  sluice defaultconfig -b config.json -c all.toml  with the values of config.json, secrets included",
		Args: noArgs,
	}
	f := cmd.Flags()
	f.StringVarP(&c.path, "config", "c", "config.json", "file to write; its extension picks the format")
	f.StringVarP(&c.base, "base", "b", "", "config file whose values to take instead of the defaults")
	f.BoolVarP(&c.dryRun, "dry-run", "d", false, "print to the standard output instead of writing the file")
	markConfigFile(cmd, "config", "base")
	cmd.RunE = func(*cobra.Command, []string) error {
		cfg, err := c.loadBase()
		if err != nil {
			return err
		}
		text, err := config.Render(cfg, c.path)
		if err != nil {
			return reported(c.stdout, "error: %s", plainError(err))
		}
		if c.dryRun {
			_, err = c.stdout.Write(text)
			return err
		}
		err = writeNew(c.path, text)
		if errors.Is(err, fs.ErrExist) {
			return reported(c.stdout, "error: target file already exists: %s", c.path)
		}
		if err != nil {
			return reported(c.stdout, "error: %s", plainError(err))
		}
		fmt.Fprintf(c.stderr, "%s written\n", c.path)
		return nil
	}
	return cmd
}

func (c *configCommand) defaultenv() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "defaultenv",
		Short: "Print every option as an environment variable",
		Long: "Print every option as a line NAME=value, sorted, in the form of a .env file. Each has its default, or\n" +
			"what a base file and, with it, the environment say. Those of parts that do not exist yet come last,\n" +
			"behind a comment.",
		Example: "  sluice defaultenv                                       every variable and its default\n" +
			"  sluice defaultenv -b config.json --base-non-zero-only   a config file as environment, secrets included\n" +
			"  sluice defaultenv --prefix CENTRIFUGO_                  the names that the reference has too",
		Args: noArgs,
	}
	f := cmd.Flags()
	f.StringVarP(&c.base, "base", "b", "", "config file whose values to take instead of the defaults")
	f.BoolVar(&c.noZero, "base-non-zero-only", false, "leave out what is false, 0 or empty")
	f.StringVar(&c.prefix, "prefix", "SLUICE_", "first part of the names: SLUICE_ or CENTRIFUGO_")
	markConfigFile(cmd, "base")
	cmd.RunE = func(*cobra.Command, []string) error {
		cfg, err := c.loadBase()
		if err != nil {
			return err
		}
		text, err := config.RenderEnv(cfg, c.prefix, c.noZero)
		if err != nil {
			return reported(c.stdout, "error: %s", plainError(err))
		}
		_, err = c.stdout.Write(text)
		return err
	}
	return cmd
}

// loadBase returns the defaults, or the base file over them.
func (c *configCommand) loadBase() (*config.Config, error) {
	if c.base == "" {
		return config.Default(), nil
	}
	if _, err := os.Stat(c.base); err != nil {
		return nil, reported(c.stdout, "error: base file %s", plainError(err))
	}
	cfg, report, err := config.Load(config.Source{Path: c.base, Environ: os.Environ()})
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

func (c *configCommand) configdoc() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "configdoc [KEY]",
		Short: "Explain options",
		Long:  "Explain an option or all options of a section. Without a key, print the whole reference as Markdown.",
		Example: "  sluice configdoc client.ping_interval\n" +
			"  sluice configdoc uni_sse\n" +
			"  sluice configdoc > options.md\n" +
			"  sluice configdoc --write gateway/docs/options.md    between its markers <!-- options:begin --> and <!-- options:end -->",
		Args: cobra.MaximumNArgs(1),
	}
	cmd.Flags().StringVarP(&c.write, "write", "w", "", "Markdown file whose option reference to rewrite")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		switch {
		case c.write != "" && len(args) > 0:
			return errors.New("--write takes the whole reference: leave out " + args[0])
		case c.write != "":
			return rewriteReference(c.write)
		case len(args) == 0:
			_, err := io.WriteString(c.stdout, config.Reference())
			return err
		}
		text, err := config.Describe(args[0])
		if err != nil {
			return err
		}
		_, err = io.WriteString(c.stdout, text)
		return err
	}
	cmd.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		var keys []string
		for _, o := range config.Options() {
			keys = append(keys, o.Key)
		}
		return keys, cobra.ShellCompDirectiveNoFileComp
	}
	return cmd
}

// rewriteReference renews the option reference in a Markdown file, if it
// differs.
func rewriteReference(path string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return errors.New(plainError(err))
	}
	text, err := config.UpdateReference(old)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if bytes.Equal(old, text) {
		return nil
	}
	return os.WriteFile(path, text, 0o644)
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
