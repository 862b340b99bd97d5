package schema

// Hook is a hook with the key of its section.
type Hook struct {
	Key   string
	Proxy *Proxy
}

// Hooks returns the hooks of c, which they are a part of.
func (c *Config) Hooks() []Hook {
	return []Hook{{"client.proxy.connect", &c.Client.Proxy.Connect}, {"client.proxy.refresh", &c.Client.Proxy.Refresh}}
}
