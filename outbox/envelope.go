package outbox

import (
	"iter"
	"strings"
)

// Envelope is what MAIL and RCPT say of a message. Its addresses are not the
// header's: only what is found there without doubt is taken over.
type Envelope struct {
	From string      // the reverse-path without brackets; "" is the null sender
	To   []Recipient // in the order of the header, each once
	UTF8 bool        // an address cannot be sent without SMTPUTF8
}

// NewEnvelope makes an envelope of addresses as they were found. Bare local
// names get the domain; the zero Address as from is the null sender. It is a
// Refusal if there is no recipient, or a bare name and no domain to put to it.
func NewEnvelope(from Address, to []Address, domain string) (Envelope, error) {
	from, err := from.At(domain)
	if err != nil {
		return Envelope{}, err
	}
	e := Envelope{From: from.String(), UTF8: from.IsUTF8()}
	seen := make(map[Address]bool, len(to))
	for _, a := range to {
		if a, err = a.At(domain); err != nil {
			return Envelope{}, err
		}
		if a == (Address{}) || seen[a] {
			continue
		}
		seen[a] = true
		e.To = append(e.To, Recipient{Address: a.String()})
		e.UTF8 = e.UTF8 || a.IsUTF8()
	}
	if len(e.To) == 0 {
		return Envelope{}, refuse("the message has no recipient", "write a To:, Cc: or Bcc: field with an address in it")
	}
	return e, nil
}

// Envelope reads the envelope from the header, for a message that came without
// one. Domain completes bare local names.
func (h *Header) Envelope(domain string) (Envelope, error) {
	from, err := h.Sender()
	if err != nil {
		return Envelope{}, err
	}
	to, err := h.Recipients()
	if err != nil {
		return Envelope{}, err
	}
	if len(to) == 0 && h.IsResent() {
		return Envelope{}, refuse("the message was resent to nobody: its newest Resent- fields hold no recipient", "write a Resent-To: field beside them, or take them out")
	}
	return NewEnvelope(from, to, domain)
}

// Recipients returns the addresses in To, Cc and Bcc, all occurrences in their
// order. If the message is resent, they are those in Resent-To, Resent-Cc and
// Resent-Bcc of the newest block, and no others (RFC 5322 section 3.6.6).
func (h *Header) Recipients() ([]Address, error) {
	if err := h.trust(); err != nil {
		return nil, err
	}
	var all []Address
	for name, f := range h.own() {
		if name != "To" && name != "Cc" && name != "Bcc" {
			continue
		}
		found, err := f.addresses()
		if err != nil {
			return nil, err
		}
		if all = append(all, found...); len(all) > addressesMost {
			return nil, refuse("the message has more than 50000 recipients", "send to fewer at a time")
		}
	}
	return all, nil
}

// Sender returns who sends the message: the author, or if From holds several or
// none, the address in Sender, which RFC 5322 section 3.6.2 asks for then. An
// author alone counts before the Sender: people have accounts for themselves.
// Of a resent message it is who resends it. It may be a bare local name.
func (h *Header) Sender() (Address, error) {
	if err := h.trust(); err != nil {
		return Address{}, err
	}
	var authors, senders []Address
	for name, f := range h.own() {
		if name != "From" && name != "Sender" {
			continue
		}
		found, err := f.addresses()
		if err != nil {
			return Address{}, err
		}
		if name == "From" {
			authors = append(authors, found...)
		} else {
			senders = append(senders, found...)
		}
	}
	switch {
	case len(authors) != 1 && len(senders) > 0:
		return senders[0], nil
	case len(authors) > 0:
		return authors[0], nil
	case h.IsResent():
		return Address{}, refuse("the message does not say who resends it", "write a Resent-From: field with the address of an account beside the other Resent- fields")
	}
	return Address{}, refuse("the message does not say who sends it", "write a From: field with the address of an account")
}

// addresses reads the field as an address list.
func (f Field) addresses() ([]Address, error) {
	return parseAddresses("the "+string(f.Name)+": field holds", string(f.Value))
}

// ParseReversePath reads the sender that a program gives as an argument, such as
// sendmail's -f. <> and nothing at all are the null sender.
func ParseReversePath(what, text string) (Address, error) {
	switch strings.Trim(text, " \t") {
	case "", "<>":
		return Address{}, nil
	}
	return ParseAddress(what, text)
}

// ownNames are the fields that every sending has one set of, behind Resent- from
// the second on.
func ownNames() [7]string {
	return [7]string{"From", "Sender", "To", "Cc", "Bcc", "Date", "Message-ID"}
}

// own yields the fields that are about this sending, by their names without
// Resent-: those of the newest Resent block, or the message's own.
func (h *Header) own() iter.Seq2[string, Field] {
	from, to, resent := h.resent()
	return func(yield func(string, Field) bool) {
		for f := range h.Fields() {
			if resent && (f.At < from || f.At >= to) {
				continue
			}
			if name := f.own(resent); name != "" && !yield(name, f) {
				return
			}
		}
	}
}

// own returns the field's name without Resent- if it is one of ownNames, with
// Resent- in front or without.
func (f Field) own(resent bool) string {
	name := f.Name
	const prefix = "Resent-"
	if resent {
		if len(name) < len(prefix) || !sameName(name[:len(prefix)], prefix) {
			return ""
		}
		name = name[len(prefix):]
	}
	for _, known := range ownNames() {
		if sameName(name, known) {
			return known
		}
	}
	return ""
}

// IsResent reports whether the message is resent: it has Resent fields.
func (h *Header) IsResent() bool {
	_, _, resent := h.resent()
	return resent
}

// resent finds the newest block of Resent fields, which is the topmost one. It
// ends where a field comes again, as each stands in a block once, or where the
// message was under way in between. Two of a kind in a row are one list in two
// fields, and other fields in between are tolerated: RFC 5322 section 3.6.6 says
// that the block should be in one piece, and not that it must.
func (h *Header) resent() (from, to int, ok bool) {
	seen := make(map[string]bool)
	last := ""
	for f := range h.Fields() {
		name := f.own(true)
		switch {
		case name != "" && seen[name] && name != last, name == "" && ok && f.isTrace():
			return from, to, true
		case name != "":
			if !ok {
				from, ok = f.At, true
			}
			seen[name], to = true, f.At+len(f.Octets)
		}
		last = name
	}
	return from, to, ok
}

// isTrace reports whether a server on the way put the field there.
func (f Field) isTrace() bool { return f.Is("Received") || f.Is("Return-Path") || f.Is("Delivered-To") }
