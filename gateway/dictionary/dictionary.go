// Package dictionary has the dictionaries of namespaces (RFC 9842): it reads them from
// files, and serves them to browsers.
//
//	GET {prefix}{first 16 digits of the SHA-256}  the dictionary, for good
//	GET {prefix}{namespace}                       a redirect to its present one
package dictionary

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"sluice/codec"
)

// File is the one that a namespace has its dictionary in.
type File struct {
	Key       string // of the option that names it
	Namespace string // "" for channels without one
	Path      string
}

// Table has the dictionaries of all namespaces. It is immutable.
type Table struct {
	byNamespace map[string]*codec.Dictionary
	byName      map[string]*codec.Dictionary // by nameOf
}

// Of returns the dictionary of a namespace, nil for none.
func (t *Table) Of(namespace string) *codec.Dictionary { return t.byNamespace[namespace] }

// Store has the table that is in force: none in the zero Store.
type Store struct {
	// Atomic.
	table atomic.Pointer[Table]
}

func (s *Store) load() *Table {
	if t := s.table.Load(); t != nil {
		return t
	}
	return &Table{}
}

// Read reads files; the error joins those that cannot be used. What is the same as in the
// store, or in another namespace, is the same Dictionary: streams that are open have it, too.
func (s *Store) Read(files []File) (*Table, error) {
	old := s.load()
	t := &Table{byNamespace: make(map[string]*codec.Dictionary), byName: make(map[string]*codec.Dictionary)}
	var errs []error
	for _, f := range files {
		d, err := Open(f.Path)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", f.Key, err))
			continue
		}
		name := nameOf(d)
		for _, known := range []*codec.Dictionary{t.byName[name], old.byName[name]} {
			if known != nil && known.Hash() == d.Hash() {
				d = known
			}
		}
		t.byNamespace[f.Namespace], t.byName[name] = d, d
	}
	return t, errors.Join(errs...)
}

// Set puts a table in force.
func (s *Store) Set(t *Table) { s.table.Store(t) }

// Open reads a dictionary from a regular file.
func Open(path string) (*codec.Dictionary, error) {
	raw, err := read(path)
	if err == nil && len(raw) > codec.DictionaryMax {
		err = fmt.Errorf("larger than %d bytes", codec.DictionaryMax)
	}
	if err == nil && len(raw) == 0 {
		err = errors.New("empty")
	}
	if err != nil {
		return nil, fmt.Errorf("%q is no dictionary (%w): allowed the path of a file of 1 to %d bytes, as `sluice gendictionary` writes it",
			path, err, codec.DictionaryMax)
	}
	return codec.NewDictionary(raw)
}

var errNotRegular = errors.New("not a regular file")

func read(path string) ([]byte, error) {
	info, err := os.Stat(path) // before it is opened: a pipe would wait for a writer
	if err != nil {
		return nil, cause(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errNotRegular
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, cause(err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, codec.DictionaryMax+1))
	return raw, cause(err)
}

// cause leaves the path out of an error: whoever shows it says that.
func cause(err error) error {
	var at *os.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// nameSize is how many digits of a hash the name of a dictionary has.
const nameSize = 16

// nameOf is what a dictionary is called in paths.
func nameOf(d *codec.Dictionary) string {
	hash := d.Hash()
	return hex.EncodeToString(hash[:nameSize/2])
}
