package mailtest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// IMAPOptions say what an [IMAP] server offers. The zero value speaks IMAP4rev1
// with all extensions it has, except Gmail's, to nobody.
type IMAPOptions struct {
	// TLS, if set, is offered by STARTTLS, or used from the first octet if Implicit.
	TLS      *tls.Config
	Implicit bool

	// Users gives each user's password, or access token for XOAUTH2 and
	// OAUTHBEARER.
	Users map[string]string

	// Mechanisms are what AUTHENTICATE offers: PLAIN, LOGIN, CRAM-MD5, SCRAM-SHA-1,
	// SCRAM-SHA-256, XOAUTH2, OAUTHBEARER, and EXTERNAL (the user is the common
	// name of the client's certificate).
	Mechanisms []string
	NoLOGIN    bool // the command is refused, and LOGINDISABLED listed

	// Capabilities is the whole list instead of the default, without AUTH=, STARTTLS
	// and LOGINDISABLED, which follow from what else is set. Commands and options
	// of extensions that are not listed are refused with BAD.
	Capabilities []string
	Without      []string // taken out of the list
	Extra        []string // added to it; the server need not know them
	// NoCapabilityCode leaves the list out of the greeting and of the login's OK.
	NoCapabilityCode bool

	Delimiter string // between the levels of a name; "/" if empty

	// Latency is waited before the first response of each flight of commands, so
	// that a pipelining client pays it once.
	Latency time.Duration

	// MaxSessions bounds the sessions that are logged in at once, over all users;
	// 0 is no bound. The next login is refused with LimitText, or if that is empty
	// "[LIMIT] too many sessions".
	MaxSessions int
	LimitText   string

	// Log gets a transcript. It holds passwords: for tests only.
	Log io.Writer

	// Hook sees each command before it is carried out and may spoil it. It is
	// called from every session's goroutine, without any lock: it may use the
	// accounts and mailboxes of the server.
	Hook func(*IMAPEvent)

	Quirks IMAPQuirks
}

// IMAP is an embedded IMAP server on a loopback port: RFC 3501 and the parts of
// RFC 9051 that its capabilities name. It knows no MIME parts, and no ENVELOPE
// or BODYSTRUCTURE. Mailboxes live as long as it does. All methods may be called
// from any goroutine.
type IMAP struct {
	o        IMAPOptions
	listener net.Listener
	done     chan struct{} // closed by Close
	running  sync.WaitGroup

	mu        sync.Mutex // guards what follows; taken before an account's, never after
	closed    bool
	passwords map[string]string
	accounts  map[string]*IMAPAccount
	conns     map[net.Conn]struct{}
	counts    IMAPCounts
	inside    int // sessions that are logged in
	lastLogin time.Time

	logging sync.Mutex
}

// NewIMAP returns a server with an empty INBOX for each user. It does not listen
// before Start.
func NewIMAP(o IMAPOptions) *IMAP {
	if o.Delimiter == "" {
		o.Delimiter = "/"
	}
	s := &IMAP{
		o:         o,
		done:      make(chan struct{}),
		passwords: make(map[string]string),
		accounts:  make(map[string]*IMAPAccount),
		conns:     make(map[net.Conn]struct{}),
	}
	s.counts.Commands = make(map[string]int)
	for user, password := range o.Users {
		s.passwords[user] = password
	}
	return s
}

// Start listens on a free port of 127.0.0.1 and serves until Close.
func (s *IMAP) Start() error {
	if s.o.Implicit && s.o.TLS == nil {
		return errors.New("start IMAP server: implicit TLS without a TLS configuration")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("start IMAP server: %w", err)
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
func (s *IMAP) Addr() string { return s.listener.Addr().String() }

// Port is the server's port.
func (s *IMAP) Port() int { return s.listener.Addr().(*net.TCPAddr).Port }

// Close cuts every session, stops listening, and waits for all goroutines.
func (s *IMAP) Close() error {
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
func (s *IMAP) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		_ = conn.Close()
	}
}

// Account returns the mailboxes of user, who need not be one of Users.
func (s *IMAP) Account(user string) *IMAPAccount {
	s.mu.Lock()
	defer s.mu.Unlock()
	account := s.accounts[user]
	if account == nil {
		account = newIMAPAccount(s.o.Delimiter, s.lists("X-GM-EXT-1"))
		if s.o.Quirks.Mailboxes != nil {
			s.o.Quirks.Mailboxes(account)
		}
		s.accounts[user] = account
	}
	return account
}

// SetPassword changes what the next login of user must show.
func (s *IMAP) SetPassword(user, password string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.passwords[user] = password
}

func (s *IMAP) password(user string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	password, ok := s.passwords[user]
	return password, ok
}

func (s *IMAP) accept() {
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
			newIMAPSession(s, conn, number).run()
			s.mu.Lock()
			delete(s.conns, conn)
			s.counts.Open--
			s.mu.Unlock()
		}()
	}
}

// admit registers a connection unless the server is closing.
func (s *IMAP) admit(conn net.Conn) (number int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, false
	}
	s.conns[conn] = struct{}{}
	s.running.Add(1)
	s.counts.Sessions++
	s.counts.Open++
	return s.counts.Sessions, true
}

// log writes one line of the transcript: session, side, text.
func (s *IMAP) log(session int, side, text string) {
	if s.o.Log == nil {
		return
	}
	s.logging.Lock()
	defer s.logging.Unlock()
	_, _ = fmt.Fprintf(s.o.Log, "%d %s: %s\n", session, side, text)
}
