package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"syscall"

	"sluice/gateway/config/schema"
	"sluice/gateway/config/source"
)

// An option that holds a secret, or a URL that may, can be given in a file of its own: key_file names it, as seen from
// the working directory, and its content without a line end at its end is the value. A list is separated by white
// space there, a map is JSON. The file is read at every Load, so that a reload takes over what changed in it.

// maxSecretFile bounds such a file; a certificate key with its chain has a tenth of it.
const maxSecretFile = 64 << 10

// secretFile decodes the value of key_file in the object o. Value and file together are an error, since nobody could
// say which is the old one.
func (l *loader) secretFile(in input, key string, f *schema.Field, o *source.Object, n *source.Node, dst reflect.Value) {
	if n.Value == nil {
		return
	}
	if value := o.Get(f.Name); value != nil && value.Value != nil {
		l.fail(in.at(n.Line), key+schema.FileSuffix, "set together with "+key+": allowed one of them")
		return
	}
	path, ok := n.Value.(string)
	if !ok {
		l.fail(in.at(n.Line), key+schema.FileSuffix, n.ShowType()+" is not a path: allowed the path of a file that holds the value")
		return
	}
	l.readSecret(in.at(n.Line), key, f, path, dst)
}

// readSecret sets the option key from a file. No error shows what is in it.
func (l *loader) readSecret(at source.Place, key string, f *schema.Field, path string, dst reflect.Value) {
	fail := func(why string) {
		l.fail(at, key+schema.FileSuffix, fmt.Sprintf("file %s: %s", (&source.Node{Value: path}).Show(), why))
		l.rep.Spoil(key)
	}
	if path == "" {
		fail("the path is empty: allowed the path of a file that holds the value")
		return
	}
	data, err := l.read(source.Resolve(l.src.Dir, path))
	if err != nil {
		if namesNoFile(err) {
			l.fail(at, key+schema.FileSuffix, "names no file (it is not shown: it may be the value itself): allowed the path of a file that holds the value")
			l.rep.Spoil(key)
			return
		}
		fail("cannot be read: " + source.CauseOf(err))
		return
	}
	if len(data) > maxSecretFile {
		fail(fmt.Sprintf("%d bytes: allowed at most %d", len(data), maxSecretFile))
		return
	}
	text, _ := bytes.CutSuffix(data, []byte("\n"))
	text, _ = bytes.CutSuffix(text, []byte("\r"))
	if len(bytes.TrimSpace(text)) == 0 {
		fail("holds nothing: allowed the value of " + key)
		return
	}
	n, wrong := f.FromText(string(text))
	if wrong == "" {
		wrong = f.Assign(dst, n)
	}
	if wrong != "" {
		fail(wrong)
		return
	}
	l.set(key, at)
	set := l.rep.Of(key)
	set.File = path
	l.rep.Set(key, set)
}

// namesNoFile reports whether a text that should be a path led to no file: then it may be the secret itself, under the wrong
// name, and must not be shown. Whatever it looks like: secrets in base64 have slashes. Why the causes that are left: they
// say that something is there.
func namesNoFile(err error) bool {
	return !slices.ContainsFunc([]error{fs.ErrPermission, syscall.EISDIR, source.ErrNotRegular, source.ErrTooLarge}, func(cause error) bool {
		return errors.Is(err, cause)
	})
}
