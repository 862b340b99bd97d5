package redis

import (
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/gateway/problem"
)

// targetKind is the topology behind an address.
type targetKind int

const (
	serverTarget   targetKind = iota // one server, or an address behind which there is one
	sentinelTarget                   // the master that Sentinels know
	clusterTarget                    // a Redis Cluster
)

// target is what one address says, options filled in: what a shard connects to.
type target struct {
	kind    targetKind
	network string   // "tcp" or "unix"
	addrs   []string // of the server, the Sentinels or the first nodes
	name    string   // what people are told: addresses without secrets

	login
	db         int
	sharded    bool
	resp2      bool
	connect    time.Duration
	io         time.Duration
	tls        *tls.Config
	master     string // of Sentinel
	sentinel   login
	sentineltl *tls.Config
}

// login is who connects.
type login struct{ user, password, client string }

const (
	defaultPort         = "6379"
	defaultSentinelPort = "26379"
)

// targets returns what to connect to, a shard each, and adds to list what is wrong.
func (o *Options) targets(list *problem.List) []target {
	field, entries, kind := "address", o.Address, serverTarget
	switch {
	case len(o.ClusterAddress) > 0:
		field, entries, kind = "cluster_address", o.ClusterAddress, clusterTarget
	case len(o.SentinelAddress) > 0:
		field, entries, kind = "sentinel_address", o.SentinelAddress, sentinelTarget
	case len(entries) == 0:
		entries = []string{"127.0.0.1:" + defaultPort}
	}
	var all []target
	for i, entry := range entries {
		name := field
		if len(entries) > 1 {
			name = fmt.Sprintf("%s[%d]", field, i)
		}
		t := o.base(kind)
		var err error
		if kind == serverTarget {
			err = t.parse(strings.TrimSpace(entry))
		} else {
			err = t.parseList(entry)
		}
		if err == nil {
			err = t.complete()
		}
		if err != nil {
			list.Fail(name, "%v", err).Secret = true
			continue
		}
		all = append(all, t)
	}
	return all
}

// base returns a target with what the options say about all.
func (o *Options) base(kind targetKind) target {
	full := o.withDefaults()
	return target{
		kind: kind, network: "tcp", login: login{full.User, full.Password, full.ClientName},
		db: full.DB, sharded: full.ShardedPubSub, resp2: full.ForceRESP2, connect: full.ConnectTimeout, io: full.IOTimeout, tls: full.TLS,
		master: full.SentinelMasterName, sentineltl: full.SentinelTLS,
		sentinel: login{full.SentinelUser, full.SentinelPassword, full.SentinelClientName},
	}
}

// parseList reads host:port,host:port, the form of cluster_address and sentinel_address.
func (t *target) parseList(entry string) error {
	for addr := range strings.SplitSeq(entry, ",") {
		if strings.Contains(addr, "://") {
			return fmt.Errorf("%s: expected host:port here; addresses with a scheme belong into address", problem.URL(addr))
		}
		if err := t.add(strings.TrimSpace(addr)); err != nil {
			return err
		}
	}
	return nil
}

// parse reads an address in any of its forms.
func (t *target) parse(entry string) error {
	if !strings.Contains(entry, "://") {
		return t.add(entry)
	}
	u, err := url.Parse(entry)
	if err != nil {
		return fmt.Errorf("%s is no URL; signs like @ / ? # in a password are written as %%40 %%2F %%3F %%23", problem.URL(entry))
	}
	scheme := u.Scheme
	if strings.HasPrefix(scheme, "rediss") {
		t.needTLS()
	}
	switch scheme {
	case "tcp", "redis", "rediss":
	case "redis+sentinel", "rediss+sentinel":
		t.kind = sentinelTarget
	case "redis+cluster", "rediss+cluster":
		t.kind = clusterTarget
	case "unix":
		t.network = "unix"
	default:
		return fmt.Errorf("%s: unknown scheme %q: expected redis, rediss, tcp, unix, or redis or rediss with +sentinel or +cluster", problem.URL(entry), scheme)
	}
	if u.User != nil {
		t.user = u.User.Username()
		t.password, _ = u.User.Password()
		if t.password == "" { // redis://password@host
			t.user, t.password = "", t.user
		}
	}
	if err := t.place(u); err != nil {
		return err
	}
	return t.query(u.Query())
}

// needTLS turns on TLS for servers, and Sentinels where nothing else was said.
func (t *target) needTLS() {
	if t.tls == nil {
		t.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if t.sentineltl == nil {
		t.sentineltl = t.tls
	}
}

// place reads host and path of an address.
func (t *target) place(u *url.URL) error {
	if t.network == "unix" {
		path := u.Host + u.Path
		if path == "" {
			return fmt.Errorf("%s: expected unix:///path/of/the/socket", problem.URL(u.String()))
		}
		t.addrs = append(t.addrs, path)
		t.tls = nil // nobody listens in between
		return nil
	}
	if err := t.add(u.Host); err != nil {
		return err
	}
	path := strings.Trim(u.Path, "/")
	if path == "" {
		return nil
	}
	db, err := strconv.Atoi(path)
	if err != nil || db < 0 {
		return fmt.Errorf("%s: path %q: expected the number of a database", problem.URL(u.String()), path)
	}
	t.db = db
	return nil
}

// query reads the options behind the question mark of an address.
func (t *target) query(options url.Values) error {
	// Why backwards: sentinel_tls_enabled has the last word about what tls_enabled began.
	for _, key := range slices.Backward(slices.Sorted(maps.Keys(options))) {
		values := options[key]
		value := values[len(values)-1]
		var err error
		switch key {
		case "addr":
			for _, addr := range values {
				if err = t.add(addr); err != nil {
					return err
				}
			}
		case "connect_timeout":
			t.connect, err = positive(value)
		case "io_timeout":
			t.io, err = positive(value)
		case "force_resp2":
			t.resp2, err = strconv.ParseBool(value)
		case "sentinel_master_name":
			t.master = value
		case "sentinel_user":
			t.sentinel.user = value
		case "sentinel_password":
			t.sentinel.password = value
		case "sentinel_tls_enabled":
			err = t.sentinelTLS(value)
		case "tls_enabled":
			var on bool
			if on, err = strconv.ParseBool(value); on {
				t.needTLS()
			}
		default:
			return fmt.Errorf("unknown option %q behind the address: expected addr, connect_timeout, io_timeout, force_resp2, tls_enabled, "+
				"sentinel_master_name, sentinel_user, sentinel_password or sentinel_tls_enabled", key)
		}
		if err != nil {
			return fmt.Errorf("option %s of the address: %q is not what it takes", key, value)
		}
	}
	return nil
}

// sentinelTLS says whether the Sentinels speak TLS.
func (t *target) sentinelTLS(value string) error {
	on, err := strconv.ParseBool(value)
	switch {
	case err != nil:
	case !on:
		t.sentineltl = nil
	case t.sentineltl == nil:
		t.sentineltl = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return err
}

func positive(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err == nil && d <= 0 {
		err = strconv.ErrRange
	}
	return d, err
}

// add adds a host:port; without a port it gets the usual one.
func (t *target) add(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		host, port = strings.Trim(addr, "[]"), defaultPort
		if t.kind == sentinelTarget {
			port = defaultSentinelPort
		}
	}
	if n, bad := strconv.Atoi(port); host == "" || bad != nil || n <= 0 || n > 65535 || strings.ContainsAny(host, " /@?") ||
		err != nil && strings.Contains(addr, ":") && net.ParseIP(host) == nil {
		return fmt.Errorf("%s: expected host:port", problem.URL(addr))
	}
	t.addrs = append(t.addrs, net.JoinHostPort(host, port))
	return nil
}

// complete checks what belongs together and gives the target its name.
func (t *target) complete() error {
	t.name = strings.Join(t.addrs, ",")
	switch {
	case t.kind == sentinelTarget && t.master == "":
		return errors.New("sentinel_master_name expected: Sentinels are asked for a master by its name")
	case t.kind == sentinelTarget:
		t.name = t.master + "@" + t.name
	case t.kind == serverTarget && len(t.addrs) > 1:
		return fmt.Errorf("several addr of one server: expected redis+cluster:// or redis+sentinel://, or a list of addresses for shards")
	case t.db < 0 || t.db > maxDB:
		return fmt.Errorf("%d is no number of a database: expected 0 or more", t.db)
	}
	return nil
}
