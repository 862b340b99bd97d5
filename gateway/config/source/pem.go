package source

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"syscall"
)

// ErrNotPEM says that a value is neither PEM text, nor base64 of it, nor the path of a readable file with it.
var ErrNotPEM = errors.New("config: neither PEM text, nor base64 of PEM, nor the path of a readable PEM file")

// ReadPEM returns the PEM bytes that a value of a TLS object stands for: PEM text, base64 of PEM text, or the path of a
// file as seen from dir, tried in that order (PROTOCOL 9.2). The error wraps ErrNotPEM and does not quote the value, which may be a
// misplaced key. Any goroutine; it may read a file.
func ReadPEM(dir, value string) ([]byte, error) {
	if isPEM([]byte(value)) {
		return []byte(value), nil
	}
	if raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(value)); err == nil && isPEM(raw) {
		return raw, nil
	}
	data, err := ReadFile(Resolve(dir, value))
	if errors.Is(err, syscall.EISDIR) {
		err = ErrNotRegular
	}
	if err != nil {
		return nil, fmt.Errorf("%w (%s)", ErrNotPEM, CauseOf(err))
	}
	if !isPEM(data) {
		return nil, fmt.Errorf("%w (no PEM block in the file)", ErrNotPEM)
	}
	return data, nil
}

func isPEM(data []byte) bool {
	if !bytes.Contains(data, []byte("-----BEGIN")) {
		return false
	}
	block, _ := pem.Decode(data)
	return block != nil
}
