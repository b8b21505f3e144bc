package outbox

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// newlyFailed returns the recipients of whom the user was not told yet, and
// wants to be.
func (m *sending) newlyFailed() (failed []Recipient) {
	for _, to := range m.record.To {
		if to.Outcome == Failed && !to.Reported && wantsReport(to.Notify) {
			failed = append(failed, to)
		}
	}
	return failed
}

// wantsReport: without NOTIFY, failures are reported (RFC 3461 section 4.1).
func wantsReport(notify string) bool {
	return notify == "" || strings.Contains(strings.ToUpper(notify), "FAILURE")
}

// writeReport writes a report on recipients that will not get a message, a
// delivery status notification (RFC 3464), with LF line ends: a text for people,
// one for programs, and the header of the message, or all of it if the sender
// asked.
func (o *Outbox) writeReport(w io.Writer, a *Account, m *sending, now time.Time) error {
	f, err := os.OpenFile(o.spool.path(Active, m.id, messageName), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	h, body, err := ReadHeader(f)
	if err != nil {
		return err
	}
	failed := m.newlyFailed()
	boundary := "=_" + newID(now)
	from, _ := ParseAddress("", a.Address)
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: postrider <postrider@localhost>\nTo: <%s>\nSubject: Not sent: %s\nDate: %s\nMessage-ID: %s\nMIME-Version: 1.0\nAuto-Submitted: auto-replied\n",
		m.record.From, subjectOf(m.record), formatDate(now), MessageID(newID(now)+".dsn", from, o.rules.Host))
	if id := m.record.MessageID; id != "" && !hasControl(id) {
		fmt.Fprintf(&b, "References: %s\n", id)
	}
	fmt.Fprintf(&b, "Content-Type: multipart/report; report-type=delivery-status;\n boundary=%q\n\n", boundary)
	fmt.Fprintf(&b, "--%s\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n", boundary)
	b.WriteString("Your message was not sent to\n\n")
	for _, to := range failed {
		fmt.Fprintf(&b, "  %s\n    %s\n", to.Address, oneLine(to.Reply))
	}
	switch others := len(m.record.To) - len(failed); {
	case !m.wasSent() && len(m.record.waiting()) == 0:
		b.WriteString("\nNobody else has it. The message itself is in the outbox, in failed/.\n")
	case others > 0:
		fmt.Fprintf(&b, "\nIts other recipients (%d) are not concerned.\n", others)
	}
	fmt.Fprintf(&b, "\n--%s\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; %s\nArrival-Date: %s\n", boundary, o.rules.Host, formatDate(m.record.Received))
	if m.record.EnvID != "" {
		fmt.Fprintf(&b, "Original-Envelope-Id: %s\n", oneLine(m.record.EnvID))
	}
	for _, to := range failed {
		kind := "rfc822"
		if !isASCII(to.Address) {
			kind = "utf-8"
		}
		fmt.Fprintf(&b, "\nFinal-Recipient: %s; %s\nAction: failed\nStatus: %s\nDiagnostic-Code: smtp; %s\n", kind, to.Address, statusOf(to.Reply), oneLine(diagnosticOf(to.Reply)))
	}
	whole := strings.EqualFold(m.record.Return, "FULL")
	kind := "text/rfc822-headers"
	if whole {
		kind = "message/rfc822"
	}
	fmt.Fprintf(&b, "\n--%s\nContent-Type: %s\nContent-Transfer-Encoding: 8bit\n\n", boundary, kind)
	if _, err := w.Write(b.Bytes()); err != nil {
		return err
	}
	if _, err := w.Write(h.rewritten(m.record.Add)); err != nil {
		return err
	}
	if whole {
		if _, err := io.Copy(w, body); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(w, "\n--%s--\n", boundary)
	return err
}

// writeDoubt writes a letter about a message that the server may have.
func (o *Outbox) writeDoubt(w io.Writer, a *Account, m *sending, now time.Time) error {
	var b strings.Builder
	b.WriteString(header(a, "Perhaps sent: "+subjectOf(m.record), now, "doubt", o.rules.Host))
	b.WriteString("\nThe line broke when your message was on its way to the server, just before its\nanswer would have come. The server may have the message for\n\n")
	for _, i := range m.step.Dot {
		if i < len(m.record.To) {
			fmt.Fprintf(&b, "  %s\n", m.record.To[i].Address)
		}
	}
	fmt.Fprintf(&b, "\nor not. It is kept, and not sent again by itself, so that nobody gets it twice.\nIts Message-ID is\n\n  %s\n", oneLine(m.record.MessageID))
	fmt.Fprintf(&b, "\nLook whether it has arrived, then say one of\n\n  postrider queue retry %s     to send it again\n  postrider queue cancel %s    to take it out of the queue\n", m.id, m.id)
	_, err := io.WriteString(w, b.String())
	return err
}

// subjectOf is the subject in one line that cannot be another field.
func subjectOf(r *Record) string {
	if r.Subject == "" || hasControl(r.Subject) {
		return "a message without a subject"
	}
	return r.Subject
}

// oneLine is a server's text as one line of text.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

// diagnosticOf is the server's reply itself (RFC 3464 section 2.3.6), without our
// words about it.
func diagnosticOf(reply string) string {
	if about, said, ok := strings.Cut(reply, ": "); ok && strings.HasPrefix(about, "server refused ") {
		return said
	}
	return reply
}

// statusOf finds the enhanced status code in a reply (RFC 3463), or makes one
// of its class.
func statusOf(reply string) string {
	for _, word := range strings.FieldsFunc(reply, func(r rune) bool { return r != '.' && (r < '0' || r > '9') }) {
		if parts := strings.Split(word, "."); len(parts) == 3 && (parts[0] == "5" || parts[0] == "4") && parts[1] != "" && parts[2] != "" {
			return word
		}
	}
	return "5.0.0"
}
