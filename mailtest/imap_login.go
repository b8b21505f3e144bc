package mailtest

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"slices"
	"time"
)

// authorize carries out the commands of the not authenticated state.
func (s *imapSession) authorize(e *IMAPEvent, p *imapParser) (imapResponse, error) {
	switch e.Verb {
	case "STARTTLS":
		if s.server.o.TLS == nil || s.secure {
			return imapBad("STARTTLS is not for here"), nil
		}
		r := imapOK("begin TLS")
		r.next = (*imapSession).handshake
		return r, p.end()
	case "LOGIN":
		if s.server.o.NoLOGIN {
			return imapNo("[PRIVACYREQUIRED] LOGIN is disabled"), nil
		}
		user, err := p.astring()
		if err == nil {
			err = p.space()
		}
		if err != nil {
			return imapResponse{}, err
		}
		password, err := p.astring()
		if err != nil {
			return imapResponse{}, err
		}
		if err := p.end(); err != nil {
			return imapResponse{}, err
		}
		want, known := s.server.password(user)
		return s.login(user, known && want == password), nil
	case "AUTHENTICATE":
		return s.authenticate(e, p)
	}
	return imapBad("unknown command, or not before the login"), nil
}

// login enters the authenticated state.
func (s *imapSession) login(user string, accepted bool) imapResponse {
	if !accepted {
		s.server.count(func(c *IMAPCounts) { c.Refused++ })
		return imapNo("[AUTHENTICATIONFAILED] login refused")
	}
	if r := s.server.enter(); r.line != "" {
		return r
	}
	s.user, s.account = user, s.server.Account(user)
	unlock := s.account.lock()
	s.account.sessions[s] = struct{}{}
	unlock()
	return imapOK(s.capabilityCode() + "welcome")
}

// enter counts a session in, or says why it cannot be.
func (s *IMAP) enter() imapResponse {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.o.Quirks.LoginEvery > 0 && time.Since(s.lastLogin) < s.o.Quirks.LoginEvery {
		return imapBye("too many logins")
	}
	if s.o.MaxSessions > 0 && s.inside >= s.o.MaxSessions {
		s.counts.Refused++
		if s.o.LimitText != "" {
			return imapNo(s.o.LimitText)
		}
		return imapNo("[LIMIT] too many sessions")
	}
	s.inside++
	s.lastLogin = time.Now()
	s.counts.Logins++
	return imapResponse{}
}

// leave undoes what login did.
func (s *imapSession) leave() {
	if s.account == nil {
		return
	}
	s.account.mu.Lock()
	delete(s.account.sessions, s)
	s.account.mu.Unlock()
	s.server.mu.Lock()
	s.server.inside--
	s.server.mu.Unlock()
}

// authenticate runs a SASL exchange (RFC 9051 section 6.2.2).
func (s *imapSession) authenticate(e *IMAPEvent, p *imapParser) (imapResponse, error) {
	name, err := p.word()
	if err != nil {
		return imapResponse{}, err
	}
	if !slices.Contains(s.server.o.Mechanisms, name) {
		return imapNo("mechanism is not offered"), nil
	}
	x := &saslExchange{
		ask:         func(text []byte) ([]byte, error) { return s.challenge(e.Tag, text) },
		password:    s.server.password,
		certificate: s.certificate,
	}
	if p.take(" ") {
		if !s.has("SASL-IR") {
			return imapBad("an initial response is not for here"), nil
		}
		if x.initial, err = decodeInitial(p.rest()); err != nil {
			return imapBad("not base64"), nil
		}
	}
	user, err := x.run(name)
	switch {
	case errors.Is(err, errRefused):
		return s.login(user, false), nil
	case errors.Is(err, errCancelled):
		return imapBad("cancelled"), nil
	case errors.Is(err, errNotBase64):
		return imapBad("not base64"), nil
	case err != nil:
		return imapResponse{}, err
	}
	return s.login(user, true), nil
}

// challenge sends one and returns what the client says to it.
func (s *imapSession) challenge(tag string, text []byte) ([]byte, error) {
	line := "+ " + base64.StdEncoding.EncodeToString(text)
	if err := s.answer(s.event("+", tag, line), imapResponse{line: line}); err != nil {
		return nil, err
	}
	reply, err := s.readLine()
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
func (s *imapSession) certificate() string {
	conn, ok := s.conn.(*tls.Conn)
	if !ok || len(conn.ConnectionState().VerifiedChains) == 0 {
		return ""
	}
	return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
}
