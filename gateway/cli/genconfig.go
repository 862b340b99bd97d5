package cli

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"sluice/gateway/config/docs"
)

func (c *configCommand) genconfig() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "genconfig",
		Short: "Write a minimal configuration with random secrets",
		Long: "Write a minimal configuration: the endpoint switched on, random secrets for tokens, the API and the\n" +
			"console, which is off, and channels without a namespace for whoever has a token, as `sluice gentoken`\n" +
			"prints one. Only the owner can read the file; one that is there already is left alone.",
		Example: "  sluice genconfig                  writes config.json\n" +
			"  sluice genconfig -c config.yaml   the extension picks the format: json, yaml, yml, toml\n" +
			"  sluice genconfig --service        for a server that runs as a service of its machine",
		Args: noArgs,
	}
	cmd.Flags().StringVarP(&c.path, "config", "c", "config.json", "file to write")
	var service bool
	cmd.Flags().BoolVar(&service, "service", false, "for a service: API, health and metrics on 127.0.0.1:9000, apart from the streams")
	markConfigFile(cmd, "config")
	cmd.RunE = func(*cobra.Command, []string) error {
		render := docs.RenderMinimal
		if service {
			render = docs.RenderService
		}
		text, err := render(docs.Secrets{
			Token: newTokenKey(), APIKey: rand.Text(), ConsolePassword: rand.Text(), ConsoleSecret: newTokenKey(),
		}, c.path)
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
