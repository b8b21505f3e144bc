//go:build linux && (amd64 || arm64)

package main_test

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"postrider/mailtest"
)

// moved is where delivered messages go with on_server: move. It does not exist.
const moved = "Fetched/2026"

// imapPost is the office of an account that has imap.
type imapPost struct {
	*mailtest.IMAP
	promise  *promise
	scene    scene
	port     int         // where the program connects to, if not to the server
	copies   bool        // it has no MOVE, so that messages are copied first and removed then
	refusing atomic.Bool // every STORE
	watch    func(told)

	mu     sync.Mutex // guards what follows
	byWire map[string]*promised
	anew   func() // if set, done once in the middle: see during
	anewAt string
}

// office returns what makes the office of a promise.
func (s scene) office(p *promise, watch func(told)) office {
	o := &imapPost{promise: p, scene: s, byWire: map[string]*promised{}, watch: watch}
	for i := range p.messages {
		o.expect(&p.messages[i])
	}
	options := s.options()
	o.copies = slices.Contains(options.Without, "MOVE")
	options.Users = map[string]string{promisedUser: promisedPassword}
	options.Mechanisms = []string{"PLAIN"}
	options.Hook = o.hook
	o.IMAP = mailtest.NewIMAP(options)
	return o
}

func (o *imapPost) hook(e *mailtest.IMAPEvent) {
	text := e.Verb == "UID FETCH" && strings.Contains(e.Arg, "BODY.PEEK[]")
	if text && o.promise.pause > 0 {
		e.Stall(o.scene.half, o.promise.pause)
	}
	o.mu.Lock()
	anew := o.anew
	if e.Verb != o.anewAt && (!text || o.anewAt != "text") {
		anew = nil
	}
	if anew != nil {
		o.anew = nil
	}
	o.mu.Unlock()
	if anew != nil {
		anew()
	}
	switch e.Verb {
	case "UID STORE", "UID MOVE":
		if o.refusing.Load() {
			e.Refuse("[UNAVAILABLE] not today")
			return
		}
		o.watch(told{o.covered(e, ""), e.Verb == "UID MOVE"})
	case "UID EXPUNGE":
		o.watch(told{o.covered(e, `\Deleted`), true})
	}
}

// during has something done once, before the first command of a kind: its verb, or
// "text" for a FETCH of message texts.
func (o *imapPost) during(verb string, do func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.anew, o.anewAt = do, verb
}

func (o *imapPost) expect(m *promised) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.byWire[string(m.wire)] = m
}

// of returns the message with these octets.
func (o *imapPost) of(m mailtest.IMAPMessage) *promised {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.byWire[string(m.Octets)]
}

// covered returns the messages that a command is about, of those with a flag if
// one is given.
func (o *imapPost) covered(e *mailtest.IMAPEvent, flag string) map[string]bool {
	uids := map[string]bool{}
	for _, m := range o.mailbox(e.Mailbox).Messages() {
		if e.Covers(m.UID) && (flag == "" || slices.Contains(m.Flags, flag)) {
			uids[o.of(m).uid] = true
		}
	}
	return uids
}

func (o *imapPost) mailbox(name string) *mailtest.IMAPMailbox {
	return o.Account(promisedUser).Mailbox(name)
}

// sources are the mailboxes that messages are fetched from.
func (o *imapPost) sources() (names []string) {
	for _, name := range o.Account(promisedUser).Mailboxes() {
		if name != moved {
			names = append(names, name)
		}
	}
	return names
}

func (o *imapPost) renumber() {
	for i, name := range o.sources() {
		o.mailbox(name).Renumber(uint32(50_000 + i))
	}
}

func (o *imapPost) start() error { return o.Start() }

func (o *imapPost) put(messages []promised) {
	for _, m := range messages {
		message := mailtest.IMAPMessage{Octets: m.wire, Flags: m.flags, Date: m.date}
		if len(m.mailboxes) == 1 && m.mailboxes[0] != "[Gmail]/All Mail" {
			o.mailbox(m.mailboxes[0]).Put(message)
			continue
		}
		o.Account(promisedUser).Deliver(message, m.mailboxes...)
	}
}

// remove does as the program has done, also to the mailbox's HIGHESTMODSEQ.
func (o *imapPost) remove(uids map[string]bool) {
	for _, name := range o.sources() {
		for _, m := range o.mailbox(name).Messages() {
			if !uids[o.of(m).uid] {
				continue
			}
			o.mailbox(name).SetFlags(m.UID, append(slices.Clone(m.Flags), `\Deleted`)...)
			o.mailbox(name).Remove(m.UID)
			if o.promise.onServer != "delete" {
				m.UID = 0
				o.mailbox(moved).Put(m)
			}
		}
	}
}

func (o *imapPost) account() string {
	return fmt.Sprintf("imap: {host: 127.0.0.1, port: %d, tls: none, on_server: %s, folders: %s, connections: 4, schedule: manual}",
		cmp.Or(o.port, o.Port()), o.promise.onServer, o.scene.folders)
}

func (o *imapPost) left() map[string]bool {
	left := map[string]bool{}
	for _, name := range o.sources() {
		for _, m := range o.mailbox(name).Messages() {
			left[o.of(m).uid] = true
		}
	}
	return left
}

// settled wants every message once in each mailbox that has it, with the flags
// that it came with; or, over and as on_server says, \Seen besides, or gone, or
// elsewhere.
func (o *imapPost) settled(messages []promised, over bool) error {
	copies := map[string]int{} // by mailbox and uid
	var errs []error
	for _, name := range o.Account(promisedUser).Mailboxes() {
		for _, m := range o.mailbox(name).Messages() {
			p := o.of(m)
			copies[name+" "+p.uid]++
			errs = append(errs, o.flagged(p, name, m, over))
		}
	}
	for i := range messages {
		m := &messages[i]
		elsewhere := copies[moved+" "+m.uid]
		for _, name := range m.mailboxes {
			here := copies[name+" "+m.uid]
			switch o.promise.onServer {
			case "keep", "seen":
				if here != 1 || elsewhere != 0 {
					errs = append(errs, fmt.Errorf("%s: %d copies in %s on the server", m.uid, here, name))
				}
			case "delete":
				if here > 1 || over && here > 0 || elsewhere != 0 {
					errs = append(errs, fmt.Errorf("%s: %d copies in %s on the server", m.uid, here, name))
				}
			default:
				if elsewhere > 1 || here > 1 || here+elsewhere != 1 && !o.copies || here+elsewhere < 1 || over && here > 0 {
					errs = append(errs, fmt.Errorf("%s: %d copies in %s on the server, and %d where it is moved to", m.uid, here, name, elsewhere))
				}
			}
		}
	}
	return errors.Join(errs...)
}

func (o *imapPost) flagged(p *promised, mailbox string, m mailtest.IMAPMessage, over bool) error {
	has, want := slices.Clone(m.Flags), slices.Clone(p.flags)
	remove := func(flag string) {
		is := func(f string) bool { return f == flag }
		has, want = slices.DeleteFunc(has, is), slices.DeleteFunc(want, is)
	}
	switch {
	case o.promise.onServer == "seen":
		if over && !slices.Contains(has, `\Seen`) {
			return fmt.Errorf("%s: in %s on the server it is not seen", p.uid, mailbox)
		}
		remove(`\Seen`)
	case o.promise.onServer == "delete", o.copies && mailbox != moved:
		remove(`\Deleted`)
	}
	slices.Sort(has)
	slices.Sort(want)
	if !slices.Equal(has, want) || !m.Date.Equal(p.date) {
		return fmt.Errorf("%s: in %s on the server it has %q and %v, want %q and %v", p.uid, mailbox, has, m.Date, want, p.date)
	}
	return nil
}
