package node

import (
	"errors"
	"fmt"

	"sluice/gateway/config"
)

// ErrUnsupported is wrapped by errors of New for options that are valid but not
// served by this build.
var ErrUnsupported = errors.New("not supported")

// checkSupported refuses what would open access or split nodes if it were
// ignored.
func checkSupported(c *config.Config) error {
	var errs []error
	refuse := func(key, value, use string) {
		errs = append(errs, &optionError{key, fmt.Errorf("%s is %s: %w, %s", key, value, ErrUnsupported, use)})
	}
	if c.Engine.Type != "memory" {
		refuse("engine.type", c.Engine.Type, "use memory")
	}
	if c.Broker.Enabled && c.Broker.Type != "memory" {
		refuse("broker.type", c.Broker.Type, "use memory")
	}
	if c.PresenceManager.Enabled && c.PresenceManager.Type != "memory" {
		refuse("presence_manager.type", c.PresenceManager.Type, "use memory")
	}
	if c.HTTPServer.ReusePort == "on" && c.Engine.Type == "memory" && !c.Broker.Enabled {
		refuse("http_server.reuse_port", "on with the memory engine", "publications would reach the streams of one process only; force it if that is wanted")
	}
	return errors.Join(errs...)
}

// Refused returns what New would refuse besides what Load said in err.
func Refused(cfg *config.Config, report *config.Report, err error) error {
	if err == nil {
		return Located(checkUsable(cfg), report)
	}
	if cfg = report.Decoded(); cfg == nil {
		return nil
	}
	return Located(checkSupported(cfg), report) // of the rest Load said the cause
}

// checkUsable checks what New would refuse although each value is allowed.
func checkUsable(cfg *config.Config) error {
	return errors.Join(checkSupported(cfg), checkRoutes(cfg, false))
}

// Unsupported returns the keys of options that New refuses because this build
// does not serve them.
func Unsupported(cfg *config.Config) (keys []string) {
	for _, err := range flatErrors(checkSupported(cfg)) {
		var about *optionError
		if errors.As(err, &about) {
			keys = append(keys, about.key)
		}
	}
	return keys
}

// flatErrors returns the errors that err joins, or err itself.
func flatErrors(err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

// optionError is an error about an option that was decoded and validated.
type optionError struct {
	key string
	err error
}

func (e *optionError) Error() string { return "gateway: " + e.err.Error() }

func (e *optionError) Unwrap() error { return e.err }

// Located returns err with the place of each option that it is about in front:
// "file config.json:12: ".
func Located(err error, report *config.Report) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var errs []error
		for _, e := range joined.Unwrap() {
			errs = append(errs, Located(e, report))
		}
		return errors.Join(errs...)
	}
	var about *optionError
	if !errors.As(err, &about) {
		return err
	}
	if origin := report.Origin(about.key); origin != "" {
		return fmt.Errorf("%s: %w", origin, about.err)
	}
	return err
}
