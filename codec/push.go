package codec

import (
	"unicode/utf8"

	fdelta "github.com/shadowspore/fossil-delta"
)

// ClientInfo describes a connection in presence, join and leave
// (PROTOCOL 2.2).
type ClientInfo struct {
	User     string
	Client   string // UUID of the session
	ConnInfo JSON   // from the token, the connect hook or API refresh
	ChanInfo JSON   // of this one subscription
}

// Tag is one key and value that a publisher attached to a publication.
type Tag struct{ Key, Value string }

// Publication is one message in a channel. It is immutable once published.
type Publication struct {
	Data    JSON // zero only in namespaces of the binary format
	Info    *ClientInfo
	Tags    []Tag  // sorted by key
	Offset  uint64 // place in the channel's history, 0 if not kept there
	Epoch   string // of the history; on the wire only with offset 1, or if told
	Told    bool   // the epoch goes on the wire, whatever the offset
	Version uint64 // as given by the publisher
	Time    int64  // Unix milliseconds of the publish, 0 if unknown
	Delta   bool   // the publisher asked for deltas
	Binary  bool   // the payload was not JSON and is not here: no stream can carry it
	Channel string // the one it was published into, where subscribers of patterns are told; "" mostly
	Room    *Room  // around Data, for its frame; nil for none
}

// Size is what a publication counts for in byte limits: its payload and
// strings, without the fixed cost of the struct.
func (p *Publication) Size() int {
	n := p.Data.Len() + len(p.Channel)
	for _, t := range p.Tags {
		n += len(t.Key) + len(t.Value)
	}
	if c := p.Info; c != nil {
		n += len(c.User) + len(c.Client) + c.ConnInfo.Len() + c.ChanInfo.Len()
	}
	return n
}

// AppendPub appends the push of a publication.
func AppendPub(dst []byte, channel string, p *Publication) []byte {
	o := object{dst: dst}
	o.begin()
	o.str("channel", channel)
	o.key("pub")
	o.dst = AppendPublication(o.dst, p)
	o.end()
	return o.dst
}

// appendPubHead appends what AppendPub does before the payload.
func appendPubHead(dst []byte, channel string) []byte {
	o := pushOpen(dst, channel, "pub")
	o.key("data")
	return o.dst
}

// appendPubTail appends what AppendPub does behind the payload.
func appendPubTail(dst []byte, p *Publication) []byte {
	o := object{dst: dst, comma: true}
	o.pubRest(p)
	return pushClose(&o)
}

// AppendPublication appends the publication object itself, as it stands in pub
// pushes and among the recovered publications of a connect push.
func AppendPublication(dst []byte, p *Publication) []byte {
	o := object{dst: dst}
	o.begin()
	o.json("data", p.Data)
	o.pubRest(p)
	o.end()
	return o.dst
}

// pubRest appends the members of a publication but its data.
func (o *object) pubRest(p *Publication) {
	o.info(p.Info)
	o.uint("offset", p.Offset)
	appendTags(o, p.Tags)
	o.str("channel", p.Channel)
	if p.Offset == 1 || p.Told {
		o.str("epoch", p.Epoch)
	}
	o.uint("version", p.Version)
}

// AppendDeltaPub appends the push of a publication for subscribers that
// negotiated deltas: data is a JSON string, the delta against the payload
// before it if there is one, the whole payload otherwise; epoch and version
// are left out (PROTOCOL 2.2).
func AppendDeltaPub(dst []byte, channel string, p *Publication, delta string) []byte {
	o := object{dst: dst}
	o.begin()
	o.str("channel", channel)
	o.key("pub")
	o.dst = AppendDeltaPublication(o.dst, p, delta)
	o.end()
	return o.dst
}

// AppendDeltaPublication is [AppendPublication] in the form of
// [AppendDeltaPub]. A delta that cuts a character in two is no text and cannot
// travel in a JSON string: the whole payload goes out in its place.
func AppendDeltaPublication(dst []byte, p *Publication, delta string) []byte {
	if !utf8.ValidString(delta) {
		delta = ""
	}
	o := object{dst: dst}
	o.begin()
	text := p.Data.String()
	if delta != "" {
		text = delta
	}
	o.strAlways("data", text)
	o.info(p.Info)
	o.uint("offset", p.Offset)
	appendTags(&o, p.Tags)
	o.bool("delta", delta != "")
	o.str("channel", p.Channel)
	o.end()
	return o.dst
}

func appendTags(o *object, tags []Tag) {
	if len(tags) == 0 {
		return
	}
	o.key("tags")
	o.dst = AppendTags(o.dst, tags)
}

// AppendTags appends tags as a JSON object of strings.
func AppendTags(dst []byte, tags []Tag) []byte {
	dst = append(dst, '{')
	for i, t := range tags {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendString(dst, t.Key)
		dst = append(dst, ':')
		dst = AppendString(dst, t.Value)
	}
	return append(dst, '}')
}

// AppendClientInfo appends a client info object; user and client are always
// present (PROTOCOL 2.2).
func AppendClientInfo(dst []byte, c *ClientInfo) []byte {
	o := object{dst: dst}
	o.begin()
	o.strAlways("user", c.User)
	o.strAlways("client", c.Client)
	o.json("conn_info", c.ConnInfo)
	o.json("chan_info", c.ChanInfo)
	o.end()
	return o.dst
}

// AppendJoin appends a join push.
func AppendJoin(dst []byte, channel string, c *ClientInfo) []byte {
	return appendPresenceEvent(dst, channel, "join", c)
}

// AppendLeave appends a leave push.
func AppendLeave(dst []byte, channel string, c *ClientInfo) []byte {
	return appendPresenceEvent(dst, channel, "leave", c)
}

func appendPresenceEvent(dst []byte, channel, kind string, c *ClientInfo) []byte {
	o := pushOpen(dst, channel, kind)
	o.key("info")
	o.dst = AppendClientInfo(o.dst, c)
	return pushClose(&o)
}

// SubscribeResult tells a client what one of its subscriptions is
// (PROTOCOL 2.2).
type SubscribeResult struct {
	Channel       string
	Recoverable   bool
	Positioned    bool
	Recovered     bool
	WasRecovering bool
	Delta         bool
	Epoch         string
	Offset        uint64
	Publications  []*Publication // with Delta, each after the first as the difference to the one before
	// Block stands for the publications, as [AppendPublications] writes them:
	// bytes that several streams share. See ConnectResult.Cuts.
	Block *Frame
	Data  JSON
}

func (o *object) subscribeResult(r *SubscribeResult) {
	o.begin()
	o.bool("recoverable", r.Recoverable)
	o.str("epoch", r.Epoch)
	if r.Block != nil || len(r.Publications) > 0 {
		o.key("publications")
		o.dst = append(o.dst, '[')
		if r.Block == nil {
			o.dst = AppendPublications(o.dst, r.Publications, r.Delta)
		} else if o.cutting {
			o.cuts = append(o.cuts, Cut{len(o.dst), r.Block})
		}
		o.dst = append(o.dst, ']')
	}
	o.bool("recovered", r.Recovered)
	o.uint("offset", r.Offset)
	o.bool("positioned", r.Positioned)
	o.json("data", r.Data)
	o.bool("was_recovering", r.WasRecovering)
	o.bool("delta", r.Delta)
	o.end()
}

// AppendPublications appends publications of one channel as they stand in a
// connect push, with commas between them. With deltas, each after the first is
// the difference to the one before.
func AppendPublications(dst []byte, pubs []*Publication, deltas bool) []byte {
	var work deltaWork
	for i, p := range pubs {
		if i > 0 {
			dst = append(dst, ',')
		}
		if !deltas {
			dst = AppendPublication(dst, p)
			continue
		}
		delta := ""
		if i > 0 {
			delta = work.delta(pubs[i-1].Data, p.Data)
		}
		dst = AppendDeltaPublication(dst, p, delta)
	}
	return dst
}

// Cut is where a block belongs into a push: between the bytes before At and those
// from there on.
type Cut struct {
	At    int
	Block *Frame
}

// ConnectResult is the content of the connect push (PROTOCOL 2.2).
type ConnectResult struct {
	Client  string
	Version string
	Session string
	Data    JSON
	Subs    []SubscribeResult
	Expires bool
	TTL     uint32 // seconds, with Expires
	Ping    uint32 // seconds, 0 when pings are off
	Time    int64  // Unix milliseconds, 0 unless configured
	// Cuts is set by AppendConnect: where the blocks of Subs belong into what it
	// has appended to.
	Cuts []Cut
}

// AppendConnect appends the connect push.
func AppendConnect(dst []byte, r *ConnectResult) []byte {
	o := pushOpen(dst, "", "connect")
	o.cutting, o.cuts = true, r.Cuts[:0]
	o.str("client", r.Client)
	o.str("version", r.Version)
	o.json("data", r.Data)
	if len(r.Subs) > 0 {
		o.key("subs")
		o.begin()
		for i := range r.Subs {
			if o.comma {
				o.dst = append(o.dst, ',')
			}
			o.dst = AppendString(o.dst, r.Subs[i].Channel)
			o.dst = append(o.dst, ':')
			o.subscribeResult(&r.Subs[i])
		}
		o.end()
	}
	o.bool("expires", r.Expires)
	o.uint("ttl", uint64(r.TTL))
	o.uint("ping", uint64(r.Ping))
	o.str("session", r.Session)
	o.int("time", r.Time)
	r.Cuts = o.cuts
	return pushClose(&o)
}

// AppendSubscribe appends the push that tells of a subscription made by the
// server after the connect. Publications and Recovered do not travel in it
// (PROTOCOL 2.2).
func AppendSubscribe(dst []byte, r *SubscribeResult) []byte {
	o := object{dst: dst}
	o.begin()
	o.str("channel", r.Channel)
	o.key("subscribe")
	short := SubscribeResult{
		Recoverable: r.Recoverable, Epoch: r.Epoch, Offset: r.Offset,
		Positioned: r.Positioned, Data: r.Data,
	}
	o.subscribeResult(&short)
	o.end()
	return o.dst
}

// AppendUnsubscribe appends an unsubscribe push.
func AppendUnsubscribe(dst []byte, channel string, d *Disconnect) []byte {
	o := pushOpen(dst, channel, "unsubscribe")
	o.uint("code", uint64(d.Code))
	o.str("reason", d.Reason)
	return pushClose(&o)
}

// AppendDisconnect appends a disconnect push. Code 0 without a reason gives an
// empty object (PROTOCOL 1.6).
func AppendDisconnect(dst []byte, d *Disconnect) []byte {
	o := pushOpen(dst, "", "disconnect")
	o.uint("code", uint64(d.Code))
	o.str("reason", d.Reason)
	return pushClose(&o)
}

// AppendRefresh appends the push that follows an API refresh; expires false
// says that the connection no longer expires.
func AppendRefresh(dst []byte, expires bool, ttl uint32) []byte {
	o := pushOpen(dst, "", "refresh")
	o.bool("expires", expires)
	o.uint("ttl", uint64(ttl))
	return pushClose(&o)
}

// AppendMessage appends a message push: data outside any channel. The protocol
// defines it; no server method sends it (PROTOCOL 2.2).
func AppendMessage(dst []byte, data JSON) []byte {
	o := pushOpen(dst, "", "message")
	o.json("data", data)
	return pushClose(&o)
}

// Gap tells a client that a channel's publications were dropped on its stream,
// because it did not read them in time (slow_policy drop_oldest). The push is
// Sluice's own; it comes before the channel's next event.
type Gap struct {
	Dropped  uint64
	From, To uint64 // offsets of the first and last one dropped, 0 without history
}

// AppendGap appends the push `{"channel":C,"gap":{"dropped":N}}`, with "from"
// and "to" where offsets are known.
func AppendGap(dst []byte, channel string, g Gap) []byte {
	o := pushOpen(dst, channel, "gap")
	o.uint("dropped", g.Dropped)
	o.uint("from", g.From)
	o.uint("to", g.To)
	return pushClose(&o)
}

// Delta returns the Fossil delta that makes next of prev, or "" if it would not
// be shorter than next, which then goes out whole (PROTOCOL 2.2).
func Delta(prev, next JSON) string {
	diff := fdelta.Create([]byte(prev.String()), []byte(next.String()))
	if len(diff) >= next.Len() {
		return ""
	}
	return string(diff)
}

// maxDeltaWork is how many bytes of payloads are compared for one recovery:
// anybody who may recover can ask for it, and unrelated payloads of 64 KiB cost
// milliseconds.
const maxDeltaWork = 256 << 10

// deltaWork bounds the deltas of one recovery. The zero value has done nothing.
type deltaWork struct{ bytes int }

// delta is [Delta] while there is work left to do, and "" from then on.
func (w *deltaWork) delta(prev, next JSON) string {
	if w.bytes += prev.Len() + next.Len(); w.bytes > maxDeltaWork {
		return ""
	}
	return Delta(prev, next)
}
