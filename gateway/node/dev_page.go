package node

import (
	"crypto/rand"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sluice/gateway/admin"
)

// DevUser is who the live page connects as.
const DevUser = "dev"

// devTokenLife is how long a token of the live page is valid.
const devTokenLife = 12 * time.Hour

// DevToken makes a token for the live page and the curl commands.
func (node *Node) DevToken() (token, user string, err error) {
	claims := jwt.MapClaims{
		"sub": DevUser, "exp": time.Now().Add(devTokenLife).Unix(), "info": map[string]string{"name": "Live page"},
	}
	token, err = jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(node.cfg.Client.Token.HMACSecretKey))
	return token, DevUser, err
}

// DevChannels are what the live page opens with.
var DevChannels = []string{"news", "chat:lobby"}

// LiveKey opens the live page from other machines; its links have it behind the #.
func (node *Node) LiveKey() string { return node.liveKey }

// newLive makes the live page of --dev.
func (node *Node) newLive() *admin.Live {
	node.liveKey = rand.Text()
	return admin.NewLive(admin.Options{
		Key: node.liveKey, Proxied: node.cfg.HTTPServer.ProxyProtocol,
		Endpoint: node.cfg.UniSSE.HandlerPrefix, API: node.cfg.HTTPAPI.HandlerPrefix, APIKey: node.cfg.HTTPAPI.Key,
		Version: Version, Channels: DevChannels, Token: node.DevToken,
	})
}
