package auth

import "github.com/emersion/go-sasl"

// externalClient is EXTERNAL (RFC 4422 appendix A): TLS has shown our
// certificate, and the response only names the mailbox wanted. An empty user
// leaves the choice to the server.
type externalClient struct{ user string }

func (c *externalClient) Start() (string, []byte, error) {
	return external, append([]byte{}, c.user...), nil
}

func (c *externalClient) Next([]byte) ([]byte, error) {
	return nil, failed("log in with EXTERNAL", sasl.ErrUnexpectedServerChallenge)
}
