package check

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"net/url"
	"regexp"
	"regexp/syntax"
	"slices"
	"sluice/gateway/config/schema"
	"strings"
)

var claimName = regexp.MustCompile(`^[a-zA-Z_]+$`)

func (v *checker) token() {
	t := &v.c.Client.Token
	const section = "client.token."
	if t.Audience != "" && t.AudienceRegex != "" {
		v.fail(section+"audience_regex", "set together with audience: allowed one of them")
	}
	if t.Issuer != "" && t.IssuerRegex != "" {
		v.fail(section+"issuer_regex", "set together with issuer: allowed one of them")
	}
	ok := v.regex(section+"audience_regex", t.AudienceRegex)
	ok = v.regex(section+"issuer_regex", t.IssuerRegex) && ok
	if t.UserIDClaim != "" && !claimName.MatchString(t.UserIDClaim) {
		v.fail(section+"user_id_claim", "%q is not the name of a claim: allowed letters and _", t.UserIDClaim)
	}
	if t.RSAPublicKey != "" {
		if _, isRSA := publicKey(t.RSAPublicKey).(*rsa.PublicKey); !isRSA {
			v.fail(section+"rsa_public_key", "the value is not an RSA public key: allowed PEM text")
		}
	}
	if t.ECDSAPublicKey != "" {
		if _, isEC := publicKey(t.ECDSAPublicKey).(*ecdsa.PublicKey); !isEC {
			v.fail(section+"ecdsa_public_key", "the value is not an ECDSA public key: allowed PEM text")
		}
	}
	if t.JWKSPublicEndpoint != "" && ok {
		v.jwks(t)
	}
}

func (v *checker) regex(key, expr string) bool {
	if _, err := regexp.Compile(expr); err != nil {
		v.fail(key, "%q is not a regular expression (%v): allowed RE2 syntax", expr, err)
		return false
	}
	return true
}

// publicKey parses PEM text as the token library does: PKIX, PKCS #1 or a certificate. Nil if it is none of them.
func publicKey(text string) any {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil
	}
	if key, err := x509.ParsePKIXPublicKey(block.Bytes); err == nil {
		return key
	}
	if key, err := x509.ParsePKCS1PublicKey(block.Bytes); err == nil {
		return key
	}
	if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
		return cert.PublicKey
	}
	return nil
}

var jwksPlaceholder = regexp.MustCompile(`\{\{\s*([^{}\s]*)\s*\}\}`)

// jwks checks the URL of the key set and what may fill its placeholders (PROTOCOL 4.2).
func (v *checker) jwks(t *schema.Token) {
	const key = "client.token.jwks_public_endpoint"
	u, err := url.Parse(jwksPlaceholder.ReplaceAllString(t.JWKSPublicEndpoint, "x"))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		v.fail(key, "%s is not a URL: allowed a URL with http:// or https:// and a host", v.showURL(key, t.JWKSPublicEndpoint))
		return
	}
	if t.HMACSecretKey != "" || t.RSAPublicKey != "" || t.ECDSAPublicKey != "" {
		v.warn(key, "set: the other token keys are ignored")
	}
	for _, m := range jwksPlaceholder.FindAllStringSubmatch(t.JWKSPublicEndpoint, -1) {
		name := m[1]
		groups := slices.Concat(namedGroups(t.IssuerRegex, name), namedGroups(t.AudienceRegex, name))
		switch {
		case len(groups) == 0:
			v.fail(key, "no group (?P<%s>...) in issuer_regex or audience_regex fills its {{%s}}", name, name)
		case !t.InsecureSkipJWKSEndpointSafetyChk && slices.ContainsFunc(groups, func(g *syntax.Regexp) bool { return !literals(g) }):
			v.fail(key, "group %q fills a part of the URL and could match anything: allowed plain alternatives such as (?P<%s>one|two)", name, name)
		}
	}
}

// namedGroups returns the contents of the groups with this name in expr.
func namedGroups(expr, name string) []*syntax.Regexp {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil || expr == "" {
		return nil
	}
	var found []*syntax.Regexp
	var walk func(*syntax.Regexp)
	walk = func(r *syntax.Regexp) {
		if r.Op == syntax.OpCapture && r.Name == name {
			found = append(found, r.Sub[0])
		}
		for _, sub := range r.Sub {
			walk(sub)
		}
	}
	walk(re)
	return found
}

// literals reports whether r matches only a list of texts that are written out. The parser factors common parts, so
// that "one|on" becomes "on" and an optional "e", and "a|b" becomes a class: small ones of harmless characters are fine.
func literals(r *syntax.Regexp) bool {
	switch r.Op {
	case syntax.OpLiteral:
		return r.Flags&syntax.FoldCase == 0
	case syntax.OpEmptyMatch:
		return true
	case syntax.OpCharClass:
		const most = 16
		n := 0
		for i := 0; i < len(r.Rune); i += 2 {
			if n += int(r.Rune[i+1]-r.Rune[i]) + 1; n > most {
				return false
			}
			for c := r.Rune[i]; c <= r.Rune[i+1]; c++ {
				if strings.ContainsRune(`/.\@:?#%`, c) {
					return false
				}
			}
		}
		return true
	case syntax.OpAlternate, syntax.OpConcat, syntax.OpQuest, syntax.OpCapture:
		return !slices.ContainsFunc(r.Sub, func(s *syntax.Regexp) bool { return !literals(s) })
	default:
		return false
	}
}
