package config

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config/schema"
)

// fill puts text into every option below v that may hold a secret, and into those that may
// not what an address with a password is.
func fill(s *schema.Section, v reflect.Value, text string) {
	for _, f := range s.Fields {
		field := v.FieldByIndex(f.Index)
		value := text
		if f.Secret != schema.SecretAll {
			value = "redis://" + text + ":" + text + "@host:1/?p=" + text + "#" + text
		}
		switch f.Kind {
		case schema.KindSection:
			fill(f.Sub, field, text)
		case schema.KindObjects:
			field.Set(reflect.MakeSlice(field.Type(), 2, 2))
			for i := range field.Len() {
				fill(f.Sub, field.Index(i), text)
			}
		case schema.KindString:
			field.SetString(value)
		case schema.KindStrings:
			field.Set(reflect.ValueOf([]string{value, value}))
		case schema.KindStringMap:
			field.Set(reflect.ValueOf(map[string]string{"X-Name": value}))
		}
	}
}

// No option shows a secret, whatever it holds and however deep it stands.
func TestShownOptionsHaveNoSecrets(t *testing.T) {
	const planted = "pl4nted"
	c := Default()
	fill(schema.Root, reflect.ValueOf(c).Elem(), planted)
	names := map[string]bool{}
	for _, o := range Show(c) {
		require.NotContains(t, o.Value, planted, o.Key)
		require.True(t, json.Valid([]byte(o.Value)) && json.Valid([]byte(o.Default)), o.Key)
		require.False(t, names[o.Key], o.Key)
		names[o.Key] = true
	}
	for _, o := range Options() {
		require.True(t, names[o.Key] || strings.Contains(o.Key, "[]"), o.Key)
	}
	live, restart := Diff(Default(), c)
	require.NotEmpty(t, restart)
	for _, change := range append(live, restart...) {
		require.NotContains(t, change.From+change.To, planted, change.Key)
	}
	for _, o := range Show(Default()) {
		require.Equal(t, o.Value, o.Default, o.Key)
		require.False(t, o.Changed, o.Key)
	}
}

func TestShownTexts(t *testing.T) {
	f := func(want, text string, secrecy schema.Secrecy) {
		t.Helper()
		require.Equal(t, want, maskedText(secrecy, text))
	}
	f("(hidden)", "x", schema.SecretAll)
	f("", "", schema.SecretAll)
	f("127.0.0.1:6379", "127.0.0.1:6379", schema.SecretURL)
	f("redis://h:1", "redis://u:p@h:1?x=y", schema.SecretURL)
	f("(hidden)", "u:p@h:1", schema.SecretURL)
	f("https://h/", "https://u:p@h/?token=x", schema.SecretNone)
	f("(hidden)@h", "u:p@h", schema.SecretNone)
	f("(hidden)", "-----BEGIN PRIVATE KEY-----", schema.SecretNone)
	f("/etc/cert.pem", "/etc/cert.pem", schema.SecretNone)
	require.Less(t, len(maskedText(schema.SecretNone, strings.Repeat("é", 10_000))), mostShown+50)
}
