package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"sluice/gateway/config"
	"sluice/gateway/node"
)

func (c *configCommand) checkconfig() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "checkconfig",
		Short: "Check a configuration",
		Long: "Check a configuration: the file with the environment over it, as the server would read them. What\n" +
			"keeps the server from starting comes first and ends it with code 1. Keys that are unknown, given\n" +
			"twice, in conflict, not supported or deprecated follow, with their line and what to write instead,\n" +
			"and so do secrets that can be guessed, what lets everybody in, and what cannot work, such as a start\n" +
			"that nobody can use; with --strict they end it with code 1 too. It prints nothing about a file that\n" +
			"is fine. What merely deserves a look goes to the standard error, and so does what edge.profile sets.",
		Example: "  sluice checkconfig\n" +
			"  sluice checkconfig -c config.yaml --strict",
		Args: noArgs,
	}
	cmd.Flags().StringVarP(&c.path, "config", "c", "config.json", "config file to check")
	cmd.Flags().BoolVarP(&c.strict, "strict", "s", false, "fail on everything that is printed to the standard output, not on errors only")
	markConfigFile(cmd, "config")
	cmd.RunE = func(*cobra.Command, []string) error {
		if _, err := os.Stat(c.path); errors.Is(err, os.ErrNotExist) {
			fmt.Fprintf(c.stderr, "%s is not there; `sluice genconfig -c %s` writes one\n", c.path, c.path)
			return reported(c.stdout, "config file not found")
		}
		_, report, err := node.Load(config.Source{Path: c.path, Environ: os.Environ()})
		fatal := c.printFatal(report, err)
		strict := c.printFindings(report.Findings)
		if p := report.Profile(); p != nil {
			fmt.Fprintf(c.stderr, "edge.profile: %s\n", p)
		}
		c.adviseConversion(report.Findings)
		if fatal || c.strict && strict {
			return errReported
		}
		return nil
	}
	return cmd
}

// printFatal prints what keeps the server from starting: what Load said in err,
// or, if that is nothing, what New would refuse. It reports whether there was any.
func (c *configCommand) printFatal(report *config.Report, err error) bool {
	if err != nil {
		c.printErrors("error getting config", err)
	}
	refused := node.Refused(report, err)
	if refused != nil {
		c.printErrors("error validating config", refused)
	}
	return err != nil || refused != nil
}

// printFindings prints what was noticed in a configuration, by weight, and
// reports whether --strict fails on any of it.
func (c *configCommand) printFindings(findings []config.Finding) (strict bool) {
	findings = config.ByWeight(findings)
	var unknown []string
	for _, f := range findings {
		if f.Kind == config.KindUnknown && strings.HasPrefix(f.Origin, "file ") {
			unknown = append(unknown, f.Key)
		}
	}
	if c.strict && len(unknown) > 0 {
		fmt.Fprintf(c.stdout, "unknown keys in config: %s\n", strings.Join(unknown, ", "))
	}
	for _, f := range findings {
		if !f.Kind.Strict() {
			fmt.Fprintf(c.stderr, "warning: %s\n", f)
			continue
		}
		strict = true
		fmt.Fprintln(c.stdout, f)
	}
	return strict
}

// adviseConversion says what turns a flat file into a nested one, if it is one.
func (c *configCommand) adviseConversion(findings []config.Finding) {
	for _, f := range findings {
		if f.Kind == config.KindDeprecated && strings.HasPrefix(f.Origin, "file ") {
			fmt.Fprintf(c.stderr, "`sluice convertconfig %s NEW` writes it in the form of version 6\n", c.path)
			return
		}
	}
}

// printErrors prints one line for each error that err joins.
func (c *configCommand) printErrors(what string, err error) {
	for line := range strings.Lines(plainError(err)) {
		fmt.Fprintf(c.stdout, "%s: %s\n", what, strings.TrimSuffix(line, "\n"))
	}
}
