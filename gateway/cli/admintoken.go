package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"sluice/gateway/config"
	"sluice/gateway/console"
)

// adminToken is what the command was given.
type adminToken struct {
	name, role string
	ttl        time.Duration
	quiet      bool
}

// adminTokenCommand makes tokens that log in to the console.
func adminTokenCommand(stdout, stderr io.Writer) *cobra.Command {
	c, a := &tokenCommand{stdout: stdout, stderr: stderr}, &adminToken{}
	cmd := c.command("admintoken", "Generate a token to log in to the console with", func(cfg *config.Config, _ []string) error {
		return a.print(cfg, stdout, stderr)
	})
	cmd.Long = "Generate a token to log in to the console with, signed with admin.secret: for one person, in one role, and\n" +
		"for a while. Behind #token= in the address of the console it logs in by itself. The session that it begins\n" +
		"ends with it. There is no list of tokens to take one back from: a changed admin.secret ends all of them."
	cmd.Example = "  sluice admintoken --name ann                            to look, for an hour\n" +
		"  sluice admintoken --name ann --role admin --ttl 8h -q   to act; the token and nothing else"
	cmd.Args = noArgs
	f := cmd.Flags()
	f.StringVarP(&a.name, "name", "n", "", "whose token it is, as the log will say")
	f.StringVarP(&a.role, "role", "r", console.RoleViewer, "viewer may look, admin may act")
	f.DurationVarP(&a.ttl, "ttl", "t", time.Hour, "how long it is valid, at most 24h")
	f.BoolVarP(&a.quiet, "quiet", "q", false, "only output the token without anything else")
	return cmd
}

func (a *adminToken) print(cfg *config.Config, stdout, stderr io.Writer) error {
	token, err := console.LoginToken(cfg.Admin.Secret, a.name, a.role, time.Now(), a.ttl)
	if err != nil {
		return fmt.Errorf("error: %w", err)
	}
	if !cfg.Admin.Enabled {
		fmt.Fprintln(stderr, "the console is off: set admin.enabled")
	}
	if a.quiet {
		_, err = io.WriteString(stdout, token)
		return err
	}
	_, err = fmt.Fprintf(stdout, "Login token of %s as %s for %s; the address of the console, %s/#token=, with it behind logs in:\n%s\n",
		a.name, a.role, a.ttl, cfg.Admin.HandlerPrefix, token)
	return err
}
