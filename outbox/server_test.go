package outbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"
	"sync"
)

// server is a submission server in memory. What becomes of a recipient is said
// by the beginning of its address: hard (550), soft (450), anything else is
// accepted. What becomes of a message is said by the beginning of its subject:
//
//	refuse  554, and the session goes on
//	defer   451, and the session goes on
//	bye     421, and the session ends
//	cut     the line breaks in the text
//	lost    accepted, and the line breaks before the reply
//	silent  not accepted, and the line breaks before the reply
type server struct {
	mu       sync.Mutex
	got      []string // "SUBJECT ADDRESS" for each recipient
	texts    []string
	dials    int
	sessions int                         // a session takes so many messages; 0: any number
	down     func(account string) error  // of dialling
	event    func(what string)           // told at each step of a session
	tampers  func(subject string) string // what is done instead of the subject's word
}

func (s *server) copied() *server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &server{got: slices.Clone(s.got), texts: slices.Clone(s.texts)}
}

func (s *server) accepted() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Clone(s.got)
	sort.Strings(all)
	return strings.Join(all, ", ")
}

// replyError is a refusal.
type replyError int

func (e replyError) Error() string   { return fmt.Sprintf("%d %d.7.1 no", int(e), int(e)/100) }
func (e replyError) Permanent() bool { return e >= 500 }

type loginError struct{}

func (loginError) Error() string      { return "535 5.7.8 wrong password" }
func (loginError) LoginRefused() bool { return true }

var errLine = errors.New("the line broke")

func (s *server) dial(_ context.Context, account string) (Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dials++
	if s.down != nil {
		if err := s.down(account); err != nil {
			return nil, err
		}
	}
	return &session{server: s}, nil
}

type session struct {
	server *server
	sent   int
}

func (c *session) Close() {}

func (c *session) tell(what string) {
	if c.server.event != nil {
		c.server.event(what)
	}
}

func (c *session) Send(ctx context.Context, q Queue) error {
	for {
		m := q.Next(ctx)
		if m == nil {
			return nil
		}
		c.tell("given")
		if c.sent++; c.server.sessions > 0 && c.sent > c.server.sessions {
			return c.failed(q, m, replyError(421))
		}
		if err := c.one(ctx, q, m); err != nil {
			return err
		}
		c.tell("told")
	}
}

// temporary is the failure of a session.
type temporary struct{ error }

func (temporary) Permanent() bool { return false }
func (e temporary) Unwrap() error { return e.error }

func (c *session) failed(q Queue, m *Mail, err error) error {
	return errors.Join(temporary{err}, q.Done(m, Result{Fate: Unsent, Err: temporary{err}}))
}

func (c *session) one(ctx context.Context, q Queue, m *Mail) error {
	text, err := io.ReadAll(m.Text)
	if err != nil {
		return c.failed(q, m, err)
	}
	h, _, _ := ReadHeader(bytes.NewReader(text))
	subject := h.Get("Subject")
	word, _, _ := strings.Cut(subject, " ")
	if c.server.tampers != nil {
		word = c.server.tampers(subject)
	}
	to := make([]error, len(m.To))
	var good []string
	for i, r := range m.To {
		switch {
		case strings.HasPrefix(r.Address, "hard"):
			to[i] = replyError(550)
		case strings.HasPrefix(r.Address, "soft"):
			to[i] = replyError(450)
		default:
			good = append(good, r.Address)
		}
	}
	if len(good) == 0 {
		return q.Done(m, Result{Fate: Unsent, Err: errors.New("no recipient was accepted"), To: to})
	}
	if word == "cut" {
		return c.failed(q, m, errLine)
	}
	if err := q.Dot(ctx, m, to); err != nil {
		return c.failed(q, m, err)
	}
	c.tell("dot")
	all := func(err error) []error {
		errs := slices.Clone(to)
		for i := range errs {
			if errs[i] == nil {
				errs[i] = err
			}
		}
		return errs
	}
	refusal := map[string]replyError{"refuse": 554, "defer": 451, "bye": 421}[word]
	if refusal != 0 {
		err := q.Done(m, Result{Fate: Unsent, Err: refusal, To: all(refusal)})
		if err == nil && word == "bye" {
			err = temporary{refusal}
		}
		return err
	}
	if word != "silent" {
		c.server.mu.Lock()
		for _, address := range good {
			c.server.got = append(c.server.got, subject+" "+strings.TrimSuffix(address, "@b.example"))
		}
		c.server.texts = append(c.server.texts, string(text))
		c.server.mu.Unlock()
		c.tell("accepted")
	}
	if word == "silent" || word == "lost" {
		err := temporary{errLine}
		return errors.Join(err, q.Done(m, Result{Fate: Unknown, Err: err, To: all(err)}))
	}
	return q.Done(m, Result{Fate: Accepted, Reply: "250 2.0.0 queued", To: to})
}
