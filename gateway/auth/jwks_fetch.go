package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	fetchAttempts = 2
	// fetchTimeout is for one attempt, up to the last byte.
	fetchTimeout = 900 * time.Millisecond

	maxAnswerHeader = 64 << 10

	// maxIdleFetches is how many connections to key servers are kept for the next
	// fetch.
	maxIdleFetches = 2
)

// newKeyClient returns the client that fetches key sets. It uses no proxy of
// the environment, as the reference.
func newKeyClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:       Dial(fetchTimeout),
			ForceAttemptHTTP2: true, MaxIdleConns: maxIdleFetches, MaxIdleConnsPerHost: 1, IdleConnTimeout: 30 * time.Second,
			MaxResponseHeaderBytes: maxAnswerHeader,
		},
		CheckRedirect: SameHost,
	}
}

// get fetches a key set. A server that answers with something else than a key
// set is asked once; its answer would be the same.
func (j *keyStore) get(text string) (*keySet, error) {
	select {
	case j.fetches <- struct{}{}:
		defer func() { <-j.fetches }()
	case <-j.ctx.Done():
		return nil, j.ctx.Err()
	}
	var body []byte
	var err error
	for range fetchAttempts {
		if body, err = j.attempt(text); err == nil {
			return decodeKeySet(body)
		}
		if j.ctx.Err() != nil {
			break
		}
	}
	return nil, err
}

// attempt makes one request. Its error does not show the URL.
func (j *keyStore) attempt(text string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(j.ctx, fetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, text, nil)
	if err != nil {
		return nil, errors.New("not a URL that can be requested")
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := j.client.Do(req)
	if err != nil {
		return nil, CallError(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d: 200 expected", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxAnswer+1))
	if err != nil {
		return nil, err
	}
	if len(body) > MaxAnswer {
		return nil, fmt.Errorf("more than %d bytes", MaxAnswer)
	}
	return body, nil
}
