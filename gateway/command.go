package gateway

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sluice/gateway/config"
)

// Main runs the command line and returns the exit code.
func Main(args []string, stdout, stderr io.Writer) int {
	cmd := rootCommand(stdout, stderr)
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	if err := cmd.Execute(); err != nil {
		if !errors.Is(err, errReported) {
			fmt.Fprintf(stderr, "sluice: %v\n", err)
		}
		return 1
	}
	return 0
}

// shortFlags are the flags that stand for an option by another name.
var shortFlags = map[string]string{
	"port":    "http_server.port",
	"address": "http_server.address",
}

// textFlags and switchFlags are the options that are flags by their own name, as
// they are for the reference (PROTOCOL 9.3). Those of parts that Sluice lacks
// are accepted; the configuration warns of them.
var (
	textFlags = []string{
		"http_server.address", "http_server.port", "http_server.internal_address", "http_server.internal_port",
		"pid_file", "log.level", "log.file", "engine.type", "broker.type", "presence_manager.type",
		"map_broker.type", "grpc_api.port", "uni_grpc.port",
	}
	switchFlags = []string{
		"broker.enabled", "presence_manager.enabled", "debug.enabled", "admin.enabled", "admin.external",
		"admin.insecure", "prometheus.enabled", "swagger.enabled", "health.enabled", "init.enabled",
		"uni_websocket.enabled", "uni_sse.enabled", "uni_http_stream.enabled", "sse.enabled",
		"http_stream.enabled", "client.insecure", "http_api.insecure", "http_api.external", "grpc_api.enabled",
		"uni_grpc.enabled",
	}
)

func rootCommand(stdout, stderr io.Writer) *cobra.Command {
	var path string
	var dev bool
	cmd := &cobra.Command{
		Use:   "sluice",
		Short: "An SSE gateway: publications in over HTTP, out to many browsers",
		Example: "  sluice --dev                        try it: live page, random secrets, loopback only\n" +
			"  sluice -c config.json --port 8080   serve with a configuration",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			src := config.Source{Path: path, Environ: os.Environ(), Flags: givenFlags(cmd)}
			if dev {
				src.Dev = &config.Dev{Secret: rand.Text(), APIKey: rand.Text()}
				if !cmd.Flags().Changed("config") {
					src.Path = ""
				}
			}
			return run(src, dev, stdout, stderr)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&path, "config", "c", "config.json", "config file")
	f.StringP("port", "p", "8000", "port of the endpoint (http_server.port)")
	f.StringP("address", "a", "", "address to listen on (http_server.address)")
	f.BoolVar(&dev, "dev", false, "development: loopback only, random secrets, live page")
	for _, key := range textFlags {
		f.String(key, "", "option "+key)
	}
	for _, key := range switchFlags {
		f.Bool(key, false, "option "+key)
	}
	cmd.AddCommand(tokenCommands(stdout, stderr)...)
	cmd.AddCommand(&cobra.Command{
		Use: "version", Short: "print the version", Args: cobra.NoArgs,
		Run: func(*cobra.Command, []string) {
			fmt.Fprintf(stdout, "Sluice v%s (Go version: %s)\n", Version, runtime.Version())
		},
	})
	return cmd
}

// givenFlags returns the options that were set on the command line.
func givenFlags(cmd *cobra.Command) map[string]string {
	given := make(map[string]string)
	cmd.Flags().Visit(func(f *pflag.Flag) {
		switch key := shortFlags[f.Name]; {
		case key != "":
			given[key] = f.Value.String()
		case slices.Contains(textFlags, f.Name), slices.Contains(switchFlags, f.Name):
			given[f.Name] = f.Value.String()
		}
	})
	return given
}

// run serves until a signal comes.
func run(src config.Source, dev bool, stdout, stderr io.Writer) error {
	cfg, report, err := config.Load(src)
	if err != nil {
		return fmt.Errorf("the configuration is wrong:\n%w", err)
	}
	log, closeLog, err := newLogger(cfg, dev, stdout, stderr)
	if err != nil {
		return err
	}
	defer closeLog()
	for _, w := range report.Warnings {
		log.Warn(w)
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	g, err := New(cfg, Options{Log: log, Dev: dev})
	if err != nil {
		return err
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
		if err := g.banner(stdout); err != nil {
			return err
		}
	}
	log.Info("serving", "address", g.Addr(), "version", Version, "loops", len(g.group.Loops))
	err = g.waitForEnd(signals, src)
	ctx, cancel := context.WithTimeout(context.Background(), cfg.Shutdown.Timeout)
	defer cancel()
	go func() {
		for {
			select {
			case sig := <-signals:
				if sig == syscall.SIGHUP {
					continue
				}
				cancel() // a second one: at once
				return
			case <-ctx.Done():
				return
			}
		}
	}()
	return errors.Join(err, g.Stop(ctx))
}

// waitForEnd returns when a signal says so, or a listener ended on its own; then
// with the error. SIGHUP reads the configuration anew.
func (g *Gateway) waitForEnd(signals <-chan os.Signal, src config.Source) error {
	for {
		select {
		case err := <-g.Failed():
			return err
		case sig := <-signals:
			if sig != syscall.SIGHUP {
				g.log.Info("stopping", "signal", sig.String())
				return nil
			}
			g.reread(src)
		}
	}
}

// reread reloads the configuration; one that is wrong changes nothing.
func (g *Gateway) reread(src config.Source) {
	src.Environ = os.Environ()
	cfg, report, err := config.Load(src)
	if err == nil {
		err = g.Reload(cfg)
	}
	if err != nil {
		g.log.Error("the configuration was not reloaded", "error", err)
		return
	}
	for _, w := range report.Warnings {
		g.log.Warn(w)
	}
	g.log.Info("the configuration was reloaded: token keys, the API key and channel options; all else needs a restart")
}

// newLogger logs JSON lines, or text for people in development.
func newLogger(cfg *config.Config, dev bool, stdout, stderr io.Writer) (*slog.Logger, func(), error) {
	opt := &slog.HandlerOptions{Level: LogLevel(cfg.Log.Level)}
	if dev && cfg.Log.File == "" {
		return slog.New(slog.NewTextHandler(stderr, opt)), func() {}, nil
	}
	if cfg.Log.File == "" {
		return slog.New(slog.NewJSONHandler(stdout, opt)), func() {}, nil
	}
	f, err := os.OpenFile(cfg.Log.File, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, nil, fmt.Errorf("log.file cannot be opened: %w", err)
	}
	return slog.New(slog.NewJSONHandler(f, opt)), func() { _ = f.Close() }, nil
}

// writePID writes pid_file and returns what removes it.
func writePID(path string) (remove func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	if err := os.WriteFile(filepath.Clean(path), fmt.Appendf(nil, "%d\n", os.Getpid()), 0o644); err != nil {
		return nil, fmt.Errorf("pid_file cannot be written: %w", err)
	}
	return func() { _ = os.Remove(path) }, nil
}

// banner tells a person how to begin.
func (g *Gateway) banner(w io.Writer) error {
	token, user, err := g.devToken()
	if err != nil {
		return err
	}
	base := "http://" + strings.Replace(g.Addr(), "127.0.0.1", "localhost", 1)
	connect, err := json.Marshal(map[string]any{"subs": map[string]any{devChannels[0]: struct{}{}}})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, `
  Sluice %s, development mode: this machine only, new secrets at every start

  Live page   %s/

  Subscribe   curl -N -G '%s%s' --data-urlencode 'cf_connect=%s'

  Publish     curl '%s%s/publish' -H 'X-API-Key: %s' \
                -d '{"channel":"%s","data":{"text":"hello"}}'

  Token       %s
              (user %q; goes into cf_connect as "token")

`, Version, base, base, g.cfg.UniSSE.HandlerPrefix, connect, base, g.cfg.HTTPAPI.HandlerPrefix,
		g.cfg.HTTPAPI.Key, devChannels[0], token, user)
	return err
}
