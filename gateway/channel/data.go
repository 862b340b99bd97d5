package channel

import (
	"fmt"

	"sluice/codec"
)

// Payload is the data of a publication that its channel's format accepts.
type Payload struct {
	// JSON is the data; zero if it is empty or not JSON, which happens in
	// FormatBinary only.
	JSON codec.JSON
	// Binary says that the data is not empty and not JSON. No stream can
	// carry it: JSON subscribers get codec.DisconnectInappropriateProtocol.
	Binary bool
}

// CheckData checks the data of a publication against the format of its channel
// (PROTOCOL 5.7). JSON null counts as data. Other than the reference it takes
// data that is not JSON in FormatBinary only (PROTOCOL 12.41). raw is copied.
// Every error wraps codec.ErrBadRequest and says what was expected.
func CheckData(format Format, raw []byte, lim codec.Limits) (Payload, error) {
	if len(raw) == 0 {
		if format == FormatBinary {
			return Payload{}, nil
		}
		return Payload{}, fmt.Errorf("channel: data is empty: a JSON value expected: %w", codec.ErrBadRequest)
	}
	value, err := codec.Compact(raw, lim)
	switch {
	case err != nil && format == FormatBinary:
		return Payload{Binary: true}, nil
	case err != nil:
		return Payload{}, fmt.Errorf("channel: data: %w: %w", err, codec.ErrBadRequest)
	}
	return CheckValue(format, value)
}

// CheckValue is CheckData for data that are JSON already.
func CheckValue(format Format, value codec.JSON) (Payload, error) {
	if format == FormatJSONObject && !value.IsObject() {
		return Payload{}, fmt.Errorf("channel: data begins with %q: a JSON object expected: %w", value.String()[0], codec.ErrBadRequest)
	}
	return Payload{JSON: value}, nil
}
