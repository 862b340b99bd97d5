package codec

// PingStyle is what pings are to a client.
type PingStyle uint8

const (
	// PingData is the event {}, which clients see (PROTOCOL 1.5).
	PingData PingStyle = iota
	// PingComment is a comment, which keeps connections open and which no client sees:
	// coded streams have an empty block instead.
	PingComment
	// PingID is an id line without an event: clients see none, and know where they are.
	PingID
)

// PingFrame is the ping event, the same for all streams (PROTOCOL 1.5).
var PingFrame = EndFrame(append(StartFrame(2), "{}"...), "")

// Comment is a comment, the shortest there is. It must not be written to.
var Comment = []byte(":\n\n")

// PaddingLine is how long a line of padding is, in bytes: readers have limits to what a
// line may be.
const PaddingLine = 256

// AppendPadding appends a comment of so many lines, and a blank one behind them: what
// pushes events out of whoever holds bytes back. It adds nothing for 0.
func AppendPadding(dst []byte, lines int) []byte {
	if lines == 0 {
		return dst
	}
	return append(appendPaddingLines(dst, lines), '\n')
}

func appendPaddingLines(dst []byte, lines int) []byte {
	for range lines {
		dst = append(dst, ':')
		for range PaddingLine - len(":\n") {
			dst = append(dst, '.')
		}
		dst = append(dst, '\n')
	}
	return dst
}

// NewPing makes the frame of a ping with so many lines of padding. It is an open one, as
// [EndOpenFrame] makes, but for PingData.
func NewPing(style PingStyle, padding int) *Frame {
	if style == PingData {
		if padding == 0 {
			return PingFrame
		}
		const event = dataField + "{}\n\n"
		return EndText(AppendPadding(append(StartText(len(event)+padding*PaddingLine+1), event...), padding))
	}
	buf := StartText(padding*PaddingLine + frameTail)
	if padding == 0 {
		ping := EndOpenFrame(append(buf, ':'))
		if style == PingComment {
			return ping.silence()
		}
		return ping
	}
	buf = appendPaddingLines(buf, padding)
	return EndOpenFrame(buf[:len(buf)-len("\n")])
}
