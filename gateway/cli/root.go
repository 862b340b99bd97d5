// Package cli is the command line: one file for each command, flags and help, the
// banner of --dev, the pid file and the signals of a server that runs. It prints
// and exits; what a command does is done by the packages below.
package cli

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"sluice/gateway/config"
	"sluice/gateway/logs"
)

// Main runs the command line and returns the exit code.
func Main(args []string, stdout, stderr io.Writer) int {
	cmd := rootCommand(stdout, stderr)
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	if err := cmd.Execute(); err != nil {
		if !errors.Is(err, errReported) {
			say(stderr, fmt.Sprintf("sluice: %v\n", err))
		}
		return 1
	}
	return 0
}

// say writes a text for people; a reader that hangs is not waited for long.
func say(w io.Writer, text string) {
	out := logs.NewWriter(w, logs.Options{})
	_, _ = io.WriteString(out, text)
	out.Close(logs.FlushWithin)
}

// rootCommand is the command that serves, with all others below it (PROTOCOL
// 9.3).
func rootCommand(stdout, stderr io.Writer) *cobra.Command {
	var path string
	var dev bool
	cmd := &cobra.Command{
		Use:   "sluice",
		Short: "An SSE gateway: publications in over HTTP, out to many browsers",
		Long: "An SSE gateway: publications in over HTTP, out to many browsers. Without a command it serves.\n\n" +
			"Every option is a flag by its own name, also those that are not listed below; `sluice configdoc`\n" +
			"explains them. Flags go before the environment (SLUICE_..., CENTRIFUGO_...), and that before the file.",
		Example: "  sluice --dev                        try it: live page, random secrets, loopback only\n" +
			"  sluice genconfig                    write config.json with random secrets\n" +
			"  sluice -c config.json --port 8080   serve with a configuration",
		Args:                       rootArgs,
		SilenceUsage:               true,
		SilenceErrors:              true,
		SuggestionsMinimumDistance: 2,
		RunE: func(cmd *cobra.Command, _ []string) error {
			flags, err := givenFlags(cmd)
			if err != nil {
				return err
			}
			src := configSource(cmd, path)
			src.Flags = flags
			if dev {
				src.Dev = &config.Dev{Secret: newTokenKey(), APIKey: rand.Text()}
				if !src.Required {
					src.Path = ""
				}
			}
			return run(src, dev, stdout, stderr)
		},
	}
	cmd.Version = versionText()
	cmd.SetVersionTemplate("{{.Version}}\n")
	cmd.SetFlagErrorFunc(flagError)
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVarP(&path, "config", "c", "config.json", "config file: json, yaml, yml or toml")
	f.BoolVar(&dev, "dev", false, "development: loopback unless --address says otherwise, random secrets, live page")
	f.VarP(&optionFlag{"8000", "port"}, "port", "p", "port of the endpoint (http_server.port)")
	f.VarP(&optionFlag{"", "string"}, "address", "a", "address to listen on (http_server.address)")
	addOptionFlags(cmd)
	markConfigFile(cmd, "config")
	cmd.AddCommand(configCommands(stdout, stderr)...)
	cmd.AddCommand(tokenCommands(stdout, stderr)...)
	cmd.AddCommand(adminTokenCommand(stdout, stderr), dictionaryCommand(stdout), relayCommand(stdout, stderr), healthCommand(stdout), serveCommand(stdout), docsCommand(stdout), versionCommand(stdout))
	cmd.SetHelpCommand(helpCommand())
	return cmd
}
