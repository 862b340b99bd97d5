package docs

import (
	"bytes"
	"reflect"
	"strings"

	"sluice/gateway/config/schema"
	"sluice/gateway/config/source"
)

// Render returns c as the text of a config file that Load reads back as it is. path gives the format by its extension, as
// for Load. YAML and TOML carry the documentation of every option as comments. Secrets of c are part of the text. The error
// says that the extension is not known.
func Render(c *schema.Config, path string) ([]byte, error) {
	return render(path, &file{schema.Root.Plain(reflect.ValueOf(c).Elem()).Value.(*source.Object), true})
}

// Secrets are what a new configuration needs; the caller makes them, at random.
type Secrets struct {
	Token  string // signs tokens
	APIKey string
	// ConsolePassword opens the console, and ConsoleSecret signs its sessions.
	ConsolePassword, ConsoleSecret string
}

// RenderMinimal returns a config file to start from (PROTOCOL 9.3, genconfig): the endpoint switched on, what must not have a
// default, and channels without a namespace for whoever has a token, one without a user too. The console has what it takes, and
// is off. path and the error are as for Render.
func RenderMinimal(s Secrets, path string) ([]byte, error) { return renderShort(minimal(s), path) }

// RenderService is RenderMinimal for a server that runs as a service: API, health and metrics on a listener of their own, for
// this machine only.
func RenderService(s Secrets, path string) ([]byte, error) {
	c := minimal(s)
	c.HTTPServer.InternalAddress, c.HTTPServer.InternalPort = "127.0.0.1", "9000"
	c.Health.Enabled, c.Prometheus.Enabled = true, true
	return renderShort(c, path)
}

func minimal(s Secrets) *schema.Config {
	c := schema.Default()
	c.UniSSE.Enabled = true
	c.Client.Token.HMACSecretKey = s.Token
	c.HTTPAPI.Key = s.APIKey
	c.Admin.Password, c.Admin.Secret = s.ConsolePassword, s.ConsoleSecret
	o := &c.Channel.WithoutNamespace
	o.AllowSubscribeForClient, o.AllowSubscribeForAnonymous = true, true
	return c
}

// renderShort leaves the defaults out.
func renderShort(c *schema.Config, path string) ([]byte, error) {
	sh := shortener{always: []string{"client.allowed_origins", "admin.enabled"}}
	return render(path, &file{sh.shorten(c), true})
}

// writeComment writes text as comment lines.
func writeComment(out *bytes.Buffer, indent, text string) { writeLines(out, indent+"# ", text) }

// writeLines breaks text into lines of a width that fits a terminal; each begins with prefix.
func writeLines(out *bytes.Buffer, prefix, text string) {
	const width = 100
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(prefix)+len(line)+len(" ")+len(word) > width {
			out.WriteString(prefix + line + "\n")
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	if line != "" {
		out.WriteString(prefix + line + "\n")
	}
}
