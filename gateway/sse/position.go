package sse

import (
	"bytes"

	"github.com/valyala/fasthttp"

	"sluice/codec"
)

// lastIDs is what a request says was the id of the client's last event. There may be
// several: of a client that appends to its URL again and again, of a front that joins
// header lines.
type lastIDs struct {
	header     []string
	parameters []string // for clients that cannot set headers
}

// args are the parameters of the query; nil: none that matters.
func readLastIDs(h *fasthttp.RequestHeader, args *fasthttp.Args) (ids lastIDs) {
	for _, v := range h.PeekAll("Last-Event-ID") {
		ids.header = appendListed(ids.header, v)
	}
	if args == nil {
		return ids
	}
	for name, v := range args.All() {
		switch string(name) {
		case "last_event_id", "lastEventId", "Last-Event-ID":
			ids.parameters = appendListed(ids.parameters, v)
		}
	}
	return ids
}

// appendListed appends the values of a list that are not empty.
func appendListed(dst []string, list []byte) []string {
	for v := range bytes.SplitSeq(list, []byte(",")) {
		if v = bytes.TrimSpace(v); len(v) > 0 {
			dst = append(dst, string(v))
		}
	}
	return dst
}

// terminal reports whether one of the ids says that the client was refused for good, or
// its stream ended so; final is as [codec.TerminalID] has it.
func (ids *lastIDs) terminal() (final, ok bool) {
	for _, list := range [][]string{ids.header, ids.parameters} {
		for _, id := range list {
			f, told := codec.TerminalID(id)
			final, ok = final || f, ok || told
		}
	}
	return final, ok
}

// cursor returns where the client was: as the header says, or else the parameters. lost
// says that it has been somewhere, and nobody can tell where.
func (ids *lastIDs) cursor() (entries []codec.CursorEntry, lost bool) {
	for _, list := range [][]string{ids.header, ids.parameters} {
		if entries, ok := newest(list); ok {
			return entries, false
		}
	}
	return nil, len(ids.header)+len(ids.parameters) > 0
}

// newest returns the furthest position in each channel that readable cursors of a list
// have; ok is false if none can be read. Of positions in several epochs all count, and
// who knows the present one chooses.
func newest(list []string) (all []codec.CursorEntry, ok bool) {
	var at map[codec.CursorEntry]int // by the entry without its offset
	for _, id := range list {
		entries, readable := codec.ParseCursor(nil, id, maxCursorEntries)
		if !readable {
			continue
		}
		if !ok {
			all, ok = entries, true
			continue
		}
		if at == nil {
			at = make(map[codec.CursorEntry]int)
			for i, e := range all {
				at[codec.CursorEntry{Channel: e.Channel, Epoch: e.Epoch}] = i
			}
		}
		for _, e := range entries {
			key := codec.CursorEntry{Channel: e.Channel, Epoch: e.Epoch}
			if i, known := at[key]; known {
				all[i].Offset = max(all[i].Offset, e.Offset)
				continue
			}
			at[key] = len(all)
			all = append(all, e)
		}
	}
	return all, ok
}
