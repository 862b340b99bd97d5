package advice

import "errors"

// Away is the remedy for what failed because an engine was out of reach, where nothing
// better is known.
const Away = "see what /ready and the lines of its servers in this log say of the engine"

// Remedy returns what people can do about an error, for a log: what the error itself says
// (a method Remedy), else otherwise.
func Remedy(err error, otherwise string) string {
	var knows interface{ Remedy() string }
	if errors.As(err, &knows) {
		if remedy := knows.Remedy(); remedy != "" {
			return remedy
		}
	}
	return otherwise
}
