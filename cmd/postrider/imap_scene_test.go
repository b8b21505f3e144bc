//go:build linux && (amd64 || arm64)

package main_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postrider/mailtest"
)

// scene is a kind of IMAP server with the mailboxes and messages of one account.
type scene struct {
	options  func() mailtest.IMAPOptions
	folders  string // of the configuration
	messages func() []promised
	half     int64 // octets of the longest FETCH: where it pauses for a batch
}

// The scenes: one mailbox, for which no list is needed, the same with hardly an
// extension; several, one after the other; so many messages in several that
// several sessions fetch them, of all or of half of them; and messages that are in
// two mailboxes each.
var (
	inboxScene   = scene{allExtensions, "[INBOX]", datedMail, 40_000}
	severalScene = scene{allExtensions, `["*"]`, dozenMails, 100}
	crowdScene   = scene{allExtensions, `["*"]`, hundredMails, 500}
	crowdsScene  = scene{allExtensions, `["*"]`, twoHundredMails, 500}
	plainScene   = scene{mailtest.ProfileCourier, "[INBOX]", datedMail, 40_000}
	copiesScene  = scene{noMove, `["*"]`, twoHundredMails, 500}
	labelsScene  = scene{mailtest.ProfileGmailIMAP, `[INBOX, "Work/*", "[Gmail]/All Mail"]`, labelledMail, 300}
)

func allExtensions() mailtest.IMAPOptions { return mailtest.IMAPOptions{} }
func noMove() mailtest.IMAPOptions        { return mailtest.IMAPOptions{Without: []string{"MOVE"}} }

// datedMail is everyday mail that has flags and dates, all in INBOX.
func datedMail() []promised {
	all := promisedMail()
	for i := range all {
		all[i].mailboxes = []string{"INBOX"}
		all[i].describe(i)
	}
	return all
}

// describe gives a message flags and a date.
func (m *promised) describe(i int) {
	m.date = time.Date(2019, 3, 1, 10, 20, 30, 0, time.UTC).Add(time.Duration(i) * 37 * time.Hour)
	switch i % 5 {
	case 1:
		m.flags, m.info = []string{`\Seen`}, ":2,S"
	case 2:
		m.flags = []string{`\Flagged`} // what is unseen is new, and then has no flags
	case 3:
		m.flags, m.info = []string{`\Seen`, `\Answered`, `\Flagged`, `$Forwarded`}, ":2,FPRS"
	case 4:
		m.flags, m.info = []string{`\Draft`, `\Seen`, `$Junk`}, ":2,DS"
	}
}

// severalMail is in several mailboxes: from 100 messages on, several sessions
// fetch them.
func severalMail(messages int) []promised {
	mailboxes := []string{"INBOX", "Lists/go", "Lists/Zürich & Umgebung", "Work"}
	all := make([]promised, messages)
	for i := range all {
		at := mailboxes[i%len(mailboxes)]
		all[i] = newPromised(fmt.Sprintf("uid-%03d", i), fmt.Appendf(nil, "Subject: %d\n\nIn %s.\n", i, at))
		all[i].mailboxes, all[i].folders = []string{at}, []string{at}
		all[i].describe(i)
	}
	return all
}

func hundredMails() []promised    { return severalMail(100) }
func twoHundredMails() []promised { return severalMail(200) }
func dozenMails() []promised      { return severalMail(24) }

// labelledMail is in INBOX, in two mailboxes of one entry of folders, in one of
// them, or nowhere but in the view of all.
func labelledMail() []promised {
	all := make([]promised, 24)
	for i := range all {
		all[i] = newPromised(fmt.Sprintf("uid-%02d", i), fmt.Appendf(nil, "Subject: %d\n\nWith labels.\n", i))
		all[i].describe(i)
		const view = "[Gmail]/All Mail"
		labels := [][]string{{"INBOX"}, {"Work/Alpha", "Work/Beta"}, {"Work/Beta"}, {}}[i%4]
		all[i].mailboxes, all[i].folders = append([]string{view}, labels...), labels
		if len(labels) == 0 {
			all[i].folders = []string{view}
		}
	}
	return all
}

// first makes a promise of which nothing was fetched.
func (s scene) first(_ context.Context, binary, base, onServer string) (*promise, error) {
	p, err := s.prepare(binary, base, onServer)
	if err != nil {
		return nil, err
	}
	return p, p.serve(nil, p.messages)
}

// batched has the messages come in two batches.
func (s scene) batched(_ context.Context, binary, base, onServer string) (*promise, error) {
	p, err := s.prepare(binary, base, onServer)
	if err != nil {
		return nil, err
	}
	p.pause = longPause
	return p, p.serve(nil, p.messages)
}

// later makes one of which half was fetched before.
func (s scene) later(ctx context.Context, binary, base, onServer string) (*promise, error) {
	p, err := s.prepare(binary, base, onServer)
	if err != nil {
		return nil, err
	}
	return p, p.serveHalf(ctx)
}

// renumbered makes one of which half was fetched, and then every UIDVALIDITY and
// UID became another.
func (s scene) renumbered(ctx context.Context, binary, base, onServer string) (*promise, error) {
	p, err := s.prepare(binary, base, "keep")
	if err != nil {
		return nil, err
	}
	err = p.serveHalf(ctx)
	p.onServer, p.matching = onServer, true
	p.office.(*imapPost).renumber()
	return p, errors.Join(err, p.configure())
}

// refused is renumbered after the server refused to do what on_server says.
func (s scene) refused(ctx context.Context, binary, base, onServer string) (*promise, error) {
	p, err := s.prepare(binary, base, onServer)
	if err != nil {
		return nil, err
	}
	if err := p.serve(nil, p.messages[:len(p.messages)/2]); err != nil {
		return p, err
	}
	o := p.office.(*imapPost)
	o.refusing.Store(true)
	err = p.fetch(ctx)
	o.refusing.Store(false)
	o.renumber()
	p.putRest()
	p.matching = true
	return p, err
}

// renamed makes one of which half was fetched before a mailbox got another name.
func (s scene) renamed(ctx context.Context, binary, base, onServer string) (*promise, error) {
	p, err := s.later(ctx, binary, base, onServer)
	if err != nil {
		return p, err
	}
	const old, name = "Work", "Office/2026"
	p.matching = true
	p.office.(*imapPost).Account(promisedUser).Rename(old, name)
	for i := range p.messages {
		m := &p.messages[i]
		if m.mailboxes[0] != old {
			continue
		}
		m.mailboxes = []string{name}
		if i >= len(p.messages)/2 {
			m.folders = []string{name}
		}
	}
	return p, nil
}

// renumberedAt renumbers while the program runs, at its first command of a kind.
func (s scene) renumberedAt(verb string) maker {
	return func(ctx context.Context, binary, base, onServer string) (*promise, error) {
		p, err := s.later(ctx, binary, base, onServer)
		if err == nil {
			o := p.office.(*imapPost)
			o.during(verb, o.renumber)
			p.unrest = true
		}
		return p, err
	}
}

func (s scene) prepare(binary, base, onServer string) (*promise, error) {
	p := &promise{binary: binary, onServer: onServer, post: s.office, messages: s.messages()}
	return p, p.prepare(base)
}
