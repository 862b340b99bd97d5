package cli

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sluice/gateway/config"
	"sluice/gateway/config/legacy"
)

// shortFlags are the flags that stand for an option by another name.
var shortFlags = map[string]string{
	"port":    "http_server.port",
	"address": "http_server.address",
	"origin":  "relay.origin",
}

// textFlags and switchFlags are the options that the reference has as flags
// (PROTOCOL 9.3); the help lists them. Those of parts that Sluice lacks are
// accepted without being listed; the configuration warns of them.
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

// optionFlag is the value of a flag that sets an option. It takes any text: the
// configuration knows what is allowed, and says so.
type optionFlag struct{ text, typ string }

func (o *optionFlag) String() string     { return o.text }
func (o *optionFlag) Set(s string) error { o.text = s; return nil }
func (o *optionFlag) Type() string       { return o.typ }

// addOptionFlags makes every option a flag by its own name, and by the flat name
// that versions 4 and 5 had for it. The help shows the reference's.
func addOptionFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	add := func(name, typ, def, doc string, show bool) {
		flag := f.VarPF(&optionFlag{def, typ}, name, "", doc)
		flag.Hidden = !show
		if typ == "bool" {
			flag.NoOptDefVal = "true"
		}
	}
	for _, o := range config.Options() {
		if o.InObject {
			continue
		}
		add(o.Key, string(o.Kind), o.Default, strings.TrimSuffix(o.Doc, "."), slices.Contains(textFlags, o.Key) || slices.Contains(switchFlags, o.Key))
		if o.Enum != nil {
			complete := cobra.FixedCompletions(o.Enum, cobra.ShellCompDirectiveNoFileComp)
			if err := cmd.RegisterFlagCompletionFunc(o.Key, complete); err != nil {
				panic("BUG: " + err.Error())
			}
		}
	}
	const lacking = "accepted for compatibility, no effect"
	for _, name := range textFlags {
		if f.Lookup(name) == nil {
			add(name, "string", "", lacking, false)
		}
	}
	for _, name := range switchFlags {
		if f.Lookup(name) == nil {
			add(name, "bool", "", lacking, false)
		}
	}
	for _, flat := range legacy.FlatFlags() {
		typ := "string"
		if flat.Switch {
			typ = "bool"
		}
		if f.Lookup(flat.Name) == nil {
			add(flat.Name, typ, "", "older name of "+flat.Key, false)
		}
	}
}

// givenFlags returns the options that were set on the command line.
func givenFlags(cmd *cobra.Command) (map[string]string, error) {
	given := make(map[string]string)
	var err error
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if _, isOption := f.Value.(*optionFlag); !isOption {
			return
		}
		name := f.Name
		if long := shortFlags[name]; long != "" {
			name = long
			if cmd.Flags().Changed(long) {
				err = fmt.Errorf("--%s and --%s are the same option: give one of them", f.Name, long)
			}
		}
		given[name] = f.Value.String()
	})
	return given, err
}

// flagError explains a mistake in flags: it suggests the flag that was most
// likely meant, and says where all are listed.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "" {
		if meant := meantFlag(cmd, unknown.GetSpecifiedName()); meant != "" {
			return fmt.Errorf("%w; did you mean --%s?", err, meant)
		}
	}
	return fmt.Errorf("%w; `%s --help` lists the flags", err, cmd.CommandPath())
}

// meantFlag returns the flag of cmd that name most likely means, or "".
func meantFlag(cmd *cobra.Command, name string) string {
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	if near := legacy.Nearest(name, names); near != "" || cmd.HasParent() {
		return near
	}
	return legacy.Suggest(name)
}

// rootArgs refuses arguments of the command that serves: what is there is a
// command misspelt, or the value of a switch without its "=".
func rootArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if args[0] == "true" || args[0] == "false" {
		return fmt.Errorf("unexpected argument %q: a switch takes its value after =, as in --uni_sse.enabled=%s", args[0], args[0])
	}
	text := fmt.Sprintf("unknown command %q", args[0])
	if meant := cmd.SuggestionsFor(args[0]); len(meant) > 0 {
		return fmt.Errorf("%s; did you mean %s?", text, strings.Join(meant, " or "))
	}
	return fmt.Errorf("%s; `%s --help` lists the commands", text, cmd.CommandPath())
}

// noArgs refuses arguments, which are most likely values without their flag.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fmt.Errorf("unexpected argument %q; `%s --help` lists the flags", args[0], cmd.CommandPath())
}

// configSource returns where a command reads the configuration: the file of its
// flag --config, which has to be there if somebody named it, and the environment.
// An empty name is none, on purpose.
func configSource(cmd *cobra.Command, path string) config.Source {
	return config.Source{Path: path, Required: cmd.Flags().Changed("config"), Environ: os.Environ()}
}
