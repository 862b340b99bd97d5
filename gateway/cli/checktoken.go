package cli

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"sluice/codec"
	"sluice/gateway/auth"
	"sluice/gateway/channel"
	"sluice/gateway/config"
	"sluice/gateway/node"
)

func (c *tokenCommand) check(cfg *config.Config, args []string) error {
	return c.judge(cfg, "checktoken", args, func(v *auth.Verifier, token string) (what string, channels []string, err error) {
		id, err := v.VerifyConnect(token, time.Now())
		if err != nil {
			return "", nil, err
		}
		for i := range id.Subs {
			channels = append(channels, id.Subs[i].Channel)
		}
		if id.User == "" {
			return "valid token for anonymous user", channels, nil
		}
		return "valid token for user " + id.User, channels, nil
	})
}

func (c *tokenCommand) checkSubscription(cfg *config.Config, args []string) error {
	return c.judge(cfg, "checksubtoken", args, func(v *auth.Verifier, token string) (what string, channels []string, err error) {
		user, ch, err := v.VerifySubscription(token, time.Now())
		if err != nil {
			return "", nil, err
		}
		who := "anonymous user"
		if user != "" {
			who = fmt.Sprintf("user \"%s\"", user)
		}
		return fmt.Sprintf("valid subscription token for %s and channel \"%s\"", who, ch), []string{ch}, nil
	})
}

// judge prints what verify says of the token in args. Signatures are checked
// whatever the configuration says, and channels have to be of known namespaces.
func (c *tokenCommand) judge(cfg *config.Config, name string, args []string,
	verify func(v *auth.Verifier, token string) (what string, channels []string, err error),
) error {
	if len(args) != 1 {
		return fmt.Errorf("error: provide token to check [sluice %s <TOKEN>]", name)
	}
	rules, err := channel.NewRules(node.ChannelConfig(&cfg.Channel))
	if err != nil {
		return fmt.Errorf("error: %w", err)
	}
	o := node.AuthOptions(&cfg.Client)
	o.InsecureSkipTokenSignatureVerify = false
	v, err := auth.NewVerifier(o)
	if err != nil {
		return fmt.Errorf("error: %w", err)
	}
	defer v.Close()
	alg, payload, err := lookInto(args[0])
	if err != nil {
		return fmt.Errorf("error: %w", err)
	}
	what, channels, err := verify(v, args[0])
	for _, ch := range channels {
		if _, unknown := rules.Lookup(ch); unknown != nil {
			err = fmt.Errorf("channel %q: %w", ch, unknown)
		}
	}
	if err != nil {
		return fmt.Errorf("error: token with algorithm %s and claims %s has error: %s", alg, payload, tokenError(err))
	}
	_, err = fmt.Fprintf(c.stdout, "%s\npayload: %s\n", what, payload)
	return err
}

// lookInto returns the algorithm and the claims that a token shows, unverified.
func lookInto(token string) (alg, payload string, err error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", "", fmt.Errorf("the token has %d parts: header.claims.signature expected", len(parts))
	}
	var head struct {
		Alg string `json:"alg"`
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err == nil {
		err = json.Unmarshal(text, &head)
	}
	if err != nil {
		return "", "", errors.New("the token's header cannot be decoded")
	}
	if text, err = base64.RawURLEncoding.DecodeString(parts[1]); err != nil {
		return "", "", errors.New("the token's claims cannot be decoded")
	}
	return head.Alg, string(text), nil
}

// tokenError says what a client would be told, and why.
func tokenError(err error) string {
	text := strings.TrimPrefix(err.Error(), "auth: token: ")
	var d *codec.Disconnect
	var e *codec.Error
	switch {
	case errors.As(err, &d):
		return d.Reason + ": " + strings.TrimSuffix(text, ": "+d.Error())
	case errors.As(err, &e):
		return e.Message + ": " + strings.TrimSuffix(text, ": "+e.Error())
	}
	return text
}
