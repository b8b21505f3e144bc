package smtp

// transaction is a message on its way (RFC 5321 section 3.3): the commands
// [RSET], MAIL, RCPT for each recipient that can be asked for, and DATA, which
// may be sent before the replies are in (RFC 2920), but keep their order.
type transaction struct {
	mail  *Mail
	to    []error // for each recipient: why not
	asked []int   // the recipients of the RCPTs
	utf8  bool    // an address needs SMTPUTF8
	reset bool    // RSET goes first

	sent, answered int // commands

	open     bool  // MAIL was accepted
	from     error // MAIL's refusal
	accepted int   // recipients
	data     error // DATA's refusal
	invited  bool  // DATA was answered with 354
}

// begin makes a transaction, or says why the message cannot be sent to anybody.
func (c *Client) begin(m *Mail) (*transaction, error) {
	t := &transaction{mail: m, to: make([]error, len(m.To)), asked: make([]int, 0, len(m.To)), utf8: !isASCII(m.From)}
	if err := c.check(m); err != nil {
		return t, err
	}
	for i, r := range m.To {
		if err := c.checkRecipient(r); err != nil {
			t.to[i] = err
			continue
		}
		t.asked = append(t.asked, i)
		t.utf8 = t.utf8 || !isASCII(r.Address)
	}
	if len(t.asked) == 0 {
		return t, ErrNoRecipients
	}
	return t, nil
}

// step is a command of a transaction: one of those below, or the index of a RCPT.
type step int

const (
	stepReset step = -3
	stepMail  step = -2
	stepData  step = -1
)

func (t *transaction) step(n int) step {
	if t.reset {
		n--
	}
	switch n {
	case -1:
		return stepReset
	case 0:
		return stepMail
	case len(t.asked) + 1:
		return stepData
	}
	return step(n - 1)
}

func (s step) verb() string {
	switch s {
	case stepReset:
		return "RSET"
	case stepMail:
		return "MAIL"
	case stepData:
		return "DATA"
	}
	return "RCPT"
}

// total is the number of commands.
func (t *transaction) total() int {
	n := len(t.asked) + 2
	if t.reset {
		n++
	}
	return n
}

// hopeless reports that no recipient is left, so that nothing more need be sent.
func (t *transaction) hopeless() bool {
	return t.from != nil || t.accepted == 0 && t.answered >= t.total()-1
}

// complete reports that all replies are in.
func (t *transaction) complete() bool {
	return t.sent == t.answered && (t.sent == t.total() || t.hopeless())
}

// fill appends the commands for which there is room in a window.
func (c *Client) fill(dst []byte, t *transaction, window int) []byte {
	for t.sent < t.total() && t.sent-t.answered < window && !t.hopeless() {
		switch s := t.step(t.sent); s {
		case stepMail:
			dst = c.appendMail(dst, t.mail, t.utf8)
		case stepReset, stepData:
			dst = append(append(dst, s.verb()...), '\r', '\n')
		default:
			dst = c.appendRcpt(dst, t.mail.To[t.asked[s]])
		}
		t.sent++
	}
	return dst
}

// window is how many commands may be unanswered.
func (c *Client) window() int {
	if c.pipelining() {
		return c.options.Window
	}
	return 1
}

// envelope sends the commands that were not sent yet and reads all replies. The
// window is filled up when half of it has been answered. Its replies have room
// in the socket even if we do not read, so that the server never waits for us
// while we wait for it.
func (c *Client) envelope(t *transaction) error {
	if t.sent == 0 {
		if err := c.quiet("MAIL"); err != nil {
			return err
		}
	}
	for window := c.window(); ; {
		if t.sent-t.answered <= window/2 {
			if c.command = c.fill(c.command[:0], t, window); len(c.command) > 0 {
				if err := c.write(t.step(t.answered).verb(), c.command, t.sent-t.answered); err != nil {
					return err
				}
			}
		}
		if t.complete() {
			return nil
		}
		s := t.step(t.answered)
		r, err := c.reply(s.verb(), c.options.Timeout)
		if err != nil {
			return err
		}
		if err := c.judge(t, s, r); err != nil {
			return err
		}
		t.answered++
	}
}

// judge takes the reply to a command. Its error has ended the session: such
// replies show that the server talks of something else.
func (c *Client) judge(t *transaction, s step, r reply) error {
	switch {
	case s == stepData && r.goOn():
		t.invited = true
		return nil
	case s == stepReset && r.refusal(), s == stepData && !r.refusal(), r.goOn():
		return c.odd(s.verb(), r)
	case s >= 0 && r.success() && t.from != nil:
		return c.odd(s.verb(), r) // a recipient for a sender that was refused
	case s == stepMail && r.success():
		t.open = true
	case s == stepMail:
		t.from = refused("MAIL", r)
	case s == stepData:
		t.data = refused("DATA", r)
	case s >= 0 && r.success():
		t.accepted++
	case s >= 0 && t.from == nil:
		t.to[t.asked[s]] = refused("RCPT", r)
	}
	return nil
}

// refusal is the outcome of a transaction that came to no text.
func (t *transaction) refusal() Outcome {
	switch {
	case t.from != nil:
		return t.failed(Unsent, t.from)
	case t.data != nil && t.accepted > 0:
		return t.failed(Unsent, t.data)
	}
	return t.failed(Unsent, ErrNoRecipients)
}

// failed is an outcome for all recipients that were not refused before.
func (t *transaction) failed(f Fate, err error) Outcome {
	to := append([]error(nil), t.to...)
	for i := range to {
		if to[i] == nil {
			to[i] = err
		}
	}
	return Outcome{Fate: f, Err: err, To: to}
}
