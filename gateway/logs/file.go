package logs

import (
	"fmt"
	"io/fs"
	"os"
)

// File is a log file that can be opened anew at its path. One goroutine at a time.
type File struct {
	// Immutable after OpenFile.
	path string

	// Owned by the goroutine that writes.
	f *os.File
}

// OpenFile opens the log file at path, for appending; it is made if it is not
// there.
func OpenFile(path string) (*File, error) {
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	return &File{path: path, f: f}, nil
}

// FileMode is that of log files that are made: addresses, users and channels are
// nobody else's business.
const FileMode fs.FileMode = 0o600

// open is the only place where log files are opened, and made.
func open(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, FileMode)
}

// Write implements io.Writer.
func (l *File) Write(p []byte) (int, error) { return l.f.Write(p) }

// Reopen opens the file at the path again, which may be another one by now. After
// an error the former goes on.
func (l *File) Reopen() error {
	f, err := open(l.path)
	if err != nil {
		return fmt.Errorf("logs: %w", err)
	}
	_ = l.f.Close()
	l.f = f
	return nil
}

// Close ends it.
func (l *File) Close() error { return l.f.Close() }
