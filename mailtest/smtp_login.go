package mailtest

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
)

// auth runs a SASL exchange (RFC 4954 section 4).
func (s *smtpSession) auth(e *SMTPEvent) (smtpReply, error) {
	o := s.server.o
	switch {
	case !s.extended:
		s.fault("AUTH before EHLO")
		return smtpSay(503, "5.5.1", "EHLO first"), nil
	case s.loggedIn:
		s.fault("AUTH after AUTH")
		return smtpSay(503, "5.5.1", "you are logged in"), nil
	case s.open:
		s.fault("AUTH inside a transaction")
		return smtpSay(503, "5.5.1", "a transaction is open"), nil
	case o.TLS != nil && !s.secure && !o.Quirks.ClearAuth:
		s.fault("AUTH without TLS")
		return smtpSay(538, "5.7.11", "STARTTLS first"), nil
	}
	name, first, inline := strings.Cut(e.Arg, " ")
	name = strings.ToUpper(name)
	if !s.has("AUTH") || !slices.Contains(o.Mechanisms, name) {
		return smtpSay(504, "5.5.4", "mechanism is not offered"), nil
	}
	if inline && o.Quirks.TwoLines {
		return smtpSay(501, "5.5.4", "the response goes on a line of its own"), nil
	}
	x := &saslExchange{ask: s.challenge, password: s.server.password, certificate: s.certificate}
	if inline {
		initial, err := decodeInitial(first)
		if err != nil {
			s.fault("AUTH with a response that is not base64")
			return smtpSay(501, "5.5.2", "not base64"), nil
		}
		x.initial = initial
	}
	user, err := x.run(name)
	switch {
	case errors.Is(err, errRefused):
		return s.login(e, user, false), nil
	case errors.Is(err, errCancelled):
		return smtpSay(501, "5.7.0", "cancelled"), nil
	case errors.Is(err, errNotBase64):
		s.fault("a response to a challenge that is not base64")
		return smtpSay(501, "5.5.2", "not base64"), nil
	case err != nil:
		return smtpReply{}, err
	}
	return s.login(e, user, true), nil
}

// login notes who has logged in, or says that nobody has.
func (s *smtpSession) login(e *SMTPEvent, user string, accepted bool) smtpReply {
	quirks := s.server.o.Quirks
	if quirks.Disabled != "" {
		accepted = false
	}
	many := false
	s.server.count(func(c *SMTPCounts) {
		if many = accepted && quirks.Logins > 0 && c.Logins >= quirks.Logins; many || !accepted {
			c.Refused++
		} else {
			c.Logins++
		}
	})
	switch {
	case many:
		return smtpSay(454, "4.7.0", "Too many login attempts, please try again later.")
	case quirks.Disabled != "":
		return smtpSay(535, "", quirks.Disabled)
	case !accepted && quirks.LoginText != "":
		return smtpSay(535, "", quirks.LoginText)
	case !accepted:
		return smtpSay(535, "5.7.8", "login refused")
	}
	if !e.pretended {
		s.user, s.loggedIn = user, true
	}
	return smtpSay(235, "2.7.0", "welcome")
}

// challenge sends one and returns what the client says to it.
func (s *smtpSession) challenge(text []byte) ([]byte, error) {
	line := base64.StdEncoding.EncodeToString(text)
	e := s.event("+", line)
	if err := s.answer(e, smtpReply{code: 334, lines: []string{line}}); err != nil {
		return nil, err
	}
	reply, err := s.readLine(smtpAuthLimit)
	if err != nil {
		return nil, err
	}
	if reply == "*" {
		return nil, errCancelled
	}
	response, err := base64.StdEncoding.DecodeString(reply)
	if err != nil {
		return nil, errNotBase64
	}
	return response, nil
}

// certificate is the common name of the client's verified certificate, or "".
func (s *smtpSession) certificate() string {
	conn, ok := s.conn.(*tls.Conn)
	if !ok || len(conn.ConnectionState().VerifiedChains) == 0 {
		return ""
	}
	return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
}
