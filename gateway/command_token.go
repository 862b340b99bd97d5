package gateway

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/spf13/cobra"

	"sluice/codec"
	"sluice/gateway/auth"
	"sluice/gateway/channel"
	"sluice/gateway/config"
)

// errReported is what a command returns that has said itself what is wrong:
// scripts of the reference's users read that on the standard output (PROTOCOL
// 9.3).
var errReported = errors.New("reported")

// defaultTokenLife is how long a token of the command line is valid.
const defaultTokenLife = 7 * 24 * time.Hour

// tokenCommands are the commands that make and check tokens with the keys of a
// configuration (PROTOCOL 9.3).
func tokenCommands(stdout, stderr io.Writer) []*cobra.Command {
	c := &tokenCommand{stdout: stdout, stderr: stderr}
	gen := c.command("gentoken", "Generate a connection JWT for a user", c.generate)
	gen.Example = "  sluice gentoken -u 42              a token of user 42, valid for a week\n" +
		"  sluice gentoken -u 42 -t 3600 -q   the token and nothing else, valid for an hour"
	genSub := c.command("gensubtoken", "Generate a subscription JWT for a user", c.generateSubscription)
	genSub.Example = "  sluice gensubtoken -u 42 -s news"
	for _, cmd := range []*cobra.Command{gen, genSub} {
		cmd.Args = noArgs
		f := cmd.Flags()
		f.StringVarP(&c.user, "user", "u", "", "user ID, by default anonymous")
		f.Int64VarP(&c.ttl, "ttl", "t", int64(defaultTokenLife/time.Second), "token TTL in seconds, use -1 for token without expiration")
		f.BoolVarP(&c.quiet, "quiet", "q", false, "only output the token without anything else")
	}
	genSub.Flags().StringVarP(&c.channel, "channel", "s", "", "channel")
	check := c.command("checktoken [TOKEN]", "Check a connection JWT", c.check)
	check.Example = "  sluice checktoken \"$(sluice gentoken -q -u 42)\""
	checkSub := c.command("checksubtoken [TOKEN]", "Check a subscription JWT", c.checkSubscription)
	checkSub.Example = "  sluice checksubtoken \"$(sluice gensubtoken -q -u 42 -s news)\""
	for _, cmd := range []*cobra.Command{check, checkSub} {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	return []*cobra.Command{gen, check, genSub, checkSub}
}

// tokenCommand is what a token command was given.
type tokenCommand struct {
	stdout, stderr      io.Writer
	path, user, channel string
	ttl                 int64 // seconds, 0 or less for ever
	quiet               bool
}

// command makes one command. An error of run is told as the reference tells it,
// with exit code 1.
func (c *tokenCommand) command(use, short string, run func(cfg *config.Config, args []string) error) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, SilenceUsage: true, SilenceErrors: true}
	cmd.Flags().StringVarP(&c.path, "config", "c", "config.json", "path to config file")
	markConfigFile(cmd, "config")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, report, err := config.Load(configSource(cmd, c.path))
		if report != nil {
			log := slog.New(slog.NewJSONHandler(c.stderr, nil))
			for _, w := range report.Warnings {
				log.Warn(w)
			}
		}
		if err != nil {
			fmt.Fprintf(c.stdout, "error getting config: %v\n", err)
			return errReported
		}
		if err := run(cfg, args); err != nil {
			fmt.Fprintln(c.stdout, err)
			return errReported
		}
		return nil
	}
	return cmd
}

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
	rules, err := channel.NewRules(channelConfig(&cfg.Channel))
	if err != nil {
		return fmt.Errorf("error: %w", err)
	}
	o := authOptions(&cfg.Client)
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
