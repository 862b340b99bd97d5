package auth

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	json "github.com/goccy/go-json"

	"sluice/codec"
)

// connectClaims is the payload of a connection token (PROTOCOL 4.3). What may
// have several types stays raw here.
type connectClaims struct {
	Sub      json.RawMessage        `json:"sub"`
	Exp      json.RawMessage        `json:"exp"`
	Nbf      json.RawMessage        `json:"nbf"`
	ExpireAt *int64                 `json:"expire_at"`
	Aud      json.RawMessage        `json:"aud"`
	Iss      string                 `json:"iss"`
	Info     json.RawMessage        `json:"info"`
	B64Info  string                 `json:"b64info"`
	Meta     json.RawMessage        `json:"meta"`
	Channels []string               `json:"channels"`
	Subs     map[string]*SubOptions `json:"subs"`
	Channel  string                 `json:"channel"`
}

// SubOptions are the options of one granted channel as tokens and hooks write
// them (PROTOCOL 4.4, 8.2).
type SubOptions struct {
	Info     json.RawMessage        `json:"info"`
	B64Info  string                 `json:"b64info"`
	Data     json.RawMessage        `json:"data"`
	B64Data  string                 `json:"b64data"`
	Override *codec.OverrideRequest `json:"override"`
}

// claims are decoded and of the right types, but not judged yet.
type claims struct {
	connectClaims
	user     string
	audience []string
	exp, nbf time.Time // zero if absent
	// identifier is the claim that says who it is.
	identifier json.RawMessage
}

// claimNames are the claims that count (PROTOCOL 4.3, 4.4): of exactly these
// names, as RFC 7519 section 10.1.1 has it, and each once. Whoever signs tokens
// may let others choose claims whose names are not these.
var claimNames = codec.Names{
	"sub": nil, "exp": nil, "nbf": nil, "expire_at": nil, "aud": nil, "iss": nil, "info": nil, "b64info": nil,
	"meta": nil, "channels": nil, "channel": nil,
	"subs": {codec.Any: {"info": nil, "b64info": nil, "data": nil, "b64data": nil, "override": {
		"presence": toggleNames, "join_leave": toggleNames, "force_recovery": toggleNames,
		"force_positioning": toggleNames, "force_push_join_leave": toggleNames,
	}}},
}

var toggleNames = codec.Names{"value": nil}

// exactClaims returns claims without those that do not count.
func exactClaims(text []byte, userIDClaim string) ([]byte, error) {
	names := claimNames
	if _, known := names[userIDClaim]; !known && userIDClaim != "" {
		names = maps.Clone(names)
		names[userIDClaim] = nil
	}
	return codec.AppendExact(make([]byte, 0, len(text)), text, names)
}

// decode decodes the payload of a token into c, in memory that it may take for
// texts. Every error means an invalid token. What c has afterwards is good until the memory
// is used again.
func (c *claims) decode(memory *[]byte, payload []byte, userIDClaim string) error {
	// Why: Compact refuses what JSON decoders are lenient about and bounds the
	// depth, so that the decoder below works on harmless text only.
	text, err := codec.AppendCompact((*memory)[:0], payload, codec.Limits{})
	if err != nil {
		return err
	}
	*memory = text
	if text[0] != '{' {
		return errors.New("claims: a JSON object expected")
	}
	if !c.readPlain(text, userIDClaim) { // Slow path
		if err := c.read(text, userIDClaim); err != nil {
			return err
		}
	}
	if c.user, err = userID(c.identifier, userIDClaim); err != nil {
		return err
	}
	if c.audience, err = stringList(c.Aud); err != nil {
		return fmt.Errorf("claim aud: %w", err)
	}
	if c.exp, err = numericDate(c.Exp); err != nil {
		return fmt.Errorf("claim exp: %w", err)
	}
	if c.nbf, err = numericDate(c.Nbf); err != nil {
		return fmt.Errorf("claim nbf: %w", err)
	}
	return nil
}

// read sets what the text has of connectClaims, and identifier.
func (c *claims) read(text []byte, userIDClaim string) error {
	text, err := exactClaims(text, userIDClaim)
	if err != nil {
		return fmt.Errorf("claims: %w", err)
	}
	if err := json.Unmarshal(text, &c.connectClaims); err != nil {
		return fmt.Errorf("claims: %w", err)
	}
	if c.identifier = c.Sub; userIDClaim != "" {
		var all map[string]json.RawMessage
		if err := json.Unmarshal(text, &all); err != nil {
			return fmt.Errorf("claims: %w", err)
		}
		c.identifier = all[userIDClaim]
	}
	return nil
}

// readPlain is read for claims as nearly all tokens have them, none of them twice, with
// names and texts without escapes, and without subs. Of others it reports false, and has
// set nothing.
func (c *claims) readPlain(text []byte, userIDClaim string) (plain bool) {
	plain = true
	codec.Members(text, func(name, value []byte) {
		if plain = plain && bytes.IndexByte(name, '\\') < 0 && c.setPlain(name, value); !plain {
			return
		}
		switch {
		case userIDClaim == "" && string(name) == "sub", userIDClaim != "" && string(name) == userIDClaim:
			plain = setOnce(&c.identifier, value)
		}
	})
	if !plain {
		*c = claims{}
	}
	return plain
}

// setPlain takes one claim, if it can.
func (c *claims) setPlain(name, value []byte) bool {
	switch string(name) {
	case "sub":
		return setOnce(&c.Sub, value)
	case "exp":
		return setOnce(&c.Exp, value)
	case "nbf":
		return setOnce(&c.Nbf, value)
	case "aud":
		return setOnce(&c.Aud, value)
	case "info":
		return setOnce(&c.Info, value)
	case "meta":
		return setOnce(&c.Meta, value)
	case "iss":
		return setPlainText(&c.Iss, value)
	case "b64info":
		return setPlainText(&c.B64Info, value)
	case "channel":
		return setPlainText(&c.Channel, value)
	case "expire_at":
		n, err := strconv.ParseInt(string(value), 10, 64)
		if err != nil || c.ExpireAt != nil {
			return false
		}
		c.ExpireAt = &n
		return true
	case "channels":
		return c.setPlainChannels(value)
	case "subs":
		return false
	}
	return true // it does not count
}

func (c *claims) setPlainChannels(value []byte) (plain bool) {
	if c.Channels != nil || value[0] != '[' {
		return false
	}
	c.Channels, plain = []string{}, true
	codec.Elements(value, func(one []byte) {
		text, ok := plainText(one)
		if plain = plain && ok; plain {
			c.Channels = append(c.Channels, string(text))
		}
	})
	return plain
}

func setOnce(to *json.RawMessage, value []byte) bool {
	if *to != nil {
		return false
	}
	*to = value
	return true
}

// setPlainText sets what was empty, or may have been given as that.
func setPlainText(to *string, value []byte) bool {
	text, plain := plainText(value)
	if !plain || len(text) == 0 || *to != "" {
		return false
	}
	*to = string(text)
	return true
}

// plainText returns the contents of a JSON string that has no escapes.
func plainText(value []byte) (text []byte, plain bool) {
	if len(value) < 2 || value[0] != '"' || bytes.IndexByte(value, '\\') >= 0 {
		return nil, false
	}
	return value[1 : len(value)-1], true
}

func absent(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// userID returns the user that a claim names. "sub" is a string; in a claim of the
// operator's choice a number counts as its text.
func userID(value json.RawMessage, claim string) (string, error) {
	name, number := "sub", false
	if claim != "" {
		name, number = claim, true
	}
	if absent(value) {
		return "", nil
	}
	if number && isNumber(value) {
		return string(value), nil
	}
	if text, plain := plainText(value); plain {
		return string(text), nil
	}
	var s string
	switch {
	case value[0] == '"':
	case isNumber(value):
		return "", fmt.Errorf("claim %s: a string expected, got the number %s: write \"%s\"", name, value, value)
	default:
		return "", fmt.Errorf("claim %s: a string expected, got %s", name, kindOf(value))
	}
	if err := json.Unmarshal(value, &s); err != nil {
		return "", fmt.Errorf("claim %s: %w", name, err)
	}
	// Why: the decoder may hand out a piece of the whole payload, which a
	// cached identity would keep alive.
	return strings.Clone(s), nil
}

// kindOf names what a JSON value is that is neither a string nor a number.
func kindOf(value []byte) string {
	switch value[0] {
	case '{':
		return "an object"
	case '[':
		return "a list"
	}
	return string(value)
}

// isNumber reports whether a JSON value is a number.
func isNumber(value []byte) bool { return value[0] == '-' || value[0] >= '0' && value[0] <= '9' }

// stringList decodes a string or a list of strings (RFC 7519 section 4.1.3).
func stringList(raw json.RawMessage) ([]string, error) {
	if absent(raw) {
		return nil, nil
	}
	if raw[0] == '"' {
		var s string
		err := json.Unmarshal(raw, &s)
		return []string{s}, err
	}
	var list []string
	err := json.Unmarshal(raw, &list)
	return list, err
}

// farFuture stands for every later time, in Unix seconds: the last second of
// the year 9999. Everything before 1970 counts as 1970.
const farFuture = 253402300799

// numericDate decodes seconds since 1970 (RFC 7519 section 2): a number, or a
// string that is one (PROTOCOL 4.3). Zero means absent.
func numericDate(raw json.RawMessage) (time.Time, error) {
	if absent(raw) {
		return time.Time{}, nil
	}
	if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil { // Fast path
		return unixTime(n), nil
	}
	text := string(raw)
	if raw[0] == '"' {
		if err := json.Unmarshal(raw, &text); err != nil {
			return time.Time{}, err
		}
		number, err := codec.Compact([]byte(text), codec.Limits{})
		if err != nil || number.String() != text {
			return time.Time{}, fmt.Errorf("%q: a number expected", text)
		}
	}
	if !isNumber([]byte(text)) {
		return time.Time{}, fmt.Errorf("%s: a number expected", text)
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return unixTime(n), nil
	}
	// The only error left is a number out of range, and f then is an infinity.
	f, _ := strconv.ParseFloat(text, 64)
	whole, part := math.Modf(min(max(f, 0), farFuture))
	return time.Unix(int64(whole), int64(part*1e9)), nil
}

func unixTime(n int64) time.Time { return time.Unix(min(max(n, 0), farFuture), 0) }

// matches is the check of issuer and audience that comes before the signature:
// one of the values has to match, if there is an expression.
func matches(name string, otherwise *flaw, re *regexp.Regexp, values ...string) error {
	if re == nil || slices.ContainsFunc(values, func(v string) bool { return v != "" && re.MatchString(v) }) {
		return nil
	}
	return because(otherwise, fmt.Errorf("claim %s: %q: a match of %s expected", name, values, re))
}

// contains is the check of issuer and audience that comes after the signature.
func contains(name string, otherwise *flaw, want string, values ...string) error {
	if want == "" || slices.Contains(values, want) {
		return nil
	}
	return because(otherwise, fmt.Errorf("claim %s: %q: %q expected", name, values, want))
}

// expireAt returns when the connection expires, 0 for never.
func (c *claims) expireAt() int64 {
	switch {
	case c.ExpireAt != nil:
		return max(*c.ExpireAt, 0)
	case !c.exp.IsZero():
		return c.exp.Unix()
	}
	return 0
}

// grants returns the channels of the token.
func (c *claims) grants() ([]SubGrant, error) {
	if len(c.Subs) == 0 {
		return channelGrants(c.Channels), nil
	}
	grants := make([]SubGrant, 0, len(c.Subs))
	for _, ch := range slices.Sorted(maps.Keys(c.Subs)) {
		if ch == "" {
			continue
		}
		g, err := c.Subs[ch].Grant(ch)
		if err != nil {
			return nil, fmt.Errorf("claim subs: channel %q: %w", ch, err)
		}
		grants = append(grants, g)
	}
	return grants, nil
}

func channelGrants(channels []string) []SubGrant {
	if len(channels) == 0 {
		return nil
	}
	grants := make([]SubGrant, 0, len(channels))
	seen := make(map[string]bool, len(channels))
	for _, ch := range channels {
		if ch != "" && !seen[ch] {
			seen[ch] = true
			grants = append(grants, SubGrant{Channel: strings.Clone(ch)})
		}
	}
	return grants
}

// Grant returns the grant of the channel with these options; nil are none. The
// error says which option cannot be decoded, without its value.
func (s *SubOptions) Grant(ch string) (SubGrant, error) {
	g := SubGrant{Channel: strings.Clone(ch)}
	if s == nil { // "channel": null
		return g, nil
	}
	var err error
	if g.Info, err = JSONOrBase64("info", s.Info, s.B64Info); err != nil {
		return g, err
	}
	if g.Data, err = JSONOrBase64("data", s.Data, s.B64Data); err != nil {
		return g, err
	}
	g.Override = NewOverride(s.Override)
	return g, nil
}

// JSONOrBase64 returns the value of a field that has a twin in standard base64,
// which wins. What the twin holds must be JSON too: nothing else fits a stream.
// The zero JSON means that neither is there. The error names the field, without
// its value.
func JSONOrBase64(name string, raw json.RawMessage, b64 string) (codec.JSON, error) {
	if b64 != "" {
		decoded, err := base64.StdEncoding.DecodeString(b64)
		if err != nil {
			return codec.JSON{}, fmt.Errorf("b64%s: standard base64 expected: %w", name, err)
		}
		value, err := codec.Compact(decoded, codec.Limits{})
		if err != nil {
			return codec.JSON{}, fmt.Errorf("b64%s: JSON expected inside: %w", name, err)
		}
		return value, nil
	}
	if len(raw) == 0 {
		return codec.JSON{}, nil
	}
	return codec.Compact(raw, codec.Limits{})
}
