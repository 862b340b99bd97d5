package node

import (
	"errors"
	"fmt"

	"sluice/gateway/config"
)

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
