package console

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
)

func TestSessionIsItsToken(t *testing.T) {
	f := newInForce(&Live{Password: "p", Secret: testSecret, Lifetime: time.Hour}, nil)
	s := f.begin("ann", RoleAdmin, someTime, someTime.Add(SessionMost))
	got := f.session(f.token(s), someTime.Add(time.Minute))
	require.NotNil(t, got)
	require.Equal(t, []string{"ann", RoleAdmin, s.ID}, []string{got.Who, got.Role, got.ID})
	require.True(t, got.Expires.Equal(someTime.Add(time.Hour)) && got.Ends.Equal(someTime.Add(SessionMost)))

	require.Nil(t, f.session(f.token(s), someTime.Add(time.Hour)), "nobody used it")
	f.extend(s, someTime.Add(50*time.Minute))
	require.NotNil(t, f.session(f.token(s), someTime.Add(time.Hour)))
	for at := time.Hour; at < SessionMost; at += 30 * time.Minute {
		f.extend(s, someTime.Add(at))
	}
	require.NotNil(t, f.session(f.token(s), someTime.Add(SessionMost-time.Second)))
	require.Nil(t, f.session(f.token(s), someTime.Add(SessionMost)), "however much it is used")
}

func TestSessionEndsWithWhatItWasMadeOf(t *testing.T) {
	base := Live{Password: "p", ReadOnlyPassword: "r", Secret: "s"}
	process := randomKey()
	f := newInForce(&base, process)
	token := f.token(f.begin("ann", RoleAdmin, someTime, someTime.Add(SessionMost)))
	is := func(want bool, change func(l *Live)) {
		t.Helper()
		l := base
		change(&l)
		other := newInForce(&l, process)
		require.Equal(t, want, other.session(token, someTime) != nil)
		require.Equal(t, want, f.sameKeys(other))
	}
	is(true, func(*Live) {})
	is(true, func(l *Live) { l.Lifetime = time.Minute })
	is(false, func(l *Live) { l.Password = "q" })
	is(false, func(l *Live) { l.ReadOnlyPassword = "" })
	is(false, func(l *Live) { l.Secret = "t" })
	is(false, func(l *Live) { l.Secret = "" })
	is(false, func(l *Live) { l.Password, l.ReadOnlyPassword = "pr", "" })

	random := Live{Password: "p"}
	token = newInForce(&random, process).token(f.begin("ann", RoleAdmin, someTime, someTime.Add(SessionMost)))
	require.NotNil(t, newInForce(&random, process).session(token, someTime), "a reload of the same process")
	require.Nil(t, newInForce(&random, randomKey()).session(token, someTime), "another process")
}

// forged are tokens that nobody is logged in with.
func forged(t *testing.T, f *inForce) map[string]string {
	t.Helper()
	good := f.token(f.begin("ann", RoleAdmin, someTime, someTime.Add(SessionMost)))
	with := func(method jwt.SigningMethod, key any, change func(c jwt.MapClaims)) string {
		c := jwt.MapClaims{
			"sub": "ann", "aud": sessionAudience, "exp": someTime.Add(time.Hour).Unix(), "iat": someTime.Unix(), "jti": "x",
			"role": RoleAdmin, "began": someTime.Unix(), "ends": someTime.Add(time.Hour).Unix(),
		}
		if change != nil {
			change(c)
		}
		token, err := jwt.NewWithClaims(method, c).SignedString(key)
		require.NoError(t, err)
		return token
	}
	require.NotNil(t, f.session(with(jwt.SigningMethodHS256, f.sessionKey, nil), someTime), "what the others differ from")
	parts := strings.Split(good, ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`))
	login, err := LoginToken(testSecret, "ann", RoleAdmin, someTime, time.Hour)
	require.NoError(t, err)
	tokens := map[string]string{
		"none":               none + "." + parts[1] + ".",
		"none, signed":       none + "." + parts[1] + "." + parts[2],
		"none of the module": with(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil),
		"HS384":              with(jwt.SigningMethodHS384, f.sessionKey, nil),
		"HS512":              with(jwt.SigningMethodHS512, f.sessionKey, nil),
		"another key":        with(jwt.SigningMethodHS256, []byte("another key"), nil),
		"the secret itself":  with(jwt.SigningMethodHS256, []byte(testSecret), nil),
		"no key":             with(jwt.SigningMethodHS256, []byte{}, nil),
		"no signature":       parts[0] + "." + parts[1] + ".",
		"cut":                good[:len(good)-2],
		"a login token":      login,
		"empty":              "", "dots": "..", "text": "insecure", "long": strings.Repeat("a", tokenMost+1),
	}
	for name, change := range map[string]func(c jwt.MapClaims){
		"no exp":           func(c jwt.MapClaims) { delete(c, "exp") },
		"no end":           func(c jwt.MapClaims) { delete(c, "ends") },
		"no id":            func(c jwt.MapClaims) { delete(c, "jti") },
		"no beginning":     func(c jwt.MapClaims) { delete(c, "began") },
		"no iat":           func(c jwt.MapClaims) { delete(c, "iat") },
		"no name":          func(c jwt.MapClaims) { delete(c, "sub") },
		"a line end":       func(c jwt.MapClaims) { c["sub"] = "a\nb" },
		"a long name":      func(c jwt.MapClaims) { c["sub"] = strings.Repeat("a", whoMost+1) },
		"another role":     func(c jwt.MapClaims) { c["role"] = "root" },
		"another audience": func(c jwt.MapClaims) { c["aud"] = loginAudience },
		"expired":          func(c jwt.MapClaims) { c["exp"] = someTime.Unix() },
		"over":             func(c jwt.MapClaims) { c["ends"] = someTime.Unix() },
		"not yet":          func(c jwt.MapClaims) { c["nbf"] = someTime.Add(time.Minute).Unix() },
		"exp as text":      func(c jwt.MapClaims) { c["exp"] = "tomorrow" },
	} {
		tokens[name] = with(jwt.SigningMethodHS256, f.sessionKey, change)
	}
	// The payload of a viewer with the role changed, and the signature kept.
	viewer := strings.Split(f.token(f.begin("bob", RoleViewer, someTime, someTime.Add(time.Hour))), ".")
	payload, err := base64.RawURLEncoding.DecodeString(viewer[1])
	require.NoError(t, err)
	tokens["promoted"] = viewer[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(payload), RoleViewer, RoleAdmin, 1))) + "." + viewer[2]
	return tokens
}

func TestForgedSessionsAreNone(t *testing.T) {
	f := newInForce(&Live{Password: "p", Secret: testSecret, Lifetime: time.Hour}, nil)
	for name, token := range forged(t, f) {
		require.Nil(t, f.session(token, someTime), name)
	}
}

func TestLoginTokens(t *testing.T) {
	f := newInForce(&Live{Secret: testSecret}, nil)
	token, err := LoginToken(testSecret, "ann", RoleViewer, someTime, time.Hour)
	require.NoError(t, err)
	c, err := f.login(token, someTime)
	require.NoError(t, err)
	require.Equal(t, "ann "+RoleViewer, c.Subject+" "+c.Role)
	_, err = f.login(token, someTime.Add(time.Hour))
	require.Error(t, err, "it has expired")
	require.Nil(t, f.session(token, someTime), "it is no session")
	_, err = newInForce(&Live{}, randomKey()).login(token, someTime)
	require.ErrorContains(t, err, "admin.secret")
	_, err = newInForce(&Live{Secret: "another"}, nil).login(token, someTime)
	require.Error(t, err)

	mint := func(claims jwt.MapClaims) string {
		token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(testSecret))
		require.NoError(t, err)
		return token
	}
	in := func(d time.Duration) int64 { return someTime.Add(d).Unix() }
	c, err = f.login(mint(jwt.MapClaims{"sub": "bob", "aud": loginAudience, "exp": in(time.Hour)}), someTime)
	require.NoError(t, err)
	require.Equal(t, RoleViewer, c.Role, "the role that may do least")
	for name, claims := range map[string]jwt.MapClaims{
		"no audience":    {"sub": "a", "exp": in(time.Hour)},
		"no exp":         {"sub": "a", "aud": loginAudience},
		"far ahead":      {"sub": "a", "aud": loginAudience, "exp": in(LoginMost + time.Hour)},
		"another role":   {"sub": "a", "aud": loginAudience, "exp": in(time.Hour), "role": "Admin"},
		"nobody":         {"aud": loginAudience, "exp": in(time.Hour)},
		"a connect JWT":  {"sub": "42", "exp": in(time.Hour), "iat": in(0)},
		"of the session": {"sub": "a", "aud": sessionAudience, "exp": in(time.Hour)},
	} {
		_, err := f.login(mint(claims), someTime)
		require.Error(t, err, name)
	}
	for _, wrong := range []struct {
		secret, who, role string
		ttl               time.Duration
	}{
		{"", "ann", RoleAdmin, time.Hour}, {"s", "", RoleAdmin, time.Hour}, {"s", "a\tb", RoleAdmin, time.Hour}, {"s", "ann", "", time.Hour},
		{"s", "ann", RoleAdmin, 0}, {"s", "ann", RoleAdmin, 25 * time.Hour},
	} {
		_, err := LoginToken(wrong.secret, wrong.who, wrong.role, someTime, wrong.ttl)
		require.Error(t, err, fmt.Sprintf("%+v", wrong))
	}
}

func TestPasswordsAreCompared(t *testing.T) {
	f := newInForce(&Live{Password: adminPassword, ReadOnlyPassword: viewerPassword}, randomKey())
	require.Equal(t, RoleAdmin, f.roleOf(adminPassword))
	require.Equal(t, RoleViewer, f.roleOf(viewerPassword))
	for _, wrong := range []string{"", adminPassword + " ", adminPassword[:5], strings.ToUpper(adminPassword)} {
		require.Empty(t, f.roleOf(wrong))
	}
	require.Empty(t, newInForce(&Live{}, randomKey()).roleOf(""), "no password is not the empty one")
	require.NotContains(t, fmt.Sprintf("%v", Live{Password: adminPassword, Secret: testSecret}), "pass")
}

func TestLoggedOutSessionsStayOut(t *testing.T) {
	var r revoked
	at := func(i int) *session {
		began := someTime.Add(time.Duration(i) * time.Second)
		return &session{ID: fmt.Sprint(i), Began: began, Ends: began.Add(SessionMost)}
	}
	now := someTime.Add(time.Hour)
	const more = 100
	for i := range revokedMost + more {
		r.add(at(i), now)
		r.add(at(i), now)
	}
	require.LessOrEqual(t, len(r.by), revokedMost)
	require.Equal(t, len(r.by), len(r.order))
	for i := range revokedMost + more {
		require.True(t, r.has(at(i)), i)
	}
	other := at(more / 2)
	other.ID = "another"
	require.True(t, r.has(other), "one that began before what had to be forgotten")
	other = at(more + 1)
	other.ID = "another"
	require.False(t, r.has(other), "those after go on")

	var later revoked
	later.add(at(0), now)
	later.add(at(1), someTime.Add(SessionMost+time.Minute))
	require.False(t, later.has(&session{ID: "x", Began: someTime.Add(time.Second)}), "what was over by itself takes nobody along")
	require.Empty(t, later.order)
}
