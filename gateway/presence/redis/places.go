package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"sluice/gateway/broker"
	"sluice/gateway/cluster"
	"sluice/gateway/redis"
)

// Places implements cluster.Places: of each user a sorted set of when the places of its
// clients end, <prefix>.sluice.places.{user}, since when it is refused one,
// <prefix>.sluice.refused.{user}, and the last claim, <prefix>.sluice.claim.{user}, all by
// the clock of the server. They are on the shard that a channel of the user's name is on.
// Make it with [NewPlaces].
type Places struct {
	// Immutable after NewPlaces.
	redis *redis.Redis
	ttl   string // in ms

	// Atomic.
	reserved, doubtful, refused, claims, changes, failed atomic.Uint64
}

var _ cluster.Places = (*Places)(nil)

// NewPlaces makes the places that end so long after their last renewal. The connections
// are the caller's, who closes them behind the places.
func NewPlaces(r *redis.Redis, ttl time.Duration) *Places {
	return &Places{redis: r, ttl: strconv.FormatInt(ttl.Milliseconds(), 10)}
}

// PlacesStats are the counters of [Places].
type PlacesStats struct {
	Reserved, Doubtful, Refused uint64 // answers to Reserve
	Claims                      uint64
	Changes                     uint64 // renewed or given back, or not for an error
	Failed                      uint64 // calls with an error
}

// Stats returns the counters. Any goroutine.
func (p *Places) Stats() PlacesStats {
	return PlacesStats{
		Reserved: p.reserved.Load(), Doubtful: p.doubtful.Load(), Refused: p.refused.Load(), Claims: p.claims.Load(),
		Changes: p.changes.Load(), Failed: p.failed.Load(),
	}
}

// Reserve implements cluster.Places.
func (p *Places) Reserve(ctx context.Context, user, client string, limit int) (cluster.Place, error) {
	n, err := p.ask(ctx, user, []string{"places", "refused"}, reserveScript, client, strconv.Itoa(limit), p.ttl)
	switch {
	case err != nil:
		return cluster.PlaceDoubtful, err
	case n[0] == 1:
		p.reserved.Add(1)
		return cluster.PlaceTaken, nil
	case n[1] == 1:
		p.refused.Add(1)
		return cluster.PlaceRefused, nil
	}
	p.doubtful.Add(1)
	return cluster.PlaceDoubtful, nil
}

// Claim implements cluster.Places. Claims are microseconds of the server's clock, or one
// more than the claim before where that was later.
func (p *Places) Claim(ctx context.Context, user string, age time.Duration) (claim uint64, others bool, err error) {
	moment, kept := cluster.ClaimMoment.Microseconds(), (10 * cluster.ClaimMoment).Milliseconds()
	n, err := p.ask(ctx, user, []string{"claim"}, claimScript,
		strconv.FormatInt(moment, 10), strconv.FormatInt(kept, 10), strconv.FormatInt(max(age.Microseconds(), 0), 10))
	if err != nil {
		return 0, false, err
	}
	p.claims.Add(1)
	return uint64(n[0]), n[1] == 1, nil
}

// ask runs a script of a user's keys that returns two numbers. Where the shard is known
// to be out of reach it does not wait for it.
func (p *Places) ask(ctx context.Context, user string, kinds []string, script *redis.Script, args ...string) (n [2]int64, err error) {
	shard := p.redis.ShardOf(user)
	if err = shard.Ready(); err == nil {
		n, err = two(shard.Do(ctx, script.Cmd(placeKeys(shard, user, kinds...), args...).Repeatable()))
	}
	return n, p.outcome(err)
}

func two(r redis.Reply) (n [2]int64, err error) {
	items, err := r.Array()
	if err != nil {
		return n, err
	}
	if len(items) != len(n) {
		return n, fmt.Errorf("redis: %d numbers expected, got %d", len(n), len(items))
	}
	for i := range n {
		if n[i], err = items[i].Int(); err != nil {
			return n, err
		}
	}
	return n, nil
}

// Apply implements cluster.Places.
func (p *Places) Apply(ctx context.Context, changes []cluster.PlaceChange) error {
	p.changes.Add(uint64(len(changes)))
	order := make([]string, 0, len(changes))
	args := make(map[string][]string, len(changes))
	for i := range changes {
		c := &changes[i]
		if args[c.User] == nil {
			order = append(order, c.User)
			args[c.User] = []string{p.ttl}
		}
		args[c.User] = append(args[c.User], c.Client, flag(c.Left))
	}
	var f fan
	for _, user := range order {
		shard, all := p.redis.ShardOf(user), args[user]
		for head, rest := all[:1], all[1:]; len(rest) > 0; {
			n := min(len(rest), 2*perCommand)
			f.add(shard, placesScript.Cmd(placeKeys(shard, user, "places"), append(head[:1:1], rest[:n]...)...))
			rest = rest[n:]
		}
	}
	return p.outcome(f.run(ctx))
}

// tagText makes a text that ends where its tag ends.
var tagText = strings.NewReplacer("%", "%25", "}", "%7D")

// placeKeys returns keys of a user. The braces are for a Cluster, and there always, so
// that names are the same on any server.
func placeKeys(s *redis.Shard, user string, kinds ...string) []string {
	tag := ".{" + tagText.Replace(user) + "}"
	keys := make([]string, len(kinds))
	for i, kind := range kinds {
		keys[i] = s.Keys().Own(kind + tag)
	}
	return keys
}

// outcome counts a call that failed and says what that means.
func (p *Places) outcome(err error) error {
	if err == nil {
		return nil
	}
	p.failed.Add(1)
	switch {
	case errors.Is(err, redis.ErrUnknown):
		return fmt.Errorf("%w: %w", broker.ErrUnknown, err)
	case errors.Is(err, redis.ErrUnavailable):
		return fmt.Errorf("%w: %w", broker.ErrUnavailable, err)
	}
	return fmt.Errorf("places of users: %w", err)
}

// reserveScript takes a place. KEYS: places, since when the user is refused. ARGV: client,
// limit, TTL in ms. It returns whether the client has one, and if not whether those who
// have one were all renewed since the user was first refused.
var reserveScript = redis.NewScript("place_reserve", `
local time = redis.call('TIME')
local now, limit = time[1] * 1000 + math.floor(time[2] / 1000), tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if limit > 0 and redis.call('ZCARD', KEYS[1]) >= limit and not redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  local since = tonumber(redis.call('GET', KEYS[2]) or '')
  if not since then
    redis.call('SET', KEYS[2], now, 'PX', 4 * ARGV[3])
    return {0, 0}
  end
  if redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2] - ARGV[3] <= since then return {0, 0} end
  redis.call('DEL', KEYS[2])
  return {0, 1}
end
redis.call('DEL', KEYS[2])
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {1, 0}
`)

// placesScript renews places and gives them back. KEYS: places. ARGV: TTL in ms; then of
// each client its id, and 1 if it left.
var placesScript = redis.NewScript("place_apply", `
local time = redis.call('TIME')
local ends, renewed = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[1], false
for i = 2, #ARGV, 2 do
  if ARGV[i + 1] == '1' then
    redis.call('ZREM', KEYS[1], ARGV[i])
  else
    redis.call('ZADD', KEYS[1], ends, ARGV[i])
    renewed = true
  end
end
if renewed then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
`)

// claimScript makes a claim. KEYS: the last one. ARGV: a moment in us, how long to keep
// it in ms, how long ago it was due in us. It returns the claim, and whether another one
// was made within the moment. One that was due earlier is no reason to forget a later one.
var claimScript = redis.NewScript("place_claim", `
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local last = tonumber(redis.call('GET', KEYS[1]) or 0) or 0
local age, claim = tonumber(ARGV[3]), math.max(now, last + 1)
if age > 0 then claim = now - age end
redis.call('SET', KEYS[1], string.format('%.0f', math.max(claim, last)), 'PX', ARGV[2])
return {claim, (now - last < tonumber(ARGV[1])) and 1 or 0}
`)
