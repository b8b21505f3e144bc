package pop3

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/emersion/go-sasl"
)

const (
	maxAuthLine   = 255 // octets of an AUTH command with its CRLF (RFC 5034 section 4)
	maxChallenges = 16  // no mechanism has as many
)

// authCommand is an AUTH command, and the initial response if that goes on a
// line of its own.
type authCommand struct {
	mechanism string
	line      string
	later     bool   // the response waits for the server's "+"
	immediate bool   // the response is in the line
	response  string // in base64
}

// newAuthCommand starts a mechanism. The initial response goes with the
// command as long as the line keeps within its limit. That of XOAUTH2 and
// OAUTHBEARER never does, since Microsoft's servers refuse that form.
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
	two := mechanism == "XOAUTH2" || mechanism == "OAUTHBEARER"
	if two || len(cmd.line)+len(" ")+len(cmd.response)+len("\r\n") > maxAuthLine {
		cmd.later = true
		return cmd, nil
	}
	cmd.immediate = true
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

// Auth logs in by a SASL mechanism (RFC 5034). A refusal is a *ReplyError; see
// its LoginRefused. When the mechanism itself fails, the exchange is cancelled
// and the session can be used further. Success is what the server said: a
// mechanism that also checks the server must be asked afterwards.
func (c *Client) Auth(ctx context.Context, a sasl.Client) error {
	leave, err := c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	cmd, err := newAuthCommand(a)
	if err != nil {
		return err
	}
	defer c.keepSecret(cmd.response)()
	early := len(c.ahead) > 0
	if err := c.send("AUTH", cmd.line); err != nil {
		return err
	}
	for round := 0; ; round++ {
		challenge, done, err := c.challenge(cmd.later, cmd.immediate || round > 0)
		if err != nil {
			return err
		}
		if done {
			c.loggedIn()
			return nil
		}
		if early {
			// What was sent behind the AUTH would be taken for the response.
			return c.fail(fmt.Errorf("%s: the server asks back: %w", awaiting("AUTH"), ErrAhead))
		}
		response := cmd.response
		if !cmd.later {
			if response, err = respond(a, challenge, round); err != nil {
				return c.cancelAuth(cmd.mechanism, err)
			}
		}
		cmd.later = false
		defer c.keepSecret(response)()
		if err := c.write("AUTH", []byte(response+"\r\n")); err != nil {
			return err
		}
	}
}

// challenge reads the next line of an AUTH exchange: a challenge in base64, or
// done.
//
// Some servers say "+OK" for "+" when they await the initial response. While it
// is held back nothing was sent that could have convinced the server, so that
// +OK cannot mean success. Where the server has to speak first, +OK in place of
// a challenge is a success that nothing has earned: the session ends.
func (c *Client) challenge(held, spoken bool) (challenge []byte, done bool, err error) {
	b, _, err := c.readLine("AUTH")
	if err != nil {
		return nil, false, err
	}
	if len(b) > 0 && b[0] == '+' && (len(b) == 1 || !bytes.EqualFold(b[:min(3, len(b))], []byte("+OK"))) {
		return bytes.TrimSpace(b[1:]), false, nil
	}
	if _, err := c.judge("AUTH", b); err != nil {
		return nil, false, err
	}
	if held {
		return nil, false, nil
	}
	if !spoken {
		return nil, false, c.fail(&ProtocolError{Doing: awaiting("AUTH"), Detail: "+OK before any credentials were sent"})
	}
	return nil, true, nil
}

// respond asks the mechanism for its answer to a challenge. No answer is an
// empty one: the server waits for a line.
func respond(a sasl.Client, challenge []byte, round int) (string, error) {
	if round >= maxChallenges {
		return "", errors.New("the server never stops asking")
	}
	decoded := make([]byte, base64.StdEncoding.DecodedLen(len(challenge)))
	n, err := base64.StdEncoding.Decode(decoded, challenge)
	if err != nil {
		return "", errors.New("the server's challenge is not base64")
	}
	response, err := a.Next(decoded[:n])
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(response), nil
}

// cancelAuth ends an exchange that the mechanism cannot go on with.
func (c *Client) cancelAuth(mechanism string, cause error) error {
	cause = fmt.Errorf("authenticate with %s: %w", mechanism, cause)
	if c.write("AUTH", []byte("*\r\n")) != nil {
		return cause
	}
	if _, err := c.reply("AUTH"); err == nil {
		return c.fail(cause) // +OK to a cancelled exchange: whose session is it?
	}
	return cause
}
