package nats

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"sluice/codec"
	"sluice/gateway/nats"
)

// longestToken is that of a key: a server closes the connection of who sends a line of more than
// 4,096 bytes, which a key of three and an inbox have to fit in.
const longestToken = 1000

// token writes a text as a part of keys. What is too long it writes as its hash, in a way in which no text
// is written; so none is ever taken for another.
func token(text string) string {
	if key := nats.Key(text); len(key) <= longestToken {
		return key
	}
	sum := sha256.Sum256([]byte(text))
	return "=" + hashed + hex.EncodeToString(sum[:])
}

// hashed is behind a "=" no hexadecimal digit.
const hashed = "h"

// Kinds of keys.
const (
	clients = "c."
	users   = "u."
)

// userKey is where a value of a user is.
func userKey(user, kind string) string { return users + token(user) + "." + kind }

// clientKey is where a client of a channel is.
func clientKey(channel string, info *codec.ClientInfo) string {
	return clients + token(channel) + "." + token(info.User) + "." + token(info.Client)
}

// channelKeys are all of a channel.
func channelKeys(channel string) string { return clients + token(channel) + ".*.*" }

// userOf returns the user of a client's key, as token writes it.
func userOf(key string) (user string, ok bool) {
	key, ok = strings.CutPrefix(key, clients)
	_, rest, also := strings.Cut(key, ".")
	user, client, more := strings.Cut(rest, ".")
	return user, ok && also && more && user != "" && client != "" && !strings.Contains(client, ".")
}
