package mailtest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// perform carries one command out and returns the response; an error ends the
// session.
func (s *imapSession) perform(e *IMAPEvent, p *imapParser) (imapResponse, error) {
	switch e.status {
	case "BYE":
		return imapBye(e.text), nil
	case "NO", "BAD":
		if e.Verb == "LOGIN" || e.Verb == "AUTHENTICATE" {
			s.server.count(func(c *IMAPCounts) { c.Refused++ })
		}
		return imapResponse{line: e.status + " " + e.text}, nil
	}
	if e.Tag == "" || strings.ContainsAny(e.Tag, "+*(){%\"\\") {
		e.Tag = "*"
		return imapBad("a command begins with a tag"), nil
	}
	if r, refused := s.gate(e); refused {
		return r, nil
	}
	r, err := s.carryOut(e, p)
	switch {
	case errors.Is(err, errIMAPSyntax):
		r = imapBad(err.Error())
	case errors.Is(err, errMailboxName):
		r = imapNo("[CANNOT] " + err.Error())
	case err != nil:
		return r, err
	}
	// What is new when IDLE begins is told behind the "+", or, as some do, before it.
	if !r.end && (e.Verb != "IDLE" || s.server.o.Quirks.EarlyExists) {
		r.news = append(r.news, s.news(mayExpunge(e.Verb))...)
	}
	return r, nil
}

// mayExpunge says whether EXPUNGE may be told in the response (RFC 3501 section
// 7.4.1).
func mayExpunge(verb string) bool { return verb != "FETCH" && verb != "STORE" && verb != "SEARCH" }

// gate is what stands before a command whatever it is.
func (s *imapSession) gate(e *IMAPEvent) (imapResponse, bool) {
	quirks := s.server.o.Quirks
	free := slices.Contains([]string{"CAPABILITY", "NOOP", "LOGOUT", "ID", "LOGIN", "AUTHENTICATE", "STARTTLS"}, e.Verb)
	switch {
	case quirks.ThrottleAfter > 0 && s.total > quirks.ThrottleAfter && s.user != "":
		wait := quirks.ThrottleFor.Milliseconds()
		return imapResponse{
			untagged: fmt.Appendf(nil, "%s NO Request is throttled. Suggested Backoff Time: %d milliseconds\r\n", e.Tag, wait),
			line:     "* BYE Connection closed. 14",
			end:      true,
		}, true
	case s.user != "" && !free && quirks.NotConnected != nil && quirks.NotConnected(s.number):
		return imapBad("User is authenticated but not connected."), true
	case s.user != "" && !free && quirks.IDGate && !s.identified:
		return imapNo(e.Verb + " Unsafe Login. Please contact kefu@188.com for help"), true
	case required(e.Verb) != "" && !s.has(required(e.Verb)):
		return imapBad("unknown command"), true
	case s.open != nil && !free && !slices.Contains([]string{"SELECT", "EXAMINE", "CLOSE", "UNSELECT"}, e.Verb) && s.open.stale():
		return imapBye("the mailbox is not what it was when it was opened"), true
	}
	return imapResponse{}, false
}

// carryOut finds the command's function by the session's state.
func (s *imapSession) carryOut(e *IMAPEvent, p *imapParser) (imapResponse, error) {
	switch e.Verb {
	case "CAPABILITY":
		return imapResponse{untagged: []byte("* CAPABILITY " + s.capabilities() + "\r\n"), line: "OK that is all"}, p.end()
	case "NOOP":
		return imapOK("nothing done"), p.end()
	case "LOGOUT":
		return imapResponse{untagged: []byte("* BYE until next time\r\n"), line: "OK logged out", end: true}, nil
	case "ID":
		return s.id(p)
	}
	if s.user == "" {
		return s.authorize(e, p)
	}
	switch e.Verb {
	case "ENABLE":
		return s.enable(p)
	case "COMPRESS":
		return s.compression(p)
	case "NAMESPACE":
		return imapResponse{untagged: []byte(`* NAMESPACE (("" ` + quoted(s.server.o.Delimiter) + ")) NIL NIL\r\n"), line: "OK done"}, p.end()
	case "LIST":
		return s.list(p)
	case "LSUB":
		return s.lsub(p)
	case "STATUS":
		return s.status(p)
	case "SELECT", "EXAMINE":
		return s.selectMailbox(e, p)
	case "CREATE", "DELETE", "RENAME", "SUBSCRIBE", "UNSUBSCRIBE":
		return s.manage(e, p)
	case "APPEND":
		return s.append(e, p)
	case "IDLE":
		return imapResponse{untagged: s.earlyExists(), line: "+ idling", next: func(s *imapSession) error { return s.idle(e.Tag) }}, p.end()
	case "NOTIFY":
		return s.setNotify(p)
	}
	if s.open == nil {
		return imapBad("unknown command, or no mailbox is open"), nil
	}
	return s.carryOutOpen(e, p)
}

// carryOutOpen does what needs an open mailbox.
func (s *imapSession) carryOutOpen(e *IMAPEvent, p *imapParser) (imapResponse, error) {
	switch e.Verb {
	case "CHECK":
		return imapOK("checked"), p.end()
	case "CLOSE":
		if err := p.end(); err != nil {
			return imapResponse{}, err
		}
		if !s.open.readOnly && !e.pretended {
			s.open.expungeMarked(nil)
		}
		s.open = nil
		return imapOK("closed"), nil
	case "UNSELECT":
		s.open = nil
		return imapOK("closed"), p.end()
	case "EXPUNGE", "UID EXPUNGE":
		return s.expunge(e, p)
	case "SEARCH", "UID SEARCH":
		return s.search(e, p)
	case "FETCH", "UID FETCH":
		return s.fetch(e, p)
	case "STORE", "UID STORE":
		return s.store(e, p)
	case "COPY", "UID COPY", "MOVE", "UID MOVE":
		return s.copy(e, p)
	}
	return imapBad("unknown command"), nil
}

// id is RFC 2971.
func (s *imapSession) id(p *imapParser) (imapResponse, error) {
	fields := 0
	if !p.take("NIL") {
		err := p.list(func() error {
			fields++
			if _, err := p.str(); err != nil {
				return err
			}
			if err := p.space(); err != nil {
				return err
			}
			_, err := p.nstring()
			return err
		})
		if err != nil {
			return imapResponse{}, err
		}
	}
	if s.user != "" && fields > 0 {
		s.identified = true
	}
	return imapResponse{untagged: []byte("* ID (\"name\" \"mailtest\")\r\n"), line: "OK nice to meet you"}, p.end()
}

// enable is RFC 5161. QRESYNC brings CONDSTORE with it (RFC 7162 section 3.2.3).
func (s *imapSession) enable(p *imapParser) (imapResponse, error) {
	r := imapOK("enabled")
	text := "* ENABLED"
	for {
		name, err := p.word()
		if err != nil {
			return imapResponse{}, err
		}
		if slices.Contains([]string{"CONDSTORE", "QRESYNC", "UTF8=ACCEPT"}, name) && s.has(name) {
			s.enabled[name] = true
			text += " " + name
			if name == "QRESYNC" {
				s.enabled["CONDSTORE"] = true
			}
		}
		if !p.take(" ") {
			break
		}
	}
	if !s.server.o.Quirks.SilentEnable {
		r.untagged = []byte(text + "\r\n")
	}
	return r, p.end()
}

// compression is RFC 4978.
func (s *imapSession) compression(p *imapParser) (imapResponse, error) {
	if name, err := p.word(); err != nil || name != "DEFLATE" {
		return imapBad("no such compression"), nil
	}
	if s.packed != nil {
		return imapNo("[COMPRESSIONACTIVE] it is compressed already"), nil
	}
	r := imapOK("compressed from here")
	r.next = (*imapSession).compress
	return r, p.end()
}

// mailboxName reads the name of a mailbox and returns it in UTF-8.
func (s *imapSession) mailboxName(p *imapParser) (string, error) {
	wire, err := p.astring()
	if err != nil {
		return "", err
	}
	return s.nameFrom(wire)
}

func (s *imapSession) nameFrom(wire string) (string, error) {
	if s.enabled["UTF8=ACCEPT"] {
		return canonical(wire), nil
	}
	name, err := decodeName(wire)
	return canonical(name), err
}

// wireName is a name as responses have it.
func (s *imapSession) wireName(name string) string {
	if s.enabled["UTF8=ACCEPT"] {
		return quoted(name)
	}
	return quoted(encodeName(name))
}
