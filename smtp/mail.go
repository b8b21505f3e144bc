package smtp

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Mail is a message with its envelope.
type Mail struct {
	From string      // the reverse-path without brackets; empty: the null one
	To   []Recipient // at least one

	// Size is the number of octets that Measure counts: the server is told, and
	// asked for nothing if it is more than the server takes (RFC 1870). A text
	// that turns out to be another is not sent. 0 is an unknown size.
	Size int64
	// EightBit says that the text has octets above 127. The server is told by
	// BODY=8BITMIME if it knows the word (RFC 6152). If not, the text goes as it is:
	// RFC 6152 section 3 wants it re-encoded or returned then, but the first would
	// break signatures, and a server that cannot take it has a 5yz to say so.
	EightBit bool
	// UTF8 says that the header has UTF-8 in it, so that the server has to know
	// SMTPUTF8 (RFC 6531). An address that is not ASCII needs the same; to write
	// a domain in A-labels, which needs nothing, is the caller's part.
	UTF8 bool

	// Return is the RET parameter: empty, FULL or HDRS; EnvelopeID is ENVID, of at
	// most 100 printable ASCII characters. Both go only to servers that know DSN
	// (RFC 3461 section 4).
	Return     string
	EnvelopeID string

	// Text is header and body. Lines end in LF or CRLF. It is read once, as far as
	// it is needed, and not closed.
	Text io.Reader
}

// Recipient is a forward-path and what its sender wants to hear of it.
type Recipient struct {
	Address string // without brackets; "postmaster" needs no domain
	// Notify is empty, NEVER, or a list of SUCCESS, FAILURE and DELAY with commas.
	Notify string
	// Original is the address for ORCPT, for a message that was addressed to
	// another one first. One that is not ASCII is left out.
	Original string
}

// check says why this session cannot send a message to anybody.
func (c *Client) check(m *Mail) error {
	problem := ""
	if m.From != "" {
		problem = checkAddress(m.From)
	}
	if problem != "" {
		return &MailError{What: "sender <" + m.From + ">", Detail: problem}
	}
	if most := c.capabilities.Size; most > 0 && m.Size > most {
		return &MailError{What: "message", Detail: fmt.Sprintf("its size is %d octets, and the server takes %d", m.Size, most)}
	}
	if (m.UTF8 || !isASCII(m.From)) && !c.capabilities.SMTPUTF8 {
		return &MailError{What: "message", Detail: "its sender or header is not ASCII, and the server does not offer SMTPUTF8"}
	}
	if _, ok := returnParameter(m.Return); !ok {
		return &MailError{What: "message", Detail: "RET is neither FULL nor HDRS"}
	}
	if !isEnvelopeID(m.EnvelopeID) {
		return &MailError{What: "message", Detail: "the envelope identifier is longer than 100 characters or not printable ASCII"}
	}
	return nil
}

// checkRecipient says why this session cannot ask for a recipient.
func (c *Client) checkRecipient(r Recipient) error {
	problem := ""
	if !strings.EqualFold(r.Address, "postmaster") { // RFC 5321 section 4.1.1.3
		problem = checkAddress(r.Address)
	}
	if _, ok := notifyParameter(r.Notify); problem == "" && !ok {
		problem = "NOTIFY is neither NEVER nor a list of SUCCESS, FAILURE and DELAY"
	}
	if problem == "" && !isASCII(r.Address) && !c.capabilities.SMTPUTF8 {
		problem = "it is not ASCII, and the server does not offer SMTPUTF8"
	}
	if problem == "" {
		return nil
	}
	return &MailError{What: "recipient <" + r.Address + ">", Detail: problem}
}

// appendMail appends the MAIL command of a message that has been checked. Utf8
// says that one of its addresses is not ASCII.
func (c *Client) appendMail(dst []byte, m *Mail, utf8 bool) []byte {
	utf8 = utf8 || m.UTF8
	offered := c.capabilities
	dst = append(append(append(dst, "MAIL FROM:<"...), m.From...), '>')
	if offered.Has("SIZE") && m.Size > 0 {
		dst = strconv.AppendInt(append(dst, " SIZE="...), m.Size, 10)
	}
	if offered.EightBitMIME && (m.EightBit || utf8) {
		dst = append(dst, " BODY=8BITMIME"...)
	}
	if utf8 {
		dst = append(dst, " SMTPUTF8"...)
	}
	if ret, _ := returnParameter(m.Return); offered.DSN && ret != "" {
		dst = append(append(dst, " RET="...), ret...)
	}
	if offered.DSN && m.EnvelopeID != "" {
		dst = appendXtext(append(dst, " ENVID="...), m.EnvelopeID)
	}
	return append(dst, '\r', '\n')
}

// appendRcpt appends the RCPT command of a recipient that has been checked.
func (c *Client) appendRcpt(dst []byte, r Recipient) []byte {
	dst = append(append(append(dst, "RCPT TO:<"...), r.Address...), '>')
	if c.capabilities.DSN {
		if notify, _ := notifyParameter(r.Notify); notify != "" {
			dst = append(append(dst, " NOTIFY="...), notify...)
		}
		if r.Original != "" && isASCII(r.Original) && len(r.Original) <= maxAddress {
			dst = appendXtext(append(dst, " ORCPT=rfc822;"...), r.Original)
		}
	}
	return append(dst, '\r', '\n')
}
