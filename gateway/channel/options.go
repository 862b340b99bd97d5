package channel

import (
	"regexp"
	"slices"
	"time"

	"sluice/codec"
)

// RecoveryMode says what a recovery brings back (PROTOCOL 6.3, 6.4).
type RecoveryMode string

// Recovery modes; empty means RecoveryStream.
const (
	RecoveryStream RecoveryMode = "stream" // every missed publication
	RecoveryCache  RecoveryMode = "cache"  // the latest publication only
)

// Format says which data a publication may carry (PROTOCOL 5.7).
type Format string

// Formats of publication data. FormatDefault in a namespace means the format
// of Config.
const (
	FormatDefault    Format = ""
	FormatJSON       Format = "json"
	FormatJSONObject Format = "json_object"
	FormatBinary     Format = "binary"
)

// SubscriptionType says what kind of channels a namespace has. Types other
// than TypeStream belong to other products: their namespaces are known, but
// nothing can be published into them (PROTOCOL 5.3).
type SubscriptionType string

// TypeStream is the only type that is served; empty means it.
const TypeStream SubscriptionType = "stream"

// SlowPolicy says what happens to a subscriber that reads slower than the
// channel is published to.
type SlowPolicy string

// Slow policies; empty means SlowDisconnect.
const (
	SlowDisconnect SlowPolicy = "disconnect"  // close the stream with 3008
	SlowDropOldest SlowPolicy = "drop_oldest" // drop its oldest unsent publications, counted
)

// DeltaFossil is the only delta type there is.
const DeltaFossil = "fossil"

// Options are the rules of one namespace (PROTOCOL 5.3); each field is the
// configuration key of the same name. NewRules checks them and fills in what
// the zero value leaves open, so those that [Rules] hands out are effective
// values; they are shared and must not be changed.
type Options struct {
	// Name is the name of the namespace, empty for channels without one. It
	// is set by NewRules.
	Name string

	// Who may subscribe.
	AllowSubscribeForClient    bool
	AllowSubscribeForAnonymous bool   // extends AllowSubscribeForClient
	AllowUserLimitedChannels   bool   // "#" names are granted to the users they list
	SubscribeProxyEnabled      bool   // what clients ask for here is ignored
	ChannelRegex               string // RE2 for the part after the boundary, unanchored
	SubscriptionType           SubscriptionType

	// Presence.
	Presence           bool
	JoinLeave          bool
	ForcePushJoinLeave bool

	// History and recovery.
	HistorySize       int           // publications kept for each channel, 0 = no history
	HistoryTTL        time.Duration // since the last publication
	HistoryMetaTTL    time.Duration // life of offset and epoch, 0 = that of Config
	ForceRecovery     bool
	ForcePositioning  bool
	ForceRecoveryMode RecoveryMode
	AutoCacheRecover  bool

	// Delivery.
	AllowedDeltaTypes     []string
	DeltaPublish          bool
	PublicationDataFormat Format
	Compression           []codec.Coding // of streams, the preferred one first
	// CompressionDictionary names a file, and Dictionary is what is in it, if that was read:
	// for streams in dcz.
	CompressionDictionary string
	Dictionary            *codec.Dictionary
	SlowPolicy            SlowPolicy
	ConflateKey           string        // the field or tag by which an unsent publication is replaced by a newer one
	MaxRate               time.Duration // at most one publication per this time and subscriber, 0 = all

	// The broadcast route.
	Broadcast          bool
	BroadcastFreshness time.Duration // for how long a stream is handed to further viewers; between checkpoints
	BroadcastLifetime  time.Duration // of a stream

	regex *regexp.Regexp // compiled ChannelRegex, nil if there is none
}

// HasHistory reports whether publications of the namespace are kept.
func (o *Options) HasHistory() bool { return o.HistorySize > 0 && o.HistoryTTL > 0 }

// AllowsDelta reports whether a client may ask for deltas of this type.
func (o *Options) AllowsDelta(kind string) bool { return slices.Contains(o.AllowedDeltaTypes, kind) }

// Offer returns what streams of one channel of the namespace may be coded in. It must not
// be written to.
func (o *Options) Offer() codec.Offer {
	offer := codec.Offer{Codings: o.Compression}
	if o.Dictionary != nil {
		offer.Dictionaries = []*codec.Dictionary{o.Dictionary}
	}
	return offer
}

// Publishable reports whether the namespace takes publications; the API
// answers 107 where it does not (PROTOCOL 5.3).
func (o *Options) Publishable() bool { return o.SubscriptionType == TypeStream }

// Separators are the marks within names (PROTOCOL 5.1); an empty one switches
// its feature off.
type Separators struct {
	NamespaceBoundary string // ends the name of the namespace
	PrivatePrefix     string // begins names that clients cannot ask for
	UserBoundary      string // begins the list of users at the end of a name
	UserSeparator     string // separates the users of the list
}

// DefaultSeparators returns the separators of PROTOCOL 5.1.
func DefaultSeparators() Separators {
	return Separators{NamespaceBoundary: ":", PrivatePrefix: "$", UserBoundary: "#", UserSeparator: ","}
}

// Defaults of Config.
const (
	DefaultMaxLength      = 255
	DefaultHistoryMetaTTL = 720 * time.Hour

	DefaultBroadcastFreshness = 3 * time.Second
	DefaultBroadcastLifetime  = time.Minute
)

// Namespace is a named set of options. Options.Name is ignored.
type Namespace struct {
	Name    string
	Options Options
}

// Config is what [NewRules] builds from.
type Config struct {
	Separators       Separators
	MaxLength        int // bytes of a name that a client asks for, 0 = no limit
	ServerMaxLength  int // bytes of a name that anybody uses, 0 = no limit
	WithoutNamespace Options
	Namespaces       []Namespace

	HistoryMetaTTL        time.Duration // for namespaces that set none, 0 = DefaultHistoryMetaTTL
	PublicationDataFormat Format        // for namespaces that set none
}
