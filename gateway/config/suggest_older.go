package config

import (
	"cmp"

	"sluice/gateway/config/schema"
)

// Names of version 3 and before, which are not read. Why they are not left to likeness: recover is near to
// auto_cache_recover, and publish to delta_publish, and neither is what was meant.

// olderChannelNames are the options of channels, and what means the same now: "" = nothing does.
var olderChannelNames = map[string]string{
	"recover":                     "force_recovery",
	"history_recover":             "force_recovery",
	"history_lifetime":            "history_ttl",
	"position":                    "force_positioning",
	"anonymous":                   "allow_subscribe_for_anonymous",
	"publish":                     "",
	"subscribe_to_publish":        "",
	"protected":                   "",
	"server_side":                 "",
	"presence_disable_for_client": "",
	"history_disable_for_client":  "",
}

// olderNames are those of everything else.
var olderNames = map[string]string{
	"secret":                           "client.token.hmac_secret_key",
	"client_anonymous":                 "client.allow_anonymous_connect_without_token",
	"v3_use_offset":                    "",
	"use_unlimited_history_by_default": "",
}

// suggestOlder is suggestKey for names of these versions at the top of a file, in variables and in flags; in the section of
// a namespace at path if that is not "".
func suggestOlder(path, name string) (suggestion, bool) {
	now, is := olderChannelNames[name]
	switch {
	case !is && path == "":
		now, is = olderNames[name]
	case is && now != "":
		now = schema.Join(cmp.Or(path, "channel.without_namespace"), now)
	}
	why := "a name of version 3"
	if now == "" {
		why += ", which nothing took the place of"
	}
	return suggestion{key: now, why: why}, is
}
