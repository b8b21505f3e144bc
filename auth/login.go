package auth

import "github.com/emersion/go-sasl"

// loginClient is LOGIN, which has no RFC: the server asks twice. What it asks
// is prose ("Username:", "User Name\x00", translations), so only the order
// counts. There is no initial response: many servers take none here.
type loginClient struct {
	user     string
	password secret
	asked    int
}

func (c *loginClient) Start() (string, []byte, error) { return login, nil, nil }

func (c *loginClient) Next([]byte) ([]byte, error) {
	c.asked++
	switch c.asked {
	case 1:
		return []byte(c.user), nil
	case 2:
		return []byte(c.password()), nil
	}
	return nil, failed("log in with LOGIN", sasl.ErrUnexpectedServerChallenge)
}
