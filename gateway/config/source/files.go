package source

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// MaxFile bounds a config file: a thousand namespaces with all their options take a quarter of it.
const MaxFile = 4 << 20

// What ReadFile refuses.
var (
	ErrTooLarge   = fmt.Errorf("larger than %d bytes", MaxFile)
	ErrNotRegular = errors.New("not a regular file")
)

// ReadFile reads a regular file of bounded size. Why only regular: nobody would write into a pipe at a reload.
func ReadFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() && !info.IsDir() { // reading a directory has an error of its own
		return nil, ErrNotRegular
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err == nil && len(data) > MaxFile {
		return nil, ErrTooLarge
	}
	return data, err
}

// Resolve returns path as seen from dir.
func Resolve(dir, path string) string {
	if dir == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// CauseOf returns the reason of a file error without the path, which may be a misplaced secret.
func CauseOf(err error) string {
	text := err.Error()
	var pe *fs.PathError
	if errors.As(err, &pe) {
		text = pe.Err.Error()
	}
	if errors.Is(err, fs.ErrPermission) {
		text += fmt.Sprintf(" (the process runs as uid %d)", os.Getuid())
	}
	return text
}
