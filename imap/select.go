package imap

import (
	"context"
	"strconv"
	"strings"
)

// SelectOptions says how to open a mailbox.
type SelectOptions struct {
	ReadOnly  bool     // EXAMINE: nothing that is read changes
	CondStore bool     // with CONDSTORE (RFC 7162 section 3.1.8)
	QResync   *QResync // with QRESYNC, which must be enabled; implies CondStore
	// Changed is told of messages that changed since QResync.ModSeq; what it gets is
	// valid during the call. An error ends the session.
	Changed func(*Message) error
}

// QResync is what was known of the mailbox when it was last open (RFC 7162
// section 3.2.5).
type QResync struct {
	UIDValidity uint32
	ModSeq      uint64
	Known       UIDSet // UIDs whose loss is of interest; empty, or too scattered: all
}

// Selected is what the server says of the mailbox that it opened. Anything it may
// leave out.
type Selected struct {
	UIDValidity    uint32 // 0: not told; no UID of this session means anything in another
	UIDNext        uint32 // 0: not told
	Exists         uint32 // messages
	HighestModSeq  uint64 // 0: not told
	NoModSeq       bool   // the mailbox has no modification sequences
	NotSticky      bool   // its UIDs do not last (RFC 4315 section 3)
	ReadOnly       bool
	Flags          []string
	PermanentFlags []string // nil: not told
	MailboxID      string   // RFC 8474
	Vanished       UIDSet   // gone since QResync.ModSeq; may hold UIDs that never were
	Malformed      int      // responses about changed messages that were passed over
}

// Select opens a mailbox. After a NO or BAD, which is a *ResponseError, none is open.
func (c *Client) Select(ctx context.Context, name Name, o SelectOptions) (Selected, error) {
	leave, err := c.enter(ctx)
	if err != nil {
		return Selected{}, err
	}
	defer leave()
	m := c.selectCommand(name, o)
	s := selecting{client: c, options: o, vanished: gatherer{most: maxVanishedRanges}}
	r, err := c.perform(m, s.take)
	if err != nil {
		return Selected{}, err
	}
	s.note(r)
	s.got.Vanished = s.vanished.set()
	if o.ReadOnly {
		s.got.ReadOnly = true
	}
	return s.got, nil
}

func (c *Client) selectCommand(name Name, o SelectOptions) *command {
	m := c.command("SELECT")
	if o.ReadOnly {
		m = c.command("EXAMINE")
	}
	m.name(name)
	switch {
	case o.QResync != nil:
		q := o.QResync
		m.raw(" (QRESYNC (" + strconv.FormatUint(uint64(q.UIDValidity), 10) + " " + strconv.FormatUint(q.ModSeq, 10))
		if text := q.Known.String(); text != "" && len(text) <= maxSetText && q.Known.Max() < MaxUID {
			m.raw(" " + text)
		}
		m.raw("))")
	case o.CondStore:
		m.raw(" (CONDSTORE)")
	}
	return m
}

// selecting collects what comes for a Select.
type selecting struct {
	client   *Client
	options  SelectOptions
	got      Selected
	vanished gatherer
	message  Message
}

func (s *selecting) take(u *untagged) (bool, error) {
	c := s.client
	switch u.name {
	case "OK", "NO": // UIDNOTSTICKY comes with a NO (RFC 4315 section 2.3)
		return s.note(u.reply), nil
	case "EXISTS":
		s.got.Exists = u.number
		return true, nil
	case "RECENT":
		return true, nil
	case "FLAGS":
		return true, c.p.words(func(b []byte) { s.got.Flags = addFlag(s.got.Flags, string(b)) })
	case "VANISHED":
		return true, c.gatherVanished(&s.vanished)
	case "FETCH", "UIDFETCH":
		if err := c.readMessage(u, &s.message, nil); err != nil {
			if isSyntax(err) {
				s.got.Malformed++
			}
			return true, err
		}
		if s.message.UID == 0 {
			s.got.Malformed++
		} else if s.options.Changed != nil {
			if err := s.options.Changed(&s.message); err != nil {
				return true, callerError{err}
			}
		}
		return true, nil
	}
	return false, nil
}

// note takes what a code says about the mailbox.
func (s *selecting) note(r reply) (taken bool) {
	switch r.code {
	case "UIDVALIDITY":
		s.got.UIDValidity = codeNumber(r.args)
	case "UIDNEXT":
		s.got.UIDNext = codeNumber(r.args)
	case "HIGHESTMODSEQ":
		s.got.HighestModSeq, _ = strconv.ParseUint(firstWord(r.args), 10, 63)
	case "NOMODSEQ":
		s.got.NoModSeq = true
	case "UIDNOTSTICKY":
		s.got.NotSticky = true
	case "READ-ONLY":
		s.got.ReadOnly = true
	case "READ-WRITE":
		s.got.ReadOnly = false
	case "PERMANENTFLAGS":
		s.got.PermanentFlags = []string{}
		for f := range strings.FieldsSeq(strings.Trim(r.args, "()")) {
			s.got.PermanentFlags = addFlag(s.got.PermanentFlags, f)
		}
	case "MAILBOXID":
		s.got.MailboxID = clip(strings.Trim(r.args, "() "), maxText)
	case "CLOSED":
		// What came until now was about the mailbox that was open before.
		s.got, s.vanished = Selected{}, gatherer{most: maxVanishedRanges}
	case "UNSEEN":
	default:
		return false
	}
	return true
}

func addFlag(flags []string, f string) []string {
	if len(flags) >= maxFlags {
		return flags
	}
	return append(flags, flagName([]byte(f)))
}

// codeNumber parses a number of 32 bits; any other is 0, as if it were missing.
func codeNumber(s string) uint32 {
	n, err := strconv.ParseUint(firstWord(s), 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

func firstWord(s string) string {
	word, _, _ := strings.Cut(s, " ")
	return word
}

// Unselect closes the mailbox and leaves it as it is (RFC 3691). Without UNSELECT
// that is an error: CLOSE would remove whatever anybody marked as deleted.
func (c *Client) Unselect(ctx context.Context) error {
	leave, err := c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := c.need("UNSELECT", "UNSELECT"); err != nil {
		return err
	}
	return c.exec(c.command("UNSELECT"), nil)
}
