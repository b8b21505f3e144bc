package mailtest

import (
	"slices"
	"strconv"
	"strings"
)

// perform carries a command out and returns the answer.
func (s *smtpSession) perform(e *SMTPEvent) (smtpReply, error) {
	if s.server.o.Quirks.NoQuit && e.Verb == "QUIT" {
		return smtpReply{}, s.hold(0)
	}
	var failed error
	r := s.unlessRefused(e, func() smtpReply {
		r, err := s.carryOut(e)
		failed = err
		return r
	})
	if e.Verb == "MAIL" {
		s.tried = true
	}
	if e.replied && e.Verb == "DATA" {
		lines := strings.Split(strings.TrimSuffix(string(e.reply), "\r\n"), "\r\n")
		if !strings.HasPrefix(lines[len(lines)-1], "354") {
			r.next = nil
		}
	}
	return r, failed
}

func (s *smtpSession) carryOut(e *SMTPEvent) (smtpReply, error) {
	switch e.Verb {
	case "EHLO", "HELO":
		return s.greet(e), nil
	case "STARTTLS":
		return s.startTLS(e), nil
	case "AUTH":
		return s.auth(e)
	case "MAIL":
		return s.mailFrom(e), nil
	case "RCPT":
		return s.rcptTo(e), nil
	case "DATA":
		return s.data(e), nil
	case "RSET":
		if !e.pretended {
			s.reset()
		}
		return smtpSay(250, "2.0.0", "forgotten"), nil
	case "NOOP":
		return smtpSay(250, "2.0.0", "nothing done"), nil
	case "VRFY":
		return smtpSay(252, "2.5.0", "try it"), nil
	case "QUIT":
		r := smtpSay(221, "2.0.0", "bye")
		r.end = true
		return r, nil
	}
	s.fault("unknown command %q", e.Verb)
	return smtpSay(500, "5.5.2", "unknown command"), nil
}

// reset forgets the transaction.
func (s *smtpSession) reset() {
	s.tried, s.open, s.utf8 = false, false, false
	s.mail = SMTPMessage{}
}

// greet is EHLO and HELO (RFC 5321 section 4.1.1.1).
func (s *smtpSession) greet(e *SMTPEvent) smtpReply {
	if e.Arg == "" || strings.ContainsAny(e.Arg, " _") {
		s.fault("%s with %q for a name", e.Verb, e.Arg)
		return smtpSay(501, "5.5.4", "say who you are")
	}
	if e.Verb == "EHLO" && s.server.o.Quirks.NoEHLO {
		return smtpSay(502, "5.5.1", "EHLO is not known here")
	}
	if s.loggedIn {
		s.fault("%s after AUTH", e.Verb)
		if s.server.o.Quirks.ForgetLogin {
			s.loggedIn, s.user = false, ""
		}
	}
	s.reset()
	s.hello, s.extended = true, e.Verb == "EHLO"
	r := smtpSay(250, "", "mailtest.example greets you")
	if s.extended {
		r.lines = append(r.lines, s.server.capabilities(s.secure)...)
	}
	return r
}

// lists says whether the server knows an extension.
func (s *SMTP) lists(keyword string) bool {
	named := func(line string) bool {
		first, _, _ := strings.Cut(line, " ")
		return strings.EqualFold(first, keyword)
	}
	if slices.ContainsFunc(s.o.Without, named) || keyword == "PIPELINING" && s.o.NoPipelining {
		return false
	}
	switch keyword {
	case "SIZE":
		return true
	case "STARTTLS":
		return s.o.TLS != nil && !s.o.Implicit
	case "AUTH":
		return len(s.o.Mechanisms) > 0
	}
	return slices.ContainsFunc(s.o.Capabilities, named) || slices.ContainsFunc(s.o.Extra, named)
}

// capabilities are the lines of the answer to EHLO behind the first.
func (s *SMTP) capabilities(secure bool) []string {
	var list []string
	for _, line := range slices.Concat(s.o.Capabilities, s.o.Extra) {
		if keyword, _, _ := strings.Cut(line, " "); s.lists(keyword) {
			list = append(list, line)
		}
	}
	if s.lists("SIZE") {
		list = append(list, "SIZE "+strconv.FormatInt(s.o.Size, 10))
	}
	if s.lists("STARTTLS") && !secure {
		list = append(list, "STARTTLS")
	}
	if s.lists("AUTH") && (secure || s.o.TLS == nil || s.o.Quirks.ClearAuth) {
		list = append(list, "AUTH "+strings.Join(s.o.Mechanisms, " "))
	}
	return list
}

// startTLS is RFC 3207.
func (s *smtpSession) startTLS(e *SMTPEvent) smtpReply {
	switch {
	case !s.hello:
		s.fault("STARTTLS before EHLO")
		return smtpSay(503, "5.5.1", "EHLO first")
	case s.secure || !s.server.lists("STARTTLS"):
		s.fault("STARTTLS where it is not offered")
		return smtpSay(503, "5.5.1", "STARTTLS is not for here")
	case e.Arg != "":
		return smtpSay(501, "5.5.4", "STARTTLS has no parameters")
	}
	r := smtpSay(220, "2.0.0", "begin TLS")
	r.next = (*smtpSession).handshake
	return r
}

// mailFrom begins a transaction.
func (s *smtpSession) mailFrom(e *SMTPEvent) smtpReply {
	o := s.server.o
	switch {
	case !s.hello:
		s.fault("MAIL before EHLO")
		return smtpSay(503, "5.5.1", "EHLO first")
	case s.open:
		s.fault("MAIL inside a transaction")
		return smtpSay(503, "5.5.1", "a transaction is open")
	case o.RequireAuth && !s.loggedIn:
		return smtpSay(530, "5.7.0", "authentication required")
	}
	path, err := parseSMTPPath(e.Arg, "FROM:")
	if err != nil {
		s.fault("MAIL with %q", e.Arg)
		return smtpSay(501, "5.1.7", "not a reverse-path")
	}
	if o.Quirks.OwnSender && path.address != s.user {
		return smtpSay(501, "", "Mail from address must be same as authorization user.")
	}
	s.utf8 = false
	for _, param := range path.params {
		if r := s.mailParam(param); !r.good() {
			return r
		}
	}
	if !isASCII(path.address) && !s.utf8 {
		return smtpSay(553, "5.6.7", "an address that is not ASCII needs SMTPUTF8")
	}
	s.open = true
	s.mail = SMTPMessage{Session: s.number, User: s.user, From: path.address, Params: path.params}
	return smtpSay(250, "2.1.0", "sender taken")
}

// mailParam checks one parameter of MAIL against what is offered.
func (s *smtpSession) mailParam(param string) smtpReply {
	keyword, value, _ := strings.Cut(param, "=")
	extension := map[string]string{"SIZE": "SIZE", "BODY": "8BITMIME", "SMTPUTF8": "SMTPUTF8", "RET": "DSN",
		"ENVID": "DSN", "AUTH": "AUTH"}[strings.ToUpper(keyword)]
	if extension == "" || !s.has(extension) {
		s.fault("MAIL with %q, which is not offered", param)
		return smtpSay(555, "5.5.4", "parameter is not known")
	}
	bad := false
	switch strings.ToUpper(keyword) {
	case "SIZE":
		size, err := strconv.ParseInt(value, 10, 64)
		if bad = err != nil || size < 0; !bad && size > s.server.o.Size {
			return smtpSay(552, "5.3.4", "message is larger than "+strconv.FormatInt(s.server.o.Size, 10)+" octets")
		}
	case "BODY":
		bad = !strings.EqualFold(value, "7BIT") && !strings.EqualFold(value, "8BITMIME")
	case "SMTPUTF8":
		s.utf8, bad = true, param != keyword
	case "RET":
		bad = !strings.EqualFold(value, "FULL") && !strings.EqualFold(value, "HDRS")
	case "ENVID":
		bad = !isXText(value, 100)
	}
	if bad {
		s.fault("MAIL with %q", param)
		return smtpSay(501, "5.5.4", "parameter is not right")
	}
	return smtpSay(250, "", "")
}

// rcptTo adds a recipient.
func (s *smtpSession) rcptTo(e *SMTPEvent) smtpReply {
	if !s.open {
		if !s.tried {
			s.fault("RCPT before MAIL")
		}
		return smtpSay(503, "5.5.1", "MAIL first")
	}
	path, err := parseSMTPPath(e.Arg, "TO:")
	if err != nil || path.address == "" {
		s.fault("RCPT with %q", e.Arg)
		return smtpSay(501, "5.1.3", "not a forward-path")
	}
	for _, param := range path.params {
		if !s.rcptParam(param) {
			s.fault("RCPT with %q", param)
			return smtpSay(555, "5.5.4", "parameter is not known")
		}
	}
	if !isASCII(path.address) && !s.utf8 {
		return smtpSay(553, "5.6.7", "an address that is not ASCII needs SMTPUTF8")
	}
	if len(s.mail.To) >= s.server.o.Recipients {
		return smtpSay(452, "4.5.3", "too many recipients")
	}
	if r := s.server.judge(s.mail.From, path.address); !r.good() {
		return r
	}
	if !e.pretended {
		s.mail.To = append(s.mail.To, path.address)
		s.mail.ToParams = append(s.mail.ToParams, path.params)
	}
	return smtpSay(250, "2.1.5", "recipient taken")
}

// rcptParam checks one parameter of RCPT (RFC 3461 section 4).
func (s *smtpSession) rcptParam(param string) bool {
	keyword, value, _ := strings.Cut(param, "=")
	switch strings.ToUpper(keyword) {
	case "NOTIFY":
		words := strings.Split(strings.ToUpper(value), ",")
		for _, word := range words {
			if !slices.Contains([]string{"SUCCESS", "FAILURE", "DELAY", "NEVER"}, word) || word == "NEVER" && len(words) > 1 {
				return false
			}
		}
	case "ORCPT":
		kind, address, _ := strings.Cut(value, ";")
		if kind == "" || address == "" || !isXText(address, 500) {
			return false
		}
	default:
		return false
	}
	return s.has("DSN")
}

// isXText checks RFC 3461 section 4's xtext, of at most limit characters.
func isXText(text string, limit int) bool {
	if text == "" || len(text) > limit {
		return false
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '+':
			if i+2 >= len(text) || strings.Trim(text[i+1:i+3], "0123456789ABCDEF") != "" {
				return false
			}
			i += 2
		case c < '!' || c > '~' || c == '=':
			return false
		}
	}
	return true
}

// judge says what the server does with a recipient, by its quirks.
func (s *SMTP) judge(from, to string) smtpReply {
	if s.o.Quirks.Mixed {
		switch {
		case strings.HasPrefix(to, "soft-"):
			return smtpSay(450, "4.2.0", "mailbox is busy")
		case strings.HasPrefix(to, "hard-"):
			return smtpSay(550, "5.1.1", "no such mailbox")
		}
	}
	if s.o.Quirks.Greylist {
		s.mu.Lock()
		defer s.mu.Unlock()
		if key := from + "\n" + to; !s.greylist[key] {
			s.greylist[key] = true
			return smtpSay(450, "4.2.0", "greylisted, come again")
		}
	}
	return smtpSay(250, "", "")
}
