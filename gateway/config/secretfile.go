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

	"sluice/gateway/config/report"
	"sluice/gateway/config/schema"
	"sluice/gateway/config/source"
)

// An option that holds a secret, or a URL that may, can be given in a file of its own: key_file names it, as seen from
// the working directory, and its content without a line end at its end is the value. A list is separated by white
// space there, a map is JSON. The file is read at every Load, so that a reload takes over what changed in it.

// maxSecretFile bounds such a file; a certificate key with its chain has a tenth of it.
const maxSecretFile = 64 << 10

// secretFile decodes a setting that names the file with the value of an option. other is how the source names the value itself, if
// it is there too: an error, since nobody could say which is the old one. No error shows what is in the file.
func (l *loader) secretFile(f *schema.Field, s source.Setting, other string, dst reflect.Value) {
	const allowed = ": allowed the path of a file that holds the value"
	path, ok := s.Value.Value.(string)
	if text, isText := s.Value.Value.(source.Text); isText {
		path, ok = string(text), true
	}
	option := s
	option.Key, option.Written = strings.TrimSuffix(s.Key, schema.FileSuffix), ""
	fail := func(why string) {
		l.fail(s, why)
		l.rep.Spoil(option.Key)
	}
	switch isEnv := strings.HasPrefix(s.Origin, "env "); {
	case s.Value.Value == nil:
		return
	case isEnv && path == "" && s.Written == "":
		l.note(s, report.KindAdvice, "empty, ignored", "")
		return
	case other != "":
		l.fail(s, "set together with "+other+": allowed one of them")
		return
	case !ok:
		l.fail(s, s.Value.ShowType()+" is not a path"+allowed)
		return
	case path == "":
		fail(`file "": the path is empty` + allowed)
		return
	}
	data, err := l.src.Read(source.Resolve(l.src.Dir, path))
	if err != nil && namesNoFile(err) {
		fail("names no file (it is not shown: it may be the value itself)" + allowed)
		return
	}
	if why := valueIn(data, err, option.Key, func(text string) string {
		return f.Decode(dst, &source.Node{Value: source.Text(text)})
	}); why != "" {
		fail(fmt.Sprintf("file %s: %s", (&source.Node{Value: path}).Show(), why))
		return
	}
	l.set(option, path)
}

// valueIn decodes what is in the file of an option, without the line end at its end, and says what is wrong with it.
func valueIn(data []byte, err error, key string, decode func(text string) (wrong string)) (wrong string) {
	text, _ := bytes.CutSuffix(data, []byte("\n"))
	text, _ = bytes.CutSuffix(text, []byte("\r"))
	switch {
	case err != nil:
		return "cannot be read: " + source.CauseOf(err)
	case len(data) > maxSecretFile:
		return fmt.Sprintf("%d bytes: allowed at most %d", len(data), maxSecretFile)
	case len(bytes.TrimSpace(text)) == 0:
		return "holds nothing: allowed the value of " + key
	}
	return decode(string(text))
}

// namesNoFile reports whether a text that should be a path led to no file: then it may be the secret itself, under the wrong
// name, and must not be shown. Whatever it looks like: secrets in base64 have slashes. Why the causes that are left: they
// say that something is there.
func namesNoFile(err error) bool {
	return !slices.ContainsFunc([]error{fs.ErrPermission, syscall.EISDIR, source.ErrNotRegular, source.ErrTooLarge}, func(cause error) bool {
		return errors.Is(err, cause)
	})
}
