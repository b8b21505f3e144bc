package mailtest

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

// SMTPOptions say what an [SMTP] server offers. The zero value speaks SMTP in
// clear, with all extensions it has, and takes mail from anybody to anybody.
type SMTPOptions struct {
	// TLS, if set, is offered by STARTTLS, or used from the first octet if Implicit.
	// AUTH is then neither offered nor taken before it; see Quirks.ClearAuth.
	TLS      *tls.Config
	Implicit bool

	// Users gives each user's password, or access token for XOAUTH2 and
	// OAUTHBEARER.
	Users map[string]string

	// Mechanisms are what AUTH offers: PLAIN, LOGIN, CRAM-MD5, SCRAM-SHA-1,
	// SCRAM-SHA-256, XOAUTH2, OAUTHBEARER, and EXTERNAL (the user is the common
	// name of the client's certificate).
	Mechanisms  []string
	RequireAuth bool // MAIL before a login is refused with a 530

	// Capabilities is the whole list instead of the default (PIPELINING, 8BITMIME,
	// ENHANCEDSTATUSCODES, SMTPUTF8, DSN), without AUTH, STARTTLS and SIZE, which
	// follow from what else is set. What is not listed is not taken, either.
	Capabilities []string
	Without      []string // taken out of the list, by keyword; AUTH, STARTTLS and SIZE too
	Extra        []string // added to it; the server need not know them

	// NoPipelining withholds the capability and makes the server strict: before
	// it replies it looks for octets that should not be there yet, and counts
	// them (SMTPCounts.Early, and a fault).
	NoPipelining bool

	Size       int64 // the largest message in octets; 0: 100 MiB
	Recipients int   // of one message at most; 0: 1000. The next gets a 452

	// Latency is waited before the first reply of each flight of commands, so
	// that a pipelining client pays it once.
	Latency time.Duration

	// MaxSessions bounds the sessions that are open at once; 0 is no bound. In
	// those beyond it LimitVerb is refused with LimitCode and LimitText: by default
	// GREETING with "421 4.7.0 too many connections".
	MaxSessions int
	LimitVerb   string
	LimitCode   int
	LimitText   string

	// Log gets a transcript, without the texts of messages. It holds passwords: for
	// tests only.
	Log io.Writer

	// Hook sees each command before it is carried out and may spoil it. It is
	// called from every session's goroutine, without any lock.
	Hook func(*SMTPEvent)

	Quirks SMTPQuirks
}

// SMTP is an embedded submission server on a loopback port (RFC 6409): what it
// accepts, it keeps for the test to see. It is strict: see [SMTP.Faults]. All
// methods may be called from any goroutine.
type SMTP struct {
	o        SMTPOptions
	listener net.Listener
	done     chan struct{} // closed by Close
	running  sync.WaitGroup

	mu        sync.Mutex // guards what follows
	closed    bool
	passwords map[string]string
	conns     map[net.Conn]int // the number of the session
	counts    SMTPCounts
	messages  []SMTPMessage
	faults    []string
	greylist  map[string]bool
	changed   chan struct{} // closed, and replaced, with each message

	logging sync.Mutex
}

// SMTPMessage is what the server has accepted.
type SMTPMessage struct {
	Session  int
	User     string     // logged in as, or ""
	From     string     // the reverse-path without brackets
	To       []string   // the recipients that were accepted
	Params   []string   // of MAIL, as they came: "SIZE=12"
	ToParams [][]string // of each RCPT that was accepted
	Octets   []byte     // as received, dot-stuffing undone, without the final dot's line; not to be changed
	Longest  int        // octets of the longest line without its end
	Time     time.Time
}

// MessageID is the content of the message's first Message-ID field, or "".
func (m *SMTPMessage) MessageID() string {
	rest := m.Octets
	for len(rest) > 0 {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		if len(line) == 0 {
			break // the body
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		if !bytes.EqualFold(bytes.TrimSpace(name), []byte("Message-ID")) {
			continue
		}
		if value = bytes.TrimSpace(value); len(value) == 0 { // folded behind the colon
			value, _, _ = bytes.Cut(rest, []byte("\r\n"))
		}
		return string(bytes.TrimSpace(value))
	}
	return ""
}

// NewSMTP returns a server. It does not listen before Start.
func NewSMTP(o SMTPOptions) *SMTP {
	if o.Capabilities == nil {
		o.Capabilities = []string{"PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "SMTPUTF8", "DSN"}
	}
	if o.Size == 0 {
		o.Size = 100 << 20
	}
	if o.Recipients == 0 {
		o.Recipients = 1000
	}
	if o.LimitVerb == "" {
		o.LimitVerb = "GREETING"
	}
	if o.LimitCode == 0 {
		o.LimitCode, o.LimitText = 421, "4.7.0 too many connections"
	}
	s := &SMTP{
		o:         o,
		done:      make(chan struct{}),
		passwords: make(map[string]string),
		conns:     make(map[net.Conn]int),
		greylist:  make(map[string]bool),
		changed:   make(chan struct{}),
	}
	s.counts.Commands = make(map[string]int)
	for user, password := range o.Users {
		s.passwords[user] = password
	}
	return s
}

// Start listens on a free port of 127.0.0.1 and serves until Close.
func (s *SMTP) Start() error {
	if s.o.Implicit && s.o.TLS == nil {
		return errors.New("start SMTP server: implicit TLS without a TLS configuration")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("start SMTP server: %w", err)
	}
	s.listener = listener
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		s.accept()
	}()
	return nil
}

// Addr is the server's address, host and port.
func (s *SMTP) Addr() string { return s.listener.Addr().String() }

// Port is the server's port.
func (s *SMTP) Port() int { return s.listener.Addr().(*net.TCPAddr).Port }

// Close cuts every session, stops listening, and waits for all goroutines. What
// was accepted can still be asked for.
func (s *SMTP) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		s.running.Wait()
		return nil
	}
	s.closed = true
	close(s.done)
	for conn := range s.conns {
		_ = conn.Close()
	}
	s.mu.Unlock()
	var err error
	if s.listener != nil {
		err = s.listener.Close()
	}
	s.running.Wait()
	return err
}

// Cut ends every session that is open now, without a word; the server goes on.
func (s *SMTP) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		_ = conn.Close()
	}
}

// SetPassword changes what the next login of user must show.
func (s *SMTP) SetPassword(user, password string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.passwords[user] = password
}

// Messages returns what has been accepted so far, in that order.
func (s *SMTP) Messages() []SMTPMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// Accepted says how often each message was accepted, by its Message-ID, brackets
// included.
func (s *SMTP) Accepted() map[string]int {
	accepted := make(map[string]int)
	for _, m := range s.Messages() {
		accepted[m.MessageID()]++
	}
	return accepted
}

// Await returns when n messages have been accepted, or with the context's error.
func (s *SMTP) Await(ctx context.Context, n int) error {
	for {
		s.mu.Lock()
		have, changed := len(s.messages), s.changed
		s.mu.Unlock()
		if have >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("await %d messages, have %d: %w", n, have, ctx.Err())
		}
	}
}

// Faults returns what clients did that they must not do, one line each:
// "session 2: bare LF in the text". The commands are still answered by the rules.
// Lines longer than SMTP allows are no fault, but counted (SMTPCounts.LongLines).
func (s *SMTP) Faults() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.faults)
}

// fault records one, at most 1000.
func (s *SMTP) fault(session int, format string, args ...any) {
	text := fmt.Sprintf("session %d: %s", session, fmt.Sprintf(format, args...))
	s.log(session, "!", text)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.faults) < 1000 {
		s.faults = append(s.faults, text)
	}
}

// keep stores an accepted message.
func (s *SMTP) keep(m SMTPMessage) {
	m.Time = time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, m)
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *SMTP) password(user string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	password, ok := s.passwords[user]
	return password, ok
}

func (s *SMTP) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return // closed
		}
		number, ok := s.admit(conn)
		if !ok {
			_ = conn.Close()
			return
		}
		go func() {
			defer s.running.Done()
			newSMTPSession(s, conn, number).run()
			s.mu.Lock()
			delete(s.conns, conn)
			s.counts.Open--
			s.mu.Unlock()
		}()
	}
}

// admit registers a connection unless the server is closing.
func (s *SMTP) admit(conn net.Conn) (number int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, false
	}
	s.running.Add(1)
	s.counts.Sessions++
	s.counts.Open++
	s.conns[conn] = s.counts.Sessions
	return s.counts.Sessions, true
}

// crowded says whether as many sessions as may be are open that are older than
// this one.
func (s *SMTP) crowded(session int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	older := 0
	for _, number := range s.conns {
		if number < session {
			older++
		}
	}
	return s.o.MaxSessions > 0 && older >= s.o.MaxSessions
}

// log writes one line of the transcript: session, side, text.
func (s *SMTP) log(session int, side, text string) {
	if s.o.Log == nil {
		return
	}
	s.logging.Lock()
	defer s.logging.Unlock()
	_, _ = fmt.Fprintf(s.o.Log, "%d %s: %s\n", session, side, text)
}
