package mailtest

import (
	"fmt"
	"strings"
)

// status is RFC 9051 section 6.3.11.
func (s *imapSession) status(p *imapParser) (imapResponse, error) {
	name, err := s.mailboxName(p)
	if err == nil {
		err = p.space()
	}
	if err != nil {
		return imapResponse{}, err
	}
	items, err := s.statusItems(p)
	if err == nil {
		err = p.end()
	}
	if err != nil {
		return imapResponse{}, err
	}
	defer s.account.lock()()
	m := s.account.get(name)
	if m == nil || m.unselectable() {
		return imapNo("[NONEXISTENT] no such mailbox"), nil
	}
	return imapResponse{untagged: s.statusOf(m, items), line: "OK that is it"}, nil
}

func (s *imapSession) statusItems(p *imapParser) ([]string, error) {
	items, err := p.words()
	if err != nil {
		return nil, err
	}
	for _, item := range items {
		switch item {
		case "MESSAGES", "RECENT", "UIDNEXT", "UIDVALIDITY", "UNSEEN":
			continue
		case "HIGHESTMODSEQ":
			if s.has("CONDSTORE") {
				s.enabled["CONDSTORE"] = true // RFC 7162 section 3.1
				continue
			}
		case "SIZE":
			if s.has("STATUS=SIZE") {
				continue
			}
		}
		return nil, p.fail("a status item that is offered, not " + item)
	}
	return items, nil
}

// statusOf is the STATUS response of a mailbox; the account is locked.
func (s *imapSession) statusOf(m *IMAPMailbox, items []string) []byte {
	quirks := s.server.o.Quirks
	if quirks.EmptyStatus {
		return []byte("* STATUS " + s.wireName(m.name) + " ()\r\n")
	}
	shown := m.messages
	if quirks.Window > 0 && len(shown) > quirks.Window {
		shown = shown[len(shown)-quirks.Window:]
	}
	var values []string
	for _, item := range items {
		value := uint64(0)
		switch item {
		case "MESSAGES":
			value = uint64(len(shown))
		case "UIDNEXT":
			value = uint64(m.next)
		case "UIDVALIDITY":
			value = uint64(m.validity)
		case "HIGHESTMODSEQ":
			value = m.modseq
		case "UNSEEN":
			for _, message := range shown {
				if !hasFlag(message.Flags, `\Seen`) {
					value++
				}
			}
		case "SIZE":
			for _, message := range shown {
				value += uint64(len(message.Octets))
			}
		}
		values = append(values, fmt.Sprintf("%s %d", item, value))
	}
	return []byte("* STATUS " + s.wireName(m.name) + " (" + strings.Join(values, " ") + ")\r\n")
}
