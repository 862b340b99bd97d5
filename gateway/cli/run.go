package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"sluice/gateway/config"
	"sluice/gateway/logs"
	"sluice/gateway/node"
	"sluice/gateway/systemd"
)

// run serves until a signal comes.
func run(src config.Source, dev bool, stdout, stderr io.Writer) error {
	sockets, err := systemd.Inherit()
	if err != nil {
		return err
	}
	cfg, report, err := node.Load(src)
	if err == nil && src.Relay && !cfg.Relays() {
		return errors.New("no origin: give --origin URL, or relay.origin in the configuration")
	}
	if err != nil {
		return fmt.Errorf("the configuration is wrong:\n%w", errors.Join(err, node.Refused(report, err)))
	}
	// Who reads our output may go away: that costs lines, not the server.
	signal.Ignore(syscall.SIGPIPE)
	log, out, err := newLogger(cfg, dev, stdout, stderr)
	if err != nil {
		return err
	}
	defer out.Close()
	logs.WarnWide(log, cfg.Log.File)
	for _, w := range report.Warnings {
		log.Warn(w)
	}
	if p := report.Profile(); p != nil {
		log.Info("edge.profile", "profile", p.Name, "set", strings.Join(p.Set, ", "), "kept", strings.Join(p.Kept, ", "))
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	n, err := node.New(cfg, node.Options{Log: log, Dev: dev, LogDropped: out.Dropped, Sockets: sockets})
	if err != nil {
		return cmp.Or(node.Refused(report, nil), err)
	}
	if err := n.Start(); err != nil {
		return err
	}
	removePID, err := writePID(cfg.PIDFile)
	if err != nil {
		stopNow(n)
		return err
	}
	defer removePID()
	if dev {
		var text strings.Builder
		if err := banner(&text, n, cfg, report.Profile(), net.InterfaceAddrs); err != nil {
			stopNow(n)
			return err
		}
		say(stdout, text.String())
	}
	if src.Relay {
		say(stdout, relayBanner(n, cfg))
	}
	log.Info("serving", "address", n.Addr(), "version", node.Version, "loops", n.Loops())
	manager := systemd.NewMessenger(log)
	defer manager.Close()
	manager.Tell(systemd.Ready, systemd.Status("serving on "+n.Addr()))
	n.WhileServing(func(ctx context.Context) { manager.Watch(ctx, n.Works, n.Status) })
	sig, err := waitForEnd(n, signals, src, out.Reopen, manager)
	manager.Tell(systemd.Stopping, systemd.Status(n.Status()), systemd.Within(cfg.Shutdown.Timeout+exitWithin))
	return errors.Join(err, n.StopOn(signals, sig))
}

// exitWithin is what the end of the process takes at most, behind shutdown.timeout.
const exitWithin = 5 * time.Second

// stopNow stops a gateway that is not to serve after all. Nobody is to wait long for the
// reason.
func stopNow(n *node.Node) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = n.Stop(ctx) // there is an error already
}

// waitForEnd returns the signal that ends the server, or, if a listener ended on
// its own, the error. SIGHUP opens the log file anew and reads the configuration.
func waitForEnd(n *node.Node, signals <-chan os.Signal, src config.Source, reopenLog func(), manager *systemd.Messenger) (os.Signal, error) {
	r := node.NewReloader(n, src)
	for {
		select {
		case err := <-n.Failed():
			return nil, err
		case sig := <-signals:
			if sig != syscall.SIGHUP {
				return sig, nil
			}
			manager.Tell(systemd.Reloading())
			reopenLog()
			r.Reload()
			manager.Tell(systemd.Ready)
		}
	}
}
