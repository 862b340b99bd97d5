package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"syscall"
)

// An option that holds a secret, or a URL that may, can be given in a file of its own: key_file names it, as seen from
// the working directory, and its content without a line end at its end is the value. A list is separated by white
// space there, a map is JSON. The file is read at every Load, so that a reload takes over what changed in it.

// fileSuffix makes the key of the file out of the key of the option.
const fileSuffix = "_file"

// maxSecretFile bounds such a file; a certificate key with its chain has a tenth of it.
const maxSecretFile = 64 << 10

// takesFile reports whether the option with this dotted key can be given in a file.
func takesFile(key string) bool {
	f, isFile := findOption(key)
	return f != nil && !isFile && f.secret != secretNone
}

// secretFile returns the option that a key of the section names with fileSuffix after it, or nil.
func (s *schema) secretFile(name string) *field {
	base, ok := strings.CutSuffix(name, fileSuffix)
	if !ok {
		return nil
	}
	if f := s.byName[base]; f != nil && f.secret != secretNone {
		return f
	}
	return nil
}

// secretFile decodes the value of key_file in the object o. Value and file together are an error, since nobody could
// say which is the old one.
func (l *loader) secretFile(in source, key string, f *field, o *object, n *node, dst reflect.Value) {
	if n.v == nil {
		return
	}
	if value := o.get(f.name); value != nil && value.v != nil {
		l.fail(in.at(n.line), key+fileSuffix, "set together with "+key+": allowed one of them")
		return
	}
	path, ok := n.v.(string)
	if !ok {
		l.fail(in.at(n.line), key+fileSuffix, n.showType()+" is not a path: allowed the path of a file that holds the value")
		return
	}
	l.readSecret(in.at(n.line), key, f, path, dst)
}

// readSecret sets the option key from a file. No error shows what is in it.
func (l *loader) readSecret(at place, key string, f *field, path string, dst reflect.Value) {
	fail := func(why string) {
		l.fail(at, key+fileSuffix, fmt.Sprintf("file %s: %s", (&node{v: path}).show(), why))
		l.bad[key] = true
	}
	if path == "" {
		fail("the path is empty: allowed the path of a file that holds the value")
		return
	}
	data, err := l.read(resolve(l.src.Dir, path))
	if err != nil {
		if namesNoFile(err) {
			l.fail(at, key+fileSuffix, "names no file (it is not shown: it may be the value itself): allowed the path of a file that holds the value")
			l.bad[key] = true
			return
		}
		fail("cannot be read: " + causeOf(err))
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
	n, wrong := f.fromText(string(text))
	if wrong == "" {
		wrong = f.assign(dst, n)
	}
	if wrong != "" {
		fail(wrong)
		return
	}
	l.set(key, at)
	l.rep.hidden[key] = path
}

// namesNoFile reports whether a text that should be a path led to no file: then it may be the secret itself, under the wrong
// name, and must not be shown. Whatever it looks like: secrets in base64 have slashes. Why the causes that are left: they
// say that something is there.
func namesNoFile(err error) bool {
	return !slices.ContainsFunc([]error{fs.ErrPermission, syscall.EISDIR, errNotRegular, errTooLarge}, func(cause error) bool {
		return errors.Is(err, cause)
	})
}
