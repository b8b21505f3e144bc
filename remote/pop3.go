package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"postrider/auth"
	"postrider/configs"
	"postrider/fetch"
	"postrider/pop3"
)

// POP3 is an account at a POP3 server. Its methods are for one goroutine at a
// time.
type POP3 struct {
	dialer *dialer
	login  *login
	box    configs.Mailbox
	memory Memory
}

// NewPOP3 prepares an account that has pop3. What its server has shown is kept
// in m.
func NewPOP3(a configs.Account, env auth.Environ, m Memory) (*POP3, error) {
	d, err := newDialer(a.POP3.Server)
	if err != nil {
		return nil, err
	}
	return &POP3{dialer: d, login: newLogin(a, env), box: *a.POP3, memory: m}, nil
}

// pop3Memory is what an earlier session over TLS has shown. It decides only
// what is sent ahead; the server's answer to CAPA is asked for all the same,
// and has the last word.
type pop3Memory struct {
	Mechanism string `json:"mechanism"`          // "" if nothing can be sent ahead
	Stumbled  int64  `json:"stumbled,omitempty"` // when sending ahead failed, in Unix seconds
}

// stumbleHold is how long nothing is sent ahead to a server that stumbled over
// it. It is not for ever, as a line that broke at that moment looks the same.
const stumbleHold = 7 * 24 * time.Hour

func (m pop3Memory) stumbles() bool { return time.Since(time.Unix(m.Stumbled, 0)) < stumbleHold }

// Address is the server's host:port.
func (a *POP3) Address() string {
	return net.JoinHostPort(a.box.Host, strconv.Itoa(a.box.Port))
}

// Dial returns a session that is logged in. The error is a *ServerError or a
// *LoginError, save for what is our own.
func (a *POP3) Dial(ctx context.Context) (fetch.Source, error) {
	src, err := a.open(ctx)
	if err != nil {
		return nil, err
	}
	return src, nil
}

// open sends ahead what an earlier session has shown to work. If that does not
// suit the server any more, a second session goes one step at a time.
func (a *POP3) open(ctx context.Context) (*pop3Source, error) {
	// A password command may take its time: no server waits for it.
	if err := a.login.ready(ctx); err != nil {
		return nil, &LoginError{a.Address(), err}
	}
	known := a.recall()
	src, err := a.session(ctx, known)
	if err == nil || known.Mechanism == "" || !stumbled(err) || ctx.Err() != nil {
		return src, err
	}
	if src, err = a.session(ctx, pop3Memory{}); err == nil {
		src.shown = pop3Memory{Stumbled: time.Now().Unix()} // the server is well, so it was that
	}
	return src, err
}

// stumbled tells whether sending ahead may be the reason for a failure.
func stumbled(err error) bool {
	var protocol *pop3.ProtocolError
	var conn *pop3.ConnError
	return errors.Is(err, pop3.ErrAhead) || errors.As(err, &protocol) || errors.As(err, &conn)
}

func (a *POP3) recall() (known pop3Memory) {
	text, err := a.memory.Recall()
	if err != nil || json.Unmarshal(text, &known) != nil {
		return pop3Memory{}
	}
	return known
}

func (a *POP3) remember(m pop3Memory) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return a.memory.Remember(text)
}

func (a *POP3) session(ctx context.Context, known pop3Memory) (*pop3Source, error) {
	conn, err := a.dialer.dial(ctx)
	if err != nil {
		return nil, err
	}
	options := pop3.Options{Timeout: a.box.Timeout}
	c, err := pop3.New(ctx, conn, options)
	if err != nil {
		return nil, &ServerError{a.Address(), fmt.Errorf("begin session: %w", err)}
	}
	s := &pop3Source{account: a, client: c, known: known, shown: pop3Memory{Stumbled: known.Stumbled}}
	if err := s.begin(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return s, nil
}

// pop3Source is a session as package fetch sees it.
type pop3Source struct {
	account *POP3
	client  *pop3.Client
	known   pop3Memory // what was sent ahead, if anything
	shown   pop3Memory // what this session has shown
	marked  bool       // messages are marked as deleted
	uidl    bool       // the server has announced UIDL
}

// begin brings the session to the TRANSACTION state.
func (s *pop3Source) begin(ctx context.Context) error {
	if s.known.Mechanism != "" {
		if err := s.sendAhead(ctx); err != nil {
			return s.loggedIn(err)
		}
	}
	if s.account.box.TLS == "starttls" {
		// Whatever the server says about itself before TLS could be anybody's word: it is not asked.
		if err := s.client.StartTLS(ctx, s.account.dialer.tls); err != nil {
			return s.failed("begin TLS", err)
		}
	}
	caps, err := s.client.Capabilities(ctx)
	if err != nil {
		return s.failed("ask for capabilities", err)
	}
	s.uidl = caps.UIDL
	if caps.UTF8 {
		// Otherwise the server may rewrite headers in UTF-8, which would not be the message any more.
		if err := s.client.UTF8(ctx); err != nil {
			return s.failed("ask for UTF-8", err)
		}
	}
	if s.known.Mechanism != "" && !caps.Pipelining {
		// It does not promise any more to take what came too early for what it was.
		return s.failed("log in", pop3.ErrAhead)
	}
	return s.logIn(ctx, caps)
}

// sendAhead is for implicit TLS only: nothing is known of a server before it
// has proved who it is.
func (s *pop3Source) sendAhead(ctx context.Context) error {
	steps := []pop3.Ahead{pop3.AheadCapabilities()}
	credentials := s.account.login.credentials(s.account.box.Server)
	choice, err := auth.Choose(ctx, policy(s.account.box.Server, true), credentials, s.known.offered(), s.known.Mechanism == auth.CommandUser)
	if err != nil {
		return nil // what is known is of no use; the server is going to say what it has
	}
	switch {
	case choice.Client != nil:
		steps = append(steps, pop3.AheadAuth(choice.Client))
	default:
		password, err := credentials.Password(ctx)
		if err != nil {
			return err
		}
		steps = append(steps, pop3.AheadLogin(credentials.User, password))
	}
	// What cannot be sent ahead, such as a very long password, has then not been
	// sent at all; and a line that broke is broken for the next call too.
	_ = s.client.Ahead(ctx, append(steps, pop3.AheadListing())...)
	return nil
}

func (m pop3Memory) offered() []string {
	if m.Mechanism == auth.CommandUser {
		return nil
	}
	return []string{m.Mechanism}
}

func (s *pop3Source) logIn(ctx context.Context, caps pop3.Capabilities) error {
	server := s.account.box.Server
	credentials := s.account.login.credentials(server)
	// A server without CAPA has USER; one that lists nothing to log in with mostly has it too.
	plainCommand := caps.USER || len(caps.SASL()) == 0
	choice, err := auth.Choose(ctx, policy(server, server.TLS != "none"), credentials, caps.SASL(), plainCommand)
	if err != nil {
		return s.refused(err)
	}
	if err := s.authenticate(ctx, choice, credentials); err != nil {
		return err
	}
	if !s.known.stumbles() && server.TLS == "implicit" && caps.Pipelining && !caps.UTF8 && (choice.Mechanism == "PLAIN" || choice.Mechanism == auth.CommandUser) {
		s.shown = pop3Memory{Mechanism: choice.Mechanism}
	}
	return nil
}

func (s *pop3Source) authenticate(ctx context.Context, choice auth.Choice, c auth.Credentials) error {
	if choice.Client != nil {
		err := s.client.Auth(ctx, choice.Client)
		if err == nil {
			err = auth.Finished(choice.Client)
		} else if told := auth.Refusal(choice.Client); told != nil {
			err = fmt.Errorf("%w (%w)", err, told)
		}
		return s.loggedIn(err)
	}
	if c.Password == nil {
		return s.refused(errors.New("there is no password"))
	}
	password, err := c.Password(ctx)
	if err != nil {
		return s.refused(err)
	}
	if choice.Mechanism != auth.CommandAPOP {
		return s.loggedIn(s.client.Login(ctx, c.User, password))
	}
	digest, err := auth.APOP(s.client.Timestamp(), password)
	if err != nil {
		return s.refused(err)
	}
	return s.loggedIn(s.client.APOP(ctx, c.User, digest))
}

// loggedIn sorts what came of a login: nil, a refusal, or a failure that says
// nothing about the password.
func (s *pop3Source) loggedIn(err error) error {
	var reply *pop3.ReplyError
	var own *auth.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &reply) && reply.LoginRefused():
		if p := s.account.login.password; p != nil {
			p.Forget()
		}
		return s.refused(err)
	case errors.As(err, &own):
		return s.refused(err)
	}
	return s.failed("log in", err)
}

func (s *pop3Source) refused(err error) error {
	return &LoginError{s.account.Address(), err}
}

func (s *pop3Source) failed(doing string, err error) error {
	return &ServerError{s.account.Address(), fmt.Errorf("%s: %w", doing, err)}
}

// List implements fetch.Source.
func (s *pop3Source) List(ctx context.Context, _ fetch.Mark, each func(fetch.Item) error) (fetch.Listing, error) {
	listed, err := s.client.Listing(ctx, func(it pop3.Item) error {
		return each(fetch.Item{Number: it.Number, UID: it.UID, Octets: it.Octets})
	})
	if err != nil {
		var conn *pop3.ConnError
		if s.known.Mechanism != "" && ctx.Err() == nil && stumbled(err) && (!errors.As(err, &conn) || conn.Timeout()) {
			// A LIST that was sent ahead may have been dropped: the next session waits with it.
			err = errors.Join(err, s.account.remember(pop3Memory{Stumbled: time.Now().Unix()}))
		}
		return fetch.Listing{}, s.failed("list", err)
	}
	if listed.NoUIDL && s.uidl {
		return fetch.Listing{}, s.failed("list", errors.New("the server announced UIDL and refuses it, so that its messages cannot be told apart"))
	}
	return fetch.Listing{Complete: listed.Malformed == 0}, nil
}

// Retrieve implements fetch.Source.
func (s *pop3Source) Retrieve(ctx context.Context, want []fetch.Request, r fetch.Receiver) error {
	requests := make([]pop3.Request, len(want))
	for i, w := range want {
		requests[i] = pop3.Request(w)
	}
	err := s.client.Retrieve(ctx, requests, r)
	var local *fetch.LocalError
	if err == nil || errors.As(err, &local) {
		return err // nothing that the server has done
	}
	return s.failed("retrieve", err)
}

// Dispose implements fetch.Source.
func (s *pop3Source) Dispose(ctx context.Context, numbers []int, each func(number int, err error)) error {
	s.marked = true
	if err := s.client.Delete(ctx, numbers, each); err != nil {
		return s.failed("delete", err)
	}
	return nil
}

// Close implements fetch.Source. The reply to QUIT matters only where messages
// were marked as deleted.
func (s *pop3Source) Close(ctx context.Context) error {
	if s.marked {
		if err := s.client.Quit(ctx); err != nil {
			return s.failed("end session", err)
		}
	} else {
		// Nothing depends on how it ends: what was fetched is delivered.
		_ = s.client.Leave()
	}
	if s.shown != s.known {
		return s.account.remember(s.shown)
	}
	return nil
}

// Abort implements fetch.Source.
func (s *pop3Source) Abort() { s.client.Close() }
