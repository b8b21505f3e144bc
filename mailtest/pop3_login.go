package mailtest

import (
	"crypto/hmac"
	"crypto/md5" // APOP's hash (RFC 1939 section 7)
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"
)

// authorize carries out the commands of the AUTHORIZATION state.
func (s *pop3Session) authorize(e *POP3Event) (pop3Response, error) {
	switch e.Verb {
	case "STLS":
		if s.server.o.TLS == nil || s.secure {
			return refuse("STLS is not for here"), nil
		}
		r := ok("begin TLS")
		r.handshake = true
		s.named = "" // RFC 2595 section 4: nothing from before counts
		return r, nil
	case "USER":
		if s.server.o.NoUSER {
			return refuse("USER is not offered"), nil
		}
		s.named = e.Arg
		return ok("now PASS"), nil
	case "PASS":
		if s.server.o.NoUSER || s.named == "" {
			return refuse("USER comes first"), nil
		}
		want, known := s.password(s.named)
		return s.login(s.named, known && want == e.Arg), nil
	case "APOP":
		return s.apop(e.Arg), nil
	case "AUTH":
		return s.auth(e.Arg)
	}
	return refuse("not before the login, or unknown"), nil
}

// password looks a user up under the name that the maildrop has.
func (s *pop3Session) password(user string) (string, bool) {
	if prefix := s.server.o.Quirks.Recent; prefix != "" {
		user = strings.TrimPrefix(user, prefix)
	}
	return s.server.password(user)
}

// apop checks the digest over timestamp and password.
func (s *pop3Session) apop(arg string) pop3Response {
	if s.timestamp == "" {
		return refuse("APOP is not offered")
	}
	user, digest, _ := strings.Cut(arg, " ")
	password, known := s.password(user)
	sum := md5.Sum([]byte(s.timestamp + password))
	return s.login(user, known && hmac.Equal([]byte(hex.EncodeToString(sum[:])), []byte(digest)))
}

// login takes the maildrop's lock and enters the TRANSACTION state.
func (s *pop3Session) login(user string, accepted bool) pop3Response {
	if !accepted {
		s.named = ""
		s.server.count(func(c *POP3Counts) { c.Refused++ })
		return refuse("[AUTH] login refused")
	}
	quirks := s.server.o.Quirks
	if quirks.Recent != "" && strings.HasPrefix(user, quirks.Recent) {
		s.recent = true
		user = strings.TrimPrefix(user, quirks.Recent)
	}
	drop := s.server.Mailbox(user)
	if !s.lock(drop) {
		return refuse("[IN-USE] another session has the maildrop")
	}
	s.user, s.drop = user, drop
	s.list = drop.snapshot(s.recent || !quirks.Popped, quirks.Window)
	s.gone = make([]bool, len(s.list))
	s.read = make([]bool, len(s.list))
	s.server.count(func(c *POP3Counts) { c.Logins++ })
	return ok("welcome")
}

// lock takes the maildrop, or gives up after LockWait.
func (s *pop3Session) lock(drop *Maildrop) bool {
	select {
	case drop.lock <- struct{}{}:
		return true
	default:
	}
	if s.server.o.LockWait <= 0 {
		return false
	}
	timer := time.NewTimer(s.server.o.LockWait)
	defer timer.Stop()
	select {
	case drop.lock <- struct{}{}:
		return true
	case <-timer.C:
	case <-s.server.done:
	}
	return false
}

// auth runs a SASL exchange (RFC 5034 section 4).
func (s *pop3Session) auth(arg string) (pop3Response, error) {
	name, first, inline := strings.Cut(arg, " ")
	name = strings.ToUpper(name)
	if !slices.Contains(s.server.sasl(), name) {
		return refuse("mechanism is not offered"), nil
	}
	if inline && s.server.o.Quirks.TwoLines {
		return refuse("Protocol error"), nil
	}
	x := &saslExchange{ask: s.challenge, password: s.password, certificate: s.certificate}
	if inline {
		initial, err := decodeInitial(first)
		if err != nil {
			return refuse("not base64"), nil
		}
		x.initial = initial
	}
	user, err := x.run(name)
	switch {
	case errors.Is(err, errRefused):
		return s.login(user, false), nil
	case errors.Is(err, errCancelled):
		return refuse("cancelled"), nil
	case errors.Is(err, errNotBase64):
		return refuse("not base64"), nil
	case err != nil:
		return pop3Response{}, err
	}
	return s.login(user, true), nil
}

// challenge sends one and returns what the client says to it.
func (s *pop3Session) challenge(text []byte) ([]byte, error) {
	line := "+ " + base64.StdEncoding.EncodeToString(text)
	if err := s.answer(s.event("+", ""), pop3Response{line: line}); err != nil {
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
func (s *pop3Session) certificate() string {
	conn, ok := s.conn.(*tls.Conn)
	if !ok || len(conn.ConnectionState().VerifiedChains) == 0 {
		return ""
	}
	return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
}
