package source

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// ErrNotPEM says that a value is neither PEM text, nor base64 of it, nor the path of a readable file with it.
var ErrNotPEM = errors.New("config: neither PEM text, nor base64 of PEM, nor the path of a readable PEM file")

// maxPEM bounds a certificate file; a bundle of all public authorities has a quarter of it.
const maxPEM = 1 << 20

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
	path := Resolve(dir, value)
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%w (%s)", ErrNotPEM, CauseOf(err))
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w (not a regular file)", ErrNotPEM)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w (%s)", ErrNotPEM, CauseOf(err))
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxPEM))
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
