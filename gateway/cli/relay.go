package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"sluice/gateway/config"
	"sluice/gateway/node"
)

// relayCommand serves what another node publishes on its broadcast route.
func relayCommand(stdout, stderr io.Writer) *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "relay --origin URL",
		Short: "Serve another node's broadcast route: one stream of it per channel, any number of viewers",
		Long: "Serve the broadcast route of another node, the origin, to any number of viewers. For each channel that\n" +
			"somebody here wants, one stream of the origin is held; whoever comes back resumes here. The origin may be\n" +
			"a relay itself, or a CDN. Channels, limits and whatever else are options as of the command that serves:\n" +
			"every one is a flag, and may stand in the file of --config.",
		Example: "  sluice relay --origin http://origin:8000               relay all channels, on port 8000\n" +
			"  sluice relay --origin https://cdn.example/broadcast -p 9000 -c relay.json",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			flags, err := givenFlags(cmd)
			if err != nil {
				return err
			}
			src := configSource(cmd, path)
			src.Flags, src.Relay = flags, true
			return run(src, false, stdout, stderr)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.Var(&optionFlag{"", "URL"}, "origin", "broadcast route of the origin: http or https, host, and the path if it is not /broadcast (relay.origin)")
	f.StringVarP(&path, "config", "c", "", "config file: json, yaml, yml or toml; none unless named")
	f.VarP(&optionFlag{"8000", "port"}, "port", "p", "port of the endpoint (http_server.port)")
	f.VarP(&optionFlag{"", "string"}, "address", "a", "address to listen on (http_server.address)")
	addOptionFlags(cmd)
	markConfigFile(cmd, "config")
	return cmd
}

// relayBanner says what is relayed, and where.
func relayBanner(n *node.Node, cfg *config.Config) string {
	at := placeOf(n.Listening()[0])
	var text strings.Builder
	fmt.Fprintf(&text, "\n  Sluice %s relays %s\n\n", node.Version, n.Origin())
	if cfg.Broadcast.Enabled {
		fmt.Fprintf(&text, "  Viewers     curl -N %s'%s%s/CHANNEL'\n", at.flag, at.url, cfg.Broadcast.HandlerPrefix)
	}
	if cfg.Health.Enabled && len(n.Listening()) == 1 {
		fmt.Fprintf(&text, "  Ready       curl %s'%s%s' (200 while the origin is within reach)\n", at.flag, at.url, node.ReadyPath(cfg.Health.HandlerPrefix))
	}
	fmt.Fprintln(&text)
	return text.String()
}
