package gateway

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

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
	out.Close(flushWithin)
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
	cmd.AddCommand(serveCommand(stdout), versionCommand(stdout))
	cmd.SetHelpCommand(helpCommand())
	return cmd
}

func versionCommand(stdout io.Writer) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Example: "  sluice version", Args: noArgs,
		Run: func(*cobra.Command, []string) { fmt.Fprintln(stdout, versionText()) },
	}
}

func versionText() string {
	return fmt.Sprintf("Sluice v%s (Go version: %s)", Version, runtime.Version())
}

// run serves until a signal comes.
func run(src config.Source, dev bool, stdout, stderr io.Writer) error {
	cfg, report, err := config.Load(src)
	if err != nil {
		return fmt.Errorf("the configuration is wrong:\n%w", errors.Join(err, refusedToo(cfg, report, err)))
	}
	// Who reads our output may go away: that costs lines, not the server.
	signal.Ignore(syscall.SIGPIPE)
	log, out, err := newLogger(cfg, dev, stdout, stderr)
	if err != nil {
		return err
	}
	defer out.close()
	warnWideLog(log, cfg.Log.File)
	for _, w := range report.Warnings {
		log.Warn(w)
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	g, err := New(cfg, Options{Log: log, Dev: dev, LogDropped: out.Dropped})
	if err != nil {
		return located(err, report)
	}
	if err := g.Start(); err != nil {
		return err
	}
	removePID, err := writePID(cfg.PIDFile)
	if err != nil {
		return err
	}
	defer removePID()
	if dev {
		var text strings.Builder
		if err := g.banner(&text, net.InterfaceAddrs); err != nil {
			return err
		}
		say(stdout, text.String())
	}
	log.Info("serving", "address", g.Addr(), "version", Version, "loops", len(g.group.Loops))
	sig, err := g.waitForEnd(signals, src, out.Reopen)
	return errors.Join(err, g.stopOn(signals, sig))
}

// waitForEnd returns the signal that ends the server, or, if a listener ended on
// its own, the error. SIGHUP opens the log file anew and reads the configuration.
func (g *Gateway) waitForEnd(signals <-chan os.Signal, src config.Source, reopenLog func()) (os.Signal, error) {
	r := newReloader(g, src)
	for {
		select {
		case err := <-g.Failed():
			return nil, err
		case sig := <-signals:
			if sig != syscall.SIGHUP {
				return sig, nil
			}
			reopenLog()
			r.reload()
		}
	}
}

// writePID writes pid_file and returns what removes it.
func writePID(path string) (remove func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	if err := os.WriteFile(filepath.Clean(path), fmt.Appendf(nil, "%d\n", os.Getpid()), 0o644); err != nil {
		return nil, fmt.Errorf("pid_file cannot be written: %w", adviseFile(err, "pid_file"))
	}
	return func() { _ = os.Remove(path) }, nil
}
