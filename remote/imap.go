package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"postrider/auth"
	"postrider/configs"
	"postrider/fetch"
	"postrider/imap"
)

// IMAP is an account at an IMAP server. Its methods may be called from many
// goroutines at once; each session they return is for one.
type IMAP struct {
	name     string
	dialer   *dialer
	login    *login
	box      configs.Mailbox
	patterns patterns
	memory   Memory
	log      *slog.Logger

	remembering sync.Mutex // one change at a time

	mu     sync.Mutex
	known  *imapMemory // nil: not recalled yet
	warned map[string]bool
	doubt  bool // sending ahead may have broken a session
}

// imapMemory is what earlier sessions have shown.
type imapMemory struct {
	Delimiter string `json:"delimiter,omitempty"`
	Stumbled  int64  `json:"stumbled,omitempty"` // when sending ahead failed, in Unix seconds
	Copying   string `json:"copying,omitempty"`  // by mailbox: see there, as JSON
}

// NewIMAP prepares an account that has imap. What its server has shown is kept
// in m.
func NewIMAP(a configs.Account, env auth.Environ, m Memory, log *slog.Logger) (*IMAP, error) {
	d, err := newDialer(a.IMAP.Server)
	if err != nil {
		return nil, err
	}
	return &IMAP{
		name: a.Name, dialer: d, login: newLogin(a, env), box: *a.IMAP, patterns: newPatterns(a.IMAP.Folders),
		memory: m, log: log.With("account", a.Name), warned: map[string]bool{},
	}, nil
}

// Address is the server's host:port.
func (a *IMAP) Address() string { return net.JoinHostPort(a.box.Host, strconv.Itoa(a.box.Port)) }

// Single returns the mailbox if the account wants only one, which is known
// without looking for it. To move mail below another mailbox, the server's
// delimiter must be known, which only looking tells.
func (a *IMAP) Single() (found Found, ok bool) {
	name, ok := a.patterns.simple()
	if strings.Contains(a.moveTo(), "/") && a.recall().Delimiter == "" {
		return Found{}, false
	}
	if !ok || sameName(a.moveTo(), name, "") {
		return Found{}, false
	}
	return Found{Mailbox: imap.Mailbox{Name: name}, Rule: a.patterns.wanted[0].index}, true
}

// once reports whether it is the first time that something is to be said to
// the user.
func (a *IMAP) once(what string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	first := !a.warned[what]
	a.warned[what] = true
	return first
}

func (a *IMAP) recall() imapMemory {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.known == nil {
		a.known = &imapMemory{}
		if text, err := a.memory.Recall(); err != nil || json.Unmarshal(text, a.known) != nil {
			a.known = &imapMemory{}
		}
	}
	return *a.known
}

// remember changes what is known of the server.
func (a *IMAP) remember(change func(*imapMemory)) error {
	a.remembering.Lock()
	defer a.remembering.Unlock()
	m := a.recall()
	before := m
	if change(&m); m == before {
		return nil
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := a.memory.Remember(text); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.known = &m
	return nil
}

// Connect returns a session that is logged in.
func (a *IMAP) Connect(ctx context.Context) (*Session, error) {
	ahead := time.Since(time.Unix(a.recall().Stumbled, 0)) >= stumbleHold
	a.mu.Lock()
	ahead = ahead && !a.doubt
	a.mu.Unlock()
	return a.connect(ctx, ahead)
}

func (a *IMAP) connect(ctx context.Context, ahead bool) (*Session, error) {
	// A password command may take its time: no server waits for it.
	if err := a.login.ready(ctx); err != nil {
		return nil, &LoginError{a.Address(), err}
	}
	conn, err := a.dialer.dial(ctx)
	if err != nil {
		return nil, err
	}
	// Longer messages than max_size are thrown away while they arrive, which needs no limit of the session.
	c, err := imap.New(ctx, conn, imap.Options{Timeout: a.box.Timeout})
	if err != nil {
		return nil, &ServerError{a.Address(), fmt.Errorf("begin session: %w", err)}
	}
	s := &Session{account: a, client: c, mayAhead: ahead}
	if err := s.begin(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return s, nil
}

// begin logs in.
func (s *Session) begin(ctx context.Context) error {
	a := s.account
	if a.box.TLS == "starttls" {
		if err := s.client.StartTLS(ctx, a.dialer.tls); err != nil {
			return s.failed("begin TLS", err)
		}
	}
	if !s.client.Authenticated() {
		caps, err := s.client.Capabilities(ctx)
		if err != nil {
			return s.failed("ask for capabilities", err)
		}
		if err := s.logIn(ctx, caps); err != nil {
			return err
		}
	}
	var err error
	if s.caps, err = s.client.Capabilities(ctx); err != nil {
		return s.failed("ask for capabilities", err)
	}
	return nil
}

func (s *Session) logIn(ctx context.Context, caps imap.Capabilities) error {
	server := s.account.box.Server
	credentials := s.account.login.credentials(server)
	choice, err := auth.Choose(ctx, policy(server, server.TLS != "none"), credentials, caps.SASL(), !caps.Has("LOGINDISABLED"))
	if err != nil {
		return s.refused(err)
	}
	if choice.Client != nil {
		err := s.client.Authenticate(ctx, choice.Client)
		if err == nil {
			err = auth.Finished(choice.Client)
		} else if told := auth.Refusal(choice.Client); told != nil {
			err = fmt.Errorf("%w (%w)", err, told)
		}
		return s.loggedIn(err)
	}
	if credentials.Password == nil {
		return s.refused(errors.New("there is no password"))
	}
	password, err := credentials.Password(ctx)
	if err != nil {
		return s.refused(err)
	}
	return s.loggedIn(s.client.Login(ctx, credentials.User, password))
}

// loggedIn sorts what came of a login: nil, a refusal, or a failure that says
// nothing about the password.
func (s *Session) loggedIn(err error) error {
	var response *imap.ResponseError
	var own *auth.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &response) && response.LoginRefused():
		if p := s.account.login.password; p != nil {
			p.Forget()
		}
		return s.refused(err)
	case errors.As(err, &own):
		return s.refused(err)
	}
	return s.failed("log in", err)
}

func (s *Session) refused(err error) error { return &LoginError{s.account.Address(), err} }

// failed names the server, unless what failed is ours.
func (s *Session) failed(doing string, err error) error {
	var local *fetch.LocalError
	if errors.As(err, &local) {
		return err
	}
	return &ServerError{s.account.Address(), fmt.Errorf("%s: %w", doing, err)}
}
