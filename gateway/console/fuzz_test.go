package console

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// No token but one that was signed here is anybody.
func FuzzSession(f *testing.F) {
	live := newInForce(&Live{Password: "p", Secret: testSecret, Lifetime: time.Hour}, nil)
	in := live.begin("ann", RoleAdmin, someTime, someTime.Add(SessionMost))
	in.ID = "the same in every process of the fuzzer"
	good := live.token(in)
	f.Add(good)
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add("a.b.c")
	login, err := LoginToken(testSecret, "ann", RoleAdmin, someTime, time.Hour)
	require.NoError(f, err)
	f.Add(login)
	f.Fuzz(func(t *testing.T, token string) {
		if token != good {
			require.Nil(t, live.session(token, someTime))
		}
		if token != login {
			_, err := live.login(token, someTime)
			require.Error(t, err)
		}
	})
}

// No body logs in but one with a password, and each is answered.
func FuzzLoginBody(f *testing.F) {
	for _, body := range []string{`{"password":"x"}`, `{"token":"a.b.c"}`, `[]`, `{"password":null}`, "\xff", `{"password":"` + adminPassword + `"}`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r := newRig(nil)
		resp := r.post("/login", string(body))
		switch resp.StatusCode() {
		case 200:
			require.Contains(t, string(resp.Header.Peek("Set-Cookie")), plainCookie)
		case 400, 401:
			require.Empty(t, resp.Header.Peek("Set-Cookie"))
			require.NotEmpty(t, decoded(t, resp)["error"])
		default:
			t.Fatalf("%q: %d", body, resp.StatusCode())
		}
	})
}
