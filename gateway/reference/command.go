package reference

import (
	"errors"

	"sluice/codec"
)

// ErrUnknownCommand is wrapped by the error of a command that has none of the parts
// that are known: one of a newer node perhaps.
var ErrUnknownCommand = errors.New("unknown command")

// Command is what one node tells another, or all. Exactly one of its parts is set.
// Nodes obey commands of senders they do not know.
type Command struct {
	UID string // of the sender
	// Left says how many infos and data were not JSON and left out.
	Left int

	Node           *Node
	Unsubscribe    *Unsubscribe
	Disconnect     *Disconnect
	Shutdown       bool // the sender leaves
	SurveyRequest  *SurveyRequest
	SurveyResponse *SurveyResponse
	Subscribe      *Subscribe
	Notification   *Notification
	Refresh        *Refresh
}

// Node announces its sender: to all every 3 seconds, and to a newcomer when it is first
// heard. Who was not heard for 7 seconds is forgotten.
type Node struct {
	UID, Name, Version                                 string
	NumClients, NumUsers, NumChannels, NumSubs, Uptime uint32 // Uptime in seconds
	// Metrics come with the first announcement and once a minute. What is no finite
	// number is left out.
	Metrics *codec.NodeMetrics
	Data    []byte
}

// Subscribe puts connections of a user into a channel, on every node that has some.
// What the channel's namespace says does not count there: the flags do.
type Subscribe struct {
	User, Channel string
	AllUsers      bool
	Client        string // only this connection, "" for all
	Session       string // the same
	Presence      bool
	JoinLeave     bool
	PushJoinLeave bool
	Position      bool
	Recover       bool
	ExpireAt      int64 // Unix seconds, 0 for never
	Info          codec.JSON
	Data          codec.JSON
	Since         *Since
	Source        uint32 // SourceAPI
}

// Since is the position that a subscription recovers from.
type Since struct {
	Offset uint64
	Epoch  string
}

// SourceAPI is the Source of a subscription made by the server API.
const SourceAPI = 10

// Unsubscribe takes connections of a user out of a channel.
type Unsubscribe struct {
	Channel, User   string
	Client, Session string
	Code            uint32
	Reason          string
}

// Disconnect ends connections of a user.
type Disconnect struct {
	User            string
	Whitelist       []string // clients that stay
	Code            uint32
	Reason          string
	Client, Session string
}

// Refresh sets when connections of a user expire.
type Refresh struct {
	User, Client, Session string
	Expired               bool
	ExpireAt              int64 // Unix seconds, 0 for never
	Info                  codec.JSON
}

// SurveyRequest asks all nodes. Each answers on the sender's own channel, or the
// sender waits for it until its deadline.
type SurveyRequest struct {
	ID   uint64 // counts up with each survey of the sender
	Op   string
	Data []byte
}

// SurveyResponse answers one.
type SurveyResponse struct {
	ID   uint64
	Code uint32 // 0, or SurveyUnknownOp
	Data []byte
}

// SurveyUnknownOp is the code of an answer to an op that the node does not know.
const SurveyUnknownOp = 3

// Notification is a message of an application to the nodes. The server API sends none.
type Notification struct {
	Op   string
	Data []byte
}
