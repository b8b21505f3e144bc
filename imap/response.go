package imap

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

const (
	maxText  = 1 << 10 // of a refusal that is kept
	maxQuote = 80      // of an odd response that an error quotes
)

const (
	tagged       = 't'
	continuation = '+'
)

// response is one that ends something: the answer to a command, or a
// continuation, of which reply.text is the rest of the line.
type response struct {
	kind  byte
	tag   string
	reply reply
}

// reply is a status response (RFC 9051 section 7.1).
type reply struct {
	status string // OK, NO, BAD, BYE, PREAUTH
	code   string // in upper case
	args   string // of the code
	text   string // what a human may read
}

// err returns the error that a reply is.
func (r reply) err(verb string) error {
	if r.status == "OK" {
		return nil
	}
	return &ResponseError{Command: verb, Status: r.status, Code: r.code, Text: clip(r.text, maxText)}
}

// untagged is an untagged response whose data has not been read yet; that of a
// status response has.
type untagged struct {
	name   string // in upper case
	number uint32 // before the name; 0 if there is none
	reply  reply
}

// taker is offered untagged responses. One that it takes it must read up to the
// line end; of one that it does not take it must read nothing. A syntaxError
// skips the response, any other error ends the session.
type taker func(u *untagged) (taken bool, err error)

// callerError is an error of the caller's functions. It ends the session and is
// returned as it is.
type callerError struct{ error }

func (e callerError) Unwrap() error { return e.error }

// reading names what is awaited.
func reading(verb string) string {
	if verb == "" {
		return "read the greeting"
	}
	return "read response to " + verb
}

// next reads up to the next response that is not untagged.
func (c *Client) next(verb string, take taker) (response, error) {
	for {
		r, err := c.one(verb, take)
		if err != nil {
			return response{}, c.fatal(verb, err)
		}
		if r.kind != 0 {
			return r, nil
		}
		if c.seen++; c.seen > maxListed {
			return response{}, c.fatal(verb, errResponseTooLarge)
		}
	}
}

// one reads one response. Its kind is 0 if it was untagged.
func (c *Client) one(verb string, take taker) (response, error) {
	c.p.begin()
	first, err := c.p.peek()
	if err != nil {
		return response{}, err
	}
	switch first {
	case '*':
		return response{}, c.readUntagged(verb, take)
	case '[':
		// Microsoft's servers have been seen to leave "* OK" out.
		return response{}, c.status(&untagged{name: "OK"}, verb, take)
	case '\r', '\n':
		return response{}, c.p.rest()
	case '+':
		b, err := c.p.text()
		if err != nil {
			return response{}, err
		}
		return response{kind: continuation, reply: reply{text: string(bytes.TrimSpace(b[1:]))}}, nil
	}
	return c.readTagged()
}

// readTagged reads the answer to a command.
func (c *Client) readTagged() (response, error) {
	b, err := c.p.text()
	if err != nil {
		return response{}, err
	}
	tag, rest, _ := bytes.Cut(b, []byte(" "))
	r := response{kind: tagged, tag: string(tag)}
	status, text, _ := bytes.Cut(bytes.TrimLeft(rest, " "), []byte(" "))
	r.reply = c.parseReply(strings.ToUpper(string(status)), text)
	switch r.reply.status {
	case "OK", "NO", "BAD":
	default:
		quote := printable(clip(c.withoutSecrets(string(b)), maxQuote))
		return response{}, &ProtocolError{Detail: fmt.Sprintf(`neither OK, NO nor BAD: "%s"`, quote)}
	}
	c.seen = 0
	if e, ok := r.reply.err("").(*ResponseError); ok {
		if _, waits := e.Backoff(); waits {
			c.throttled = e.Text
		}
	}
	if r.reply.code == "CAPABILITY" && r.reply.status == "OK" {
		c.learn(r.reply.args)
	}
	if r.reply.code == "ALERT" {
		c.events(Event{Kind: EventAlert, Text: r.reply.text})
	}
	return r, nil
}

// readUntagged reads an untagged response and hands it to whom it concerns.
func (c *Client) readUntagged(verb string, take taker) error {
	p := &c.p
	if err := p.discard(1); err != nil {
		return err
	}
	if err := p.spaces(); err != nil {
		return err
	}
	u, err := c.readName()
	if err != nil {
		return c.forgive(err)
	}
	switch u.name {
	case "OK", "NO", "BAD", "BYE", "PREAUTH":
		return c.status(u, verb, take)
	}
	taken := false
	if take != nil {
		taken, err = take(u)
	}
	if err == nil && !taken {
		taken, err = c.unsolicited(u)
	}
	switch {
	case err != nil:
		return c.forgive(err)
	case !taken:
		return p.rest()
	}
	return c.forgive(p.end())
}

// forgive skips what remains of a response with an error of syntax.
func (c *Client) forgive(err error) error {
	if !isSyntax(err) {
		return err
	}
	return c.p.rest()
}

// readName reads the name of an untagged response, and the number before it.
func (c *Client) readName() (*untagged, error) {
	p := &c.p
	if next, err := p.peek(); err != nil || next == '[' {
		return &untagged{name: "OK"}, err
	}
	b, err := p.atom()
	if err != nil {
		return nil, err
	}
	u := &untagged{}
	if n, ok := parseNumber(b); ok {
		if n <= MaxUID {
			u.number = uint32(n)
		}
		if err := p.spaces(); err != nil {
			return nil, err
		}
		if b, err = p.atom(); err != nil {
			return nil, err
		}
	}
	u.name = strings.ToUpper(string(b))
	return u, p.spaces()
}

// status reads an untagged status response.
func (c *Client) status(u *untagged, verb string, take taker) error {
	b, err := c.p.text()
	if err != nil {
		return err
	}
	u.reply = c.parseReply(u.name, b)
	if u.name == "BYE" && !c.leaving {
		if c.throttled != "" {
			u.reply.text = c.throttled + "; " + u.reply.text
		}
		return callerError{u.reply.err(verb)}
	}
	if take != nil {
		if taken, err := take(u); taken || err != nil {
			return c.excuse(err)
		}
	}
	_, err = c.unsolicited(u)
	return err
}

// excuse forgets an error of syntax in a response that has been read whole.
func (c *Client) excuse(err error) error {
	if isSyntax(err) {
		return nil
	}
	return err
}

// parseReply takes a code in brackets off the text. Codes are never more than
// text to the frame, so that a malformed one does no harm.
func (c *Client) parseReply(status string, text []byte) reply {
	r := reply{status: status, text: string(bytes.TrimSpace(text))}
	if len(c.secrets) > 0 {
		r.text = c.withoutSecrets(r.text)
	}
	inside, found := strings.CutPrefix(r.text, "[")
	if !found {
		return r
	}
	end := endOfCode(inside)
	if end < 0 {
		return r
	}
	r.text = strings.TrimSpace(inside[end+1:])
	name := inside[:end]
	if i := strings.IndexAny(name, ` =("`); i >= 0 { // Microsoft has [Error="..."]
		name = name[:i]
	}
	r.code, r.args = strings.ToUpper(clip(name, maxQuote)), strings.TrimSpace(inside[len(name):end])
	return r
}

// endOfCode finds the bracket that closes a code. One within a string does not,
// nor one within a list: there are keywords with brackets in them.
func endOfCode(s string) int {
	quoted, depth := false, 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' && (i == 0 || s[i-1] != '\\'):
			quoted = !quoted
		case quoted:
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == ']' && depth <= 0:
			return i
		}
	}
	return strings.IndexByte(s, ']')
}

// fatal makes an error of the session out of whatever ended it.
func (c *Client) fatal(verb string, err error) error {
	var own callerError
	var odd *ProtocolError
	switch {
	case c.failed != nil:
		return c.failed
	case errors.As(err, &own):
		return c.fail(own.error)
	case errors.As(err, &odd):
		if odd.Doing == "" {
			odd.Doing = reading(verb)
		}
		return c.fail(odd)
	case isSyntax(err), errors.Is(err, errResponseTooLong), errors.Is(err, errResponseTooLarge), errors.Is(err, errLiteralLength):
		return c.fail(&ProtocolError{Doing: reading(verb), Detail: err.Error()})
	}
	return c.fail(c.line.failure(reading(verb), err))
}

func clip(s string, n int) string { return s[:min(len(s), n)] }

// greet reads the greeting (RFC 9051 section 7.1.5).
func (c *Client) greet() error {
	c.p.begin()
	b, err := c.p.text()
	if err != nil {
		return c.fatal("", err)
	}
	star, rest, _ := bytes.Cut(b, []byte(" "))
	status, text, _ := bytes.Cut(rest, []byte(" "))
	r := c.parseReply(strings.ToUpper(string(status)), text)
	switch {
	case string(star) != "*":
		r.status = ""
	case r.status == "PREAUTH" && !c.secure:
		return &ProtocolError{Doing: reading(""), Detail: "the server has us logged in before TLS"}
	case r.status == "PREAUTH":
		c.authenticated = true
	case r.status == "BYE":
		return r.err("")
	case r.status != "OK":
		r.status = ""
	}
	if r.status == "" {
		quote := printable(clip(string(b), maxQuote))
		return &ProtocolError{Doing: reading(""), Detail: fmt.Sprintf(`not the greeting of an IMAP server: "%s"`, quote)}
	}
	if r.code == "CAPABILITY" {
		c.learn(r.args)
	}
	c.greeting = clip(r.text, maxText)
	return nil
}
