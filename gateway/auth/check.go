package auth

import (
	"net/url"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"time"

	"sluice/gateway/problem"
)

// Keys of the options, below client.
const (
	keyPrevious      = "token.hmac_previous_secret_key"
	keyPreviousUntil = "token.hmac_previous_secret_key_valid_until"
	keyRSA           = "token.rsa_public_key"
	keyECDSA         = "token.ecdsa_public_key"
	keyEndpoint      = "token.jwks_public_endpoint"
)

var userIDClaimPattern = regexp.MustCompile(`^[a-zA-Z_]+$`)

// Check returns what is wrong with the options, by their keys below client.
func (o *Options) Check() problem.List {
	var l problem.List
	if o.InsecureSkipTokenSignatureVerify {
		l.Note("insecure_skip_token_signature_verify", problem.Advice, "true: everybody can make tokens; for development only")
	}
	readable := checkExpression(&l, "token.audience", o.Audience, o.AudienceRegex)
	readable = checkExpression(&l, "token.issuer", o.Issuer, o.IssuerRegex) && readable
	if o.UserIDClaim != "" && !userIDClaimPattern.MatchString(o.UserIDClaim) {
		l.Fail("token.user_id_claim", "%q is not the name of a claim: allowed letters and _", o.UserIDClaim)
	}
	if _, wrong := parseRSA(o.RSAPublicKey); wrong != "" {
		l.Fail(keyRSA, "%s", wrong)
	}
	if _, _, wrong := parseECDSA(o.ECDSAPublicKey); wrong != "" {
		l.Fail(keyECDSA, "%s", wrong)
	}
	if o.JWKSPublicEndpoint != "" && readable {
		o.checkEndpoint(&l)
	}
	o.checkPrevious(&l)
	return l
}

// checkExpression reports whether an expression that a claim must match can be
// read.
func checkExpression(l *problem.List, key, exact, expr string) bool {
	if exact != "" && expr != "" {
		_, name, _ := strings.Cut(key, ".")
		l.Fail(key+"_regex", "set together with %s: allowed one of them", name)
	}
	_, err := regexp.Compile(expr)
	if err != nil {
		l.Fail(key+"_regex", "%q is not a regular expression (%v): allowed RE2 syntax", expr, err)
	}
	return err == nil
}

func (o *Options) checkPrevious(l *problem.List) {
	switch until := o.HMACPreviousSecretKeyValidUntil; {
	case until <= 0:
	case o.HMACPreviousSecretKey == "":
		l.Note(keyPreviousUntil, problem.Advice, "has no effect without client.%s", keyPrevious).With(keyPrevious)
	case until <= time.Now().Unix():
		l.Note(keyPreviousUntil, problem.Advice, "%d was %s: the previous key is not tried any more; remove both", until, time.Unix(until, 0).UTC().Format(time.RFC3339))
	}
}

// checkEndpoint checks the URL of the key set and what may fill its placeholders
// (PROTOCOL 4.2). Why that strictly: claims that nobody has verified yet choose
// among key servers, and so among the keys that verify them.
func (o *Options) checkEndpoint(l *problem.List) {
	text := o.JWKSPublicEndpoint
	u, err := url.Parse(placeholder.ReplaceAllString(text, "x"))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		l.Fail(keyEndpoint, "%s is not a URL: allowed a URL with http:// or https:// and a host", problem.URL(text)).Secret = true
		return
	}
	if o.HMACSecretKey != "" || o.RSAPublicKey != "" || o.ECDSAPublicKey != "" {
		l.Note(keyEndpoint, problem.Advice, "set: the other token keys are ignored")
	}
	for _, m := range placeholder.FindAllStringSubmatch(text, -1) {
		name := m[1]
		groups := slices.Concat(namedGroups(o.IssuerRegex, name), namedGroups(o.AudienceRegex, name))
		switch {
		case len(groups) == 0:
			l.Fail(keyEndpoint, "no group (?P<%s>...) in issuer_regex or audience_regex fills its {{%s}}", name, name)
		case !o.InsecureSkipJWKSEndpointSafetyCheck && slices.ContainsFunc(groups, func(g *syntax.Regexp) bool { return !literals(g) }):
			l.Fail(keyEndpoint, "group %q fills a part of the URL and could match anything: allowed plain alternatives such as (?P<%s>one|two)", name, name)
		}
	}
}

// namedGroups returns the contents of the groups with this name in expr.
func namedGroups(expr, name string) []*syntax.Regexp {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil || expr == "" || name == "" {
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

// literals reports whether r matches only a list of texts that are written out.
// The parser factors common parts, so that "one|on" becomes "on" and an optional
// "e", and "a|b" becomes a class: small ones of harmless characters are fine.
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
