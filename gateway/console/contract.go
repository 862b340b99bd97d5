package console

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
)

// This file is what the console asks of the rest of the gateway, and what it answers in
// JSON. Times are Unix milliseconds and rates are per second, unless named otherwise.

// Watch is what can be looked at. Its methods are called by many goroutines at once, and
// may wait for other nodes until ctx ends: a node that does not answer by then is named
// among the silent ones, and is no error. Nobody keeps what a query refers to.
type Watch interface {
	// Now answers GET P/now.
	Now(ctx context.Context, q *NowQuery) (*Now, error)
	// Channels answers GET P/channels.
	Channels(ctx context.Context, q *ChannelsQuery) (*Channels, error)
	// Channel answers GET P/channel. A name that no channel may have is a [BadQuery].
	Channel(ctx context.Context, name string) (*Channel, error)
	// Clients answers GET P/clients.
	Clients(ctx context.Context, q *ClientsQuery) (*Clients, error)
	// Client answers GET P/client: ErrNotFound if no node has the client.
	Client(ctx context.Context, id string) (*Client, error)
}

// ErrNotFound is an answer of 404: what was asked for is not there.
var ErrNotFound = errors.New("there is none")

// NotAnswered is an answer of 503: nobody who answered has what was asked for, and these
// nodes did not answer.
type NotAnswered []string

func (e NotAnswered) Error() string {
	return "these nodes did not answer, one of them may have it: " + strings.Join(e, ", ")
}

// BadQuery is an answer of 400: its text says which parameter is wrong and what was
// expected.
type BadQuery string

func (e BadQuery) Error() string { return string(e) }

// NowQuery is the query of P/now.
type NowQuery struct {
	Range time.Duration // 30 min, 6 h or 24 h
	Node  string        // the uid of one node; "": all summed up
}

// Now is the answer of P/now. All series have one length.
type Now struct {
	At     int64              `json:"at"`
	From   int64              `json:"from"`
	StepMS int64              `json:"step_ms"`
	Nodes  []Node             `json:"nodes"`
	Series map[string]Figures `json:"series"`
	Closes map[string]uint64  `json:"closes"` // streams that ended in the range, by reason
	Latest map[string]float64 `json:"latest"`
}

// Node is a node of the cluster.
type Node struct {
	UID     string `json:"uid"`
	Name    string `json:"name"`
	Version string `json:"version"`
	UptimeS int64  `json:"uptime_s"`
	Self    bool   `json:"self"`   // the one that answers
	Silent  bool   `json:"silent"` // it did not answer in time
	Series  bool   `json:"series"` // it keeps figures of the past
}

// Figures is one series; NaN, and what is infinite, is null in JSON: no figure for that
// step.
type Figures []float64

// MarshalJSON implements json.Marshaler.
func (f Figures) MarshalJSON() ([]byte, error) {
	out := append(make([]byte, 0, 2+8*len(f)), '[')
	for i, v := range f {
		if i > 0 {
			out = append(out, ',')
		}
		if math.IsNaN(v) || math.IsInf(v, 0) {
			out = append(out, "null"...)
			continue
		}
		out = strconv.AppendFloat(out, v, 'g', -1, 64)
	}
	return append(out, ']'), nil
}

// Page is which rows of a list are wanted.
type Page struct {
	Desc   bool
	Offset int // 0 … MaxOffset
	Limit  int // 1 … MaxLimit
}

// Bounds of a Page.
const (
	DefaultLimit = 50
	MaxLimit     = 200
	MaxOffset    = 10_000_000
)

// StarsMost is how many * a glob of the console may have: what each costs is multiplied by
// all channels.
const StarsMost = 16

// Orders of rows, and what clients are found by.
const (
	OrderName          = "name"
	OrderSubscribers   = "subscribers"
	OrderRate          = "rate"
	OrderAge           = "age"
	OrderQueue         = "queue"
	OrderLag           = "lag"
	OrderSubscriptions = "subscriptions"

	ByAny     = "any"
	ByUser    = "user"
	ByClient  = "client"
	BySession = "session"
	ByAddress = "address"
)

// ChannelsQuery is the query of P/channels.
type ChannelsQuery struct {
	Page
	Q     string // a part of the name, or a glob; "": all
	Order string // OrderName, OrderSubscribers or OrderRate
}

// Channels is the answer of P/channels.
type Channels struct {
	Total     int          `json:"total"`
	Rows      []ChannelRow `json:"rows"`
	Silent    []string     `json:"silent"`    // names of nodes that did not answer
	Truncated bool         `json:"truncated"` // there are more than were looked at
}

// ChannelRow is a channel in a list.
type ChannelRow struct {
	Channel     string  `json:"channel"`
	Subscribers int     `json:"subscribers"`
	Rate        float64 `json:"rate"`
}

// Channel is the answer of P/channel.
type Channel struct {
	Channel     string         `json:"channel"`
	Namespace   string         `json:"namespace"`
	Subscribers int            `json:"subscribers"`
	Rate        float64        `json:"rate"`
	Position    *Position      `json:"position"` // nil: it has no history
	Silent      []string       `json:"silent"`   // nodes that did not answer: their subscribers may be missing
	Rules       map[string]any `json:"rules"`    // options of the namespace by name, as a file has them
}

// Position is where a channel is.
type Position struct {
	Offset uint64 `json:"offset"`
	Epoch  string `json:"epoch"`
}

// ClientsQuery is the query of P/clients.
type ClientsQuery struct {
	Page
	Q     string
	By    string // ByAny, ByUser, ByClient, BySession or ByAddress
	Order string // OrderAge, OrderQueue, OrderLag or OrderSubscriptions
}

// Clients is the answer of P/clients.
type Clients struct {
	Total     int         `json:"total"`
	Rows      []ClientRow `json:"rows"`
	Silent    []string    `json:"silent"`
	Truncated bool        `json:"truncated"`
}

// ClientRow is a client in a list. Its session id is a credential, and never in it.
type ClientRow struct {
	Client        string `json:"client"`
	User          string `json:"user"`
	Address       string `json:"address"`
	UserAgent     string `json:"user_agent"`
	AgeS          int64  `json:"age_s"`
	Subscriptions int    `json:"subscriptions"`
	QueueBytes    int64  `json:"queue_bytes"`
	LagMS         int64  `json:"lag_ms"` // how long its socket has taken nothing of what waits
	Coding        string `json:"coding"`
	Node          string `json:"node"`
}

// Client is the answer of P/client.
type Client struct {
	ClientRow
	Info      json.RawMessage `json:"info"`       // nil: null
	ExpiresAt int64           `json:"expires_at"` // Unix seconds, 0 for never
	Subs      []ClientSub     `json:"subs"`
	// Truncated says that it has more subscriptions than Subs, see ClientRow.Subscriptions.
	Truncated bool `json:"truncated"`
}

// ClientSub is a subscription of a client.
type ClientSub struct {
	Channel     string  `json:"channel"`
	Offset      *uint64 `json:"offset"` // nil: not positioned
	Positioned  bool    `json:"positioned"`
	Recoverable bool    `json:"recoverable"`
	Presence    bool    `json:"presence"`
	JoinLeave   bool    `json:"join_leave"`
	Delta       bool    `json:"delta"`
	ExpiresAt   int64   `json:"expires_at"` // Unix seconds, 0 for never
}

// Calls is the server API without its keys, see api.Server.Call.
type Calls interface {
	// Call answers the request with the reply of a method to its body, and reports
	// whether there is one of that name; "" is the endpoint that takes a sequence of
	// commands.
	Call(ctx *fasthttp.RequestCtx, method string) bool
}

// Streams opens streams on the connections of requests. Their answers are the streams, or
// say why there is none.
type Streams interface {
	// Tail opens a stream of channels for somebody who is logged in.
	Tail(ctx *fasthttp.RequestCtx, t *Tail)
	// Connect answers as the public endpoint would. nil credentials of the console are left
	// in the request.
	Connect(ctx *fasthttp.RequestCtx)
	// Cut ends the streams that Tail opened for who; whoever may have one comes back.
	Cut(who string)
}

// Tail is a stream that the console shows.
type Tail struct {
	Who      string // without the prefix that the user of the stream has
	Channels []string
	ExpireAt int64 // Unix seconds: when the session ends
}

// Settings is what the console shows of the configuration.
type Settings interface {
	// Config answers GET P/config. It reads the file again, as a reload would.
	Config() *Config
}

// Config is the answer of P/config. No text in it shows a secret.
type Config struct {
	Options  []Option  `json:"options"`
	Warnings []Warning `json:"warnings"`
	Exposure []Exposed `json:"exposure"`
	Reload   Reload    `json:"reload"`
}

// Option is an option of the configuration with the value in force.
type Option struct {
	Name    string          `json:"name"`
	Value   json.RawMessage `json:"value"`
	Default json.RawMessage `json:"default"`
	Changed bool            `json:"changed"` // it differs from the default
	Secret  bool            `json:"secret"`  // and so Value is masked
	Reload  bool            `json:"reload"`  // a reload takes it
	Doc     string          `json:"doc"`
}

// Levels of a Warning.
const (
	LevelError   = "error"
	LevelWarning = "warning"
	LevelNote    = "note"
)

// Warning is what checkconfig says of the file as it is now.
type Warning struct {
	Level  string `json:"level"`
	Option string `json:"option"`
	Text   string `json:"text"`
}

// Exposed is an endpoint that is not for everybody, and where it can be reached publicly.
type Exposed struct {
	Endpoint  string   `json:"endpoint"`
	Listener  string   `json:"listener"`
	Addresses []string `json:"addresses"`
	Advice    string   `json:"advice"`
}

// Reload is what a reload would do now.
type Reload struct {
	File    string   `json:"file"`  // "": there is none
	Error   string   `json:"error"` // why it would be refused
	Changes []Change `json:"changes"`
}

// Change is an option that differs from what is in force.
type Change struct {
	Name  string `json:"name"`
	From  string `json:"from"`
	To    string `json:"to"`
	Taken bool   `json:"taken"` // at once; otherwise it waits for a restart
}
