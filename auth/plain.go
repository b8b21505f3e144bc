package auth

import "github.com/emersion/go-sasl"

// plainClient is PLAIN (RFC 4616): everything in the initial response.
type plainClient struct {
	user     string
	password secret
}

func (c *plainClient) Start() (string, []byte, error) {
	return plain, []byte("\x00" + c.user + "\x00" + c.password()), nil
}

func (c *plainClient) Next([]byte) ([]byte, error) {
	return nil, failed("log in with PLAIN", sasl.ErrUnexpectedServerChallenge)
}
