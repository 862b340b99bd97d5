package testkit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

// parsed is everything a Reader tells about a stream.
type parsed struct {
	Events     []Event
	LastID     string
	Retry      int
	HasRetry   bool
	IDOnly     int
	Violations []string
	Incomplete string
}

func parseAll(t testing.TB, src io.Reader) parsed {
	t.Helper()
	r := NewReader(src)
	var p parsed
	for {
		ev, err := r.Next()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				t.Fatalf("expected io.EOF at the end, got %v", err)
			}
			break
		}
		p.Events = append(p.Events, ev)
	}
	p.LastID, p.IDOnly, p.Violations, p.Incomplete = r.LastEventID(), r.IDOnly(), r.Violations(), string(r.Incomplete())
	p.Retry, p.HasRetry = r.Retry()
	return p
}

// show is an event in one line: type|id|data, with + after an id of its own.
func show(ev Event) string {
	own := ""
	if ev.HasID {
		own = "+"
	}
	return fmt.Sprintf("%s|%s%s|%s", ev.Type, ev.ID, own, ev.Data)
}

// splits runs f with stream in one piece, byte by byte, and in halves.
func splits(stream string, f func(src io.Reader)) {
	f(strings.NewReader(stream))
	f(iotest.OneByteReader(strings.NewReader(stream)))
	f(iotest.DataErrReader(iotest.HalfReader(strings.NewReader(stream))))
}

func TestReaderDispatchesEventsByTheStandard(t *testing.T) {
	f := func(name, stream string, want ...string) {
		t.Helper()
		splits(stream, func(src io.Reader) {
			t.Helper()
			var got []string
			for _, ev := range parseAll(t, src).Events {
				got = append(got, show(ev))
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %q\nexpected %q\ngot      %q", name, stream, want, got)
			}
		})
	}
	f("nothing", "")
	f("one line", "data: {}\n\n", "message||{}")
	f("opening CR LF", "\r\ndata: {}\n\n", "message||{}")
	f("lines joined by LF", "data: a\ndata: b\ndata\ndata: c\n\n", "message||a\nb\n\nc")
	f("only one space is stripped", "data:  a\n\ndata:b\n\ndata:\tc\n\n", "message|| a", "message||b", "message||\tc")
	f("empty data line is data", "data\n\n", "message||")
	f("two empty data lines are one LF", "data\ndata\n\n", "message||\n")
	f("no data, no event", "event: x\n\ndata: a\n\n", "message||a")
	f("type", "event: x\ndata: a\n\ndata: b\n\n", "x||a", "message||b")
	f("empty type", "event: x\nevent\ndata: a\n\n", "message||a")
	f("last type wins", "event: x\nevent: y\ndata: a\n\n", "y||a")
	f("id stays", "id: 1\ndata: a\n\ndata: b\n\n", "message|1+|a", "message|1|b")
	f("empty id resets", "id: 1\ndata: a\n\nid\ndata: b\n\n", "message|1+|a", "message|+|b")
	f("id after data", "data: a\nid: 1\n\n", "message|1+|a")
	f("id with NUL is ignored", "id: 1\ndata: a\n\nid: 2\x00\ndata: b\n\n", "message|1+|a", "message|1|b")
	f("id without data is committed", "id: 7\n\ndata: a\n\n", "message|7|a")
	f("comment", ": hello\n:\n:data: x\ndata: a\n\n", "message||a")
	f("colon in the value", "data: a:b: c\n\n", "message||a:b: c")
	f("unknown fields", "foo: x\nDATA: y\n data: z\nbar\ndata: a\n\n", "message||a")
	f("CR LF", "data: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n", "message||a\nb", "message||c")
	f("CR", "data: a\rdata: b\r\rdata: c\r\r", "message||a\nb", "message||c")
	f("mixed", "data: a\r\n\rdata: b\n\r\ndata: c\r\n\n", "message||a", "message||b", "message||c")
	f("CR before data ends the line", "data: {\r\"x\":1}\n\n", "message||{")
	f("BOM", "\xEF\xBB\xBFdata: a\n\n", "message||a")
	f("only the first BOM", "\xEF\xBB\xBF\xEF\xBB\xBFdata: a\n\n")
	f("BOM later", "data: a\n\n\xEF\xBB\xBFdata: b\n\n", "message||a")
	f("incomplete event", "data: a\n\ndata: b\n", "message||a")
	f("incomplete line", "data: a\n\ndata: b", "message||a")
	f("blank lines", "\n\n\ndata: a\n\n\n\n", "message||a")
	f("NUL in data is data", "data: a\x00b\n\n", "message||a\x00b")
	f("ill-formed UTF-8, one mark per maximal part",
		"data: a\xE2\x82b\xFFc\xF0\x90\x80d\xED\xA0e\xC0\xAFf\xE2\n\n",
		"message||a\uFFFDb\uFFFDc\uFFFDd\uFFFD\uFFFDe\uFFFD\uFFFDf\uFFFD")
}

func TestReaderDispatchesAtTheBlankLineWithoutWaitingForMore(t *testing.T) {
	for _, end := range []string{"\n", "\r\n", "\r"} {
		src, dst := io.Pipe()
		go func() { _, _ = io.WriteString(dst, "data: a"+end+end) }() // The rest never comes.
		if ev, err := NewReader(src).Next(); err != nil || ev.Data != "a" {
			t.Fatalf("line end %q: expected the event, got %q, %v", end, ev.Data, err)
		}
		src.Close()
	}
}

func TestReaderKeepsRawBytes(t *testing.T) {
	f := func(stream string, want ...string) {
		t.Helper()
		splits(stream, func(src io.Reader) {
			t.Helper()
			var got []string
			for _, ev := range parseAll(t, src).Events {
				got = append(got, string(ev.Raw))
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%q\nexpected %q\ngot      %q", stream, want, got)
			}
		})
	}
	f("\r\nid: 1\ndata: a\n\ndata: b\n\n", "id: 1\ndata: a\n\n", "data: b\n\n")
	f(": c\n\n: d\ndata: a\n\n", ": d\ndata: a\n\n")
	f("data: a\xff\n\n", "data: a\xff\n\n")
	f("data: a\r\n\r\ndata: b\r\n\r\n", "data: a\r\n\r", "data: b\r\n\r")
}

func TestReaderCommitsIDs(t *testing.T) {
	f := func(stream, lastID string, idOnly int) {
		t.Helper()
		splits(stream, func(src io.Reader) {
			t.Helper()
			if p := parseAll(t, src); p.LastID != lastID || p.IDOnly != idOnly {
				t.Errorf("%q: expected last id %q and %d id-only blocks, got %q and %d", stream, lastID, idOnly, p.LastID, p.IDOnly)
			}
		})
	}
	f("id: 1\ndata: a\n\n", "1", 0)
	f("id: 1\n\n", "1", 1)
	f("id: 1\n\nid: 2\nevent: x\n\n", "2", 2)
	f("id: 1\ndata: a\n\nid: 2\ndata: b\n", "1", 0)
	f("id: 1\ndata: a\n\nid: 2\x00\n\n", "1", 0)
	f("id: 1\ndata\n\n", "1", 0)
}

func TestReaderTakesRetryOfDigitsOnly(t *testing.T) {
	f := func(stream string, ms int, ok bool) {
		t.Helper()
		splits(stream, func(src io.Reader) {
			t.Helper()
			if p := parseAll(t, src); p.Retry != ms || p.HasRetry != ok {
				t.Errorf("%q: expected %d, %v; got %d, %v", stream, ms, ok, p.Retry, p.HasRetry)
			}
		})
	}
	f("data: a\n\n", 0, false)
	f("retry: 1500\n\n", 1500, true)
	f("retry:0\n\n", 0, true)
	f("retry: 1000\nretry: 2000x\nretry: -1\nretry: +3\nretry\nretry: 1 \n\n", 1000, true)
	f("retry: 99999999999999999999999\n\n", 0, false)
}

func TestReaderListsViolations(t *testing.T) {
	f := func(stream string, want ...string) {
		t.Helper()
		splits(stream, func(src io.Reader) {
			t.Helper()
			if got := parseAll(t, src).Violations; !reflect.DeepEqual(got, want) {
				t.Errorf("%q\nexpected %q\ngot      %q", stream, want, got)
			}
		})
	}
	f("")
	f("\r\n")
	f("\r\nevent: x\nretry: 5\n: c\ndata: {\"a\":\"é\"}\nid: 1\n\nid: 2\n\ndata: b")
	f("foo: x\n\n", `byte 0: unknown field name "foo"`)
	f("data: a\nData: x\n\n", `byte 8: unknown field name "Data"`)
	f("data: a\nx\n\n", `byte 8: line is neither field nor comment: "x"`)
	f("data: a\rb\n\n", "byte 7: bare CR", `byte 8: line is neither field nor comment: "b"`)
	f("data: a\n\r", "byte 8: bare CR")
	f("\rdata: a\n\n", "byte 0: bare CR")
	f("\r\n\r\ndata: a\n\n", "byte 2: CR LF as line end, expected LF")
	f("data: a\r\n\n", "byte 7: CR LF as line end, expected LF")
	f("\xEF\xBB\xBFdata: a\n\n", "byte 0: byte order mark")
	f("data: a\n\ndata: \xff\n\n", `byte 9: invalid UTF-8 in "data: \xff"`)
	f("id: 1\x00\ndata: a\n\n", `byte 0: id with NUL: "1\x00"`)
	f("id: 1\ndata: a\n\n", `byte 6: data behind the id of its event`)
	f("data: a\nid: 1\ndata: b\n\n", `byte 14: data behind the id of its event`)
	f("retry: x\n\n", `byte 0: retry is not a number: "x"`)
}

func TestReaderTellsWhatWasCut(t *testing.T) {
	f := func(stream, want string) {
		t.Helper()
		splits(stream, func(src io.Reader) {
			t.Helper()
			if got := parseAll(t, src).Incomplete; got != want {
				t.Errorf("%q: expected the incomplete event %q, got %q", stream, want, got)
			}
		})
	}
	f("data: a\n\n", "")
	f("\r\n", "")
	f("data: a\n\nid: 1\ndata: b", "id: 1\ndata: b")
	f("data: a\n", "data: a\n")
}

func TestReaderReturnsTheErrorOfItsSourceAfterTheEvents(t *testing.T) {
	broken := errors.New("broken")
	r := NewReader(io.MultiReader(strings.NewReader("data: a\n\ndata: b"), iotest.ErrReader(broken)))
	if ev, err := r.Next(); err != nil || ev.Data != "a" {
		t.Fatalf("expected the event first, got %q, %v", ev.Data, err)
	}
	for range 2 {
		if _, err := r.Next(); !errors.Is(err, broken) {
			t.Fatalf("expected the source's error, got %v", err)
		}
	}
}

type emptyReads struct{}

func (emptyReads) Read([]byte) (int, error) { return 0, nil }

func TestReaderGivesUpOnASourceWithoutProgress(t *testing.T) {
	if _, err := NewReader(emptyReads{}).Next(); !errors.Is(err, io.ErrNoProgress) {
		t.Fatalf("expected io.ErrNoProgress, got %v", err)
	}
}

func TestReaderBoundsTheListOfViolations(t *testing.T) {
	if n := len(parseAll(t, strings.NewReader(strings.Repeat("x\n", 1000))).Violations); n != maxViolations {
		t.Fatalf("expected %d violations, got %d", maxViolations, n)
	}
}

// model parses a whole stream the plain way: normalise line ends, then look at each line.
func model(stream []byte) (events []string, lastID string) {
	text := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(stream))
	text = strings.TrimPrefix(text, "\xEF\xBB\xBF")
	lines := strings.Split(text, "\n")
	data, kind, id, own := []string(nil), "", "", ""
	for _, line := range lines[:len(lines)-1] {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			lastID = id
			if data != nil {
				events = append(events, fmt.Sprintf("%s|%s%s|%s", orDefault(kind, "message"), id, own, strings.Join(data, "\n")))
			}
			data, kind, own = nil, "", ""
		case name == "data":
			data = append(data, decodeUTF8([]byte(value)))
		case name == "event":
			kind = decodeUTF8([]byte(value))
		case name == "id" && !strings.Contains(value, "\x00"):
			id, own = decodeUTF8([]byte(value)), "+"
		}
	}
	return events, lastID
}

// pieces is a Reader that cuts its data at lengths taken from cuts.
type pieces struct {
	data, cuts []byte
}

func (p *pieces) Read(buf []byte) (int, error) {
	if len(p.data) == 0 {
		return 0, io.EOF
	}
	n := 1
	if len(p.cuts) > 0 {
		n, p.cuts = 1+int(p.cuts[0]), p.cuts[1:]
	}
	n = copy(buf, p.data[:min(n, len(p.data))])
	p.data = p.data[n:]
	return n, nil
}

func FuzzReader(f *testing.F) {
	for _, stream := range []string{
		"", "\r\ndata: {}\n\n", "id: 1\r\ndata: a\r\n\r\ndata: b\r\r", "\xEF\xBB\xBF\r\n: c\nid: \x00\nretry: 10\ndata\n\n",
		"event: x\nid: 1\n\ndata: \xE2\x82\n\ndata: cut", "foo\nfoo: bar\ndata:a\ndata:\n\n\n", "\xEF\xBBdata: a\n\n", "\r\r\n\n\r",
	} {
		f.Add([]byte(stream), []byte{0, 2, 1})
	}
	f.Fuzz(func(t *testing.T, stream, cuts []byte) {
		whole := parseAll(t, bytes.NewReader(stream))
		single := parseAll(t, iotest.OneByteReader(bytes.NewReader(stream)))
		cut := parseAll(t, &pieces{data: stream, cuts: cuts})
		if !reflect.DeepEqual(whole, single) || !reflect.DeepEqual(whole, cut) {
			t.Fatalf("splits differ for %q\nwhole  %+v\nsingle %+v\ncut    %+v", stream, whole, single, cut)
		}
		var got []string
		for _, ev := range whole.Events {
			got = append(got, show(ev))
			if !bytes.Contains(stream, ev.Raw) {
				t.Fatalf("raw %q is not in the stream %q", ev.Raw, stream)
			}
		}
		want, lastID := model(stream)
		if !reflect.DeepEqual(got, want) || whole.LastID != lastID {
			t.Fatalf("%q\nthe plain way %q, last id %q\nReader        %q, last id %q", stream, want, lastID, got, whole.LastID)
		}
	})
}
