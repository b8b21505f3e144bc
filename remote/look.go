package remote

import (
	"context"
	"errors"

	"postrider/imap"
)

// Seen is a mailbox that is on the server.
type Seen struct {
	Name     string
	Messages int    // of one that is fetched
	Left     string // why it is not fetched; empty: it is
}

// Look connects and tells what mailboxes the account has, also if that is an
// error because none of them is wanted.
func (a *IMAP) Look(ctx context.Context) (seen []Seen, err error) {
	s, err := a.first(ctx, func(s *Session) error {
		seen, err = s.look(ctx)
		return err
	})
	if err != nil {
		return seen, err
	}
	s.Leave()
	return seen, nil
}

func (s *Session) look(ctx context.Context) ([]Seen, error) {
	if err := s.introduce(ctx); err != nil {
		return nil, err
	}
	listed, err := s.client.List(ctx, imap.ListRequest{Patterns: []string{"*"}})
	if err != nil {
		return nil, s.failed("list mailboxes", err)
	}
	makeValid(listed)
	chosen, left := s.account.patterns.choose(listed, s.account.moveTo())
	why := map[string]string{}
	for _, l := range left {
		why[l.name] = l.why
	}
	wanted := map[string]imap.Name{}
	for _, c := range chosen {
		wanted[c.mailbox.Name] = c.mailbox.Wire
	}
	var seen []Seen
	for _, m := range listed {
		switch wire, fetched := wanted[m.Name]; {
		case fetched:
			status, err := s.client.Status(ctx, wire, imap.StatusMessages)
			if err != nil && !answered(err) {
				return nil, s.failed("ask for the status of "+m.Name, err)
			}
			seen = append(seen, Seen{Name: m.Name, Messages: int(status.Messages)})
		case why[m.Name] != "":
			seen = append(seen, Seen{Name: m.Name, Left: why[m.Name]})
		default:
			seen = append(seen, Seen{Name: m.Name, Left: "no entry of folders matches it"})
		}
	}
	if len(chosen) == 0 {
		return seen, s.failed("list mailboxes", errors.New("the server has no mailbox that folders names"))
	}
	return seen, nil
}
