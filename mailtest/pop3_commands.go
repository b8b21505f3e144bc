package mailtest

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// perform carries one command out (RFC 1939 section 3) and returns the
// response; an error ends the session. octets is the command line's length.
func (s *pop3Session) perform(e *POP3Event, octets int) (pop3Response, error) {
	switch {
	case e.refused:
		return s.refused(e), nil
	case octets > 255: // RFC 2449 section 4
		return refuse("the command line is longer than 255 octets"), nil
	}
	switch e.Verb {
	case "CAPA":
		return s.capa(), nil
	case "QUIT":
		return s.quit(e), nil
	case "NOOP":
		if s.drop != nil {
			return ok(""), nil
		}
	case "UTF8":
		return s.utf8(), nil
	}
	if s.drop == nil {
		return s.authorize(e)
	}
	switch e.Verb {
	case "STAT":
		count, total := s.total(e)
		return ok(fmt.Sprintf("%d %d", count, total)), nil
	case "LIST":
		return s.listing(e, func(i int) string {
			return strconv.Itoa(i+1) + " " + strconv.FormatInt(s.size(e, i), 10)
		}), nil
	case "UIDL":
		if !s.server.o.NoUIDL {
			return s.listing(e, func(i int) string { return strconv.Itoa(i+1) + " " + s.unique(i) }), nil
		}
	case "RETR":
		return s.retrieve(e), nil
	case "TOP":
		if !s.server.o.NoTOP {
			return s.top(e), nil
		}
	case "DELE":
		return s.delete(e), nil
	case "RSET":
		if !e.pretended {
			clear(s.gone)
		}
		return ok(""), nil
	}
	return refuse("unknown command"), nil
}

// refused is the answer to a command that the hook does not let through. QUIT
// ends the session all the same, without the UPDATE state.
func (s *pop3Session) refused(e *POP3Event) pop3Response {
	r := refuse(e.refusal)
	switch e.Verb {
	case "PASS", "APOP", "AUTH":
		s.server.count(func(c *POP3Counts) { c.Refused++ })
	case "QUIT":
		s.unlock()
		r.end = true
	}
	return r
}

func (s *pop3Session) capa() pop3Response {
	if s.server.o.NoCAPA {
		return refuse("unknown command")
	}
	var list []byte
	for _, capability := range s.server.capabilities(s.secure) {
		list = append(list, capability...)
		list = append(list, "\r\n"...)
	}
	return rows("capability list follows", list)
}

// utf8 is allowed where UTF8 is listed, before the login (RFC 6856 section 2).
func (s *pop3Session) utf8() pop3Response {
	for _, capability := range s.server.capabilities(s.secure) {
		if capability == "UTF8" || strings.HasPrefix(capability, "UTF8 ") {
			if s.drop != nil {
				return refuse("UTF8 comes before the login")
			}
			return ok("UTF-8 it is")
		}
	}
	return refuse("unknown command")
}

// quit enters the UPDATE state (RFC 1939 section 6). The lock is given back
// before the reply, so that a client may come again at once.
func (s *pop3Session) quit(e *POP3Event) pop3Response {
	r := ok("bye")
	r.end = true
	if s.drop == nil || e.pretended {
		s.unlock()
		return r
	}
	gone, popped := make(map[*stored]bool), make(map[*stored]bool)
	for i, m := range s.list {
		if s.gone[i] {
			gone[m.stored] = true
		} else if s.read[i] && s.server.o.Quirks.Popped && !s.recent {
			popped[m.stored] = true
		}
	}
	s.drop.update(gone, popped)
	s.unlock()
	return r
}

// size is what the server says about the length of message i.
func (s *pop3Session) size(e *POP3Event, i int) int64 {
	size := int64(len(s.list[i].octets))
	if unfinished(s.list[i].octets) {
		size += 2
	}
	if s.server.o.Quirks.Size != nil {
		size = s.server.o.Quirks.Size(s.number, i+1, size)
	}
	if e.size != nil {
		size = e.size(i+1, size)
	}
	return size
}

// unfinished says whether the last line lacks the CRLF that will be sent.
func unfinished(octets []byte) bool {
	return len(octets) > 0 && !bytes.HasSuffix(octets, []byte("\r\n"))
}

func (s *pop3Session) unique(i int) string {
	if s.server.o.Quirks.UID != nil {
		return s.server.o.Quirks.UID(s.number, i+1, s.list[i].uid)
	}
	return s.list[i].uid
}

func (s *pop3Session) total(e *POP3Event) (count int, total int64) {
	for i := range s.list {
		if !s.gone[i] {
			count++
			total += s.size(e, i)
		}
	}
	return count, total
}

// listing answers LIST and UIDL, with or without a message number.
func (s *pop3Session) listing(e *POP3Event, row func(i int) string) pop3Response {
	shown := func(i int) string {
		text := row(i)
		if s.server.o.Quirks.Row != nil {
			text = s.server.o.Quirks.Row(s.number, e.Verb, text)
		}
		if e.row != nil {
			text = e.row(text)
		}
		return text
	}
	if e.Arg != "" {
		i, no := s.index(e.Arg)
		if no != "" {
			return refuse(no)
		}
		return ok(shown(i))
	}
	var list []byte
	for i := range s.list {
		if s.gone[i] {
			continue
		}
		if text := shown(i); text != "" {
			list = append(list, text...)
			list = append(list, "\r\n"...)
		}
	}
	count, total := s.total(e)
	return rows(fmt.Sprintf("%d messages (%d octets)", count, total), list)
}

// index turns a message number into an index, or says why there is none.
func (s *pop3Session) index(arg string) (i int, no string) {
	n, err := strconv.Atoi(strings.TrimSpace(arg))
	switch {
	case err != nil:
		return 0, "bad message number"
	case n < 1 || n > len(s.list):
		return 0, "no such message"
	case s.gone[n-1]:
		return 0, "message is deleted"
	}
	return n - 1, ""
}

func (s *pop3Session) retrieve(e *POP3Event) pop3Response {
	i, no := s.index(e.Arg)
	if no != "" {
		return refuse(no)
	}
	s.read[i] = true
	octets := s.list[i].octets
	if e.replaced {
		octets = e.octets
	}
	r := ok(fmt.Sprintf("%d octets", s.size(e, i)))
	r.body = s.message(octets)
	return r
}

func (s *pop3Session) top(e *POP3Event) pop3Response {
	number, count, _ := strings.Cut(e.Arg, " ")
	i, no := s.index(number)
	if no != "" {
		return refuse(no)
	}
	lines, err := strconv.Atoi(strings.TrimSpace(count))
	if err != nil || lines < 0 {
		return refuse("bad number of lines")
	}
	octets := s.list[i].octets
	if e.replaced {
		octets = e.octets
	}
	r := ok("top of message follows")
	r.body = s.message(top(octets, lines))
	return r
}

// message writes the octets of RETR and TOP as the quirks want them.
func (s *pop3Session) message(octets []byte) func(w io.Writer) error {
	quirks := s.server.o.Quirks
	return func(w io.Writer) error {
		if quirks.LateDot {
			octets = bytes.TrimSuffix(octets, []byte("\r\n"))
		}
		var err error
		switch {
		case quirks.NoStuff || quirks.LateDot:
			_, err = w.Write(octets)
			if err == nil && !quirks.LateDot && unfinished(octets) {
				_, err = io.WriteString(w, "\r\n")
			}
		default:
			err = writeStuffed(w, octets)
		}
		if err != nil {
			return err
		}
		_, err = io.WriteString(w, ".\r\n")
		return err
	}
}

func (s *pop3Session) delete(e *POP3Event) pop3Response {
	i, no := s.index(e.Arg)
	if no != "" {
		return refuse(no)
	}
	if !e.pretended {
		s.gone[i] = true
	}
	return ok("marked to be deleted")
}
