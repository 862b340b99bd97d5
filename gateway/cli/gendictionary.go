package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sluice/codec"
)

// dictionaryCommand trains a dictionary from what channels have in their history.
func dictionaryCommand(stdout io.Writer) *cobra.Command {
	d := &dictionaryTraining{}
	cmd := &cobra.Command{
		Use:   "gendictionary --api URL --key-file FILE --channel CHANNEL...",
		Short: "Print a compression dictionary for events like those in the history of channels",
		Long: "Print a dictionary for channel.*.compression_dictionary, of what several events in the history of channels\n" +
			"have in common. What it prints is served to everybody: look at it, and name channels only that have no\n" +
			"secrets in them. The same histories give the same dictionary.",
		Example: "  sluice gendictionary --api http://localhost:8000/api --key-file key --channel ticks:us > ticks.dictionary",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			raw, err := d.train()
			if err == nil {
				_, err = stdout.Write(raw)
			}
			return err
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&d.api, "api", "", "URL of the HTTP API of a node")
	f.StringVar(&d.keyFile, "key-file", "", "file with the key of the API")
	f.StringSliceVar(&d.channels, "channel", nil, "channel with history; may be given again")
	f.IntVar(&d.size, "size", 32<<10, "bytes of the dictionary, at most")
	return cmd
}

type dictionaryTraining struct {
	api, keyFile string
	channels     []string
	size         int
}

const (
	// trainingEvents is how many events of a channel are looked at, the newest, and
	// trainingText how many bytes of all.
	trainingEvents = 1000
	trainingText   = 256 << 10
	// historyMost bounds an answer of the API.
	historyMost = 64 << 20
)

func (d *dictionaryTraining) train() ([]byte, error) {
	if d.api == "" || d.keyFile == "" || len(d.channels) == 0 {
		return nil, errors.New("gendictionary: expected --api, --key-file and --channel, at least once")
	}
	if d.size < 1 || d.size > codec.DictionaryMax {
		return nil, fmt.Errorf("gendictionary: --size %d: expected 1 to %d", d.size, codec.DictionaryMax)
	}
	if u, err := url.Parse(d.api); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("gendictionary: --api %q: expected a URL such as http://localhost:8000/api", d.api)
	}
	key, err := os.ReadFile(d.keyFile)
	if err != nil {
		return nil, fmt.Errorf("gendictionary: --key-file: %w", err)
	}
	var texts [][]byte
	for _, ch := range d.channels {
		more, err := d.events(ch, strings.TrimSpace(string(key)))
		if err != nil {
			return nil, fmt.Errorf("gendictionary: channel %q: %w", ch, err)
		}
		for total, i := 0, 0; i < len(more) && total+len(more[i]) <= trainingText/len(d.channels); i++ {
			texts, total = append(texts, more[i]), total+len(more[i])
		}
	}
	raw := codec.TrainDictionary(texts, d.size)
	if len(raw) == 0 {
		return nil, fmt.Errorf("gendictionary: %d events have nothing in common: expected channels with more history", len(texts))
	}
	return raw, nil
}

// events returns what streams are sent of a channel's history.
func (d *dictionaryTraining) events(ch, key string) (texts [][]byte, err error) {
	body := fmt.Appendf(nil, `{"channel":%s,"limit":%d,"reverse":true}`, codec.QuoteJSON(ch).String(), trainingEvents)
	req, err := http.NewRequest(http.MethodPost, strings.TrimRight(d.api, "/")+"/history", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-API-Key", key)
	resp, err := (&http.Client{Timeout: 30 * time.Second}).Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var reply struct {
		Error  *struct{ Message string }
		Result struct{ Publications []json.RawMessage }
	}
	err = json.NewDecoder(io.LimitReader(resp.Body, historyMost)).Decode(&reply)
	switch {
	case resp.StatusCode == http.StatusUnauthorized:
		return nil, fmt.Errorf("the API answered %s: expected http_api.key of the node in the file of --key-file", resp.Status)
	case resp.StatusCode == http.StatusNotFound:
		return nil, fmt.Errorf("the API answered %s: expected its URL, with its path, as --api", resp.Status)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("the API answered %s: expected 200", resp.Status)
	case err != nil:
		return nil, fmt.Errorf("the API answered what is no history: %w", err)
	case reply.Error != nil:
		return nil, errors.New("the API answered: " + reply.Error.Message)
	}
	for _, p := range reply.Result.Publications {
		push := fmt.Appendf(nil, `{"channel":%s,"pub":%s}`, codec.QuoteJSON(ch).String(), p)
		got, err := codec.DecodePush(push, codec.Limits{})
		if err != nil {
			return nil, err
		}
		lines, _ := codec.PubFrame(ch, got.Pub, "").Event(codec.FramingClose, false)
		texts = append(texts, lines)
	}
	return texts, nil
}
