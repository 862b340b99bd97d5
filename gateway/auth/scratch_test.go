package auth

import (
	"fmt"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
)

// A scratch judges signatures as the library does, whatever it has judged before.
func TestAScratchJudgesSignaturesAsTheLibraryDoes(t *testing.T) {
	methods := []*jwt.SigningMethodHMAC{jwt.SigningMethodHS256, jwt.SigningMethodHS384, jwt.SigningMethodHS512}
	var secrets [][]byte
	for i := range maxMacs {
		secrets = append(secrets, []byte(strings.Repeat("a", i+1)), []byte(strings.Repeat("b", 60*i+1)))
	}
	s := new(scratch)
	for round := range 3 {
		for i, secret := range secrets {
			for j, method := range methods {
				text := fmt.Sprintf("%d.%s", round, strings.Repeat("x", 70*i))
				signature, err := method.Sign(text, secret)
				require.NoError(t, err)
				of := func(other []byte, m *jwt.SigningMethodHMAC, text string, signature []byte) {
					s.signature = append(s.signature[:0], signature...)
					require.Equal(t, m.Verify(text, signature, other) == nil, s.signed(m, other, []byte(text)))
				}
				of(secret, method, text, signature)
				of(secret, method, text+".", signature)
				of(secret, method, text, signature[1:])
				of(secret, method, text, nil)
				of(secret, methods[(j+1)%len(methods)], text, signature)
				of(secrets[(i+1)%len(secrets)], method, text, signature)
				of(secret[:len(secret)-1:len(secret)-1], method, text, signature)
				of(secret, method, text, signature)
				require.LessOrEqual(t, len(s.macs), maxMacs)
			}
		}
	}
}
