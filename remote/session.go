package remote

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"postrider/fetch"
	"postrider/imap"
)

// Session is a session with an IMAP server that is logged in. It serves one
// mailbox after the other.
type Session struct {
	account  *IMAP
	client   *imap.Client
	caps     imap.Capabilities
	mayAhead bool // commands may be sent before their turn

	introduced bool // ID and ENABLE are done
	qresync    bool // QRESYNC is on
	plain      bool // the server does not understand what it offers for SELECT
	compressed bool // or refused
	ended      bool
}

// Found is a mailbox that the account wants.
type Found struct {
	imap.Mailbox
	Rule int  // index of the first entry of folders that it matches
	View bool // of messages that are in other mailboxes too

	// Twins: the server has a number for a message that is the same in every
	// mailbox that has it.
	Twins bool
}

const surveyed = imap.StatusMessages | imap.StatusUIDNext | imap.StatusUIDValidity | imap.StatusHighestModSeq

// identity is what the server is told of us (RFC 2971): some want more than a
// name that could be anybody's.
func identity() map[string]string {
	version := "(devel)"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version = info.Main.Version
	}
	return map[string]string{"name": "postrider", "version": version, "vendor": "postrider"}
}

// extensions are what is enabled (RFC 5161).
func (s *Session) extensions() (names []string) {
	if !s.caps.Has("ENABLE") {
		return nil
	}
	if s.caps.Has("QRESYNC") {
		names = append(names, "QRESYNC")
	}
	if s.caps.Has("UTF8=ACCEPT") {
		// Otherwise the server may rewrite headers in UTF-8, which would not be the message any more.
		names = append(names, "UTF8=ACCEPT")
	}
	return names
}

// flight sends everything that a session begins with and the given steps in one
// go, and reads the answers to the former. It reports whether the steps were
// sent: then exactly they must follow. The names in them must be ASCII where
// that is said, as others change their form within the flight.
func (s *Session) flight(ctx context.Context, ascii bool, steps ...imap.Ahead) (sent bool, err error) {
	extensions := s.extensions()
	utf8 := !s.introduced && s.caps.Has("UTF8=ACCEPT") && len(extensions) > 0
	if s.mayAhead && (ascii || !utf8) {
		var first []imap.Ahead
		if !s.introduced && s.caps.Has("ID") {
			first = append(first, imap.AheadID(identity()))
		}
		if !s.introduced && len(extensions) > 0 {
			first = append(first, imap.AheadEnable(extensions...))
		}
		// What cannot be sent ahead has then not been sent at all; and a line that
		// broke is broken for the next call too.
		sent = s.client.Ahead(ctx, append(first, steps...)...) == nil
	}
	return sent, s.introduce(ctx)
}

// introduce says who we are and enables what is of use.
func (s *Session) introduce(ctx context.Context) error {
	if s.introduced {
		return nil
	}
	if s.caps.Has("ID") {
		if _, err := s.client.ID(ctx, identity()); err != nil && !answered(err) {
			return s.failed("say who we are", err)
		}
	}
	if extensions := s.extensions(); len(extensions) > 0 {
		enabled, err := s.client.Enable(ctx, extensions...)
		if err != nil && !answered(err) {
			return s.failed("enable extensions", err)
		}
		for _, name := range enabled {
			s.qresync = s.qresync || name == "QRESYNC"
		}
	}
	s.introduced = true
	return nil
}

// answered reports that an error is the server's NO or BAD, after which the
// session goes on.
func answered(err error) bool {
	var response *imap.ResponseError
	return errors.As(err, &response) && response.Status != "BYE"
}

// Survey connects, and returns the mailboxes that the account wants, with their
// state as far as the server tells.
func (a *IMAP) Survey(ctx context.Context) (s *Session, found []Found, err error) {
	s, err = a.first(ctx, func(s *Session) error {
		found, err = s.survey(ctx)
		return err
	})
	return s, found, err
}

// first connects and does the first thing of a session. If sending ahead turns
// out not to suit the server, another session goes one step at a time.
func (a *IMAP) first(ctx context.Context, do func(*Session) error) (*Session, error) {
	s, err := a.Connect(ctx)
	if err != nil {
		return nil, &NoSessionError{err}
	}
	if err = do(s); err == nil {
		return s, nil
	}
	s.Abort()
	if !s.mayAhead || ctx.Err() != nil || !outOfStep(err) {
		return nil, err
	}
	if s, err = a.connect(ctx, false); err != nil {
		return nil, &NoSessionError{err}
	}
	if err = do(s); err != nil {
		s.Abort()
		return nil, err
	}
	// The server is well, so it was that.
	if err := a.goByStep(); err != nil {
		s.Abort()
		return nil, err
	}
	return s, nil
}

// goByStep remembers that sending ahead does not suit the server.
func (a *IMAP) goByStep() error {
	return a.remember(func(m *imapMemory) { m.Stumbled = time.Now().Unix() })
}

// NoSessionError says that no session could be had. Other failures of what is
// done first in one concern a mailbox only.
type NoSessionError struct{ Err error }

func (e *NoSessionError) Error() string { return e.Err.Error() }
func (e *NoSessionError) Unwrap() error { return e.Err }

// AheadError is a failure at what was sent ahead, which may be the reason of it.
// The sessions that follow go one step at a time.
type AheadError struct{ Err error }

func (e *AheadError) Error() string { return e.Err.Error() }
func (e *AheadError) Unwrap() error { return e.Err }

// stumbled looks whether an error may be due to sending ahead.
func (s *Session) stumbled(ahead bool, err error) error {
	if !ahead || !outOfStep(err) || errors.Is(err, context.Canceled) {
		return err
	}
	s.account.mu.Lock()
	defer s.account.mu.Unlock()
	s.account.doubt = true
	return &AheadError{err}
}

// settled is called when a mailbox was listed: if that goes well one step at a
// time only, sending ahead was the reason.
func (a *IMAP) settled(s *Session) error {
	a.mu.Lock()
	stumbled := a.doubt && !s.mayAhead
	if stumbled {
		a.doubt = false
	}
	a.mu.Unlock()
	if !stumbled {
		return nil
	}
	return a.goByStep()
}

// outOfStep tells whether sending ahead may be the reason for a failure.
func outOfStep(err error) bool {
	var protocol *imap.ProtocolError
	var conn *imap.ConnError
	return errors.Is(err, imap.ErrAhead) || errors.As(err, &protocol) || errors.As(err, &conn)
}

// survey lists what the account wants.
func (s *Session) survey(ctx context.Context) ([]Found, error) {
	want := imap.ListRequest{Patterns: s.account.patterns.request(s.account.recall().Delimiter), Status: surveyed}
	ascii := true
	for _, p := range want.Patterns {
		ascii = ascii && isASCII(p)
	}
	var steps []imap.Ahead
	if s.caps.Has("LIST-EXTENDED") && s.caps.Has("LIST-STATUS") {
		steps = append(steps, imap.AheadList(want))
	}
	if _, err := s.flight(ctx, ascii, steps...); err != nil {
		return nil, err
	}
	listed, err := s.client.List(ctx, want)
	if err != nil {
		return nil, s.failed("list mailboxes", err)
	}
	makeValid(listed)
	if err := s.account.rememberDelimiter(listed); err != nil {
		return nil, err
	}
	chosen, left := s.account.patterns.choose(listed, s.account.moveTo())
	for _, l := range left {
		s.account.log.LogAttrs(ctx, slog.LevelDebug, "mailbox is left out", slog.String("folder", l.name), slog.String("why", l.why))
	}
	if err := s.account.missed(listed, chosen, left); err != nil {
		return nil, err
	}
	found := make([]Found, len(chosen))
	for i, c := range chosen {
		found[i] = Found{Mailbox: c.mailbox, Rule: c.rule, View: c.view, Twins: s.Twins()}
	}
	return found, nil
}

// missed tells the user of mailboxes that he names and the server does not have,
// once. If there is none at all, that is a failure: nothing would ever come.
func (a *IMAP) missed(listed []imap.Mailbox, chosen []chosen, left []passed) error {
	if len(chosen) == 0 {
		why := "the server has no mailbox that folders names (postrider check --online lists those it has)"
		if len(left) > 0 {
			why = fmt.Sprintf("folders leaves no mailbox to be fetched: %s %s", left[0].name, left[0].why)
		}
		return &ServerError{a.Address(), &missingError{why}}
	}
	for _, name := range a.patterns.absent(listed) {
		if a.once("missing " + name) {
			a.log.Warn("the server has no such mailbox (postrider check --online lists those it has)", "folder", name)
		}
	}
	return nil
}

// missingError says that the account wants what the server does not have.
type missingError struct{ text string }

func (e *missingError) Error() string   { return e.text }
func (e *missingError) Permanent() bool { return true }

// makeValid gives mailboxes whose names are not UTF-8 names that are: the
// octets that are wrong as escapes.
func makeValid(listed []imap.Mailbox) {
	for i := range listed {
		if m := &listed[i]; !utf8.ValidString(m.Name) {
			var b strings.Builder
			for rest := m.Name; rest != ""; {
				r, n := utf8.DecodeRuneInString(rest)
				if r == utf8.RuneError && n == 1 {
					fmt.Fprintf(&b, `\x%02x`, rest[0])
				} else {
					b.WriteString(rest[:n])
				}
				rest = rest[n:]
			}
			m.Name = b.String()
		}
	}
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

func (a *IMAP) rememberDelimiter(listed []imap.Mailbox) error {
	for _, m := range listed {
		if m.Delimiter != "" {
			return a.remember(func(k *imapMemory) { k.Delimiter = m.Delimiter })
		}
	}
	return nil
}

// Alive reports that the session can be used further.
func (s *Session) Alive() bool { return !s.ended }

// Abort cuts the session.
func (s *Session) Abort() {
	s.ended = true
	s.client.Close()
}

// Leave ends the session without waiting for the server.
func (s *Session) Leave() {
	if s.ended {
		return
	}
	s.ended = true
	// Nothing depends on how it ends: what counts was answered.
	_ = s.client.Leave()
}

// Open connects and opens a mailbox.
func (a *IMAP) Open(ctx context.Context, found Found, mark fetch.Mark) (m *Mailbox, err error) {
	_, err = a.first(ctx, func(s *Session) error {
		m, err = s.open(ctx, found.Mailbox, mark)
		return err
	})
	if err != nil {
		return nil, err
	}
	return m.leaveLate(found), nil
}

// Open opens a mailbox and asks for what was added since the mark. After an error
// that is not the server's answer the session is over.
func (s *Session) Open(ctx context.Context, found Found, mark fetch.Mark) (*Mailbox, error) {
	m, err := s.open(ctx, found.Mailbox, mark)
	if err != nil {
		if !answered(err) {
			s.Abort()
		}
		return nil, err
	}
	return m.leaveLate(found), nil
}

// Twins reports that the server has a number for a message that is the same in
// every mailbox that has it.
func (s *Session) Twins() bool { return s.caps.Has("X-GM-EXT-1") }
