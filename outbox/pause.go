package outbox

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"postrider/ledger"
)

// loginDelay is how long an account is left alone that was refused the login:
// servers lock accounts out that knock too often. `postrider queue flush` ends
// it, a new start does not: that may be one of many.
const loginDelay = 6 * time.Hour

// pause is why an account is not tried for a while.
type pause struct {
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until,omitzero"`
	Times  int       `json:"times,omitempty"` // failures in a row
	Reason string    `json:"reason"`
	Login  bool      `json:"login,omitempty"` // the server refused the login
	Told   bool      `json:"told,omitempty"`  // the user has a letter about it
}

const pausePrefix = "pause\x00"

// key is that of the letter about the pause.
func (p *pause) key(account string) ledger.Key { return keyOf(p.letterID(account), loginKind) }

func (p *pause) letterID(account string) string {
	return account + p.Since.UTC().Format(time.RFC3339Nano)
}

// loginKind is the kind of the letter about a login.
const loginKind = "login"

func loadPauses(l *ledger.Ledger) (map[string]*pause, error) {
	pauses := map[string]*pause{}
	err := l.Memories(pausePrefix, func(name string, value []byte) (err error) {
		pauses[strings.TrimPrefix(name, pausePrefix)], err = readPause(value)
		return err
	})
	return pauses, err
}

func readPause(text []byte) (*pause, error) {
	var p pause
	if err := json.Unmarshal(text, &p); err != nil {
		return nil, fmt.Errorf("read why an account is paused: %w", err)
	}
	return &p, nil
}

func savePause(t *ledger.Tx, account string, p *pause) error {
	var text []byte
	if p != nil {
		var err error
		if text, err = json.Marshal(p); err != nil {
			return fmt.Errorf("encode why an account is paused: %w", err)
		}
	}
	return t.Remember(pausePrefix+account, text)
}

// pauseAccount notes that the server refuses the login of an account. Its mail
// stays queued, and the user is told, once.
func (o *Outbox) pauseAccount(account string, cause error, waiting int) error {
	p, err := o.pauseOf(account)
	if err != nil {
		return err
	}
	now := time.Now()
	if p == nil {
		p = &pause{}
	}
	if !p.Login {
		// Until a login succeeds it is the same trouble, whatever the line did meanwhile.
		p.Times, p.Login = 0, true
		if !p.Told {
			p.Since = now
		}
	}
	p.Times++
	p.Until, p.Reason = now.Add(loginDelay), cause.Error()
	// First the pause, which must stand even if the letter cannot be delivered.
	if err := o.savePause(account, p); err != nil || p.Told {
		return err
	}
	a := o.rules.named(account)
	if a == nil || a.Inbox == "" || o.delivering(p.key(account)) {
		return nil
	}
	letter := &copying{id: p.letterID(account), kind: loginKind, date: now, write: func(w io.Writer) error {
		_, err := io.WriteString(w, loginLetter(a, p, waiting, o.rules.Host))
		return err
	}}
	told := *p
	told.Told = true
	return o.file(a.Inbox, []*copying{letter}, func(t *ledger.Tx) error { return savePause(t, account, &told) })
}

// delivering tells whether a letter is on its way since an earlier pass.
func (o *Outbox) delivering(key ledger.Key) bool {
	for _, b := range o.root.Ledger.Open(filed) {
		for _, in := range b.Intents {
			if in.Key == key {
				return true
			}
		}
	}
	return false
}

func (o *Outbox) savePause(account string, p *pause) error {
	return o.root.Ledger.Commit(func(t *ledger.Tx) error { return savePause(t, account, p) })
}

func loginLetter(a *Account, p *pause, waiting int, host string) string {
	return header(a, "postrider cannot send: the login of "+a.Name+" is refused", p.Since, loginKind, host) + fmt.Sprintf(`
The server does not take the login of the account %q any more:

  %s

%d of your messages wait in the queue and are kept. Mend the password or the
account's settings, then say

  postrider queue flush

to have them sent. Until then the server is asked only every few hours.
`, a.Name, oneLine(p.Reason), waiting)
}

// header begins a message to the user from the program.
func header(a *Account, subject string, now time.Time, kind, host string) string {
	from, _ := ParseAddress("", a.Address)
	return fmt.Sprintf("From: postrider <postrider@localhost>\nTo: <%s>\nSubject: %s\nDate: %s\nMessage-ID: %s\nMIME-Version: 1.0\nAuto-Submitted: auto-generated\n",
		a.Address, subject, formatDate(now), MessageID(newID(now)+"."+kind, from, host)) + "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n"
}

// delayAccount notes that the server of an account cannot be reached or has cut
// the line: its messages are put off together.
func (o *Outbox) delayAccount(account string, cause error, left []*sending) error {
	p, err := o.pauseOf(account)
	if err != nil {
		return err
	}
	now := time.Now()
	if p == nil || p.Login {
		told := p != nil && p.Told
		p = &pause{Since: now, Told: told}
	}
	p.Times++
	p.Until, p.Reason = now.Add(delay(p.Times)), cause.Error()
	if err := o.savePause(account, p); err != nil {
		return err
	}
	for _, m := range left {
		if err := o.spool.move(m.id, Active, Deferred); err != nil {
			return err
		}
	}
	return o.spool.sync(Deferred, Active)
}

// endPause notes that the account can send again. Of a login that was refused,
// that is one that was not.
func (o *Outbox) endPause(account string, login bool) error {
	p, err := o.pauseOf(account)
	if err != nil || p == nil || login && !p.Login && !p.Told {
		return err
	}
	if login && !p.Login {
		p.Told = false // the next refusal is news again
		return o.savePause(account, p)
	}
	return o.savePause(account, nil)
}

// pauseOf returns the pause of one account, nil if there is none.
func (o *Outbox) pauseOf(account string) (*pause, error) {
	text, err := o.root.Ledger.Memory(pausePrefix + account)
	if err != nil || len(text) == 0 {
		return nil, err
	}
	return readPause(text)
}
