package codec

import "strconv"

// Results of the server API (PROTOCOL 7). Every function appends one JSON
// object; none of them reflects, keeps or changes what it is given.

// PublishResult is the outcome of publishing into one channel.
type PublishResult struct {
	Offset uint64
	Epoch  string
	Err    *Error // nil for success
}

// AppendEmptyResult appends the result of methods that return nothing.
func AppendEmptyResult(dst []byte) []byte { return append(dst, "{}"...) }

// AppendPublishResult appends the result of a successful publish.
func AppendPublishResult(dst []byte, offset uint64, epoch string) []byte {
	o := object{dst: dst}
	o.begin()
	o.uint("offset", offset)
	o.str("epoch", epoch)
	o.end()
	return o.dst
}

// AppendBroadcastResult appends the result of a broadcast: one response for
// each channel, in order.
func AppendBroadcastResult(dst []byte, responses []PublishResult) []byte {
	dst = append(dst, `{"responses":[`...)
	for i := range responses {
		if i > 0 {
			dst = append(dst, ',')
		}
		r := &responses[i]
		if r.Err != nil {
			dst = AppendErrorReply(dst, r.Err)
			continue
		}
		dst = append(dst, `{"result":`...)
		dst = AppendPublishResult(dst, r.Offset, r.Epoch)
		dst = append(dst, '}')
	}
	return append(dst, "]}"...)
}

// AppendError appends an error object (PROTOCOL 7.2).
func AppendError(dst []byte, e *Error) []byte {
	dst = append(dst, `{"code":`...)
	dst = strconv.AppendUint(dst, uint64(e.Code), 10)
	dst = append(dst, `,"message":`...)
	dst = AppendString(dst, e.Message)
	return append(dst, '}')
}

// AppendErrorReply appends `{"error":{...}}`.
func AppendErrorReply(dst []byte, e *Error) []byte {
	dst = append(dst, `{"error":`...)
	dst = AppendError(dst, e)
	return append(dst, '}')
}

// AppendPresenceResult appends the clients of a channel by their ids.
func AppendPresenceResult(dst []byte, clients []*ClientInfo) []byte {
	dst = append(dst, `{"presence":{`...)
	for i, c := range clients {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendString(dst, c.Client)
		dst = append(dst, ':')
		dst = AppendClientInfo(dst, c)
	}
	return append(dst, "}}"...)
}

// AppendPresenceStatsResult appends the counters of a channel.
func AppendPresenceStatsResult(dst []byte, clients, users int) []byte {
	o := object{dst: dst}
	o.begin()
	o.uintAlways("num_clients", uint64(clients))
	o.uintAlways("num_users", uint64(users))
	o.end()
	return o.dst
}

// AppendHistoryResult appends a part of a channel's history and its top
// position. Epoch and version of a publication do not travel in it.
func AppendHistoryResult(dst []byte, publications []*Publication, epoch string, offset uint64) []byte {
	o := object{dst: dst}
	o.begin()
	o.key("publications")
	o.dst = append(o.dst, '[')
	for i, p := range publications {
		if i > 0 {
			o.dst = append(o.dst, ',')
		}
		o.dst = appendHistoryItem(o.dst, p)
	}
	o.dst = append(o.dst, ']')
	o.strAlways("epoch", epoch)
	o.uintAlways("offset", offset)
	o.end()
	return o.dst
}

func appendHistoryItem(dst []byte, p *Publication) []byte {
	o := object{dst: dst}
	o.begin()
	o.json("data", p.Data)
	o.info(p.Info)
	o.uint("offset", p.Offset)
	appendTags(&o, p.Tags)
	o.end()
	return o.dst
}

// ChannelCount is a channel and how many clients are subscribed to it.
type ChannelCount struct {
	Channel string
	Clients int
}

// AppendChannelsResult appends the channels that have subscribers.
func AppendChannelsResult(dst []byte, channels []ChannelCount) []byte {
	dst = append(dst, `{"channels":{`...)
	for i, c := range channels {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendString(dst, c.Channel)
		dst = append(dst, `:{"num_clients":`...)
		dst = strconv.AppendInt(dst, int64(c.Clients), 10)
		dst = append(dst, '}')
	}
	return append(dst, "}}"...)
}
