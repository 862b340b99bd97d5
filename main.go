// Command sluice is an SSE gateway: it streams publications to browsers and
// other clients, and takes them from backends over HTTP.
package main

import (
	"os"

	"sluice/gateway/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr)) }
