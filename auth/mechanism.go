package auth

import (
	"github.com/emersion/go-sasl"
)

// Names of the mechanisms, as SASL registers them.
const (
	plain       = "PLAIN"
	login       = "LOGIN"
	cramMD5     = "CRAM-MD5"
	scramSHA1   = "SCRAM-SHA-1"
	scramSHA256 = "SCRAM-SHA-256"
	xoauth2     = "XOAUTH2"
	oauthBearer = "OAUTHBEARER"
	external    = "EXTERNAL"
)

// maxChallenge bounds what a mechanism looks at, in octets. The longest real
// challenges, OAuth's error texts, have a few hundred.
const maxChallenge = 64 << 10

// bounded stands before every mechanism: it refuses what no server means.
type bounded struct{ sasl.Client }

// Next hands the challenge on. What it returns without an error is never nil:
// to some protocol clients nil means that the exchange is over, and it is not
// over before the server has said so.
func (b bounded) Next(challenge []byte) ([]byte, error) {
	if len(challenge) > maxChallenge {
		return nil, failed("read SASL challenge", errLongChallenge)
	}
	response, err := b.Client.Next(challenge)
	if err == nil && response == nil {
		response = []byte{}
	}
	return response, err
}

// verifier is a mechanism that also makes the server prove itself.
type verifier interface{ Verified() bool }

// Finished is to be asked after the server has said yes. It returns an error
// if the mechanism was to verify the server and has not: a server that skips
// its proof may be anybody, and the session must end. A nil client, which
// stands for the protocol's own login command, has nothing to verify.
func Finished(c sasl.Client) error {
	v, ok := mechanism(c).(verifier)
	if !ok || v.Verified() {
		return nil
	}
	return refused("verify server", "it accepted the login without proving that it knows the password; it may not be the server it says it is")
}

// refuser is a mechanism in which the server says why it refuses.
type refuser interface{ Refusal() error }

// Refusal is to be asked after the server has said no. It returns what the
// server told inside the exchange, such as the status of an OAuth error, or
// nil. Permanent says whether the same credential will be refused again.
func Refusal(c sasl.Client) error {
	if r, ok := mechanism(c).(refuser); ok {
		return r.Refusal()
	}
	return nil
}

func mechanism(c sasl.Client) sasl.Client {
	if b, ok := c.(bounded); ok {
		return b.Client
	}
	return c
}
