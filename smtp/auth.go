package smtp

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/emersion/go-sasl"
)

const (
	maxCommand    = 512       // octets of a command with its CRLF (RFC 5321 section 4.5.3.1.4)
	maxResponse   = 12288 - 2 // octets of a response in base64 (RFC 4954 section 4)
	maxChallenges = 16        // no mechanism has as many
)

// authCommand is an AUTH command, and the initial response if that goes on a
// line of its own.
type authCommand struct {
	mechanism string
	line      string
	held      bool   // the response waits for an empty challenge
	spoken    bool   // the response is in the line
	response  string // in base64
}

// newAuthCommand starts a mechanism. The initial response goes with the command
// as long as the line keeps within the limit of a command: longer ones, such as
// Microsoft's tokens, have to wait for the 334 (RFC 4954 section 4).
func newAuthCommand(a sasl.Client) (authCommand, error) {
	mechanism, response, err := a.Start()
	if err != nil {
		return authCommand{}, fmt.Errorf("start SASL mechanism: %w", err)
	}
	if !isMechanism(mechanism) {
		return authCommand{}, errors.New("start SASL mechanism: its name is not one")
	}
	cmd := authCommand{mechanism: mechanism, line: "AUTH " + mechanism}
	if response == nil {
		return cmd, nil
	}
	cmd.response = base64.StdEncoding.EncodeToString(response)
	switch {
	case len(cmd.response) > maxResponse:
		return authCommand{}, fmt.Errorf("authenticate with %s: the response is too long for SMTP", mechanism)
	case len(cmd.line)+len(" ")+len(cmd.response)+len("\r\n") > maxCommand:
		cmd.held = true
		return cmd, nil
	}
	cmd.spoken = true
	if cmd.response == "" {
		cmd.line += " =" // in the command, and only there, nothing has a sign
	} else {
		cmd.line += " " + cmd.response
	}
	return cmd, nil
}

// isMechanism checks the form of a mechanism's name (RFC 4422 section 3.1).
func isMechanism(s string) bool {
	for _, c := range s {
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return s != "" && len(s) <= 20
}

// Auth logs in by a SASL mechanism (RFC 4954). A refusal is a *ReplyError: see
// its LoginRefused, Policy and Permanent. When the mechanism itself fails, the
// exchange is cancelled and the session can be used further. Success is what the
// server said, in a 235; a mechanism that also checks the server must be asked
// afterwards. The caller decides whether the connection is fit for a password.
func (c *Client) Auth(ctx context.Context, a sasl.Client) error {
	leave, err := c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if c.authenticated {
		return errors.New("send AUTH: the session is logged in already")
	}
	if err := c.hello(true); err != nil {
		return err
	}
	cmd, err := newAuthCommand(a)
	if err != nil {
		return err
	}
	defer c.keepSecret(cmd.response)()
	line, spoken := cmd.line, cmd.spoken
	for round := 0; ; round++ {
		challenge, done, err := c.challenge(line, spoken)
		if err != nil {
			return err
		}
		if done {
			c.authenticated = true
			return nil
		}
		if line = cmd.response; !cmd.held {
			if line, err = respond(a, challenge, round); err != nil {
				return c.cancelAuth(cmd.mechanism, err)
			}
		}
		cmd.held, spoken = false, true
		defer c.keepSecret(line)()
	}
}

// challenge sends a line of the exchange and reads what comes back: a challenge in
// base64, or done. A success that nothing has earned, since no credentials were
// sent yet, ends the session.
func (c *Client) challenge(line string, spoken bool) (challenge string, done bool, err error) {
	lines := 0
	r, err := c.ask("AUTH", line, func(text []byte) {
		challenge = string(text)
		lines++
	})
	switch {
	case err != nil:
		return "", false, err
	case r.refusal():
		return "", false, refused("AUTH", r)
	case r.code == 334 && lines == 1:
		return challenge, false, nil
	case r.code == 235 && spoken:
		return "", true, nil
	}
	return "", false, c.odd("AUTH", r)
}

// respond asks the mechanism for its answer to a challenge. No answer is an
// empty one: the server waits for a line.
func respond(a sasl.Client, challenge string, round int) (string, error) {
	if round >= maxChallenges {
		return "", errors.New("the server never stops asking")
	}
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimSpace(challenge))
	if err != nil {
		return "", errors.New("the server's challenge is not base64")
	}
	response, err := a.Next(decoded)
	if err != nil {
		return "", err
	}
	line := base64.StdEncoding.EncodeToString(response)
	if len(line) > maxResponse {
		return "", errors.New("the response is too long for SMTP")
	}
	return line, nil
}

// cancelAuth ends an exchange that the mechanism cannot go on with. The server
// has to refuse, with a 501.
func (c *Client) cancelAuth(mechanism string, cause error) error {
	cause = fmt.Errorf("authenticate with %s: %w", mechanism, cause)
	if r, err := c.ask("AUTH", "*", nil); err == nil && !r.refusal() {
		return c.fail(cause) // a success of a cancelled exchange: whose session is it?
	}
	return cause
}
