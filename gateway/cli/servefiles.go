package cli

import (
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/valyala/fasthttp"

	"sluice/gateway/advice"
	"sluice/gateway/node"
)

// serveCommand serves the files of a folder, for pages under development
// (PROTOCOL 9.3). Unlike the reference it does so on loopback unless told, and
// hidden files (.env, .git) and links that lead out of the folder are not served.
// Its name is not the reference's, serve, which sounds like what sluice does
// without a command; that is understood.
func serveCommand(stdout io.Writer) *cobra.Command {
	var dir, address string
	var port uint16
	cmd := &cobra.Command{
		Use:     "servefiles",
		Aliases: []string{"serve"},
		Short:   "Serve static files, for pages under development",
		Long: "Serve the files of a folder, for pages under development. To serve streams, run sluice without a\n" +
			"command.",
		Example: "  sluice servefiles                    this folder on http://127.0.0.1:3000\n" +
			"  sluice servefiles -d web -p 3001 -a 0.0.0.0",
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			signals := make(chan os.Signal, 1)
			signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
			defer signal.Stop(signals)
			return serveFiles(dir, net.JoinHostPort(address, strconv.Itoa(int(port))), stdout, signals)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&dir, "dir", "d", "./", "folder to serve")
	f.Uint16VarP(&port, "port", "p", 3000, "port to listen on, 0 for any free one")
	f.StringVarP(&address, "address", "a", "127.0.0.1", "address to listen on; 0.0.0.0 for all")
	return cmd
}

// serveFiles serves a folder until a signal comes.
func serveFiles(dir, address string, stdout io.Writer, signals <-chan os.Signal) error {
	root, err := os.OpenRoot(filepath.Clean(dir))
	if err != nil {
		return fmt.Errorf("cannot serve %s", plainError(err))
	}
	defer root.Close()
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("cannot listen: %w", advice.Listen(err, address, "--"))
	}
	files := &fasthttp.FS{
		FS: root.FS(), Root: "", AllowEmptyRoot: true, IndexNames: []string{"index.html"},
		GenerateIndexPages: true, AcceptByteRange: true, SkipCache: true,
	}
	handler := files.NewRequestHandler()
	srv := &fasthttp.Server{
		NoDefaultServerHeader: true,
		Logger:                log.New(io.Discard, "", 0), // it would log every file that is not there
		Handler: func(ctx *fasthttp.RequestCtx) {
			if strings.Contains(string(ctx.Path()), "/.") {
				node.NotFound(ctx)
				return
			}
			handler(ctx)
		},
	}
	fmt.Fprintf(stdout, "serving %s on http://%s\n", dir, ln.Addr())
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serving on %s ended: %w", ln.Addr(), err)
	case <-signals:
		return srv.Shutdown()
	}
}
