package console

import (
	"cmp"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

// Roles.
const (
	RoleAdmin  = "admin"  // may do what the API can
	RoleViewer = "viewer" // may look
)

// session is who is logged in. It lives in its token alone: nobody keeps it here.
type session struct {
	Who, Role string
	ID        string    // the same over all renewals
	Began     time.Time // the login
	Issued    time.Time // the last renewal
	Expires   time.Time // unless it is renewed
	Ends      time.Time // whatever happens
}

// inForce are the passwords and keys in force. It is immutable.
type inForce struct {
	password, readOnly []byte // hashed; nil: there is none
	sessionKey         []byte // signs sessions
	loginKey           []byte // signs login tokens; nil: there are none
	lifetime           time.Duration
}

func randomKey() []byte {
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // it never fails
	return key
}

// newInForce returns what is in force with l. The key of sessions is made of all that one
// logs in with: a session ends with the password that began it. Why all of it for every
// session: whoever changes one wants nobody in who was before.
func newInForce(l *Live, process []byte) *inForce {
	signing := process
	f := &inForce{lifetime: cmp.Or(l.Lifetime, DefaultLifetime)}
	if l.Secret != "" {
		signing, f.loginKey = []byte(l.Secret), []byte(l.Secret)
	}
	f.password, f.readOnly = hashed(l.Password), hashed(l.ReadOnlyPassword)
	mac := hmac.New(sha256.New, signing)
	for _, part := range []string{"sluice console session", l.Password, l.ReadOnlyPassword} {
		mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part)))) // no two lists are the same text
		mac.Write([]byte(part))
	}
	f.sessionKey = mac.Sum(nil)
	return f
}

// DefaultLifetime is how long a session lasts without being used.
const DefaultLifetime = 30 * time.Minute

func (f *inForce) sameKeys(other *inForce) bool {
	return subtle.ConstantTimeCompare(f.sessionKey, other.sessionKey) == 1
}

// hashed makes passwords of one length: comparing them tells nothing of that.
func hashed(password string) []byte {
	if password == "" {
		return nil
	}
	sum := sha256.Sum256([]byte(password))
	return sum[:]
}

// roleOf returns whose password a text is, "" if nobody's. It takes as long for each.
func (f *inForce) roleOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	is := func(password []byte) bool { return subtle.ConstantTimeCompare(password, sum[:]) == 1 }
	admin, viewer := is(f.password), is(f.readOnly)
	switch {
	case admin:
		return RoleAdmin
	case viewer:
		return RoleViewer
	}
	return ""
}

const (
	loginAudience   = "sluice-console"
	sessionAudience = "sluice-console-session"
	// tokenMost bounds a token of either kind, in bytes.
	tokenMost = 2048
	// LoginMost is how far ahead a login token may expire.
	LoginMost = 24 * time.Hour
	// whoMost bounds the name of somebody, in bytes.
	whoMost = 100
)

// claims are those of both kinds of tokens.
type claims struct {
	jwt.RegisteredClaims
	Role  string           `json:"role,omitempty"`
	Began *jwt.NumericDate `json:"began,omitempty"`
	Ends  *jwt.NumericDate `json:"ends,omitempty"`
}

// parse returns the claims of a token that key signed for an audience, and that has not
// expired. It takes HS256 alone, whatever the token says of itself.
func parse(token string, key []byte, audience string, now time.Time) (*claims, error) {
	if len(token) == 0 || len(token) > tokenMost || len(key) == 0 {
		return nil, errors.New("no token, or one that is too long")
	}
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithAudience(audience), jwt.WithExpirationRequired(),
		jwt.WithStrictDecoding(), jwt.WithTimeFunc(func() time.Time { return now }),
	)
	var c claims
	if _, err := parser.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return key, nil }); err != nil {
		return nil, err
	}
	if c.Role == "" {
		c.Role = RoleViewer
	}
	if c.Role != RoleViewer && c.Role != RoleAdmin {
		return nil, fmt.Errorf("role: %s or %s expected", RoleAdmin, RoleViewer)
	}
	return &c, CheckWho(c.Subject)
}

// CheckWho returns what is wrong with the name of somebody: it stands in logs, and is that
// of a user.
func CheckWho(who string) error {
	if who == "" || len(who) > whoMost || !utf8.ValidString(who) || strings.ContainsFunc(who, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fmt.Errorf("a name of 1 to %d bytes expected, of letters, digits and signs that can be seen", whoMost)
	}
	return nil
}

// sign returns the token of c.
func sign(c *claims, key []byte) string {
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString(key)
	if err != nil {
		panic("BUG: console: claims must encode: " + err.Error())
	}
	return token
}

// token returns what a session is while it lasts.
func (f *inForce) token(s *session) string {
	return sign(&claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Subject: s.Who, Audience: jwt.ClaimStrings{sessionAudience}, ID: s.ID,
			IssuedAt: jwt.NewNumericDate(s.Issued), ExpiresAt: jwt.NewNumericDate(s.Expires),
		},
		Role: s.Role, Began: jwt.NewNumericDate(s.Began), Ends: jwt.NewNumericDate(s.Ends),
	}, f.sessionKey)
}

// session returns that of a token; nil if it is none, or is over.
func (f *inForce) session(token string, now time.Time) *session {
	c, err := parse(token, f.sessionKey, sessionAudience, now)
	if err != nil || c.ID == "" || c.Began == nil || c.Ends == nil || c.IssuedAt == nil {
		return nil
	}
	s := &session{Who: c.Subject, Role: c.Role, ID: c.ID, Began: c.Began.Time, Issued: c.IssuedAt.Time, Expires: c.ExpiresAt.Time, Ends: c.Ends.Time}
	if !now.Before(s.Ends) {
		return nil
	}
	return s
}

// begin returns a session that begins now, and ends by most at the latest.
func (f *inForce) begin(who, role string, now, most time.Time) *session {
	ends := now.Add(SessionMost)
	if most.Before(ends) {
		ends = most
	}
	s := &session{Who: who, Role: role, ID: rand.Text(), Began: now, Ends: ends}
	f.extend(s, now)
	return s
}

// extend renews a session.
func (f *inForce) extend(s *session, now time.Time) {
	s.Issued, s.Expires = now, now.Add(f.lifetime)
	if s.Ends.Before(s.Expires) {
		s.Expires = s.Ends
	}
}

// login returns who a login token is for, and until when.
func (f *inForce) login(token string, now time.Time) (*claims, error) {
	if f.loginKey == nil {
		return nil, errors.New("there are no login tokens without admin.secret")
	}
	c, err := parse(token, f.loginKey, loginAudience, now)
	switch {
	case err != nil:
		return nil, err
	case c.ExpiresAt.Sub(now) > LoginMost:
		return nil, fmt.Errorf("exp: at most %s ahead expected", LoginMost)
	}
	return c, nil
}

// LoginToken returns a token that who may log in with as a role for ttl, at most LoginMost.
// secret is admin.secret.
func LoginToken(secret, who, role string, now time.Time, ttl time.Duration) (string, error) {
	switch {
	case secret == "":
		return "", errors.New("there are no login tokens without admin.secret: set it, to a value that is random")
	case role != RoleAdmin && role != RoleViewer:
		return "", fmt.Errorf("role: %s or %s expected, got %q", RoleAdmin, RoleViewer, role)
	case ttl < time.Second || ttl > LoginMost:
		return "", fmt.Errorf("ttl: 1s to %s expected, got %s", LoginMost, ttl)
	}
	if err := CheckWho(who); err != nil {
		return "", fmt.Errorf("name: %w", err)
	}
	return sign(&claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Subject: who, Audience: jwt.ClaimStrings{loginAudience}, IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(ttl)),
		},
		Role: role,
	}, []byte(secret)), nil
}
