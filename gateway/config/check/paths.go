package check

import (
	"errors"
	"strings"
)

// handlers checks the paths of all endpoints, and that no two that are served have the same.
func (v *checker) handlers() {
	c := v.c
	taken := map[string]string{}
	for _, h := range []struct {
		section string
		prefix  *string
		on      bool
	}{
		{"uni_sse", &c.UniSSE.HandlerPrefix, c.UniSSE.Enabled},
		{"broadcast", &c.Broadcast.HandlerPrefix, c.Broadcast.Enabled},
		{"http_api", &c.HTTPAPI.HandlerPrefix, !c.HTTPAPI.Disabled},
		{"health", &c.Health.HandlerPrefix, c.Health.Enabled},
		{"prometheus", &c.Prometheus.HandlerPrefix, c.Prometheus.Enabled},
		{"debug", &c.Debug.HandlerPrefix, c.Debug.Enabled},
		{"admin", &c.Admin.HandlerPrefix, c.Admin.Enabled},
		{"init", &c.Init.HandlerPrefix, c.Init.Enabled},
	} {
		key := h.section + ".handler_prefix"
		if !v.sound(key) {
			continue
		}
		if err := checkPath(*h.prefix); err != nil {
			v.Fail(key, "%q %v", *h.prefix, err)
			continue
		}
		*h.prefix = strings.TrimRight(*h.prefix, "/")
		if h.section == "broadcast" && *h.prefix == "" {
			v.Fail(key, "the whole path would be the name of a channel: allowed a path such as \"/broadcast\"")
			continue
		}
		if !h.on {
			continue
		}
		if other := taken[*h.prefix]; other != "" {
			v.Fail(key, "%q is already the path of %s: allowed a path of its own", *h.prefix, other)
			continue
		}
		taken[*h.prefix] = h.section
	}
}

func checkPath(p string) error {
	if p == "" {
		return nil
	}
	if p[0] != '/' {
		return errors.New("does not start with /: allowed a path such as \"/connection/uni_sse\"")
	}
	if strings.Contains(p, "//") || strings.Contains(p+"/", "/./") || strings.Contains(p+"/", "/../") {
		return errors.New("has //, . or .. in it, which clients take out of paths: allowed a path such as \"/connection/uni_sse\"")
	}
	for i := range len(p) {
		if c := p[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("?#%\\{}*", c) >= 0 {
			return errors.New("is not a plain path: allowed letters, digits and - _ . ~ / : @ ! $ & ' ( ) + , ; =")
		}
	}
	return nil
}
