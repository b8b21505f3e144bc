package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/emersion/go-sasl"
)

// oauthClient is XOAUTH2 or OAUTHBEARER: an access token in the initial
// response, and a challenge only when the server refuses it.
type oauthClient struct {
	name     string
	initial  secret
	token    secret
	farewell []byte // answers the error challenge; the no comes after it
	refused  bool
	refusal  oauthRefusal
}

// newXOAUTH2 makes the mechanism that Google and Microsoft describe. It wants
// an empty answer to the error challenge.
func newXOAUTH2(user, token string) (*oauthClient, error) {
	if err := checkToken(xoauth2, token); err != nil {
		return nil, err
	}
	return &oauthClient{
		name:     xoauth2,
		initial:  hide("user=" + user + "\x01auth=Bearer " + token + "\x01\x01"),
		token:    hide(token),
		farewell: []byte{},
	}, nil
}

// newOAuthBearer makes the mechanism of RFC 7628. The user is a saslname (RFC
// 5801 section 4), and section 3.2.3 wants one ^A after the error challenge.
func newOAuthBearer(user, token, host string, port int) (*oauthClient, error) {
	if err := checkToken(oauthBearer, token); err != nil {
		return nil, err
	}
	var b strings.Builder
	b.WriteString("n,")
	if user != "" {
		b.WriteString("a=" + strings.NewReplacer("=", "=3D", ",", "=2C").Replace(user))
	}
	b.WriteString(",\x01")
	if host != "" {
		b.WriteString("host=" + host + "\x01")
	}
	if port != 0 {
		b.WriteString("port=" + strconv.Itoa(port) + "\x01")
	}
	b.WriteString("auth=Bearer " + token + "\x01\x01")
	return &oauthClient{
		name:     oauthBearer,
		initial:  hide(b.String()),
		token:    hide(token),
		farewell: []byte{0x01},
	}, nil
}

// checkToken refuses what a token command prints when it has no token: a page
// of HTML, a JSON object, a sentence (RFC 6750 section 2.1 knows no spaces).
func checkToken(mechanism, token string) error {
	if !isVisible(token) {
		return refused("log in with "+mechanism, "what the password source gave is not an access token: it contains a space, control or non-ASCII character")
	}
	return nil
}

func (c *oauthClient) Start() (string, []byte, error) {
	return c.name, []byte(c.initial()), nil
}

func (c *oauthClient) Next(challenge []byte) ([]byte, error) {
	if c.refused {
		return nil, failed("log in with "+c.name, sasl.ErrUnexpectedServerChallenge)
	}
	c.refused = true
	// The server has refused already; a text that is no JSON only tells less.
	_ = json.Unmarshal(challenge, &c.refusal)
	return append([]byte{}, c.farewell...), nil
}

// oauthRefusal is the error challenge of RFC 7628 section 3.2.2. Google sends
// an HTTP status where the RFC has a word.
type oauthRefusal struct {
	Status text `json:"status"`
	Scope  text `json:"scope"`
}

// text takes any JSON value: some servers send the status as a number.
type text string

func (t *text) UnmarshalJSON(raw []byte) error {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		s = string(raw)
	}
	*t = text(s)
	return nil
}

// Refusal tells the status, and the scope that the token should have had.
func (c *oauthClient) Refusal() error {
	if !c.refused {
		return nil
	}
	op := "log in with " + c.name
	reason := "the server refused the access token"
	if c.refusal.Status != "" {
		reason += ": status " + c.tell(c.refusal.Status)
	}
	if c.refusal.Scope != "" {
		reason += fmt.Sprintf(" (scope wanted: %s)", c.tell(c.refusal.Scope))
	}
	return &Error{Op: op, Err: errors.New(reason), permanent: c.refusal.lasting()}
}

// lasting tells a refused token from a server in trouble. RFC 7628 section
// 3.2.2 takes its words from RFC 6750 section 3.1.
func (r oauthRefusal) lasting() bool {
	switch r.Status {
	case "invalid_request", "invalid_token", "insufficient_scope", "400", "401", "403":
		return true
	}
	return false
}

// tell quotes text of the server, unless it sends our token back to us.
func (c *oauthClient) tell(t text) string {
	if strings.Contains(string(t), c.token()) {
		return "(hidden: it holds the token)"
	}
	return quote(string(t))
}
