package cli

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"sluice/gateway/config"
	"sluice/gateway/node"
)

// errReported is what a command returns that has said itself what is wrong:
// scripts of the reference's users read that on the standard output (PROTOCOL
// 9.3).
var errReported = errors.New("reported")

// tokenCommands are the commands that make and check tokens with the keys of a
// configuration (PROTOCOL 9.3).
func tokenCommands(stdout, stderr io.Writer) []*cobra.Command {
	c := &tokenCommand{stdout: stdout, stderr: stderr}
	gen := c.command("gentoken", "Generate a connection JWT for a user", c.generate)
	gen.Example = "  sluice gentoken -u 42              a token of user 42, valid for a week\n" +
		"  sluice gentoken -u 42 -t 3600 -q   the token and nothing else, valid for an hour"
	genSub := c.command("gensubtoken", "Generate a subscription JWT for a user", c.generateSubscription)
	genSub.Example = "  sluice gensubtoken -u 42 -s news"
	for _, cmd := range []*cobra.Command{gen, genSub} {
		cmd.Args = noArgs
		f := cmd.Flags()
		f.StringVarP(&c.user, "user", "u", "", "user ID, by default anonymous")
		f.Int64VarP(&c.ttl, "ttl", "t", int64(defaultTokenLife/time.Second), "token TTL in seconds, use -1 for token without expiration")
		f.BoolVarP(&c.quiet, "quiet", "q", false, "only output the token without anything else")
	}
	genSub.Flags().StringVarP(&c.channel, "channel", "s", "", "channel")
	check := c.command("checktoken [TOKEN]", "Check a connection JWT", c.check)
	check.Example = "  sluice checktoken \"$(sluice gentoken -q -u 42)\""
	checkSub := c.command("checksubtoken [TOKEN]", "Check a subscription JWT", c.checkSubscription)
	checkSub.Example = "  sluice checksubtoken \"$(sluice gensubtoken -q -u 42 -s news)\""
	for _, cmd := range []*cobra.Command{check, checkSub} {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	return []*cobra.Command{gen, check, genSub, checkSub}
}

// tokenCommand is what a token command was given.
type tokenCommand struct {
	stdout, stderr      io.Writer
	path, user, channel string
	ttl                 int64 // seconds, 0 or less for ever
	quiet               bool
}

// command makes one command. An error of run is told as the reference tells it,
// with exit code 1.
func (c *tokenCommand) command(use, short string, run func(cfg *config.Config, args []string) error) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, SilenceUsage: true, SilenceErrors: true}
	cmd.Flags().StringVarP(&c.path, "config", "c", "config.json", "path to config file")
	markConfigFile(cmd, "config")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, report, err := node.Load(configSource(cmd, c.path))
		if report != nil {
			log := slog.New(slog.NewJSONHandler(c.stderr, nil))
			for _, w := range report.Warnings {
				log.Warn(w)
			}
		}
		if err != nil {
			fmt.Fprintf(c.stdout, "error getting config: %v\n", err)
			return errReported
		}
		if err := run(cfg, args); err != nil {
			fmt.Fprintln(c.stdout, err)
			return errReported
		}
		return nil
	}
	return cmd
}
