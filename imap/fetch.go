package imap

import (
	"context"
	"errors"
	"io"
	"strings"
)

const (
	guessed     = 64 << 10 // taken for the size of a message that was not announced
	maxMessages = 500      // of one FETCH
	lowest      = 2        // commands that should be under way whatever their size
)

// FetchRequest is what to fetch.
type FetchRequest struct {
	UIDs  UIDSet
	Items Items // told to the receiver along with the text, where the server does
	// Octets returns the announced size of a message, negative if it is not known.
	// It bounds what is under way; nil knows none.
	Octets func(uid uint32) int64
}

// Receiver takes messages as they come, one after the other, in the server's order.
type Receiver interface {
	// Begin is called when the text of a message begins. m holds what the server
	// said before it, on which there is no relying: with some servers even the UID
	// comes after the text, and is 0 here. What Begin returns gets the text.
	Begin(m *Message) (io.Writer, error)
	// End is called once for each message that began: with nil when it is complete,
	// which means that its whole response has been read, and that it is one of those
	// that were asked for; otherwise with the error, perhaps of Begin or the writer,
	// that cut it short, or with ErrUnasked. With ErrNoBody, and no Begin before it,
	// it is called for a message whose text was NIL, or empty although its announced
	// size is not 0. m holds all that is known.
	End(m *Message, err error) error
	// Missing is called for messages that were asked for and did not come: with
	// ErrMissing, or with the *ResponseError that the server gave for them and
	// perhaps others. Each message has either its End or its place here.
	Missing(uids UIDSet, err error) error
}

// Fetch fetches messages by UID, without setting \Seen. Several commands are
// under way at once. ErrSkip from Begin or the writer throws the rest of that
// message away. Any other error of the receiver ends the session, and so does a
// message over Options.MaxLiteral: its error is ErrTooLarge.
//
// When Fetch returns nil every message has been told of. After an error, those
// that have neither an End with nil nor another were not fetched.
func (c *Client) Fetch(ctx context.Context, want FetchRequest, r Receiver) error {
	leave, err := c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	f := fetcher{client: c, want: want, receiver: r, left: chunks{set: want.UIDs}}
	return c.pipeline(batch{
		verb: "UID FETCH",
		next: f.command,
		low: func(unanswered int) bool {
			return f.octets <= c.options.WindowOctets/2 || unanswered < lowest
		},
		take: f.take,
		done: f.done,
	})
}

// fetcher assigns what comes to what was asked for.
type fetcher struct {
	client   *Client
	want     FetchRequest
	receiver Receiver
	left     chunks
	parts    []part // by the number of the command
	first    int    // all parts before it are answered
	octets   int64  // expected of what was asked for and is not here
	message  Message
	sink     *sink // of the message that began last
}

// part is what one command has asked for.
type part struct {
	awaited UIDSet
	over    bool
}

func (f *fetcher) expected(uid uint32) int64 {
	n := int64(guessed)
	if f.want.Octets != nil {
		if announced := f.want.Octets(uid); announced >= 0 {
			n = announced
		}
	}
	return min(n, f.client.options.WindowOctets)
}

// command asks for the next few messages.
func (f *fetcher) command() *command {
	room := f.client.options.WindowOctets / 4
	uids, octets := f.left.next(room, f.expected)
	if uids.Empty() {
		return nil
	}
	f.octets += octets
	f.parts = append(f.parts, part{awaited: uids})
	return f.client.command("UID FETCH").uids(uids).raw(" (UID").raw(f.want.Items.names()).raw(" BODY.PEEK[])")
}

// awaiting returns the part in which the message is awaited.
func (f *fetcher) awaiting(uid uint32) *part {
	for i := f.first; i < len(f.parts); i++ {
		if f.parts[i].awaited.Contains(uid) {
			return &f.parts[i]
		}
	}
	return nil
}

// arrived strikes a message off.
func (f *fetcher) arrived(uid uint32) {
	if p := f.awaiting(uid); p != nil {
		p.awaited.Remove(uid)
		f.octets -= f.expected(uid)
	}
}

// take reads a FETCH response. One without a text is news and no answer, even
// if it names a message that is awaited.
func (f *fetcher) take(u *untagged) (bool, error) {
	if u.name != "FETCH" && u.name != "UIDFETCH" {
		return false, nil
	}
	m, began := &f.message, false
	text, err := f.client.readRow(u, m, func(m *Message, n int64) (*sink, error) {
		if m.UID != 0 && f.awaiting(m.UID) == nil {
			return nil, nil
		}
		began, f.sink = true, f.begin(m, n)
		return f.sink, nil
	})
	switch {
	case began:
		return true, f.end(m, err)
	case err != nil:
		return true, err
	case text == textThere:
		return true, nil // of a message that nobody waits for, or waits for no more
	case text == textAbsent:
		f.client.events(Event{Kind: EventMessage, Message: m})
		return true, nil
	case f.awaiting(m.UID) == nil:
		return true, nil
	case text == textEmpty && m.Has&ItemSize != 0 && m.Octets == 0:
		return true, f.empty(m)
	}
	f.arrived(m.UID)
	return true, own(f.receiver.End(m, ErrNoBody))
}

func (f *fetcher) begin(m *Message, n int64) *sink {
	s := &sink{}
	if n > f.client.options.MaxLiteral {
		s.err = ErrTooLarge
		return s
	}
	s.w, s.err = f.receiver.Begin(m)
	return s
}

// empty passes on a message that truly has no octets.
func (f *fetcher) empty(m *Message) error {
	f.arrived(m.UID)
	if _, err := f.receiver.Begin(m); err != nil {
		return own(errors.Join(err, f.receiver.End(m, err)))
	}
	return own(f.receiver.End(m, nil))
}

// end tells how a message that began has ended.
func (f *fetcher) end(m *Message, err error) error {
	outcome := err
	var mine callerError
	switch {
	case errors.As(err, &mine):
		outcome = mine.error
	case err != nil:
		outcome = f.client.fatal("UID FETCH", err)
	case f.awaiting(m.UID) == nil:
		outcome = ErrUnasked
	default:
		f.arrived(m.UID)
		outcome = f.sink.err // ErrSkip at most
	}
	ended := f.receiver.End(m, outcome)
	if err != nil {
		return err
	}
	return own(ended)
}

// own marks an error of the receiver, of which ErrSkip is none.
func own(err error) error {
	if err == nil || errors.Is(err, ErrSkip) {
		return nil
	}
	return callerError{err}
}

// done reports what a command has left out.
func (f *fetcher) done(i int, r reply) error {
	p := &f.parts[i]
	awaited := p.awaited
	p.awaited, p.over = nil, true
	for f.first < len(f.parts) && f.parts[f.first].over {
		f.first++
	}
	if awaited.Empty() {
		return nil
	}
	for uid := range awaited.All() {
		f.octets -= f.expected(uid)
	}
	err := r.err("UID FETCH")
	if err == nil {
		err = ErrMissing
	}
	if err := f.receiver.Missing(awaited, err); err != nil && !errors.Is(err, ErrSkip) {
		return err
	}
	return nil
}

// names returns the items as a command has them, each after a space.
func (i Items) names() string {
	var b strings.Builder
	for n, name := range [...]string{"FLAGS", "RFC822.SIZE", "INTERNALDATE", "MODSEQ", "X-GM-MSGID", "X-GM-LABELS"} {
		if i&(1<<n) != 0 {
			b.WriteString(" " + name)
		}
	}
	return b.String()
}

// chunks cuts a set into what one command should ask for.
type chunks struct {
	set    UIDSet // what is left
	resume uint32 // the first UID that is left of its first range, 0 for all of it
}

// next returns the next few messages, at least one if any are left, and the
// octets to be expected.
func (k *chunks) next(room int64, octets func(uint32) int64) (uids UIDSet, expected int64) {
	messages, text := 0, 0
	for len(k.set) > 0 && messages < maxMessages && (messages == 0 || expected < room) {
		r := k.set[0]
		r.First = max(r.First, k.resume)
		text += len(r.append(nil)) + len(",")
		if messages > 0 && text > maxSetText {
			break
		}
		last := r.First
		for {
			expected += octets(last)
			messages++
			if last == r.Last || messages >= maxMessages || expected >= room {
				break
			}
			last++
		}
		uids = append(uids, UIDRange{r.First, last})
		k.resume = 0
		if last == r.Last {
			k.set = k.set[1:]
		} else {
			k.resume = last + 1
		}
	}
	return uids, expected
}

// sink is where the text of a message goes.
type sink struct {
	w   io.Writer
	err error // of the receiver; with ErrSkip the rest is thrown away
}

// write reports whether to go on reading.
func (s *sink) write(p []byte) bool {
	if s.err == nil {
		n, err := s.w.Write(p)
		if err == nil && n < len(p) {
			err = io.ErrShortWrite
		}
		s.err = err
	}
	return !s.stopped()
}

// stopped reports that the receiver has failed.
func (s *sink) stopped() bool { return s.err != nil && !errors.Is(s.err, ErrSkip) }
