package outbox

import (
	"crypto/sha256"
	"io"
	"time"
)

// Account is one that messages may be sent through.
type Account struct {
	Routed
	Sent  string // folder below the root that gets a copy of what was sent; empty: none
	Inbox string // folder below the root that gets reports
}

// Rules say how messages become items.
type Rules struct {
	Accounts []Account
	Host     string        // for a Message-ID, where the sender's address has no domain
	RetryFor time.Duration // how long it is tried to send a message
	Hold     time.Duration // how long the user may take a message back
}

// account returns the one that sends for an address.
func (r Rules) account(from Address) (*Account, error) {
	routed := make([]Routed, len(r.Accounts))
	for i, a := range r.Accounts {
		routed[i] = a.Routed
	}
	name, ok := Route(from.String(), routed)
	if !ok {
		return nil, refuse("no account sends for "+show(from.String()), "write a From: with the address or an alias of an account that has smtp, or add the address to the aliases of one")
	}
	return r.named(name), nil
}

// fromFile is what is known of a file that was dropped.
func fromFile() Given { return Given{FromHeader: true} }

// record makes the record of a message. A Refusal says that it can never be
// sent as it is.
func (r Rules) record(message io.Reader, id string, g Given, now time.Time) (*Record, error) {
	sum := sha256.New()
	count := &counter{}
	h, body, err := ReadHeader(io.TeeReader(message, io.MultiWriter(sum, count)))
	if err != nil {
		return nil, err
	}
	author, completed, err := r.author(h, g)
	if err != nil {
		return nil, err
	}
	account, err := r.account(author)
	if err != nil {
		return nil, err
	}
	envelope, err := envelopeOf(h, author, account, g)
	if err != nil {
		return nil, err
	}
	at, err := h.SendAt(now)
	if err != nil {
		return nil, err
	}
	completion := Completion{Date: now, MessageID: MessageID(id, author, r.Host), From: completed}
	additions, err := h.Additions(completion)
	if err != nil {
		return nil, err
	}
	facts, err := Rewrite(io.Discard, h, body, additions)
	if err != nil {
		return nil, err
	}
	if err := facts.sendable(); err != nil {
		return nil, err
	}
	rec := &Record{
		Version: recordVersion, Account: account.Name, From: envelope.From, To: envelope.To,
		// Header fields with raw octets over 127 are taken by servers without SMTPUTF8 too; addresses are not.
		UTF8: envelope.UTF8, Eight: facts.Header.EightBit || facts.Body.EightBit, Wire: facts.wire(),
		Return: g.Return, EnvID: g.EnvID, Add: additions, MessageID: h.Get("Message-ID"), Subject: h.Get("Subject"),
		Octets: count.n, Sum: [32]byte(sum.Sum(nil)), Received: now, Expires: now.Add(r.RetryFor),
	}
	if rec.MessageID == "" {
		rec.MessageID = completion.MessageID
	}
	rec.hold(now.Add(r.Hold), at, now)
	return rec, nil
}

// author returns who sends the message, and the value of a From field if it
// gets one.
func (r Rules) author(h *Header, g Given) (author Address, completed string, err error) {
	if !g.Complete || !h.NeedsFrom() {
		author, err = h.Sender()
		return author, "", err
	}
	if len(r.Accounts) == 0 {
		return author, "", refuse("no account sends", "give one of them smtp")
	}
	account := &r.Accounts[0]
	if g.From != nil {
		if a, err := r.account(*g.From); err == nil {
			account = a
		}
	}
	if author, err = ParseAddress("the address of account "+account.Name, account.Address); err != nil {
		return author, "", err
	}
	completed, err = FormatMailbox(g.FullName, author)
	return author, completed, err
}

// envelopeOf returns the envelope. A sender that the account does not send for
// would be refused by its server: programs make one up of the local user's
// name.
func envelopeOf(h *Header, author Address, account *Account, g Given) (Envelope, error) {
	from := author
	if g.From != nil {
		_, mine := Route(g.From.String(), []Routed{account.Routed})
		if *g.From == (Address{}) || mine {
			from = *g.From
		}
	}
	var to []Address
	for _, t := range g.To {
		to = append(to, t.Address)
	}
	if g.FromHeader {
		more, err := h.Recipients()
		if err != nil {
			return Envelope{}, err
		}
		to = append(to, more...)
	}
	domain := ""
	if g.Complete {
		domain = author.Domain
	}
	e, err := NewEnvelope(from, to, domain)
	if err != nil {
		return e, err
	}
	given := map[string]Target{}
	for _, t := range g.To {
		if a, err := t.Address.At(domain); err == nil {
			given[a.String()] = t
		}
	}
	for i := range e.To {
		t, ok := given[e.To[i].Address]
		if e.To[i].Notify = g.Notify; ok && t.Notify != "" {
			e.To[i].Notify = t.Notify
		}
		e.To[i].Original = t.Original
	}
	return e, nil
}

// hold keeps the message back for the time that the user may want it again, or
// until the time that he gave if that is later.
func (r *Record) hold(until, at, now time.Time) {
	if until.After(now) {
		r.Next, r.Hold = until, heldForUndo
	}
	if at.After(now) && !at.Before(until) {
		r.Next, r.Hold = at, heldUntilTime
	}
	if r.Next.After(now) {
		r.Expires = r.Expires.Add(r.Next.Sub(now))
	}
}

// state is where the item of a new record goes.
func (r *Record) state() State {
	if r.Hold != "" {
		return Held
	}
	return Active
}

// Why an item is held.
const (
	heldUntilTime = "it is to be sent at its time"
	heldForUndo   = "it may still be taken back"
	heldByUser    = "held by hand"
)

// sendable refuses what no server may be given: two of them could take it for
// different messages.
func (f Facts) sendable() error {
	switch {
	case f.Header.NULs+f.Body.NULs > 0:
		return refuse("the message has NUL octets in it", "encode what it carries, as base64 does")
	case f.Header.LoneCRs > 0:
		return refuse("the header has carriage returns that end no line", "take them out")
	}
	return nil
}

// counter counts octets.
type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

// wire is the size to be announced; 0 if it is not known what becomes of lone
// carriage returns on the line.
func (f Facts) wire() int64 {
	if f.Body.LoneCRs > 0 {
		return 0
	}
	return f.Size
}
