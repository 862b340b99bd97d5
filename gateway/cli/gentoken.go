package cli

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sluice/codec"
	"sluice/gateway/config"
)

// defaultTokenLife is how long a token of the command line is valid.
const defaultTokenLife = 7 * 24 * time.Hour

func (c *tokenCommand) generate(cfg *config.Config, _ []string) error {
	return c.print(cfg, "", nil)
}

func (c *tokenCommand) generateSubscription(cfg *config.Config, _ []string) error {
	if c.channel == "" {
		return errors.New("channel is required")
	}
	return c.print(cfg, fmt.Sprintf(" and channel \"%s\"", c.channel), &c.channel)
}

// print makes a token and prints it; purpose goes into the sentence above it.
func (c *tokenCommand) print(cfg *config.Config, purpose string, ch *string) error {
	token, err := c.mint(&cfg.Client.Token, ch, time.Now())
	if err != nil {
		return fmt.Errorf("error: %w", err)
	}
	if c.quiet {
		_, err = io.WriteString(c.stdout, token)
		return err
	}
	life := "without expiration"
	if c.ttl >= 0 {
		life = fmt.Sprintf("with expiration TTL %s", time.Duration(c.ttl)*time.Second)
	}
	user := "anonymous user"
	if c.user != "" {
		user = fmt.Sprintf("user \"%s\"", c.user)
	}
	_, err = fmt.Fprintf(c.stdout, "HMAC SHA-256 JWT for %s%s %s:\n%s\n", user, purpose, life, token)
	return err
}

// mint signs a token with HS256. Its claims are sub (if there is a user), exp
// (if it expires), iat, the channel of a subscription token, and the claim that
// the configuration takes the user from.
func (c *tokenCommand) mint(t *config.Token, ch *string, now time.Time) (string, error) {
	if t.HMACSecretKey == "" {
		return "", errors.New("no HMAC secret key set")
	}
	var names []string
	values := make(map[string]string)
	set := func(name, value string) {
		if _, known := values[name]; !known {
			names = append(names, name)
		}
		values[name] = value
	}
	if c.user != "" {
		set("sub", codec.QuoteJSON(c.user).String())
	}
	if c.ttl > 0 {
		set("exp", strconv.FormatInt(now.Unix()+c.ttl, 10))
	}
	set("iat", strconv.FormatInt(now.Unix(), 10))
	if ch != nil {
		set("channel", codec.QuoteJSON(*ch).String())
	}
	if t.UserIDClaim != "" {
		set(t.UserIDClaim, codec.QuoteJSON(c.user).String())
	}
	members := make([]string, len(names))
	for i, name := range names {
		members[i] = codec.QuoteJSON(name).String() + ":" + values[name]
	}
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode([]byte("{"+strings.Join(members, ",")+"}"))
	signature, err := jwt.SigningMethodHS256.Sign(text, []byte(t.HMACSecretKey))
	if err != nil {
		return "", fmt.Errorf("cannot sign: %w", err)
	}
	return text + "." + encode(signature), nil
}
