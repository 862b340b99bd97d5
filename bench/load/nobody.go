//go:build linux

package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	json "github.com/goccy/go-json"
)

// AwaitNobody waits, at most for the time of limit, until the server has noticed
// that all clients have left (API method info, PROTOCOL 7.10).
func (t *Target) AwaitNobody(ctx context.Context, limit time.Duration) error {
	begin := time.Now()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		n, err := t.clients(ctx)
		if err != nil || n == 0 {
			return err
		}
		if time.Since(begin) > limit {
			return fmt.Errorf("bench: all streams were closed, and after %v the server still counts %d clients; measure one that nobody else uses", limit, n)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-again.C:
		}
	}
}

// infoLimit is how long the API may take for an answer.
const infoLimit = 10 * time.Second

// clients asks how many clients are connected, on all nodes.
func (t *Target) clients(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, infoLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.APIURL+"/info", bytes.NewReader([]byte("{}")))
	if err != nil {
		return 0, fmt.Errorf("bench: %w", err)
	}
	req.Header.Set("X-API-Key", t.APIKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, fmt.Errorf("bench: %w", err)
	}
	defer resp.Body.Close()
	var info struct {
		Result struct {
			Nodes []struct {
				Clients int `json:"num_clients"`
			}
		}
	}
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("bench: the API method info was answered %s; check -key and the server's log", resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(&info); err != nil {
		return 0, fmt.Errorf("bench: the answer to the API method info: %w", err)
	}
	if len(info.Result.Nodes) == 0 {
		return 0, errors.New("bench: the answer to the API method info names no node")
	}
	n := 0
	for _, node := range info.Result.Nodes {
		n += node.Clients
	}
	return n, nil
}
