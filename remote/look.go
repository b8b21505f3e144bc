package remote

import (
	"context"
	"errors"

	"postrider/imap"
)

// Shown is a mailbox that the server shows, or one that folders names and the
// server does not show.
type Shown struct {
	Name     string
	Messages int    // of one that is fetched; -1: the server does not tell
	Left     string // why it is not fetched; empty: it is
}

// Look connects and tells what mailboxes the account has, also if that is an
// error because none of them is wanted.
func (a *IMAP) Look(ctx context.Context) (shown []Shown, err error) {
	s, err := a.first(ctx, func(s *Session) error {
		shown, err = s.look(ctx)
		return err
	})
	if err != nil {
		return shown, err
	}
	s.Leave()
	return shown, nil
}

func (s *Session) look(ctx context.Context) ([]Shown, error) {
	if err := s.introduce(ctx); err != nil {
		return nil, err
	}
	listed, err := s.client.List(ctx, imap.ListRequest{Patterns: []string{"*"}, Status: imap.StatusMessages})
	if err != nil {
		return nil, s.failed("list mailboxes", err)
	}
	makeValid(listed)
	chosen, left := s.account.patterns.choose(listed, s.account.moveTo())
	why := map[string]string{}
	for _, l := range left {
		why[l.name] = l.why
	}
	fetched := map[imap.Name]bool{}
	for _, c := range chosen {
		fetched[c.mailbox.Wire] = true
	}
	var shown []Shown
	for _, m := range listed {
		f := Shown{Name: m.Name}
		switch {
		case !fetched[m.Wire] && why[m.Name] != "":
			f.Left = why[m.Name]
		case !fetched[m.Wire]:
			f.Left = "no entry of folders matches it"
		case m.Status == nil:
			f.Messages = -1
		default:
			f.Messages = int(m.Status.Messages)
		}
		shown = append(shown, f)
	}
	for _, name := range s.account.patterns.absent(listed) {
		shown = append(shown, Shown{Name: name, Left: "folders names it, and the server has no such mailbox"})
	}
	if len(chosen) == 0 {
		return shown, s.failed("list mailboxes", errors.New("the server has no mailbox that folders names"))
	}
	return shown, nil
}
