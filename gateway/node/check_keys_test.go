package node_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"time"
)

// A key pair and a certificate of its own, made anew for each run.
var ecPrivate, ecPublic, ecCert = newKeys()

func newKeys() (private, public, cert string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour)}
	encode := func(kind string, der []byte, err error) string {
		if err != nil {
			panic(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	private = encode("PRIVATE KEY", der, err)
	der, err = x509.MarshalPKIXPublicKey(&key.PublicKey)
	public = encode("PUBLIC KEY", der, err)
	der, err = x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	cert = encode("CERTIFICATE", der, err)
	return private, public, cert
}

// oneLine writes line ends as JSON does.
func oneLine(text string) string { return strings.ReplaceAll(text, "\n", `\n`) }
