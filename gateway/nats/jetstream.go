package nats

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-json"
	natsgo "github.com/nats-io/nats.go"
)

// Headers of JetStream that publishers set (NATS ADR-8, ADR-43, ADR-50) and that come with
// what is read or published again.
const (
	HeaderExpectSubject = "Nats-Expected-Last-Subject-Sequence"
	HeaderExpectStream  = "Nats-Expected-Stream"
	HeaderTTL           = "Nats-TTL"
	HeaderMsgID         = "Nats-Msg-Id"
	HeaderRollup        = "Nats-Rollup"
	HeaderBatchID       = "Nats-Batch-Id"
	HeaderBatchSequence = "Nats-Batch-Sequence"
	HeaderBatchCommit   = "Nats-Batch-Commit"
	headerSequence      = "Nats-Sequence"
	headerSubject       = "Nats-Subject"
	headerTime          = "Nats-Time-Stamp"
	headerSubjectPrior  = "Nats-Last-Sequence"
	headerPending       = "Nats-Num-Pending"
)

// Errors of the API, by err_code.
const (
	apiNoStream          = 10059
	apiNotEnabled        = 10076
	apiReplicas          = 10074
	apiNotEnabledAccount = 10039
	apiNoMessage         = 10037
	apiBatchIncomplete   = 10176
	apiBatchesMost       = 10210
	apiWrongSequence     = 10071
	apiWrongSequenceBare = 10164
)

// Stored is a message of a stream.
type Stored struct {
	Subject string
	Seq     uint64
	// Prior is the sequence of the message before it on its subject, 0 for none or unknown:
	// only messages that a stream published again have it.
	Prior  uint64
	Time   time.Time // when the stream took it, by its server's clock
	Header natsgo.Header
	Data   []byte
}

// Get returns the first value of a header, "" for none.
func Get(h natsgo.Header, name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// Republished reads what a stream published again, or a direct get returned; false if m is
// neither.
func Republished(m *natsgo.Msg) (s Stored, ok bool) {
	seq, err := strconv.ParseUint(Get(m.Header, headerSequence), 10, 64)
	if err != nil {
		return s, false
	}
	s = Stored{Subject: Get(m.Header, headerSubject), Seq: seq, Header: m.Header, Data: m.Data}
	s.Prior, _ = strconv.ParseUint(Get(m.Header, headerSubjectPrior), 10, 64)
	s.Time, err = time.Parse(time.RFC3339Nano, Get(m.Header, headerTime))
	return s, err == nil
}

// API is what the streams of an account answer to. Any goroutine.
type API struct {
	// Immutable.
	Calls  *Calls
	prefix string // $JS.API. or that of a domain
}

const apiPrefix = "$JS.API."

// API returns the JetStream of the options' domain.
func (n *NATS) API() *API {
	prefix := apiPrefix
	if n.opt.Domain != "" {
		prefix = "$JS." + n.opt.Domain + ".API."
	}
	return &API{Calls: n.calls, prefix: prefix}
}

// Put returns the subject to publish into a key of a bucket: leaf nodes pass those of another domain's buckets on below
// its API alone.
func (a *API) Put(key string) string {
	if a.prefix == apiPrefix {
		return key
	}
	return a.prefix + key
}

// apiError is an error as JetStream answers it.
type apiError struct {
	Code        int    `json:"code"`
	ErrCode     int    `json:"err_code"`
	Description string `json:"description"`
}

// of makes an Error of it.
func (a *apiError) of() *Error {
	e := &Error{Kind: ErrRefused, Reason: ReasonReply, Err: errors.New(a.Description), Code: a.ErrCode}
	text := strings.ToLower(a.Description)
	switch {
	case a.ErrCode == apiWrongSequence || a.ErrCode == apiWrongSequenceBare:
		e.Kind, e.Reason = ErrUnavailable, ReasonSequence
	case a.ErrCode == apiNoStream:
		e.Kind, e.Reason = ErrUnavailable, ReasonStream
	case a.ErrCode == apiReplicas:
		e.Reason = ReasonReplicas
	case a.ErrCode == apiNotEnabled || a.ErrCode == apiNotEnabledAccount:
		e.Kind, e.Reason = ErrUnavailable, ReasonNoJetStream
	case strings.Contains(text, "maximum") && !strings.Contains(text, "message size"), strings.Contains(text, "insufficient"), strings.Contains(text, "resource limits"),
		strings.Contains(text, "no space"):
		e.Kind, e.Reason = ErrUnavailable, ReasonStorage
	case a.Code == 503 || a.Code == 408, strings.Contains(text, "no suitable peers"), strings.Contains(text, "offline"):
		e.Kind = ErrUnavailable
	case a.ErrCode == apiBatchIncomplete || a.ErrCode == apiBatchesMost:
		e.Kind, e.Reason = ErrUnavailable, ReasonBusy
	}
	return e
}

// Ack is how a stream says that it keeps what was published.
type Ack struct {
	Stream string
	// Seq is the sequence of the message, or of the last one of a batch.
	Seq uint64
	// Duplicate says that a message of this HeaderMsgID is kept already: Seq is its.
	Duplicate bool
}

type ackJSON struct {
	Error     *apiError `json:"error"`
	Stream    string    `json:"stream"`
	Seq       uint64    `json:"seq"`
	Duplicate bool      `json:"duplicate"`
}

func decodeAck(m *natsgo.Msg) (Ack, *Error) {
	var a ackJSON
	if err := json.Unmarshal(m.Data, &a); err != nil {
		return Ack{}, &Error{Kind: ErrUnknown, Reason: ReasonReply, Err: fmt.Errorf("an acknowledgement expected, got %.60q", m.Data)}
	}
	if a.Error != nil {
		return Ack{}, a.Error.of()
	}
	if a.Stream == "" || a.Seq == 0 {
		return Ack{}, &Error{Kind: ErrUnknown, Reason: ReasonReply, Err: fmt.Errorf("stream and sequence expected, got %.60q", m.Data)}
	}
	return Ack{a.Stream, a.Seq, a.Duplicate}, nil
}

// Publish has a stream keep one message.
func (a *API) Publish(ctx context.Context, req Request) (Ack, error) {
	return a.ack(a.Calls.Do(ctx, req))
}

func (a *API) ack(m *natsgo.Msg, err error) (Ack, error) {
	if err != nil {
		return Ack{}, err
	}
	ack, failed := decodeAck(m)
	if failed != nil {
		return Ack{}, a.Calls.counted(failed)
	}
	return ack, nil
}

// PublishAll has streams keep messages, each for itself, at the cost of few round trips. The errors
// are in the order of the messages.
func (a *API) PublishAll(ctx context.Context, reqs []Request) []error {
	errs := make([]error, len(reqs))
	for i, answer := range a.Calls.DoMulti(ctx, reqs) {
		_, errs[i] = a.ack(answer.Msg, answer.Err)
	}
	return errs
}

// BatchMost is how many messages a batch may have.
const BatchMost = 1000

// Batch has one stream keep several messages, all or none of them (NATS ADR-50; servers from 2.12, streams that
// allow it). id is unique among the batches under way. It adds to the messages' headers, which are the
// caller's and must not be shared.
func (a *API) Batch(ctx context.Context, id string, reqs []Request) (Ack, error) {
	if len(reqs) == 1 {
		return a.Publish(ctx, reqs[0])
	}
	for i := range reqs {
		h := reqs[i].Header
		h[HeaderBatchID] = []string{id}
		h[HeaderBatchSequence] = []string{strconv.Itoa(i + 1)}
	}
	reqs[len(reqs)-1].Header[HeaderBatchCommit] = []string{"1"}
	return a.ack(a.Calls.Do(ctx, reqs...))
}

// getJSON is a request for messages (NATS ADR-31).
type getJSON struct {
	Seq      uint64 `json:"seq,omitempty"`
	LastFor  string `json:"last_by_subj,omitempty"`
	NextFor  string `json:"next_by_subj,omitempty"`
	Batch    int    `json:"batch,omitempty"`
	MaxBytes int    `json:"max_bytes,omitempty"`

	Lasts []string `json:"multi_last,omitempty"`
}

type gotJSON struct {
	Error   *apiError `json:"error"`
	Message *struct {
		Subject string    `json:"subject"`
		Seq     uint64    `json:"seq"`
		Header  string    `json:"hdrs"`
		Data    string    `json:"data"`
		Time    time.Time `json:"time"`
	} `json:"message"`
}

// Last is the last message of a subject; Stored.Seq is 0 if there is none.
type Last struct {
	Stored
	Err error
}

// Wanted is a subject whose last message is wanted.
type Wanted struct{ Stream, Subject string }

// Lasts reads the last message of subjects from the leaders of their streams: what was acknowledged before the
// call is seen. The answers are in the order of the subjects.
func (a *API) Lasts(ctx context.Context, of []Wanted) []Last {
	reqs := make([]Request, len(of))
	for i, w := range of {
		reqs[i] = a.get("STREAM.MSG.GET."+w.Stream, getJSON{LastFor: w.Subject})
	}
	lasts := make([]Last, len(of))
	for i, answer := range a.Calls.DoMulti(ctx, reqs) {
		if answer.Err != nil {
			lasts[i].Err = answer.Err
			continue
		}
		s, err := decodeGot(answer.Msg)
		switch {
		case err != nil && err.Code == apiNoMessage:
		case err != nil:
			lasts[i].Err = a.Calls.counted(err)
		default:
			lasts[i].Stored = s
		}
	}
	return lasts
}

// Message reads one message of a stream from its leader; Seq is 0 if it is not there.
func (a *API) Message(ctx context.Context, stream string, seq uint64) (Stored, error) {
	m, err := a.Calls.Do(ctx, a.get("STREAM.MSG.GET."+stream, getJSON{Seq: seq}))
	if err != nil {
		return Stored{}, err
	}
	s, failed := decodeGot(m)
	switch {
	case failed != nil && failed.Code == apiNoMessage:
		return Stored{}, nil
	case failed != nil:
		return Stored{}, a.Calls.counted(failed)
	}
	return s, nil
}

func (a *API) get(what string, v getJSON) Request {
	data, _ := json.Marshal(v) // of texts and numbers: it cannot fail
	return Request{Subject: a.prefix + what, Data: data}
}

func decodeGot(m *natsgo.Msg) (Stored, *Error) {
	var got gotJSON
	if err := json.Unmarshal(m.Data, &got); err != nil {
		return Stored{}, &Error{Kind: ErrUnavailable, Reason: ReasonReply, Err: fmt.Errorf("a message expected, got %.60q", m.Data)}
	}
	if got.Error != nil {
		return Stored{}, got.Error.of()
	}
	if got.Message == nil || got.Message.Seq == 0 {
		return Stored{}, &Error{Kind: ErrUnavailable, Reason: ReasonReply, Err: fmt.Errorf("a message expected, got %.60q", m.Data)}
	}
	s := Stored{Subject: got.Message.Subject, Seq: got.Message.Seq, Time: got.Message.Time}
	head, err := base64.StdEncoding.DecodeString(got.Message.Header)
	if err == nil && len(head) > 0 {
		s.Header, err = natsgo.DecodeHeadersMsg(head)
	}
	if err == nil {
		s.Data, err = base64.StdEncoding.DecodeString(got.Message.Data)
	}
	if err != nil {
		return Stored{}, &Error{Kind: ErrUnavailable, Reason: ReasonReply, Err: fmt.Errorf("header and data in base64 expected: %w", err)}
	}
	return s, nil
}

// Range is what is read of a stream: the messages of a subject, which may have wildcards, from a sequence
// on, in order.
type Range struct {
	Stream, Subject string
	From            uint64
	Most            int // messages
	Room            int // bytes after which no further one is read
}

// Read reads messages by a direct get, which any server with the stream answers: what was published
// a moment ago may be missing. more says that there are others behind.
func (a *API) Read(ctx context.Context, r Range) (list []Stored, more bool, err error) {
	found, err := a.near(ctx, r.Stream, getJSON{Seq: max(r.From, 1), NextFor: r.Subject, Batch: r.Most, MaxBytes: r.Room})
	return found.List, found.More, err
}

// near reads messages by a direct get.
func (a *API) near(ctx context.Context, stream string, what getJSON) (found Found, err error) {
	var bad *Error
	err = a.Calls.Gather(ctx, a.get("DIRECT.GET."+stream, what), func(m *natsgo.Msg) bool {
		switch s := status(m); s {
		case "":
		case statusNotFound:
			return true
		case statusEndOfBatch:
			found.More = Get(m.Header, headerPending) != "0"
			found.UpTo, _ = strconv.ParseUint(Get(m.Header, headerUpTo), 10, 64)
			return true
		default:
			bad = &Error{Kind: ErrUnavailable, Reason: ReasonReply, Err: fmt.Errorf("messages expected, got status %s %s", s, Get(m.Header, "Description"))}
			return true
		}
		if got, ok := Republished(m); ok {
			found.List = append(found.List, got)
		}
		return false
	})
	if err == nil && bad != nil {
		err = a.Calls.counted(bad)
	}
	if err != nil {
		return Found{}, err
	}
	return found, nil
}

// Purge removes the messages of a subject that are before a sequence; 0 all of them.
func (a *API) Purge(ctx context.Context, stream, subject string, before uint64) error {
	of := map[string]any{"filter": subject}
	if before > 0 {
		of["seq"] = before
	}
	data, _ := json.Marshal(of)
	m, err := a.Calls.Do(ctx, Request{Subject: a.prefix + "STREAM.PURGE." + stream, Data: data})
	if err != nil {
		return err
	}
	return a.failed(m)
}

// failed returns the error that is in an answer, nil for none.
func (a *API) failed(m *natsgo.Msg) error {
	var got struct {
		Error *apiError `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &got); err != nil {
		return a.Calls.counted(&Error{Kind: ErrUnknown, Reason: ReasonReply, Err: fmt.Errorf("an answer in JSON expected, got %.60q", m.Data)})
	}
	if got.Error != nil {
		return a.Calls.counted(got.Error.of())
	}
	return nil
}
