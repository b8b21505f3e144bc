package mailtest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// POP3Options say what a [POP3] server offers. The zero value speaks plain
// POP3 with USER, UIDL, TOP, CAPA and PIPELINING to nobody.
type POP3Options struct {
	// TLS, if set, is offered by STLS, or used from the first octet if Implicit.
	TLS      *tls.Config
	Implicit bool

	// Users gives each user's password, or access token for XOAUTH2 and
	// OAUTHBEARER.
	Users map[string]string

	// Mechanisms are what AUTH offers: PLAIN, LOGIN, CRAM-MD5, SCRAM-SHA-1,
	// SCRAM-SHA-256, XOAUTH2, OAUTHBEARER, and EXTERNAL (the user is the common
	// name of the client's certificate). APOP puts a timestamp in the greeting.
	Mechanisms []string

	NoUSER, NoUIDL, NoTOP, NoCAPA bool

	// NoPipelining withholds the capability and makes the server strict: before
	// it replies it looks for octets that should not be there yet, and counts
	// them (POP3Counts.Early).
	NoPipelining bool

	CAPA      []string // the whole list, instead of the one these options make
	ExtraCAPA []string // lines to add to it

	// Latency is waited before the first reply of each flight of commands, so
	// that a pipelining client pays it once.
	Latency time.Duration

	// LockWait is how long a login waits for another session's lock on the
	// maildrop before it answers -ERR [IN-USE].
	LockWait time.Duration

	// Log gets a transcript. It holds passwords: for tests only.
	Log io.Writer

	// Hook sees each command before it is carried out and may spoil it. It is
	// called from every session's goroutine.
	Hook func(*POP3Event)

	Quirks POP3Quirks
}

// POP3Quirks are standing faults of known servers; the Profile functions set them.
type POP3Quirks struct {
	Window   int                                               // show at most so many messages, the oldest
	Popped   bool                                              // a message retrieved in a session that ended with QUIT is not shown again
	Recent   string                                            // prefix of the user's name that shows popped messages too and pops none
	UID      func(session, number int, uid string) string      // the unique-id that UIDL shows
	Size     func(session, number int, octets int64) int64     // the size that LIST, STAT and RETR announce
	Row      func(session int, verb string, row string) string // a line of LIST or UIDL, without line end; "" leaves it out
	NoStuff  bool                                              // lines that begin with a dot are sent as they are
	LateDot  bool                                              // the final dot follows the last line's text without a CRLF between
	BareLF   bool                                              // LF instead of CRLF everywhere
	TwoLines bool                                              // AUTH refuses an initial response on the same line
}

// POP3 is an embedded POP3 server on a loopback port. Maildrops live as long
// as it does. All methods may be called from any goroutine.
type POP3 struct {
	o        POP3Options
	listener net.Listener
	done     chan struct{} // closed by Close
	running  sync.WaitGroup

	mu        sync.Mutex // guards what follows
	closed    bool
	passwords map[string]string
	drops     map[string]*Maildrop
	conns     map[net.Conn]struct{}
	counts    POP3Counts

	logging sync.Mutex
}

// NewPOP3 returns a server with an empty maildrop for each user. It does not
// listen before Start.
func NewPOP3(o POP3Options) *POP3 {
	s := &POP3{
		o:         o,
		done:      make(chan struct{}),
		passwords: make(map[string]string),
		drops:     make(map[string]*Maildrop),
		conns:     make(map[net.Conn]struct{}),
	}
	s.counts.Commands = make(map[string]int)
	for user, password := range o.Users {
		s.passwords[user] = password
	}
	return s
}

// Start listens on a free port of 127.0.0.1 and serves until Close.
func (s *POP3) Start() error {
	if s.o.Implicit && s.o.TLS == nil {
		return errors.New("start POP3 server: implicit TLS without a TLS configuration")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("start POP3 server: %w", err)
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
func (s *POP3) Addr() string { return s.listener.Addr().String() }

// Port is the server's port.
func (s *POP3) Port() int { return s.listener.Addr().(*net.TCPAddr).Port }

// Close cuts every session, stops listening, and waits for all goroutines.
func (s *POP3) Close() error {
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

// Mailbox returns the maildrop of user, and makes an empty one if need be.
func (s *POP3) Mailbox(user string) *Maildrop {
	s.mu.Lock()
	defer s.mu.Unlock()
	drop := s.drops[user]
	if drop == nil {
		drop = newMaildrop()
		s.drops[user] = drop
	}
	return drop
}

// SetPassword changes what the next login of user must show.
func (s *POP3) SetPassword(user, password string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.passwords[user] = password
}

func (s *POP3) password(user string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	password, ok := s.passwords[user]
	return password, ok
}

func (s *POP3) accept() {
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
			newPOP3Session(s, conn, number).run()
			s.mu.Lock()
			delete(s.conns, conn)
			s.counts.Open--
			s.mu.Unlock()
		}()
	}
}

// admit registers a connection unless the server is closing.
func (s *POP3) admit(conn net.Conn) (number int, ok bool) {
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
func (s *POP3) log(session int, side, text string) {
	if s.o.Log == nil {
		return
	}
	s.logging.Lock()
	defer s.logging.Unlock()
	_, _ = fmt.Fprintf(s.o.Log, "%d %s: %s\n", session, side, text)
}

// capabilities is the answer to CAPA (RFC 2449 section 5).
func (s *POP3) capabilities(secure bool) []string {
	if s.o.CAPA != nil {
		return append(s.o.CAPA[:len(s.o.CAPA):len(s.o.CAPA)], s.o.ExtraCAPA...)
	}
	list := []string{"RESP-CODES", "AUTH-RESP-CODE"}
	if !s.o.NoTOP {
		list = append(list, "TOP")
	}
	if !s.o.NoUIDL {
		list = append(list, "UIDL")
	}
	if !s.o.NoPipelining {
		list = append(list, "PIPELINING")
	}
	if !s.o.NoUSER {
		list = append(list, "USER")
	}
	if sasl := s.sasl(); len(sasl) > 0 {
		list = append(list, "SASL "+strings.Join(sasl, " "))
	}
	if s.o.TLS != nil && !secure {
		list = append(list, "STLS")
	}
	return append(list, s.o.ExtraCAPA...)
}

// sasl is the list of mechanisms without APOP, which is a command of its own.
func (s *POP3) sasl() []string {
	var list []string
	for _, m := range s.o.Mechanisms {
		if m != "APOP" {
			list = append(list, m)
		}
	}
	return list
}

func (s *POP3) apop() bool { return len(s.sasl()) < len(s.o.Mechanisms) }
