package nats

import (
	"context"
	"errors"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Levels of JetStream's API, which say what its servers can.
const (
	// LevelTTL has TTLs of messages (2.11).
	LevelTTL = 1
	// LevelBatch has atomic batches (2.12).
	LevelBatch = 2
)

// Manager makes streams and looks at them, with the library's calls. Any goroutine.
type Manager struct {
	// Immutable.
	calls *Calls
}

// Manager returns that of the options' domain.
func (n *NATS) Manager() (*Manager, error) {
	m := &Manager{n.calls}
	_, err := m.open()
	return m, err
}

// js is the library's JetStream on the connection that there is now.
func (m *Manager) js() jetstream.JetStream {
	js, _ := m.open() // it did not fail for these options
	return js
}

func (m *Manager) open() (jetstream.JetStream, error) {
	if domain := m.calls.opt.Domain; domain != "" {
		return jetstream.NewWithDomain(m.calls.conn.nc(), domain)
	}
	return jetstream.New(m.calls.conn.nc())
}

// Level returns what all servers of JetStream can, 0 for those before 2.11.
func (m *Manager) Level(ctx context.Context) (int, error) {
	if err := m.calls.conn.state(); err != nil {
		return 0, m.calls.counted(err)
	}
	info, err := m.js().AccountInfo(ctx)
	if err != nil {
		return 0, m.failed(ctx, err)
	}
	return info.API.Level, nil
}

// Info returns a stream; the error is of ReasonStream if there is none.
func (m *Manager) Info(ctx context.Context, name string) (*jetstream.StreamInfo, error) {
	if err := m.calls.conn.state(); err != nil {
		return nil, m.calls.counted(err)
	}
	stream, err := m.js().Stream(ctx, name)
	if err != nil {
		return nil, m.failed(ctx, err)
	}
	return stream.CachedInfo(), nil
}

// Create makes a stream. It is no error that one of the same configuration is there.
func (m *Manager) Create(ctx context.Context, cfg jetstream.StreamConfig) (*jetstream.StreamInfo, error) {
	if err := m.calls.conn.state(); err != nil {
		return nil, m.calls.counted(err)
	}
	stream, err := m.js().CreateStream(ctx, cfg)
	if err != nil {
		return nil, m.failed(ctx, err)
	}
	return stream.CachedInfo(), nil
}

// Update changes the configuration of a stream.
func (m *Manager) Update(ctx context.Context, cfg jetstream.StreamConfig) (*jetstream.StreamInfo, error) {
	if err := m.calls.conn.state(); err != nil {
		return nil, m.calls.counted(err)
	}
	stream, err := m.js().UpdateStream(ctx, cfg)
	if err != nil {
		return nil, m.failed(ctx, err)
	}
	return stream.CachedInfo(), nil
}

// Subjects returns how many messages each subject has that matches a filter.
func (m *Manager) Subjects(ctx context.Context, stream, filter string) (map[string]uint64, error) {
	if err := m.calls.conn.state(); err != nil {
		return nil, m.calls.counted(err)
	}
	s, err := m.js().Stream(ctx, stream)
	if err != nil {
		return nil, m.failed(ctx, err)
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(filter))
	if err != nil {
		return nil, m.failed(ctx, err)
	}
	return info.State.Subjects, nil
}

// failed makes an Error of one of the library's.
func (m *Manager) failed(ctx context.Context, err error) error {
	var api *jetstream.APIError
	switch {
	case errors.As(err, &api):
		e := (&apiError{api.Code, int(api.ErrorCode), api.Description}).of()
		e.Err = err
		return m.calls.counted(e)
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return m.calls.counted(unavailable(ReasonNoJetStream, err))
	case errors.Is(err, natsgo.ErrNoResponders):
		return m.calls.counted(unavailable(ReasonResponders, err))
	case ctx.Err() != nil, errors.Is(err, natsgo.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		return m.calls.counted(unavailable(ReasonTimeout, err))
	case errors.Is(err, natsgo.ErrPermissionViolation):
		return m.calls.counted(&Error{Kind: ErrRefused, Reason: ReasonNoPerm, Err: err})
	}
	return m.calls.counted(ofSend(err))
}
