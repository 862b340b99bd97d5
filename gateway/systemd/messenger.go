package systemd

import (
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// What can be told, see sd_notify(3).
const (
	Ready    = daemon.SdNotifyReady
	Stopping = daemon.SdNotifyStopping
)

// Status is a line for people who ask for the state of the service.
func Status(text string) string {
	return "STATUS=" + strings.ReplaceAll(text, "\n", " ")
}

// Reloading is told before a configuration is read anew; Ready behind it.
func Reloading() string {
	return daemon.SdNotifyReloading + "\n" + strings.TrimSuffix(daemon.SdNotifyMonotonicUsec(), "\n")
}

// Within asks for so much time until the next message, should it be more than the manager
// allows by itself.
func Within(d time.Duration) string {
	return "EXTEND_TIMEOUT_USEC=" + strconv.FormatInt(d.Microseconds(), 10)
}

const (
	// mostWaiting is how many messages wait where the manager does not read.
	mostWaiting = 16
	// closeWithin is how long Close waits for the last of them.
	closeWithin = time.Second
)

// Messenger tells the service manager about the process, in the order of Tell. A nil one
// tells nobody. Any goroutine may tell. It has a goroutine of its own, since a manager that
// does not read holds up who writes to it.
type Messenger struct {
	// Immutable after NewMessenger.
	log      *slog.Logger
	watchdog time.Duration // 0: nobody watches
	done     chan struct{} // closed when the goroutine has ended

	// Guarded by mu.
	mu       sync.Mutex
	closed   bool
	messages chan string // closed by Close

	// Owned by the goroutine.
	failed bool
}

// NewMessenger returns nil if there is no manager that wants to be told.
func NewMessenger(log *slog.Logger) *Messenger {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return nil
	}
	m := &Messenger{log: log, done: make(chan struct{}), messages: make(chan string, mostWaiting)}
	var err error
	if m.watchdog, err = daemon.SdWatchdogEnabled(true); err != nil {
		log.Warn("the service manager's watchdog is not told anything", "error", err)
	}
	go m.run()
	return m
}

// Tell tells what the lines say. It waits for nobody: where the manager does not read, it is
// not told.
func (m *Messenger) Tell(lines ...string) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	select {
	case m.messages <- strings.Join(lines, "\n"):
	default:
	}
}

func (m *Messenger) run() {
	defer close(m.done)
	for text := range m.messages {
		if _, err := daemon.SdNotify(false, text); err != nil && !m.failed {
			m.failed = true
			m.log.Warn("the service manager cannot be told about this process (NOTIFY_SOCKET)", "error", err)
		}
	}
}

// Close waits a second at most until all was told.
func (m *Messenger) Close() {
	if m == nil {
		return
	}
	m.mu.Lock()
	if !m.closed {
		m.closed = true
		close(m.messages)
	}
	m.mu.Unlock()
	select {
	case <-m.done:
	case <-time.After(closeWithin):
	}
}
