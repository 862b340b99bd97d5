//go:build linux

package load

import (
	"os"
	"strconv"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
)

func TestTokensVerifyWithThePublicKeyThatWasPrinted(t *testing.T) {
	key, public, err := NewKeyPair()
	require.NoError(t, err)
	token, err := SignToken(jwt.SigningMethodRS256, key, jwt.MapClaims{"sub": UserName(3)})
	require.NoError(t, err)
	parsed, err := jwt.ParseRSAPublicKeyFromPEM([]byte(public))
	require.NoError(t, err)
	got, err := jwt.Parse(token, func(*jwt.Token) (any, error) { return parsed, nil })
	require.NoError(t, err)
	sub, err := got.Claims.GetSubject()
	require.NoError(t, err)
	require.Equal(t, "bench-3", sub)
}

func TestMintAllKeepsOrderAndReportsErrors(t *testing.T) {
	tokens, err := MintAll(1001, func(i int) (string, error) { return strconv.Itoa(i), nil })
	require.NoError(t, err)
	for i, token := range tokens {
		require.Equal(t, strconv.Itoa(i), token)
	}
	_, err = MintAll(10, func(i int) (string, error) {
		if i == 7 {
			return "", os.ErrInvalid
		}
		return "x", nil
	})
	require.ErrorIs(t, err, os.ErrInvalid)
}
